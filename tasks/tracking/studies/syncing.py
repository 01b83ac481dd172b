"""The delivery of records that studies could not send while MLflow was away."""

from __future__ import annotations

from federated.foundation.errors import BadInput
from federated.machine.folders import home
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.sending import (
    address,
    deliver_all,
    retry_set_aside,
    summary_of_set_aside,
    the_journal,
    tidy,
)
from tasks.tracking.runs.runs import end_dead_studies
from tasks.tracking.server.access import require_store
from tasks.tracking.server.failures import complaint, is_away


def deliver_pending() -> bool:
    """Deliver pending records and retry those set aside, end the runs of dead processes, and show what was done.

    Returns whether nothing is left, here or for another MLflow. Delivering twice duplicates nothing.
    """
    kept = f"; pending records stay in {the_journal().folder}"
    try:
        require_store()
        delivered = deliver_all() + retry_set_aside()
        end_dead_studies()
    except BadInput as error:
        show(f"{error}{kept}")
        return False
    except Exception as error:
        if not is_away(error):
            raise
        show(f"{complaint(address(), error)}{kept}")
        return False
    tidy()
    still = summary_of_set_aside(the_journal())
    if delivered or not still:
        show(
            f"{delivered} record{'s' * (delivered != 1)} delivered to MLflow at {address()}"
            if delivered
            else "no records are pending"
        )
    if still:
        show(still)
    others_wait = _show_journals_of_others()
    return not (still or others_wait or the_journal().waits)


def _show_journals_of_others() -> bool:
    """Show the journals of other values of MLFLOW_TRACKING_URI. Returns whether there are any."""
    others = [Journal(file.parent) for file in sorted((home() / "journal").glob("*/address"))]
    ours = the_journal().folder
    waiting = [other for other in others if other.folder != ours and (other.waits or other.aside.records())]
    for other in waiting:
        wanted = (other.folder / "address").read_text(encoding="utf-8", errors="replace")
        show(f"more records are pending for MLflow at {wanted}: set MLFLOW_TRACKING_URI to it and sync again")
    return bool(waiting)
