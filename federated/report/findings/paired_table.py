"""The comparisons with the baseline as a table of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federated.report.findings.verdicts import Paired


def paired_table(pairs: Sequence[Paired], *, robust: bool = False) -> dict[str, list[Any]]:
    """The comparison as columns of plain values, None where there is none; one row an arm. robust: judged by ranks."""
    return {
        "arm": [pair.arm for pair in pairs],
        "baseline": [pair.baseline for pair in pairs],
        "metric": [pair.metric for pair in pairs],
        "seeds": [pair.count for pair in pairs],
        "seeds judged": [pair.judged for pair in pairs],
        "paired": [not pair.unpaired for pair in pairs],
        "difference": [pair.estimate for pair in pairs],
        "low": [pair.interval and pair.interval.low for pair in pairs],
        "high": [pair.interval and pair.interval.high for pair in pairs],
        f"p ({'ranks' if robust else 't'}, Holm)": [pair.p for pair in pairs],
        "p (equivalence, Holm)": [pair.same_p for pair in pairs],
        "p (exact)": [pair.rank_p for pair in pairs],
        "probability better": [pair.chances and pair.chances.better for pair in pairs],
        "probability equivalent": [pair.chances and pair.chances.equivalent for pair in pairs],
        "probability worse": [pair.chances and pair.chances.worse for pair in pairs],
        "verdict": [pair.verdict for pair in pairs],
        "more seeds": [pair.more_seeds for pair in pairs],
    }
