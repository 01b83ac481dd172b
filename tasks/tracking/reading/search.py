"""Search for studies and runs in MLflow, the only source of comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.store.entities.paged_list import PagedList

from federated.report import RunResult
from federated.study.names import is_study_name, study_name
from tasks.tracking.delivery.run_creation import is_made_at_once, standing
from tasks.tracking.fewer_requests.run_places import noted, place_of
from tasks.tracking.reading.curves import curves_of
from tasks.tracking.reading.overrides import left_out_by
from tasks.tracking.reading.places import TAKERS, in_its_place, is_taken, since, taken_by
from tasks.tracking.reading.results import history_of, names_of_curves, result_of
from tasks.tracking.server.store import connect


def studies_named(name: str) -> Iterator[MlflowRun]:
    """The parent runs of the studies of a name, newest first."""
    study = study_name(name)
    if is_study_name(study):  # nothing is called otherwise, and a query could not say it
        yield from _studies(f" and tags.study = '{study}'")


def newest_study(name: str) -> MlflowRun | None:
    """The newest parent run of a study; None where there is none."""
    return next(studies_named(name), None)


def still_running() -> list[MlflowRun]:
    """All runs still marked RUNNING."""
    client = connect()
    experiments = [experiment.experiment_id for experiment in _pages(client.search_experiments)]
    return list(_pages(client.search_runs, experiments, "attributes.status = 'RUNNING'"))


def on_their_own(running: Sequence[MlflowRun]) -> list[MlflowRun]:
    """Those that no study will end: parent runs of studies, and runs outside any study."""
    return [run for run in running if run.data.tags.get("process")]


def below_ended_studies(running: Sequence[MlflowRun]) -> list[tuple[MlflowRun, MlflowRun]]:
    """Those below studies that have ended, each with its study's parent run."""
    client = connect()
    running = [run for run in running if run.data.tags.get("mlflow.parentRunId")]
    experiments = list({run.info.experiment_id for run in running})
    wanted = {run.data.tags["mlflow.parentRunId"] for run in running}
    ended = "tags.`fedstudy.kind` = 'study' and attributes.status != 'RUNNING'"
    found = _pages(client.search_runs, experiments, ended) if wanted else ()
    parents = {run.info.run_id: run for run in found if run.info.run_id in wanted}
    every = ((run, parents.get(run.data.tags["mlflow.parentRunId"])) for run in running)
    return [(run, parent) for run, parent in every if parent is not None]


def study_of(key: str, flow_run: str = "") -> MlflowRun | None:
    """The newest parent run with this `study_key`, begun by this flow run of Prefect if stated; None: there is none."""
    begun = f" and tags.`prefect.flow_run` = '{flow_run}'" if flow_run else ""
    return next(_studies(f" and tags.study_key = '{key}'{begun}"), None)


def studies_with_arms(key: str) -> Iterator[MlflowRun]:
    """Parent runs with this `arms_key`, newest first."""
    return _studies(f" and tags.arms_key = '{key}'")


def runs_of_no_study(run_key: str) -> list[MlflowRun]:
    """Runs of this config that were started without a study and that have ended, newest first."""
    client = connect()
    experiments = [experiment.experiment_id for experiment in _pages(client.search_experiments)]
    ended = f"tags.run_key = '{run_key}' and tags.process != '' and attributes.status != 'RUNNING'"
    return list(_pages(client.search_runs, experiments, ended, order_by=["attributes.start_time DESC"]))


def runs_below(parent_run_id: str) -> list[MlflowRun]:
    """The runs of a study, in the study's order. Where one was begun again, the later one; of twins that a lost answer
    left, the one that finished.
    """
    return standing_runs(all_below(parent_run_id))


def standing_runs(children: Sequence[MlflowRun]) -> list[MlflowRun]:
    """Of all runs below a study those that stand, see `runs_below`."""
    by_order = {
        int(run.data.tags["order"]): run
        for run in sorted(children, key=lambda run: (since(run), *standing(run)))
    }
    return [run for _, run in sorted(by_order.items())]


def runs_named(name: str) -> Iterator[MlflowRun]:
    """The runs of all studies of a name."""
    client = connect()
    experiments = [experiment.experiment_id for experiment in _pages(client.search_experiments)]
    query = f"tags.`fedstudy.kind` = 'run' and tags.study = '{name}'"
    yield from _pages(client.search_runs, experiments, query)


def all_below(parent_run_id: str) -> list[MlflowRun]:
    """Every run below a study, those that were begun again and those that it took from other studies too."""
    client = connect()
    experiment = place_of(client, parent_run_id).experiment
    below = f"tags.`mlflow.parentRunId` = '{parent_run_id}'"
    taken = (
        _pages(client.search_runs, [experiment], taken_by(parent_run_id)) if _may_take(parent_run_id) else ()
    )
    own = _pages(client.search_runs, [experiment], below)
    own = (run for run in own if run.data.tags.get("fedstudy.kind") != "tuning")
    return [noted(client, run) for run in (*own, *(in_its_place(run, parent_run_id) for run in taken))]


def _may_take(parent_run_id: str) -> bool:
    """Whether a study may have taken runs of others: not one that this process began, unless it took some."""
    return not is_made_at_once(parent_run_id) or parent_run_id in TAKERS


def finished_in_experiment(parent_run_id: str) -> list[MlflowRun]:
    """Every finished training in the experiment of a study, whichever study it belongs to, newest first."""
    client = connect()
    experiment = place_of(client, parent_run_id).experiment
    finished = "tags.`fedstudy.kind` = 'run' and attributes.status = 'FINISHED'"
    newest = ["attributes.start_time DESC"]
    return list(_pages(client.search_runs, [experiment], finished, order_by=newest))


def shown_by(parent_run_id: str) -> str:
    """The condition of a search for the runs of a study, in MLflow's own page too."""
    runs = runs_below(parent_run_id) if _may_take(parent_run_id) else []
    if not any(map(is_taken, runs)):
        return f"tags.`mlflow.parentRunId` = '{parent_run_id}'"
    return f"attributes.run_id IN ({', '.join(repr(run.info.run_id) for run in runs)})"


def study_names() -> list[str]:
    """The names of all studies that were ever run."""
    return sorted({str(run.data.tags["study"]) for run in _studies()})


def _studies(condition: str = "") -> Iterator[MlflowRun]:
    """Parent runs of studies in all experiments, newest first."""
    client = connect()
    experiments = [experiment.experiment_id for experiment in _pages(client.search_experiments)]
    query = f"tags.`fedstudy.kind` = 'study'{condition}"
    newest = ["attributes.start_time DESC", "attributes.status ASC"]  # of twins, the one that does not run
    yield from _pages(client.search_runs, experiments, query, order_by=newest)


def _pages(search: Callable[..., PagedList[Any]], *arguments: Any, **options: Any) -> Iterator[Any]:
    """All that a search finds, page by page."""
    token: str | None = ""
    while token is not None:
        page = search(*arguments, **options, page_token=token or None)
        yield from page
        token = page.token or None


def results_of_study(
    parent_run_id: str,
    more: Sequence[str] = (),
    axes: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> list[RunResult]:
    """Every run of a study, in the study's order, with the curves that a report needs and those named in `more`.

    axes: the paths of the study's axes, for runs that were stored without their overrides. left_out: the sites that it
    leaves out in turn.
    """
    runs = runs_below(parent_run_id)
    curves = curves_of(connect(), [(run, names_of_curves(run, more)) for run in runs])
    results = [result_of(run, history_of(run, curves[run.info.run_id]), axes) for run in runs]
    return [replace(each, left_out=left_out_by(each.overrides, left_out)) for each in results]


def last_values(runs: Sequence[MlflowRun]) -> list[RunResult]:
    """Runs with the last value of every metric, and without curves, which are a request each."""
    return [result_of(run, history_of(run, {}), ()) for run in runs]
