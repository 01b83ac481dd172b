"""The only path to MLflow: records are sent at once, or kept in a journal under `var/journal` until it is back.

While MLflow is away, training continues. Pending records are delivered in order, by a thread of this process as soon
as MLflow is back, at the end of a study, at the start of the next, or by `./fedstudy sync`. While any record is
pending, new ones are appended to the journal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from federated.foundation.addresses import without_secrets
from federated.foundation.errors import BadInput
from tasks.tracking.delivery import metrics, ordered_delivery, record_kinds, run_ids
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.journals import journal_folder
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.ordered_delivery import reason_of
from tasks.tracking.delivery.run_creation import others_may_deliver
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.fewer_requests import holding
from tasks.tracking.server.cause import Cause
from tasks.tracking.server.failures import cause_of, complaint, is_away, is_gone, reason, refusal
from tasks.tracking.server.processes import others_live
from tasks.tracking.server.store import tracking_uri

_SECONDS_BETWEEN_TRIES = 5.0
_CONTINUED: set[str] = set()
_GONE: set[str] = set()
_background: Thread | None = None
_starting = Lock()


def send(kind: str, run: str, files: Path | None = None, **content: Any) -> None:
    """Send a record to MLflow, or append it to the journal while MLflow is away. Raises MLflow's refusal, and OSError.

    kind, content: see `record_kinds`. run: its id, or its name before it has one. files: a folder, which is only read.
    """
    known = run_ids.known(run, the_journal().folder)
    if _may_wait(known) and holding.hold(known, kind, content):
        return
    _send_in_turn([(held, None) for held in _held(known, kind)] + [(Record(kind, run, content), files)])


def send_held(run: str, before: str = "metrics") -> None:
    """Send what is held back and must be there before a record of a run. before: its kind. Raises MLflow's refusal."""
    known = run_ids.known(run, the_journal().folder)
    _send_in_turn([(held, None) for held in _held(known, before)])


def _held(known: str, before: str) -> list[Record]:
    return [Record(holding.BATCH, *each) for each in holding.due(before, known).items()]


def _send_in_turn(records: Sequence[tuple[Record, Path | None]]) -> None:
    """Send records with their files, and raise afterwards: one that is refused keeps no other from being sent."""
    with ExitStack() as in_turn:
        for each in reversed(records):
            in_turn.callback(_send, *each)


def _may_wait(run: str) -> bool:
    """Not of a run that goes on, whose values are compared with those that MLflow has; nor while others wait."""
    return run not in _CONTINUED and run_ids.is_known(run, the_journal().folder) and not the_journal().waits


def send_first(kind: str, run: str, **content: Any) -> None:
    """The same as `send`, before any training. Raises BadInput where MLflow denies access."""
    _send(Record(kind, run, content), None, first=True)


def _send(record: Record, files: Path | None, first: bool = False) -> None:
    journal = the_journal()
    if record.run in _CONTINUED:
        record.content["continued"] = True
    why = f"earlier records are still pending for MLflow at {address()}"
    if not journal.waits:
        if (before := journal.aside.blocking(record, files)) is not None:
            journal.set_aside(record, files, before.why)
            return
        if record.kind == "create" or run_ids.is_known(record.run, journal.folder):
            try:
                record_kinds.deliver(record, files, journal.folder)
                return
            except Exception as error:
                why = complaint(address(), error)
                if first and refusal(error) is not None:
                    raise BadInput(why) from error
                if cause_of(error, record_kinds.answers) is Cause.ITS_OWN:
                    _set_aside(record, files, error)
                    return
    others_may_deliver(record.run)
    held = _held(run_ids.known(record.run, journal.folder), "metrics")
    if any([*map(journal.append, held), journal.append(record, files)]):
        _announce(journal, why)
    _deliver_in_background(journal)


def _set_aside(record: Record, files: Path | None, error: Exception) -> None:
    """Set a record aside if MLflow rejects it or its run was deleted; raise any other error."""
    if not is_gone(error) and not is_away(error):
        raise error
    journal = the_journal()
    journal.set_aside(record, files, reason_of(error))
    if is_gone(error):
        if record.run in _GONE:
            return
        _GONE.add(record.run)
        what = f"the run {record.run} was deleted from MLflow; if it is restored, its pending records can be delivered"
    else:
        what = f"MLflow at {address()} rejects the {record.kind} of {record.run} ({reason(error)})"
    show(f"{what}; everything else continues. {journal.aside.kept}")


def create(experiment: str, name: str, tags: dict[str, str], parent: str | None) -> str:
    """Create a run. Returns MLflow's id, or the run's own name while MLflow is away.

    parent: the run above it. Raises BadInput if there is none and MLflow denies access.
    """
    run = run_ids.new()
    begins = send if parent else send_first
    begins("create", run, experiment=experiment, name=name, tags=tags, parent=parent, start_time=now())
    if run_ids.is_known(run, the_journal().folder):
        holding.opened(run_ids.known(run, the_journal().folder))
    return run_ids.known(run, the_journal().folder)


def mark_continued(run: str) -> None:
    """Mark a run that MLflow already has in part: rounds that it has are not sent again."""
    _CONTINUED.add(run)
    holding.opened(run)
    metrics.mark_continued(run)


def settle(patience: float = 0.0) -> bool:
    """Deliver all pending records; whether that succeeded. patience: seconds to keep trying."""
    send_held("", before="")
    until = time.monotonic() + patience
    while True:
        try:
            deliver_all()
            retry_set_aside()
            return True
        except Exception as error:
            if not is_away(error):
                raise
        if time.monotonic() >= until:
            return False
        time.sleep(1.0)


def begin() -> None:
    """Start a study: deliver records left by earlier ones, or show why not, and reserve space for a full disk."""
    try:
        deliver_all()
    except Exception as error:
        if not is_away(error):
            raise
        _announce(the_journal(), complaint(address(), error))
    if line := summary_of_set_aside(the_journal()):
        show(line)
    tidy()
    with suppress(OSError):  # the disk may be full already
        the_journal().reserve()


def tidy() -> None:
    """Remove unused files from the journal, unless another process may need them."""
    if the_journal().folder.exists() and not others_live():
        the_journal().clean()


def deliver_all(wait: bool = True) -> int:
    """Deliver all pending records. Returns their number. Raises the error that shows that MLflow is away.

    Records that MLflow rejects while it accepts others are set aside, and the user is told.
    """
    journal = the_journal()
    before = len(journal.aside.records())
    try:
        done = ordered_delivery.deliver(journal, _deliver_again, _cause, wait)
    finally:
        if new := journal.aside.records()[before:]:
            rejected = f"MLflow at {address()} rejects {journal.aside.stated(new)}"
            show(f"{rejected}; everything else continues. {journal.aside.kept}")
    if done:
        with suppress(OSError):
            journal.reserve()
    return done


def retry_set_aside() -> int:
    """Retry the records set aside. Returns the number delivered. Raises as `deliver_all`."""
    return ordered_delivery.deliver_set_aside(the_journal(), _deliver_again, _cause)


def summary_of_set_aside(journal: Journal) -> str:
    """One line on the records set aside and where they are kept; "" if there are none."""
    every = journal.aside.records()
    return f"MLflow rejects {journal.aside.stated(every)}. {journal.aside.kept}" if every else ""


def _deliver_again(record: Record, files: Path | None) -> None:
    record_kinds.deliver(record, files, the_journal().folder, again=True)


def _cause(error: Exception) -> Cause:
    return cause_of(error, record_kinds.answers)


def the_journal() -> Journal:
    """The journal of the current MLflow."""
    return Journal(journal_folder())


def address() -> str:
    """The address of the current MLflow, without a user's name and password."""
    return without_secrets(tracking_uri())


def now() -> int:
    """The current time in milliseconds since 1970."""
    return int(time.time() * 1000)


def _announce(journal: Journal, why: str) -> None:
    (journal.folder / "address").write_text(address(), encoding="utf-8")
    show(
        f"{why}; training continues. Pending records are kept in "
        f"{journal.folder} and delivered when it is back; `./fedstudy sync` delivers the rest"
    )


def _deliver_in_background(journal: Journal) -> None:
    global _background
    with _starting:
        if _background is None or not _background.is_alive():
            _background = Thread(target=_deliver_until_done, args=(journal,), daemon=True, name="journal")
            _background.start()


def _deliver_until_done(journal: Journal) -> None:
    """Keep trying to deliver, for the lifetime of this process."""
    while journal.waits:
        time.sleep(_SECONDS_BETWEEN_TRIES)
        try:
            deliver_all(wait=False)
        except Exception as error:
            if not is_away(error):
                raise
