"""Removal of secrets, such as passwords in addresses, from errors, log records and output of libraries.

Libraries may put a secret into any text, so texts are masked where they leave this process, in three places:
`mask_logs` for log records, `masked_errors` for errors of our tasks and flows (Prefect stores them), and `mask_output`
for the terminal. Our own messages about an error go through `masked` in `federated.foundation.errors.bounded`.
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from federated.foundation.addresses import without_secrets
from federated.foundation.known_secrets import known_secrets


def masked(text: str) -> str:
    """The text without users and passwords in addresses, and with *** for every secret of the environment."""
    found = known_secrets()
    return without_secrets(found.sub("***", text) if found else text)


@contextmanager
def masked_errors() -> Iterator[None]:
    """Replace an error raised within that would reveal a secret by one of the same name with masked text."""
    try:
        yield
    except Exception as error:
        said = _words(error)
        if masked(said) == said:
            raise
        raise _substitute(error, masked(said)) from None


def kind_of(error: BaseException) -> type[BaseException]:
    """The class of an error; of one raised by `masked_errors`, that of the error it stands for."""
    kind: type[BaseException] = getattr(error, "stands_for", type(error))
    return kind


def mask_logs() -> None:
    """From now on no log record that is made in this process holds a secret, nor does the traceback in it."""
    make = logging.getLogRecordFactory()
    if getattr(make, "masks", False):
        return

    def make_masked(*arguments: object, **options: object) -> logging.LogRecord:
        return _masked_record(make(*arguments, **options))

    make_masked.masks = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_masked)


def mask_output() -> None:
    """From now on what this process writes to its standard output and error holds no secret."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            setattr(sys, name, _MaskedText.beside(stream))


class _MaskedText(io.TextIOWrapper):
    """A stream of text that writes no secret."""

    _other: io.TextIOWrapper

    @classmethod
    def beside(cls, stream: io.TextIOWrapper) -> _MaskedText:
        """A stream that writes to the same file; existing references to the old one stay usable."""
        stream.flush()
        settings = {
            name: getattr(stream, name) for name in ("encoding", "errors", "line_buffering", "write_through")
        }
        masking = cls(stream.buffer, **settings)
        masking._other = stream  # which would close the file if it were collected
        return masking

    def __del__(self) -> None:
        """Leave the file open: the stream beside it goes on, as where a test or a notebook puts it back."""
        if not self.closed:
            self.detach()

    def write(self, text: str) -> int:
        """Write it masked; the length that was given."""
        super().write(masked(text))
        return len(text)


def _masked_record(record: logging.LogRecord) -> logging.LogRecord:
    """The same record; where it held a secret, its text is put together already."""
    try:
        said = record.getMessage()
    except (
        TypeError,
        ValueError,
        KeyError,
    ):  # arguments that do not fit: logging itself complains of them, on the terminal
        return record
    if masked(said) != said:
        record.msg, record.args = masked(said), ()
    if record.exc_info and record.exc_info[1] is not None:
        trace = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if masked(trace) != trace:
            record.exc_text, record.exc_info = masked(trace), None
    return record


def _words(error: BaseException) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


def _substitute(error: Exception, said: str) -> Exception:
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "stands_for": kind}
    named = type(kind.__name__, (RuntimeError,), names)
    substitute: Exception = named(said)
    return substitute.with_traceback(error.__traceback__)
