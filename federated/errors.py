"""The errors a person meets: what was asked for cannot be done, or a run left the rails."""

from __future__ import annotations

from pydantic import ValidationError


class BadInput(ValueError):
    """What was asked for cannot run; the message names the field, the value and what is allowed."""


class Diverged(RuntimeError):
    """Training produced a value that is not finite; the message names the round.

    history: (round, metrics) up to the last round that was finite.
    """

    def __init__(self, message: str, history: tuple[tuple[int, dict[str, float]], ...] = ()) -> None:
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[type[Diverged], tuple[object, ...]]:
        return type(self), (str(self), self.history)


def readable(error: ValidationError, field: str = "") -> str:
    """Every complaint of a pydantic error on a line of its own: `field: what is wrong, got value`."""
    return "\n".join(_line(complaint, field) for complaint in error.errors(include_url=False))


def _line(complaint: object, field: str) -> str:
    assert isinstance(complaint, dict)
    path = ".".join(str(part) for part in ([field] if field else []) + list(complaint["loc"]))
    if complaint["type"] == "value_error":
        return f"{path}: {complaint['ctx']['error']}" if path else str(complaint["ctx"]["error"])
    if complaint["type"] == "extra_forbidden":
        return f"{path}: there is no such field"
    if complaint["type"] == "missing":
        return f"{path}: this field is required"
    return f"{path}: {complaint['msg'][0].lower()}{complaint['msg'][1:]}, got {complaint['input']!r}"
