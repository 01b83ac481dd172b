"""The results of a finished run in MLflow besides its metrics: model, pictures, tables."""

import json

from prefect import task
from prefect.cache_policies import NO_CACHE

from federated.evaluation.final import Generalisation, generalisation
from federated.federation.fingerprint import client_table
from federated.federation.partition_files import partition_npz
from federated.foundation.masking import masked_errors
from federated.metrics.names import main_metric
from federated.report import RunResult, federation_pictures, learning_curves, png
from federated.report.figures.clients.client_pictures import class_picture, client_picture
from federated.report.figures.clients.personalisation_picture import personalisation_picture
from federated.run.clients.promised import promise_table
from federated.run.course import Course
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.segments.used import bill_by_client, bill_metrics
from federated.study.study import Run
from federated.user_code.containment import own_code_named
from tasks.rounds import Opaque
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history
from tasks.tracking.runs.model import log_adapter, log_model

_READABLE_PARAMETERS = 100


@task(name="track outcome", cache_policy=NO_CACHE)
@masked_errors()
def log_outcome(
    run_id: str,
    outcome: Opaque[tuple[Run, Course, Setup]],
    ended_by: str,
    parent_run_id: str | None = None,
) -> None:
    """The final model, what it does for whom, the partition, pictures, tables, and why the run ended."""
    run, course, setup = outcome.value
    with own_code_named(setup.config):
        _log_outcome(run_id, run, course, setup, ended_by, parent_run_id)


def _log_outcome(
    run_id: str, run: Run, course: Course, setup: Setup, ended_by: str, parent_run_id: str | None
) -> None:
    state = course.kept
    # Where clients have models of their own there is no one model that stands for the run.
    saved_as = "none"
    if not setup.own_models:
        saved_as = log_model(run_id, state, setup, parent_run_id, last_round=course.round)
        log_adapter(run_id, state, setup)
    found = generalisation(state, setup)
    log_history(run_id, [(course.round, {**found.metrics, **bill_metrics(course, setup)})])
    files: dict[str, str | bytes] = {
        **_pictures(run, course, setup, found),
        **_partition(setup),
        **_small_model(setup, state),
    }
    runs.log_files(run_id, files)
    runs.log_tables(
        run_id,
        {
            "clients.json": client_table(setup.federation),
            "promised.json": promise_table(setup, course.round),
            "generalisation.json": found.clients,
            "classes.json": found.classes_table(),
            "bill.json": bill_by_client(course, setup),
        },
        ended_by=ended_by,
        model_format=saved_as,
        **({} if setup.best_by is None else {"best_by": setup.best_by}),
    )


def _pictures(run: Run, course: Course, setup: Setup, found: Generalisation) -> dict[str, bytes]:
    """PNGs by file name: the partition, the course of the run, and what its model does for whom."""
    figures = {
        "learning_curves.png": learning_curves(_so_far(run, course, setup)),
        "generalisation.png": client_picture(found),
        "classes.png": class_picture(found),
        "personalisation.png": personalisation_picture(found),
    }
    drawn = {name: png(figure) for name, figure in figures.items() if figure is not None}
    return {**federation_pictures(setup.federation), **drawn}


def _partition(setup: Setup) -> dict[str, bytes]:
    return {"partition.npz": partition_npz(setup.federation)}


def _so_far(run: Run, course: Course, setup: Setup) -> RunResult:
    """The run as it is now, without asking MLflow."""
    metric = main_metric(setup.scoring, setup.config.evaluation.judged_on)
    return RunResult("", run.arm, run.config.seed, "RUNNING", {}, tuple(course.history), metric)


def _small_model(setup: Setup, state: RunState) -> dict[str, str]:
    """The parameters by name, as a file to read, where there are few enough for that."""
    if state.parameters.numel() > _READABLE_PARAMETERS or setup.own_models:
        return {}
    module = setup.whole_model.independent_module(state.parameters)
    named = {name: value.tolist() for name, value in module.named_parameters()}
    return {"parameters.json": json.dumps(named, indent=2)}
