"""Metrics of the clients' own models beside the global one."""

from __future__ import annotations

from federated.metrics.dictionary.metric import EACH_EVALUATION, END, Row, higher, lower, neither, row
from federated.metrics.dictionary.of_measures import HEADLINES, MEASURES, of_better, over_clients
from federated.metrics.ranges import ANY, SHARE

ROWS: tuple[Row, ...] = (
    row(
        *(
            of_better(MEASURES[name][0].better, f"generalisation/personalised_{name}", MEASURES[name][0].ends)
            for name in HEADLINES
        ),
        unit="as above",
        when="at the end (`evaluation.personalisation`), or each evaluation (algorithms that personalise)",
        meaning=(
            "`client_accuracy` (`client_mse`) after the global model was fine-tuned on each client's training "
            "examples, pooled; of an algorithm that gives clients their own models beside a global one: of these "
            "models, so that it is `client_accuracy` again"
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
            "what fine-tuning, or the model that the algorithm gives it, gains a client over the global model of the "
            "same run on its own held-out examples: mean over clients, median, worst and best tenth; positive = better "
            "(Wang et al. 2019); of the clients with a model of their own alone"
        ),
    ),
    row(
        neither("generalisation/personalisation_clients"),
        unit="count",
        when=END,
        meaning=(
            "clients with held-out examples and a model of their own, over which gain, interval and shares are: the "
            "others, which have not taken part yet or have nothing to tune on, answer with the global model"
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
        meaning="share of the clients that gain, and that lose: whom personalisation hurts",
    ),
    row(
        *(
            of_better(MEASURES[name][0].better, f"generalisation/global_{name}", MEASURES[name][0].ends)
            for name in HEADLINES
        ),
        unit="as above",
        when=EACH_EVALUATION,
        meaning=(
            "the global model on the participating clients' own held-out examples, pooled, beside `client_accuracy` "
            "of the models that an algorithm gives them"
        ),
    ),
    row(
        *(
            of_better(MEASURES[name][0].better, f"generalisation/global_test_{name}", MEASURES[name][0].ends)
            for name in HEADLINES
        ),
        unit="as above",
        when=EACH_EVALUATION,
        meaning=(
            "the global model on the central test set, pooled, beside `test_accuracy` of the models that an algorithm "
            "gives clients: what compares with `test_accuracy` of arms that have a global model alone"
        ),
    ),
    row(
        *over_clients("global"),
        unit="as above",
        when=EACH_EVALUATION,
        meaning="the same over clients, each alike",
    ),
)
