"""The space of values that an arm may choose from: `loguniform(0.001, 1)`, `uniform`, `integers` or a list."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from federated.choices.choice import Choice
from federated.foundation.texts import quoted

_EDGE = 0.05
_FEWEST_WITH_EDGES = 3


class Values(NamedTuple):
    """The values of one field: those in a list, or all from low to high, evenly or evenly in their logarithm.

    stated: as the study file has it.
    """

    stated: str
    listed: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    is_whole: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values at which a config is tried before anything runs."""
        return self.listed or tuple(int(end) if self.is_whole else end for end in (self.low, self.high))

    def holds(self, value: Any) -> bool:
        """Whether a value is among them."""
        if self.listed:
            return value in self.listed
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return (
            is_number and self.low <= value <= self.high and (not self.is_whole or float(value).is_integer())
        )

    def is_edge(self, value: Any) -> bool:
        """Whether a value is so near the end of the space that a better one may lie beyond.

        Of a range within a twentieth of its end, on the scale on which it is drawn from; of a list of three numbers or
        more its least and its largest.
        """
        if self.listed:
            numbers = [
                each for each in self.listed if isinstance(each, int | float) and not isinstance(each, bool)
            ]
            whole = len(numbers) == len(self.listed) >= _FEWEST_WITH_EDGES
            return whole and value in (min(numbers), max(numbers))
        scale = math.log if self.is_log else float
        low, high = scale(self.low), scale(self.high)
        return not _EDGE <= (scale(value) - low) / (high - low) <= 1 - _EDGE


Space = dict[str, Values]
"""Dotted path of a field -> its values."""


def values_of(stated: Any) -> Values:
    """The values that a study file states for one field. Raises ValueError."""
    if isinstance(stated, list | tuple):
        if len(stated) < 2 or any(each in stated[:at] for at, each in enumerate(stated)):
            raise ValueError(f"a list needs two different values or more, got {quoted(stated)}")
        return Values(quoted(stated), tuple(stated))
    try:
        choice = Choice.model_validate(stated)
    except ValueError:
        choice = Choice(name="")
    arguments = [*choice.positional, *choice.arguments.values()]
    if choice.name not in ("loguniform", "uniform", "integers") or len(arguments) != 2:
        raise ValueError(
            f"must be loguniform(low, high), uniform(low, high), integers(low, high) or a list, got {quoted(stated)}"
        )
    low, high = (choice.arguments.get(name, at) for name, at in zip(("low", "high"), arguments, strict=True))
    return _range(choice.name, low, high, quoted(stated))


def _range(name: str, low: Any, high: Any, stated: str) -> Values:
    numbers = [each for each in (low, high) if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) < 2 or not all(map(math.isfinite, numbers)) or not low < high:
        raise ValueError(f"low and high must be finite numbers, low below high, got {stated}")
    if name == "loguniform" and low <= 0:
        raise ValueError(f"low must be above 0 for a logarithm, got {stated}")
    if name == "integers" and not all(float(each).is_integer() for each in numbers):
        raise ValueError(f"low and high must be whole numbers, got {stated}")
    return Values(
        stated, low=float(low), high=float(high), is_log=name == "loguniform", is_whole=name == "integers"
    )
