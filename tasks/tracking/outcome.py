"""What a finished run leaves in MLflow beside its metrics: model, pictures, tables."""

import json

from prefect import task
from prefect.cache_policies import NO_CACHE

from federated.heterogeneity import client_table
from federated.partition_files import partition_npz
from federated.report import federation_pictures, learning_curves, png
from federated.setup import Setup
from federated.state import RunState
from tasks.tracking import runs
from tasks.tracking.model import log_model
from tasks.tracking.search import result_of
from tasks.tracking.store import connect

_READABLE_PARAMETERS = 100


@task(name="track outcome", cache_policy=NO_CACHE)
def log_outcome(run_id: str, state: RunState, setup: Setup, ended_by: str) -> None:
    """The final model, the partition and its pictures, the learning curves, the table of clients, and why it ended."""
    saved_as = log_model(run_id, state, setup)
    pictures = {
        **federation_pictures(setup.federation),
        "learning_curves.png": png(learning_curves(result_of(run_id, state.history))),
    }
    partition = {"partition.npz": partition_npz(setup.federation)}
    runs.log_files(run_id, {**pictures, **partition, **_small_model(setup, state)})
    connect().log_table(run_id, client_table(setup.federation), "clients.json")
    runs.set_tags(run_id, {"ended_by": ended_by, "model_format": saved_as})


def _small_model(setup: Setup, state: RunState) -> dict[str, str]:
    """The parameters by name, as a file to read, where there are few enough for that."""
    if state.parameters.numel() > _READABLE_PARAMETERS:
        return {}
    setup.model.load(state.parameters)
    named = {name: value.tolist() for name, value in setup.model.module.named_parameters()}
    return {"parameters.json": json.dumps(named, indent=2)}
