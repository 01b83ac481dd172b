"""Strict numbers in a study: booleans are not numbers, and floats too large to be exact are not integers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from federated.foundation.limits import LARGEST_INTEGER
from federated.foundation.texts import shortened

_LARGEST_WHOLE = 2**53
_SHOWN = 40


def check_numbers(hint: Any, value: Any) -> None:
    """Raise ValueError where the value, or one in it, only passes for a number of this type.

    `true` would be read as 1, and 1e30 as a whole number of rounds.
    """
    types = set(_types(hint))
    if bool not in types and (int in types or float in types):
        _check(value, whole=float not in types)


def _check(value: Any, *, whole: bool) -> None:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {str(value).lower()}")
    if whole and isinstance(value, float) and not abs(value) <= _LARGEST_WHOLE:
        raise ValueError(f"must be a whole number, got {value:g}")
    if whole and isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise ValueError(f"must be at most {LARGEST_INTEGER}, got {shortened(str(value), _SHOWN)}")
    if isinstance(value, list | tuple):
        for each in value:
            _check(each, whole=whole)
    elif isinstance(value, Mapping):
        for each in value.values():
            _check(each, whole=whole)


def _types(hint: Any) -> Iterator[Any]:
    """The types that a hint is made of."""
    if isinstance(hint, type):
        yield hint
    if get_origin(hint) is not Literal:
        for each in get_args(hint):
            yield from _types(each)
