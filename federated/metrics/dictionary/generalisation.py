"""Metrics of the model on training and held-out data."""

from __future__ import annotations

import math

from federated.metrics.dictionary.metric import ANY, SHARE, Names, Row, higher, lower, row

EACH_EVALUATION, END = "each evaluation", "at the end"
UP_TO_ONE = (-math.inf, 1.0)


def pooled(held_out: str) -> tuple[Names, ...]:
    """All measures of the examples of one set."""
    return (
        lower(f"generalisation/{held_out}_loss"),
        higher(f"generalisation/{held_out}_{{accuracy,macro_f1}}"),
        lower(f"generalisation/{held_out}_{{mse,mae}}"),
        higher(f"generalisation/{held_out}_r2", UP_TO_ONE),
    )


def errors_over_clients(held_out: str) -> tuple[Names, ...]:
    """The names of metrics of the distribution over clients of one set's mean squared error."""
    return (
        lower(f"generalisation/{held_out}_mse_{{mean,median,sd,worst_10_percent,best_10_percent}}"),
        lower(f"generalisation/{held_out}_mse_gini", SHARE),
    )


def over_clients(held_out: str) -> tuple[Names, ...]:
    """The names of metrics of the distribution over clients of one set's accuracy, or mean squared error."""
    return (
        higher(f"generalisation/{held_out}_accuracy_{{mean,median,worst_10_percent,best_10_percent}}"),
        lower(f"generalisation/{held_out}_accuracy_{{sd,gini}}", SHARE),
        *errors_over_clients(held_out),
    )


ROWS: tuple[Row, ...] = (
    row(
        lower("generalisation/test_loss"),
        unit="nats",
        when=EACH_EVALUATION,
        meaning="mean cross-entropy on the central test set (classification)",
    ),
    row(
        higher("generalisation/test_accuracy", every_round=True),
        unit="0 to 1",
        when=EACH_EVALUATION,
        meaning="share of the central test set that is right (classification)",
    ),
    row(
        higher("generalisation/test_macro_f1"),
        unit="0 to 1",
        when=EACH_EVALUATION,
        meaning="unweighted mean of the classes' F1 on the central test set (classification)",
    ),
    row(
        lower("generalisation/test_mse"),
        unit="squared target units",
        when=EACH_EVALUATION,
        meaning="mean squared error on the central test set (regression)",
    ),
    row(
        lower("generalisation/test_mae"),
        unit="target units",
        when=EACH_EVALUATION,
        meaning="mean absolute error on the central test set (regression)",
    ),
    row(
        higher("generalisation/test_r2", UP_TO_ONE, every_round=True),
        unit="up to 1",
        when=EACH_EVALUATION,
        meaning="coefficient of determination on the central test set (regression)",
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
    row(
        *errors_over_clients("client"),
        unit="squared target units; Gini 0 to 1",
        when=EACH_EVALUATION,
        meaning="the same of the clients' mean squared errors (regression)",
    ),
    row(
        *over_clients("unseen"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same over clients that never take part",
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
            "clients that never took part (Yuan et al. 2022)"
        ),
    ),
    row(
        lower("generalisation/{out_of_sample,participation}_gap_{low,high}", ANY, difference=True),
        unit="as the gap",
        when=END,
        meaning=(
            "95 % interval of the gap over clients: Student's, for unequal sizes, and the studentised bootstrap's, "
            "whichever end is further out; absent below five clients on either side, where nobody can say how "
            "clients spread, and where nearly all clients are alike"
        ),
    ),
    row(
        *over_clients("test"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning=(
            "with `training: local` and `fedper`: over the clients' own models, each on its part of the central test "
            "set; `test_accuracy` and the like are then means over the clients"
        ),
    ),
    row(
        higher("generalisation/personalised_accuracy"),
        lower("generalisation/personalised_mse"),
        unit="as above",
        when="at the end (`evaluation.personalisation`)",
        meaning=(
            "`client_accuracy` (`client_mse`) after the global model was fine-tuned on each client's training "
            "examples, pooled"
        ),
    ),
    row(
        *over_clients("personalised"),
        unit="as above",
        when=END,
        meaning="the same over clients, each alike",
    ),
    row(
        higher(
            "generalisation/personalisation_gain{,_median,_worst_10_percent,_best_10_percent}",
            ANY,
            difference=True,
        ),
        unit="accuracy, or squared target units",
        when=END,
        meaning=(
            "what fine-tuning gains a client on its own held-out examples: mean over clients, median, worst and "
            "best tenth; positive = better (Wang et al. 2019)"
        ),
    ),
    row(
        higher("generalisation/personalisation_gain_{low,high}", ANY, difference=True),
        unit="as the gain",
        when=END,
        meaning="95 % interval of the mean gain over clients, as of the gaps; absent below five clients",
    ),
    row(
        higher("generalisation/personalisation_gainers"),
        lower("generalisation/personalisation_losers", SHARE),
        unit="0 to 1",
        when=END,
        meaning="share of the clients that gain, and that lose",
    ),
    row(
        lower("generalisation/test_calibration_error", SHARE),
        unit="0 to 1",
        when=END,
        meaning=(
            "expected calibration error on the central test set, 15 equal bins of confidence (classification; Guo "
            "et al. 2017)"
        ),
    ),
)
