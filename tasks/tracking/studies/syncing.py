"""The delivery of records that studies could not send while MLflow was away."""

from __future__ import annotations

from federated.foundation.errors import BadInput
from federated.machine.folders import home
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.telling import (
    address,
    deliver_all,
    say,
    the_journal,
    tidy,
    try_aside_again,
    what_is_aside,
)
from tasks.tracking.runs.runs import end_dead_studies
from tasks.tracking.server.access import require_store
from tasks.tracking.server.failures import complaint, is_away


def deliver_what_waits() -> bool:
    """Deliver it, what was set aside too, end the runs of dead processes, and say what was done; whether nothing is
    left: neither here nor for another MLflow, neither waiting nor set aside.

    Delivering twice doubles nothing.
    """
    kept = f"; what it should hear stays in {the_journal().folder}"
    try:
        require_store()
        delivered = deliver_all() + try_aside_again()
        end_dead_studies()
    except BadInput as error:
        say(f"{error}{kept}")
        return False
    except Exception as error:
        if not is_away(error):
            raise
        say(f"{complaint(address(), error)}{kept}")
        return False
    tidy()
    still = what_is_aside(the_journal())
    if delivered or not still:
        say(
            f"{delivered} records delivered to MLflow at {address()}"
            if delivered
            else "nothing waits to be delivered"
        )
    if still:
        say(still)
    others_wait = _say_what_waits_for_others()
    return not (still or others_wait or the_journal().waits)


def _say_what_waits_for_others() -> bool:
    """Journals of another MLFLOW_TRACKING_URI; whether there are any."""
    others = [Journal(file.parent) for file in sorted((home() / "journal").glob("*/address"))]
    ours = the_journal().folder
    waiting = [other for other in others if other.folder != ours and (other.waits or other.aside.records())]
    for other in waiting:
        wanted = (other.folder / "address").read_text(encoding="utf-8", errors="replace")
        say(f"more waits for MLflow at {wanted}: set MLFLOW_TRACKING_URI to it and sync again")
    return bool(waiting)
