"""The only path to MLflow: records are sent at once, or kept in a journal under `var/journal` until it is back.

While MLflow is away, training continues. Pending records are delivered in order, by a thread of this process as soon
as MLflow is back, at the end of a study, at the start of the next, or by `./fedstudy sync`. While any record is
pending, new ones are appended to the journal.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from federated.foundation.addresses import place_of, place_shown_before, without_secrets
from federated.foundation.errors import BadInput
from federated.foundation.masking import masked
from federated.machine.folders import home
from tasks.tracking.delivery import courier, deliveries, identities, metrics
from tasks.tracking.delivery.courier import said
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.set_aside import Kept, Told
from tasks.tracking.server.cause import Cause
from tasks.tracking.server.failures import cause_of, complaint, is_away, is_gone, reason, refusal
from tasks.tracking.server.processes import others_live
from tasks.tracking.server.store import tracking_uri

_SECONDS_BETWEEN_TRIES = 5.0
_LOG = logging.getLogger(__name__)
_CONTINUED: set[str] = set()
_GONE: set[str] = set()
_listener: Callable[[str], None] = _LOG.warning
_courier: Thread | None = None
_starting = Lock()


def say_with(listener: Callable[[str], None]) -> None:
    """Set the function that shows lines to the user."""
    global _listener
    _listener = listener


def say(line: str) -> None:
    """Show a line to the user."""
    _listener(line)


def tell(kind: str, run: str, files: Path | None = None, **content: Any) -> None:
    """Send a record to MLflow, or to the journal while MLflow is away. Raises MLflow's refusal, and OSError.

    kind, content: see `deliveries`. run: its id, or its name before it has one. files: a folder, which is only read.
    """
    _tell(Told(kind, run, content), files)


def tell_first(kind: str, run: str, **content: Any) -> None:
    """The same as `tell`, before any training. Raises BadInput where MLflow denies access."""
    _tell(Told(kind, run, content), None, first=True)


def _tell(told: Told, files: Path | None, first: bool = False) -> None:
    journal = the_journal()
    if told.run in _CONTINUED:
        told.content["continued"] = True
    why = f"MLflow at {address()} has not heard earlier news yet"
    if not journal.waits:
        if (before := journal.aside.held_up(told, files)) is not None:
            journal.set_aside(told, files, before.why)
            return
        if told.kind == "create" or identities.is_known(told.run, journal.folder):
            try:
                deliveries.deliver(told, files, journal.folder)
                return
            except Exception as error:
                why = complaint(address(), error)
                if first and refusal(error) is not None:
                    raise BadInput(why) from error
                if cause_of(error, deliveries.answers) is Cause.ITS_OWN:
                    _set_aside(told, files, error)
                    return
    if journal.append(told, files):
        _announce(journal, why)
    _deliver_in_background(journal)


def _set_aside(told: Told, files: Path | None, error: Exception) -> None:
    """Raises what MLflow refuses, unless somebody has deleted what it is about."""
    if not is_gone(error) and not is_away(error):
        raise error
    journal = the_journal()
    journal.set_aside(told, files, said(error))
    if is_gone(error):
        if told.run in _GONE:
            return
        _GONE.add(told.run)
        what = f"the run {told.run} was deleted from MLflow; restored there, it gets what it should hear"
    else:
        what = f"MLflow at {address()} does not take the {told.kind} of {told.run} ({reason(error)})"
    say(f"{what}; all else goes on. {_kept_in(journal)}")


def create(experiment: str, name: str, tags: dict[str, str], parent: str | None) -> str:
    """Create a run. Returns MLflow's id, or the run's own name while MLflow is away.

    parent: the run that it is below; where there is none, a BadInput is raised if MLflow does not let us make it.
    """
    run = identities.new()
    begins = tell if parent else tell_first
    begins("create", run, experiment=experiment, name=name, tags=tags, parent=parent, start_time=now())
    return identities.known(run, the_journal().folder)


def goes_on(run: str) -> None:
    """From now on the run is one that MLflow knows parts of: values of rounds that it has are not told again."""
    _CONTINUED.add(run)
    metrics.goes_on(run)


def settle(patience: float = 0.0) -> bool:
    """Deliver all pending records; whether that succeeded. patience: seconds to keep trying."""
    until = time.monotonic() + patience
    while True:
        try:
            deliver_all()
            try_aside_again()
            return True
        except Exception as error:
            if not is_away(error):
                raise
        if time.monotonic() >= until:
            return False
        time.sleep(1.0)


def begin() -> None:
    """At the start of a study: deliver what earlier ones have left, or say why not; keep space for a full disk."""
    try:
        deliver_all()
    except Exception as error:
        if not is_away(error):
            raise
        _announce(the_journal(), complaint(address(), error))
    if line := what_is_aside(the_journal()):
        say(line)
    tidy()
    with suppress(OSError):  # as well as it goes: the day may be today
        the_journal().reserve()


def tidy() -> None:
    """Remove from the journal what no record needs, where no other process may need it."""
    if the_journal().folder.exists() and not others_live():
        the_journal().clean()


def deliver_all(wait: bool = True) -> int:
    """Deliver all pending records. Returns their number. Raises the error that shows that MLflow is away.

    What MLflow does not take, though it takes other records, is set aside, and that is said.
    """
    journal = the_journal()
    before = len(journal.aside.records())
    try:
        done = courier.deliver(journal, _deliver_again, _cause, wait)
    finally:
        if new := journal.aside.records()[before:]:
            say(f"MLflow at {address()} does not take {_stated(new)}; all else goes on. {_kept_in(journal)}")
    if done:
        with suppress(OSError):
            journal.reserve()
    return done


def try_aside_again() -> int:
    """Deliver what was set aside, as far as MLflow takes it now; how many records. Raises as `deliver_all`."""
    return courier.deliver_aside(the_journal(), _deliver_again, _cause)


def what_is_aside(journal: Journal) -> str:
    """In a line, what was set aside and where it is; "" where nothing is."""
    every = journal.aside.records()
    return f"MLflow does not take {_stated(every)}. {_kept_in(journal)}" if every else ""


def _stated(records: Sequence[Kept]) -> str:
    """`3 records (files of RUN: PermissionError: ...)`: how many, and what is wrong with the first."""
    told = records[0].told
    first = f"{told.kind} of {identities.known(told.run, the_journal().folder)}: " if told is not None else ""
    number = "one record" if len(records) == 1 else f"{len(records)} records"
    return f"{number} ({first}{masked(records[0].why)})"


def _kept_in(journal: Journal) -> str:
    return f"It is kept in {journal.folder / 'aside'}, and `./fedstudy sync` tries it again"


def _deliver_again(told: Told, files: Path | None) -> None:
    deliveries.deliver(told, files, the_journal().folder, again=True)


def _cause(error: Exception) -> Cause:
    return cause_of(error, deliveries.answers)


def the_journal() -> Journal:
    """The journal of the current MLflow."""
    every = home() / "journal"
    now, older = (
        every / _hashed(text) for text in (place_of(tracking_uri()), place_shown_before(tracking_uri()))
    )
    if older != now and older.exists() and not now.exists():
        with suppress(OSError):  # another process may have been quicker
            older.rename(now)
    return Journal(now)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def address() -> str:
    """The address of the current MLflow, without a user's name and password."""
    return without_secrets(tracking_uri())


def now() -> int:
    """The current time in milliseconds since 1970."""
    return int(time.time() * 1000)


def _announce(journal: Journal, why: str) -> None:
    (journal.folder / "address").write_text(address(), encoding="utf-8")
    say(
        f"{why}; training goes on. What it should hear is kept in "
        f"{journal.folder} and delivered when it is back; `./fedstudy sync` delivers what is left"
    )


def _deliver_in_background(journal: Journal) -> None:
    global _courier
    with _starting:
        if _courier is None or not _courier.is_alive():
            _courier = Thread(target=_deliver_until_done, args=(journal,), daemon=True, name="journal")
            _courier.start()


def _deliver_until_done(journal: Journal) -> None:
    """Keep trying to deliver, for the lifetime of this process."""
    while journal.waits:
        time.sleep(_SECONDS_BETWEEN_TRIES)
        try:
            deliver_all(wait=False)
        except Exception as error:
            if not is_away(error):
                raise
