"""The dictionary of metrics: definition, unit, time of logging and better direction of each.

Directions, ranges, labels, what a report reads of every round and the table in mlflow/README.md come from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from federated.metrics.dictionary import (
    communication,
    generalisation,
    heterogeneity,
    leakage,
    privacy,
    study,
    system,
    training,
)
from federated.metrics.dictionary.metric import Better, Names, Row
from federated.metrics.dictionary.stated import names_of

OF_A_RUN: tuple[Row, ...] = (
    *heterogeneity.ROWS,
    *training.ROWS,
    *communication.ROWS,
    *generalisation.ROWS,
    *privacy.ROWS,
    *leakage.ROWS,
    *system.ROWS,
)
OF_A_STUDY: tuple[Row, ...] = study.ROWS


def _named(rows: Sequence[Row]) -> Iterator[tuple[str, Names]]:
    for each in rows:
        for names in each.names:
            yield from ((name, names) for name in names.names)


METRICS: Mapping[str, Names] = dict(_named((*OF_A_RUN, *OF_A_STUDY)))
"""Name -> what holds of the metric."""


def metric_of(name: str) -> Names | None:
    """What holds of a metric, of one that a study asked for too; None where there is no such metric."""
    return METRICS.get(name) or names_of(name)


EVERY_ROUND = frozenset(name for name, names in METRICS.items() if names.every_round)
"""What a study's report needs of every round."""


def table(rows: Sequence[Row]) -> str:
    """The rows as a table of Markdown, as in mlflow/README.md."""
    lines = ["| metric | unit | when | what |", "|---|---|---|---|"]
    for each in rows:
        names = ", ".join(f"`{name}`" for one in each.names for name in one.names)
        lines.append(f"| {names} | {each.unit} | {each.when} | {each.meaning} |")
    return "\n".join(lines) + "\n"


__all__ = ["EVERY_ROUND", "METRICS", "OF_A_RUN", "OF_A_STUDY", "Better", "metric_of", "table"]
