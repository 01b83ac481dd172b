"""The flows that keep a home in order. Deployments in prefect.yaml."""

from prefect import flow
from prefect.logging import get_run_logger

from federated.foundation.masking import mask_logs, masked_errors
from federated.machine.folders import amount, home_in_words
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.studies.cleaning import removable, remove
from tasks.tracking.studies.syncing import deliver_pending


class StillWaiting(RuntimeError):
    """Records that MLflow does not have yet."""


@flow(name="clean")
def clean(unused_for: float = 30.0, checkpoints: bool = False, delete: bool = False) -> None:
    """List, and with `delete` remove, what the home of this worker can do without, as `./fedstudy clean` does.

    unused_for: days. checkpoints: those of unfinished runs too, which `--resume` needs. While a study runs in this home
    nothing is removed, and the flow run fails.
    """
    mask_logs()
    with masked_errors():
        log = get_run_logger()
        found = removable(unused_for, checkpoints=checkpoints)
        for each in found:
            goes = ("goes" if delete else "would go") if each.remove else "stays, unless checkpoints is set"
            log.info("%s: %d, %s, %s", each.kind, each.number, amount(each.size), goes)
        if delete:
            remove([each for each in found if each.remove is not None])
        log.info("There is %s", home_in_words())


@flow(name="sync")
def sync() -> None:
    """Deliver pending records to MLflow and retry those set aside, as `./fedstudy sync` does.

    Raises StillWaiting where some are left; the log says which.
    """
    mask_logs()
    with masked_errors():
        show_with(get_run_logger().info)
        if not deliver_pending():
            raise StillWaiting("not all records are with MLflow; the log says which and why")
