"""The delivery of a journal in order. A record that MLflow rejects does not block the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from federated.foundation.errors import bounded
from federated.machine.files import alone, locked_now
from tasks.tracking.delivery.journal import Journal, read
from tasks.tracking.delivery.set_aside import Kept, Told
from tasks.tracking.server.cause import Cause

_MOST_SUSPECTS = 3  # tried in vain, one after another: then it is MLflow and not the records

Deliver = Callable[[Told, Path | None], None]


CauseOf = Callable[[Exception], Cause]


def deliver(journal: Journal, tell: Deliver, cause: CauseOf, wait: bool = True) -> int:
    """Deliver record by record until none is left; how many. Raises what `tell` raises where MLflow is away.

    cause: of an error. A record whose own fault it is, is set aside; one of which nobody knows is passed over, and
    set aside as soon as another one is delivered. wait: for another process that delivers.
    """
    if not journal.waits:
        return 0
    if wait:
        with alone(journal.folder / "deliver.lock"):
            return _deliver_all(journal, tell, cause)
    with (journal.folder / "deliver.lock").open("ab") as lock:
        return _deliver_all(journal, tell, cause) if locked_now(lock) else 0


def deliver_aside(journal: Journal, tell: Deliver, cause: CauseOf) -> int:
    """Try once more what was set aside; how many records were delivered. Raises as `deliver` does."""

    def attempt(told: Told) -> str | None:
        try:
            tell(told, journal.files_of(told))
        except Exception as error:
            if cause(error) is Cause.AWAY:
                raise
            return said(error)
        journal.drop_files(told)
        return None

    if not journal.aside.records():
        return 0
    with alone(journal.folder / "deliver.lock"):
        return journal.aside.retry(attempt)


def said(error: Exception) -> str:
    """The reason why a record is set aside."""
    return bounded(f"{type(error).__name__}: {error}")


class _Passed:
    """Records passed over since the last one that was delivered, and the errors of those among them that were tried."""

    def __init__(self) -> None:
        self.records: list[Kept] = []
        self.suspects: list[Exception] = []

    @property
    def bytes(self) -> int:
        """The length of their part of the file."""
        return sum(len(each.line) for each in self.records)


def _deliver_all(journal: Journal, tell: Deliver, cause: CauseOf) -> int:
    done, passed = 0, _Passed()
    while (line := journal.next(passed.bytes)) is not None:
        told = read(line)
        why = _why_not(journal, told, passed, tell, cause)
        if why is not None and passed.suspects:
            passed.records.append(Kept(why, line, told))
            continue
        _note(journal, passed, line, why)
        passed = _Passed()
        if told is not None and why is None:
            journal.drop_files(told)
            done += 1
    if passed.suspects:
        raise passed.suspects[0]
    return done


def _why_not(
    journal: Journal, told: Told | None, passed: _Passed, tell: Deliver, cause: CauseOf
) -> str | None:
    """Deliver it; the reason where it could not be. Raises where MLflow is away."""
    if told is None:
        return "damaged"
    if any(
        journal.aside.must_follow(told, each.told) for each in (*journal.aside.records(), *passed.records)
    ):
        return "it has to come after another record that was set aside"
    try:
        tell(told, journal.files_of(told))
    except Exception as error:
        found = cause(error)
        if found is Cause.AWAY:
            raise
        if found is Cause.PERHAPS_ITS_OWN:
            passed.suspects.append(error)
        if len(passed.suspects) >= _MOST_SUSPECTS:
            raise passed.suspects[0] from None
        return said(error)
    return None


def _note(journal: Journal, passed: _Passed, line: bytes, why: str | None) -> None:
    """A record is delivered, or set aside; and with it, what was passed over before it is set aside."""
    for each in passed.records:
        journal.aside.add(each.line, each.why)
    if why is not None:
        journal.aside.add(line, why)
    journal.note(passed.bytes + len(line))
