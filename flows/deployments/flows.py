"""The flow that keeps a home in order. A deployment in prefect.yaml."""

from prefect import flow
from prefect.logging import get_run_logger

from federated.foundation.masking import mask_logs, masked_errors
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.studies.syncing import deliver_pending


class StillWaiting(RuntimeError):
    """Records that MLflow does not have yet."""


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
