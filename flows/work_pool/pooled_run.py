"""One run of a study as a flow of its own, which a worker of a Prefect work pool starts from what it is sent."""

from pathlib import Path
from typing import Any

from prefect import flow
from pydantic import ValidationError

from federated.config.run import RunConfig
from federated.config.user_choices import own_code, roots_in
from federated.foundation.errors import BadInput, readable
from federated.foundation.masking import mask_logs, masked_errors
from federated.study.study import Run
from federated.user_code.containment import contain_exits
from flows.federated_run import federated_run
from flows.work_pool.code import ROOT, code_digest
from tasks.claims import claimed
from tasks.tracking.delivery.sending import address
from tasks.tracking.studies.resuming import is_wanted

Sent = dict[str, Any]
"""A run as JSON; what it is sent with says which code and which MLflow it belongs to."""


def sent(run: Run) -> Sent:
    """What a worker needs to begin a run."""
    return {
        "arm": run.arm,
        "order": run.order,
        "overrides": dict(run.overrides),
        "anchor_key": run.anchor_key,
        "config": run.config.model_dump(mode="json"),
        "own_code": own_code(run.config),
        "roots": [str(root) for root in roots_in(run.config)],
        "mlflow": address(),
        "code": code_digest(),
    }


def received(run: Sent) -> Run:
    """The run that was sent.

    Raises BadInput where this machine has another MLflow, another code of this tool or of the person's, or may not run
    the latter.
    """
    if run["mlflow"] != address():
        raise BadInput(
            f"MLFLOW_TRACKING_URI: this worker records at {address()}, and the study at {run['mlflow']}; start the "
            "worker with the same MLFLOW_TRACKING_URI and FEDSTUDY_HOME"
        )
    if run.get("code") != code_digest():
        raise BadInput(
            f"the code of fedstudy in {ROOT} on this worker is not that with which the study was started; bring both "
            "to the same commit, and start the study again"
        )
    try:
        config = RunConfig.model_validate(run["config"], context=tuple(map(Path, run["roots"])))
    except ValidationError as error:
        raise BadInput(
            f"{readable(error)} (on this worker, to which permissions do not travel: it is started with a "
            "FEDSTUDY_OWN_CODE of its own)"
        ) from error
    if changed := sorted(name for name, _ in own_code(config).items() ^ run["own_code"].items()):
        raise BadInput(f"{changed[0]} is another code on this worker than where the study was started")
    return Run(run["arm"], config, run["order"], run["overrides"], run["anchor_key"])


@flow(name="pooled-run", flow_run_name="{name}", validate_parameters=False)
def pooled_run(name: str, run: Sent, study: str, parent_run_id: str, resume: bool = False) -> str:
    """Train one run of a study here, as `federated_run` does. Returns the id of its MLflow run.

    name: of the run, for Prefect. study: its name. parent_run_id: the study's MLflow run.
    """
    contain_exits()
    mask_logs()
    with masked_errors():
        order = received(run)
        with claimed(order, parent_run_id):  # before the question, as one who has the run may be finishing it
            if not is_wanted(order, parent_run_id):
                raise BadInput(
                    f"{name} of {study} is finished, or its study has ended: an old order is not run any more"
                )
            found: str = federated_run.fn(order, study, parent_run_id, resume)
    return found
