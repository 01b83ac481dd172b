"""The guarantees of a study's arms in sentences, and what they do not cover."""

from __future__ import annotations

from collections.abc import Sequence

from federated.metrics.dictionary.privacy import NOT_COVERED
from federated.report.findings.results import RunResult
from federated.report.text.phrases import capitalised, first_few

_MOST_NAMED = 4


def guarantee_sentences(results: Sequence[RunResult]) -> list[str]:
    """Every guarantee with its arms, the source of noise, and what is not covered; [] where nothing is promised."""
    by_text: dict[str, dict[str, None]] = {}
    for run in results:
        if run.guarantee:
            by_text.setdefault(run.guarantee, {})[run.arm] = None
    if not by_text:
        return []
    promised = [f"{first_few(list(arms), _MOST_NAMED)}: {text}." for text, arms in by_text.items()]
    sources = dict.fromkeys(run.noise_source for run in results if run.noise_source)
    return [*promised, *(f"{capitalised(source)}." for source in sources), f"{capitalised(NOT_COVERED)}."]
