"""A row of the dictionary of metrics: a family of metrics and the differences between them."""

from __future__ import annotations

import itertools
import re
from typing import Literal, NamedTuple

from federated.metrics.ranges import COUNT, SHARE, Ends

EACH_EVALUATION, END = "each evaluation", "at the end"
Better = Literal["higher", "lower"] | None
_BRACES = re.compile(r"\{([^{}]*)\}")


class Names(NamedTuple):
    """Metrics of which the same holds, by their names in MLflow.

    pattern: one name, or several with alternatives in braces: `{test,client}_loss`. better: which way; None: neither
    is. ends: the lowest and highest value. difference: whether it is a difference of two values of the main measure.
    every_round: whether a study's report needs it of every round and not only of the last.
    """

    pattern: str
    better: Better
    ends: Ends
    difference: bool = False
    every_round: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names, the last alternatives varying fastest."""
        parts = [part.split(",") for part in _BRACES.split(self.pattern)]
        fixed = (["".join(part)] if at % 2 == 0 and len(part) == 1 else part for at, part in enumerate(parts))
        return tuple("".join(chosen) for chosen in itertools.product(*fixed))


class Row(NamedTuple):
    """One row of the table in mlflow/README.md."""

    names: tuple[Names, ...]
    unit: str
    when: str
    meaning: str


def row(*names: Names, unit: str, when: str, meaning: str) -> Row:
    """A row of the table."""
    return Row(names, unit, when, meaning)


def higher(pattern: str, ends: Ends = SHARE, *, difference: bool = False, every_round: bool = False) -> Names:
    """Metrics of which more is better."""
    return Names(pattern, "higher", ends, difference, every_round)


def lower(pattern: str, ends: Ends = COUNT, *, difference: bool = False, every_round: bool = False) -> Names:
    """Metrics of which less is better."""
    return Names(pattern, "lower", ends, difference, every_round)


def neither(
    pattern: str, ends: Ends = COUNT, *, difference: bool = False, every_round: bool = False
) -> Names:
    """Metrics that describe, and of which neither more nor less is better."""
    return Names(pattern, None, ends, difference, every_round)
