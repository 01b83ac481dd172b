"""The delivery of a journal in order. A record that MLflow rejects does not block the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from federated.foundation.errors import bounded
from federated.machine.files import alone, locked_now
from tasks.tracking.delivery.journal import Journal, read
from tasks.tracking.delivery.set_aside import Record, SetAside
from tasks.tracking.server.cause import Cause

_MOST_SUSPECTS = 3  # failures in a row, after which MLflow is at fault and not the records

Deliver = Callable[[Record, Path | None], None]
CauseOf = Callable[[Exception], Cause]


def deliver(journal: Journal, send: Deliver, cause: CauseOf, wait: bool = True) -> int:
    """Deliver all pending records. Returns their number. Raises the error of `send` if MLflow is away.

    cause: classifies an error. A record at fault is set aside. If the cause is unclear the record is skipped, and set
    aside as soon as another one is delivered. wait: wait for another process that is delivering.
    """
    if not journal.waits:
        return 0
    if wait:
        with alone(journal.folder / "deliver.lock"):
            return _deliver_all(journal, send, cause)
    with (journal.folder / "deliver.lock").open("ab") as lock:
        return _deliver_all(journal, send, cause) if locked_now(lock) else 0


def deliver_set_aside(journal: Journal, send: Deliver, cause: CauseOf) -> int:
    """Retry the records set aside. Returns the number delivered. Raises as `deliver` does."""

    def attempt(record: Record) -> str | None:
        try:
            send(record, journal.files_of(record))
        except Exception as error:
            if cause(error) is Cause.AWAY:
                raise
            return reason_of(error)
        journal.drop_files(record)
        return None

    if not journal.aside.records():
        return 0
    with alone(journal.folder / "deliver.lock"):
        return journal.aside.retry(attempt)


def reason_of(error: Exception) -> str:
    """The reason, in one line, for setting a record aside."""
    return bounded(f"{type(error).__name__}: {error}")


class _Skipped:
    """The records skipped since the last delivered one, and the errors of those that were tried."""

    def __init__(self) -> None:
        self.records: list[SetAside] = []
        self.suspects: list[Exception] = []

    @property
    def bytes(self) -> int:
        """Their length in the file."""
        return sum(len(each.line) for each in self.records)


def _deliver_all(journal: Journal, send: Deliver, cause: CauseOf) -> int:
    done, skipped = 0, _Skipped()
    while (line := journal.next(skipped.bytes)) is not None:
        record = read(line)
        why = _why_not(journal, record, skipped, send, cause)
        if why is not None and skipped.suspects:
            skipped.records.append(SetAside(why, line, record))
            continue
        _note(journal, skipped, line, why)
        skipped = _Skipped()
        if record is not None and why is None:
            journal.drop_files(record)
            done += 1
    if skipped.suspects:
        raise skipped.suspects[0]
    return done


def _why_not(
    journal: Journal, record: Record | None, skipped: _Skipped, send: Deliver, cause: CauseOf
) -> str | None:
    """Deliver a record. Returns the reason if MLflow rejects it. Raises if MLflow is away."""
    if record is None:
        return "damaged"
    if any(
        journal.aside.must_follow(record, each.record)
        for each in (*journal.aside.records(), *skipped.records)
    ):
        return "it depends on another record that was set aside"
    try:
        send(record, journal.files_of(record))
    except Exception as error:
        found = cause(error)
        if found is Cause.AWAY:
            raise
        if found is Cause.PERHAPS_ITS_OWN:
            skipped.suspects.append(error)
        if len(skipped.suspects) >= _MOST_SUSPECTS:
            raise skipped.suspects[0] from None
        return reason_of(error)
    return None


def _note(journal: Journal, skipped: _Skipped, line: bytes, why: str | None) -> None:
    """Mark a record as delivered, or set it aside, along with the records skipped before it."""
    for each in skipped.records:
        journal.aside.add(each.line, each.why)
    if why is not None:
        journal.aside.add(line, why)
    journal.note(skipped.bytes + len(line))
