"""Metrics of the model on training and held-out data."""

from __future__ import annotations

from federated.metrics.dictionary.metric import EACH_EVALUATION, END, Row, higher, lower, neither, row
from federated.metrics.dictionary.of_measures import (
    ASKED,
    HEADLINES,
    MEASURES,
    of_better,
    over_clients,
    pooled,
)
from federated.metrics.dictionary.personalisation import ROWS as PERSONALISATION
from federated.metrics.ranges import ANY, COUNT, SHARE

ROWS: tuple[Row, ...] = (
    *(
        row(
            of_better(
                measure.better,
                f"generalisation/test_{measure.name}",
                measure.ends,
                every_round=measure.name == task.main,
            ),
            unit=measure.unit,
            when=EACH_EVALUATION,
            meaning=f"{measure.meaning.format(set='the central test set')} ({task.name})",
        )
        for measure, task in MEASURES.values()
    ),
    *(
        row(
            of_better(measure.better, f"generalisation/test_{measure.name}", measure.ends),
            unit=measure.unit,
            when=EACH_EVALUATION,
            meaning=(
                f"{measure.meaning.format(set='the central test set')} ({' and '.join(measure.targets)}; where "
                "`evaluation.metric` asks for it)"
            ),
        )
        for measure in ASKED
        if measure.name != "calibration_error"
    ),
    row(
        neither("generalisation/threshold_youden", SHARE),
        unit="0 to 1",
        when=EACH_EVALUATION,
        meaning=(
            "the probability from which an example counts as positive for `sensitivity` and `specificity`, chosen on "
            "the tuning examples, else on the sample of training examples (tag `thresholds_chosen_on`)"
        ),
    ),
    row(
        *pooled("client"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same on the participating clients' own held-out examples, pooled (where `holdout.client` > 0)",
    ),
    row(
        *pooled("unseen"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same on clients that never take part, pooled (where `holdout.unseen_clients` > 0)",
    ),
    row(
        *pooled("validation"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning=(
            "the same on the examples that participating clients set aside for choosing, pooled (where "
            "`holdout.validation` > 0): for thresholds and `stop.metric`, never for comparing arms"
        ),
    ),
    row(
        *pooled("tuning"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning=(
            "the same on the examples that participating clients set aside for all that chooses, pooled (where "
            "`holdout.tuning` > 0): for `tuning`, `stop.metric`, `evaluation.best_by` and thresholds, never for "
            "comparing arms"
        ),
    ),
    row(
        *pooled("tuning_clients"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same on clients that neither train nor judge, pooled (where `holdout.tuning_clients` > 0)",
    ),
    row(
        *pooled("training"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning=(
            "the same on a fixed sample of participating clients' training examples "
            "(`evaluation.training_examples`, 1000 at most)"
        ),
    ),
    row(
        higher("generalisation/client_accuracy_{mean,median}"),
        lower("generalisation/client_accuracy_{sd,gini}", SHARE),
        unit="0 to 1",
        when=EACH_EVALUATION,
        meaning=(
            "of the accuracies of participating clients on their own held-out examples, each client alike: mean, "
            "median, sample standard deviation, Gini coefficient. `client_accuracy` is their size-weighted mean"
        ),
    ),
    row(
        higher("generalisation/client_accuracy_{worst,best}_10_percent"),
        unit="0 to 1",
        when=EACH_EVALUATION,
        meaning="mean accuracy of the worst and the best tenth of these clients, rounded up to whole clients",
    ),
    *(
        row(
            *over_clients("client", (headline,)),
            unit=f"{MEASURES[headline][0].unit}; Gini 0 to 1",
            when=EACH_EVALUATION,
            meaning=f"the same of the clients' {MEASURES[headline][0].label} ({MEASURES[headline][1].name})",
        )
        for headline in HEADLINES[1:]
    ),
    row(
        *over_clients("unseen"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same over clients that never take part",
    ),
    row(
        *over_clients("validation"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same over the participating clients, on their examples for choosing",
    ),
    row(
        *over_clients("tuning"),
        *over_clients("tuning_clients"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same over the participating clients, on their tuning examples, and over tuning clients",
    ),
    row(
        neither("generalisation/best_round", COUNT),
        unit="rounds",
        when=END,
        meaning=(
            "the round whose model is kept, where `evaluation.best_by` chooses one; the last value of the metrics "
            "above is then that model's, and counts of bytes and seconds are of all rounds that were done"
        ),
    ),
    row(
        lower("generalisation/out_of_sample_gap", ANY, difference=True),
        unit="accuracy, or squared target units",
        when=EACH_EVALUATION,
        meaning=(
            "training minus client accuracy, both pooled (regression: client minus training MSE); positive = worse "
            "on unseen examples (Yuan et al. 2022)"
        ),
    ),
    row(
        lower("generalisation/participation_gap", ANY, difference=True),
        unit="accuracy, or squared target units",
        when=EACH_EVALUATION,
        meaning=(
            "client minus unseen accuracy, both pooled (regression: unseen minus client MSE); positive = worse for "
            "clients that never took part (Yuan et al. 2022); where there is a global model beside the clients' own, "
            "both sides are the global model's"
        ),
    ),
    row(
        lower("generalisation/{out_of_sample,participation}_gap_{low,high}", ANY, difference=True),
        unit="as the gap",
        when=END,
        meaning=(
            "95 % interval of the gap over clients: Student's, for unequal sizes, and the studentised bootstrap's, "
            "whichever end is further out; absent below five clients on either side, where it cannot be said how "
            "clients spread, and where nearly all clients are alike"
        ),
    ),
    row(
        *over_clients("test"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning=(
            "with `training: local` and algorithms that personalise: over the clients' own models, each on its part "
            "of the central test set; `test_accuracy` and the like are then means over the clients, and so are "
            "measures of the other sets that are no mean over examples, such as AUROC, but for R2, RMSE, calibration "
            "error and F1 of labels, which are of all these examples together"
        ),
    ),
    *PERSONALISATION,
    row(
        *(names for held_out in ("test", "client", "unseen") for names in pooled(f"{held_out}_constant")),
        unit="as above",
        when=END,
        meaning=(
            "what a constant answer gets on the same examples: of classes the most frequent one, with the classes' "
            "shares as probabilities; of numbers the mean, median or another quantile, whichever is best by the "
            "measure. It is chosen on the training examples of all participating clients; a class without any counts "
            "as half an example. A model that does not beat it is of no use"
        ),
    ),
    row(
        *(
            of_better(
                MEASURES[name][0].better,
                f"generalisation/{{client,unseen}}_constant_{name}_mean",
                MEASURES[name][0].ends,
            )
            for name in HEADLINES
        ),
        unit="as above",
        when=END,
        meaning="the same, the mean over clients, each client alike",
    ),
    row(
        lower("generalisation/test_calibration_error", SHARE),
        unit="0 to 1",
        when=END,
        meaning=(
            "expected calibration error on the central test set, 15 equal bins of confidence (classification; Guo "
            "et al. 2017); at each evaluation where `evaluation.metric` asks for it"
        ),
    ),
)
