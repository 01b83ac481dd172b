"""The guarantees of a study's arms in sentences, and what they do not cover."""

from __future__ import annotations

from collections.abc import Sequence

from federated.metrics.dictionary.privacy import NOT_COVERED
from federated.report.findings.results import EPSILON, RunResult, arms_of
from federated.report.text.phrases import capitalised, first_few

_MOST_NAMED = 4


def guarantee_sentences(results: Sequence[RunResult]) -> list[str]:
    """Every guarantee with its arms, the source of noise, and what is not covered; [] where nothing is promised.

    Of an arm whose seeds differ in it, as they do in how many clients a partition gives examples, the weakest.
    """
    by_text: dict[str, list[str]] = {}
    for arm in arms_of(results):
        if found := _weakest([run for run in results if run.arm == arm and run.guarantee]):
            by_text.setdefault(found, []).append(arm)
    if not by_text:
        return []
    promised = [f"{first_few(arms, _MOST_NAMED)}: {text}." for text, arms in by_text.items()]
    sources = dict.fromkeys(run.noise_source for run in results if run.noise_source)
    return [*promised, *(f"{capitalised(source)}." for source in sources), f"{capitalised(NOT_COVERED)}."]


def _weakest(runs: Sequence[RunResult]) -> str:
    """The guarantee of the run with the largest epsilon; empty without any."""
    if not runs:
        return ""
    weakest = max(runs, key=lambda run: run.final(EPSILON) or 0.0)
    differ = len({run.guarantee for run in runs}) > 1
    return (
        f"{weakest.guarantee}; so in seed {weakest.seed}, and less in the others"
        if differ
        else weakest.guarantee
    )
