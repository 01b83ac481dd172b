"""The metrics of every measure, on one set of examples and over its clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from federated.metrics.dictionary.metric import Names, higher, lower
from federated.metrics.dictionary.stated import EXAMPLES
from federated.metrics.measures import Measure
from federated.metrics.ranges import COUNT, SHARE, Ends
from federated.metrics.tasks import TASKS, Task

MEASURES: dict[str, tuple[Measure, Task]] = {}
"""Name -> the measure and the first task that has it."""
for _task in TASKS.values():
    for _measure in _task.measures:
        MEASURES.setdefault(_measure.name, (_measure, _task))
ASKED = [measure for measure in EXAMPLES.values() if measure.name not in MEASURES]
"""Measures that only a study's `evaluation.metric` asks for, each with its defaults."""
HEADLINES = tuple(dict.fromkeys(task.headline for task in TASKS.values()))


def of_better(better: str, pattern: str, ends: Ends, *, every_round: bool = False) -> Names:
    """Metrics of which more, or less, is better."""
    return (higher if better == "higher" else lower)(pattern, ends, every_round=every_round)


def pooled(held_out: str) -> tuple[Names, ...]:
    """All measures of the examples of one set."""
    alike = groupby(
        (measure for measure, _ in MEASURES.values()), lambda measure: (measure.better, measure.ends)
    )
    return tuple(
        of_better(better, f"generalisation/{held_out}_{_any_of(measure.name for measure in group)}", ends)
        for (better, ends), group in alike
    )


def _any_of(names: Iterable[str]) -> str:
    several = ",".join(names)
    return f"{{{several}}}" if "," in several else several


def over_clients(held_out: str, headlines: Sequence[str] = HEADLINES) -> tuple[Names, ...]:
    """The names of metrics of the distribution over clients of one set's headline measures."""
    return tuple(name for headline in headlines for name in _spread(held_out, MEASURES[headline][0]))


def _spread(held_out: str, measure: Measure) -> tuple[Names, ...]:
    stem, ends = f"generalisation/{held_out}_{measure.name}", measure.ends
    return (
        of_better(measure.better, stem + "_{mean,median,worst_10_percent,best_10_percent}", ends),
        lower(f"{stem}_sd", ends if ends == SHARE else COUNT),
        lower(f"{stem}_gini", SHARE),
    )
