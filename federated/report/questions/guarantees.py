"""The guarantees of a study's arms in sentences, and what they do not cover."""

from __future__ import annotations

from collections.abc import Sequence

from federated.metrics.dictionary.privacy import NOT_COVERED, OWN_MODELS_NOT_COVERED, ZEROED
from federated.report.findings.results import EPSILON, RunResult, arms_of
from federated.report.text.phrases import capitalised, first_few

_MOST_NAMED = 4


def guarantee_sentences(results: Sequence[RunResult]) -> list[str]:
    """Every guarantee with its arms, the source of noise, and what is not covered; [] where nothing is promised.

    Of an arm whose seeds differ in it, as they do in how many clients a partition gives examples, the weakest.
    """
    by_text: dict[str, list[str]] = {}
    for arm in arms_of(results):
        if found := weakest_guarantee([run for run in results if run.arm == arm]):
            by_text.setdefault(found, []).append(arm)
    if not by_text:
        return []
    promised = [f"{first_few(arms, _MOST_NAMED)}: {text}." for text, arms in by_text.items()]
    sources = dict.fromkeys(run.noise_source for run in results if run.noise_source)
    own = [arm for arm in arms_of(results) if arm in arms_not_covered(results)]
    of_own = (
        [
            f"{first_few(own, _MOST_NAMED)}: {OWN_MODELS_NOT_COVERED}; on the Pareto front and against epsilon their "
            "scores count as without a promise."
        ]
        if own
        else []
    )
    said = f"{capitalised(NOT_COVERED)}."
    return [
        *promised,
        *of_own,
        *zeroed_sentences(results),
        *(f"{capitalised(source)}." for source in sources),
        said,
    ]


def zeroed_sentences(results: Sequence[RunResult]) -> list[str]:
    """Every arm in which updates were not finite and counted as zeros, which no other figure tells apart."""
    found = []
    for arm in arms_of(results):
        of_rounds = [
            metrics.get(ZEROED, 0) for run in results if run.arm == arm for _, metrics in run.history
        ]
        if most := int(max(of_rounds, default=0)):
            found.append(
                f"{arm}: updates that were not finite counted as zeros, of up to {most:,} clients in a round, as a run "
                "that ends would tell of them; a smaller local.learning_rate may help."
            )
    return found


def arms_not_covered(results: Sequence[RunResult]) -> set[str]:
    """The arms whose scores are of clients' own models, which their epsilon does not cover."""
    return {run.arm for run in results if run.own_models_not_covered}


def weakest_guarantee(results: Sequence[RunResult]) -> str:
    """The guarantee of the run with the largest epsilon, of those that have one; empty without any."""
    runs = [run for run in results if run.guarantee]
    if not runs:
        return ""
    weakest = max(runs, key=lambda run: run.final(EPSILON) or 0.0)
    differ = len({run.guarantee for run in runs}) > 1
    return (
        f"{weakest.guarantee}; so in seed {weakest.seed}, and less in the others"
        if differ
        else weakest.guarantee
    )
