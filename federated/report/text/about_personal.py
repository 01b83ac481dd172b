"""The arms whose clients have models of their own, in sentences: what they are scored on, and whom the models hurt."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from federated.metrics.names import headline_of, higher_is_better, metric_label, on_test
from federated.report.findings.by_seed import best_arm
from federated.report.findings.results import RunResult, arms_of, candidates
from federated.report.questions.amounts import gain_text, measure_label
from federated.report.questions.answers import anchors_of, client_word, own_metric
from federated.report.text.numbers_as_text import decimals_of, number
from federated.report.text.phrases import capitalised, first_few, those_and_few
from federated.report.text.scored_on import percent

GAIN = "generalisation/personalisation_gain"
LOSERS = "generalisation/personalisation_losers"
CLUSTERS = "train/clusters"
_MOST = 5


def about_own_models(results: Sequence[RunResult], baseline: str = "", *, robust: bool = False) -> list[str]:
    """The test data of arms whose clients have their own models, every arm's score on the clients' own data, and what
    the clients' models gain over the global one.

    The baseline, the best arm and its anchors are always among the arms that are named.
    """
    finished = [run for run in candidates(results) if run.finished]
    own = [run for run in finished if run.own_models]
    best = best_arm(results, robust=robust)
    anchors = list(anchors_of(results, best[0]).values()) if best else []
    always = [baseline, *([best[0]] if best else []), *anchors]
    references = [run for run in results if run.finished and run.arm in anchors]
    return [*_scores([*finished, *references], own, always), *_gains(finished, own, always)]


def _scores(finished: Sequence[RunResult], own: Sequence[RunResult], always: Collection[str]) -> list[str]:
    if not own:
        return []
    metric, arms = own[0].main_metric, arms_of(own)
    on_own = own_metric(finished, metric) or metric.replace("/test_", "/client_")
    clustered = any(CLUSTERS in run.metric_names for run in own)
    which = "its own model or that of its cluster" if clustered else "its own model"
    said = f"Every client has {which} in {first_few(arms, _MOST)}."
    if metric == on_test(metric):
        said += (
            f" {capitalised(metric_label(metric))} is then measured on a part of the central test set, which is not "
            "drawn from the client's own data."
        )
    if beside := arms_of([run for run in own if run.own_models_not_covered]):
        said += (
            f" These models and their scores are not covered by the epsilon of {first_few(beside, _MOST)}."
        )
    scores = {arm: _mean_of(finished, arm, on_own) for arm in (*arms, *arms_of(finished))}
    measured = {
        arm: f"{arm} {number(score, decimals_of(on_own, score))}"
        for arm, score in scores.items()
        if score is not None
    }
    if not measured:
        return [f"{said} Nothing is measured on the clients' own data: set holdout.client, such as 0.2."]
    word, measure = client_word(finished), measure_label(on_own.removesuffix("_mean"))
    taken = f"mean over {word}s" if on_own.endswith("_mean") else "all of them together"
    scores_of = those_and_few(measured, always, _MOST)
    return [f"{said} On the {word}s' own held-out examples ({measure}, {taken}): {scores_of}."]


def _gains(finished: Sequence[RunResult], own: Sequence[RunResult], always: Collection[str]) -> list[str]:
    """What personal models gain over the global one of the same run, and the share of clients that they hurt."""
    word, with_own = client_word(finished), arms_of(own)
    said = {
        arm: text
        for arm in arms_of(finished)
        if (text := _gain([run for run in finished if run.arm == arm], word, tuned=arm not in with_own))
    }
    if not said:
        return []
    sentence = (
        f"A {word}'s own model against the global model of the same run, on the {word}'s own held-out examples (mean "
        f"over {word}s): {those_and_few(said, always, _MOST)}."
    )
    without = [arm for arm in with_own if arm not in said]
    alone = (
        f"There is no global model beside those of {first_few(without, _MOST)}: whom they hurt is seen against other "
        "arms alone."
    )
    return [sentence, *([alone] if without else [])]


def _gain(runs: Sequence[RunResult], word: str, *, tuned: bool) -> str:
    """`ditto +2.1 points, worse for 12 % of the sites`; empty where an arm has no two models to compare."""
    arm = runs[0].arm
    gain, losers = (_mean_of(runs, arm, metric) for metric in (GAIN, LOSERS))
    if gain is None or losers is None:
        return ""
    measure = f"generalisation/client_{headline_of(runs[0].main_metric, runs[0].metric_names)}"
    amount = gain_text(gain if higher_is_better(measure) else -gain, None, measure)
    amount = amount if "points" in amount else f"{measure_label(measure)} {amount}"
    return f"{arm}{' fine-tuned' if tuned else ''} {amount}, worse for {percent(losers)} of the {word}s"


def _mean_of(results: Sequence[RunResult], arm: str, metric: str) -> float | None:
    found = [run.final(metric) for run in results if run.arm == arm]
    values = [value for value in found if value is not None]
    return float(np.mean(values)) if values else None
