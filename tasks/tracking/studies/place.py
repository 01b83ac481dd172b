"""The place of a study in MLflow, as other programs show it."""

from __future__ import annotations

from federated.foundation.addresses import without_secrets
from tasks.tracking.server.failures import is_away
from tasks.tracking.server.limits import name_of
from tasks.tracking.server.store import connect, run_url, server_address, tracking_uri


def place_in_mlflow(study: str, parent_run_id: str) -> str:
    """A link in Markdown to the study's run; of a store without a server, the store and the run's id.

    Where MLflow is away, the address of its server alone.
    """
    if not tracking_uri().startswith("http"):
        return f"Run `{parent_run_id}` in `{without_secrets(tracking_uri())}`, which `./fedstudy ui` serves."
    try:
        experiment = connect().get_experiment_by_name(name_of(study))
    except Exception as error:
        if not is_away(error):
            raise
        experiment = None
    if experiment is None:
        return f"[MLflow]({server_address()})"
    return f"[The study in MLflow]({run_url(experiment.experiment_id, parent_run_id)})"
