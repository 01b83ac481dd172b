"""Checks of the arguments in a study file against the parameters of a factory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from federated.foundation.errors import readable
from federated.foundation.plain_numbers import check_numbers
from federated.foundation.texts import meant
from federated.user_code.signatures import Default, Signature


def named(
    name: str, signature: Signature, positional: Sequence[Any], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Every argument by name, defaults included, in the factory's order, then those that it takes besides.

    A default that only the running code knows is left out. Raises ValueError, naming what is allowed.
    """
    parameters = signature.parameters
    known = [parameter.name for parameter in parameters]
    allowed = ", ".join(known) or "none"
    if len(positional) > len(parameters):
        raise ValueError(f"{name}: {len(positional)} arguments given, takes {allowed}")
    by_position = dict(zip(known, positional, strict=False))
    unknown = [argument for argument in arguments if argument not in known]
    if unknown and not signature.takes_any:
        hint = meant(unknown[0], known)
        raise ValueError(f"{name}: there is no argument {unknown[0]!r}; {hint}allowed: {allowed}")
    if twice := sorted(set(by_position) & set(arguments)):
        raise ValueError(f"{name}: the argument {twice[0]!r} is given twice")
    given = {**by_position, **arguments}
    if "name" in given:
        raise ValueError(f"{name}: an argument cannot be called 'name', which is the choice's own")
    if "name" in known:
        raise ValueError(f"{name}: its parameter 'name' needs another name: that one is the choice's own")
    for parameter in parameters:
        if parameter.name not in given and parameter.default is parameter.empty:
            raise ValueError(f"{name}: the argument {parameter.name!r} is required")
    every = {parameter.name: given.get(parameter.name, parameter.default) for parameter in parameters}
    made = {argument: value for argument, value in every.items() if value is not Default.COMPUTED}
    return made | {argument: arguments[argument] for argument in unknown}


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The error message for a name that is not registered."""
    known = list(known)
    hint = meant(name, known) or meant(name.partition(" ")[0], known)
    listed = ", ".join(sorted(known))
    return f"there is no {kind} {name!r}; {hint}known: {listed}, or your own package.module:function"


@dataclass(frozen=True, eq=False)
class _Same:
    """A type as a key: `int | str` equals `str | int`, and pydantic tries the one or the other first."""

    hint: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.hint is other.hint

    def __hash__(self) -> int:
        return id(self.hint)


def adapter(hint: Any) -> TypeAdapter[Any]:
    """The pydantic reader of a type; values of a type that pydantic cannot describe are left unchanged."""
    return _adapter(_Same(hint))


@lru_cache(maxsize=1024)  # making one takes a millisecond, and a run's configuration has dozens of arguments
def _adapter(same: _Same) -> TypeAdapter[Any]:
    hint = same.hint
    try:
        return TypeAdapter(hint)
    except (PydanticUserError, TypeError):  # nn.Module, torch.dtype, `callable`, `dict[str]`
        return TypeAdapter(Any)


def coerced(hint: Any, value: Any, field: str) -> Any:
    """The value as its type holds it. Raises ValueError, naming the field."""
    try:
        check_numbers(hint, value)
        return adapter(hint).validate_python(value)
    except ValidationError as error:
        raise ValueError(readable(error, field)) from error
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error


@contextmanager
def fields_renamed(renamed: Mapping[str, str]) -> Iterator[None]:
    """Add to an error within that names a former field how to write it now. renamed: former field -> new form."""
    try:
        yield
    except (TypeError, ValueError) as error:
        for former, now in renamed.items():
            if f"'{former}'" in str(error):
                error.args = (f"{error}; write {now}",)
        raise
