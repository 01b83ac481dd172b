"""The errors that users see: a request that cannot be met, or a run that diverged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError

from federated.foundation.limits import LONGEST_ERROR, MOST_COMPLAINTS
from federated.foundation.masking import masked
from federated.foundation.texts import quoted, visible

_LONGEST_COMPLAINT = 1_000


class BadInput(ValueError):
    """A request that cannot be met; the message names the field, the value and what is allowed.

    A message of any length is cut to `LONGEST_ERROR` characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__(bounded(message))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the message, as the command line does, and no traceback."""
        return [f"{type(self).__name__}: {self}"]


class OwnCodeFailed(BadInput):
    """User code raised an error or violates its contract: the runs that use it fail, others continue."""


class Diverged(RuntimeError):
    """Training produced a value that is not finite; the message names the round.

    history: (round, metrics) up to the last round that was finite.
    """

    def __init__(self, message: str, history: tuple[tuple[int, dict[str, float]], ...] = ()) -> None:
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[type[Diverged], tuple[object, ...]]:
        return type(self), (str(self), self.history)


def bounded(message: str, longest: int = LONGEST_ERROR) -> str:
    """An error's text as a person can read it: at most `longest` characters, cut in the middle, nothing
    invisible, and no secret.
    """
    message = masked(message)
    if len(message) > longest:
        kept = longest // 2 - 30
        left_out = len(message) - 2 * kept
        message = f"{message[:kept]} … ({left_out:,} characters left out) … {message[-kept:]}"
    return visible(message)


def readable(
    error: ValidationError, field: str = "", no_such: Callable[[Sequence[str]], str] | None = None
) -> str:
    """The first complaints of a pydantic error, each on a line of its own: `field: what is wrong, got value`.

    no_such: what is to be said besides of a path of fields that does not exist.
    """
    complaints = error.errors(include_url=False)
    lines = [_bounded_lines(_line(complaint, field, no_such)) for complaint in complaints[:MOST_COMPLAINTS]]
    more = len(complaints) - len(lines)
    return "\n".join([*lines, *([f"and {more:,} more"] if more else [])])


def _bounded_lines(complaint: str) -> str:
    """A complaint may have lines of its own, one for each arm."""
    return "\n".join(bounded(line, _LONGEST_COMPLAINT) for line in complaint.split("\n"))


_SHAPES = {
    "list_type": "must be a list, such as [a, b]",
    "tuple_type": "must be a list, such as [a, b]",
    "dict_type": "must be a mapping, such as {name: value}",
}
"""What a value must look like in YAML, by pydantic's name of the fault; its own words are Python's."""


def _line(complaint: object, field: str, no_such: Callable[[Sequence[str]], str] | None) -> str:
    assert isinstance(complaint, dict)
    parts = [str(part) for part in ([field] if field else []) + list(complaint["loc"])]
    path, kind = ".".join(parts), complaint["type"]
    if kind == "value_error":
        return f"{path}: {complaint['ctx']['error']}" if path else str(complaint["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"{path}: there is no such field{f'; {no_such(parts)}' if no_such else ''}"
    if kind == "missing":
        return f"{path}: this field is required"
    if kind == "model_type":
        allowed = f"; {no_such([*parts, ''])}" if no_such else ""
        return f"{path}: must be a mapping, got {quoted(complaint['input'])}{allowed}"
    said = _SHAPES.get(kind, f"{complaint['msg'][0].lower()}{complaint['msg'][1:]}")
    return f"{path}: {said}, got {quoted(complaint['input'])}"
