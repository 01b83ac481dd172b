"""The seconds that each stage of a run took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from federated.metrics import Metrics

_BEFORE, _AFTER = "system/", "_seconds"
_NO_STAGES = frozenset({"system/processor_seconds", "system/gpu_seconds", "system/energy_joules"})
"""What is counted of whole rounds."""


def seconds_by_stage(entries: Iterable[tuple[int, Metrics]]) -> dict[str, float]:
    """Stage -> its seconds in these entries of a history."""
    spent: dict[str, float] = defaultdict(float)
    for _, metrics in entries:
        for name, value in metrics.items():
            if name.startswith(_BEFORE) and name not in _NO_STAGES:
                spent[name.removeprefix(_BEFORE).removesuffix(_AFTER)] += value
    return spent


def in_words(spent: Mapping[str, float], seconds: float) -> str:
    """`training 1.2 s, compression 0.1 s, ..., everything else 0.3 s`."""
    rest = {"everything else": max(seconds - sum(spent.values()), 0.0)}
    return ", ".join(f"{stage} {value:.1f} s" for stage, value in {**spent, **rest}.items())
