"""Resuming a study in its MLflow run, with the runs below it that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from federated.study.study import Run, StudyConfig
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.sending import address, mark_continued, now, send, send_first
from tasks.tracking.reading.artifacts import text_of
from tasks.tracking.reading.places import is_taken, place_tag, since
from tasks.tracking.reading.search import (
    all_below,
    newest_study,
    runs_below,
    runs_of_no_study,
    studies_with_arms,
    study_of,
)
from tasks.tracking.runs import runs
from tasks.tracking.runs.environment import ENVIRONMENT, environment_json
from tasks.tracking.server.failures import answered, found, is_gone
from tasks.tracking.server.limits import tag_of, tags_of
from tasks.tracking.server.processes import this_process
from tasks.tracking.server.store import connect
from tasks.tracking.studies.same_training import goes_on


def begun_by(study: StudyConfig, flow_run: str) -> MlflowRun | None:
    """The parent run that an earlier try of a flow run began, whatever its status; None where MLflow is away, too."""
    return next(iter(found(lambda: [study_of(runs.study_key(study), flow_run)])), None)


def go_on_with_study(
    study: StudyConfig, before: MlflowRun | None = None, tags: Mapping[str, str] | None = None
) -> str:
    """Continue the newest ended parent run of a study with these runs, or with fewer seeds; else begin one.

    Returns its id. Raises BadInput where MLflow is away, which alone knows the earlier runs. before: the parent run to
    continue, where it is known. tags: besides.
    """
    before = before or _ended_before(study)
    if before is None:
        return runs.open_study(study, tags)
    run_id = str(before.info.run_id)
    mark_continued(run_id)
    said = {"process": this_process(), "mlflow.note.content": study.description, **(tags or {})}
    send_first("reopen", run_id, tags=tags_of(said))
    # Parameters and environment are there, unless the process that began the study was killed before it sent them.
    runs.log_study_parameters(run_id, study)
    with answered(address()):
        missing = text_of(run_id, ENVIRONMENT) is None
    described = {ENVIRONMENT: environment_json()} if missing else {}
    runs.log_files(run_id, {"study.yaml": runs.as_yaml(study), **described})
    if before.data.tags.get("study_key") != runs.study_key(study):
        _take_places(run_id, study)
    return run_id


def _take_places(run_id: str, study: StudyConfig) -> None:
    """Give the runs below a study the places that they have beside those of more seeds. Killed, it is done again."""
    places = {(tag_of(run.arm), str(run.config.seed)): run for run in study.runs()}
    below = all_below(run_id)
    for child in below:
        run = places[tag_of(child.data.tags["arm"]), child.data.tags["seed"]]
        if child.data.tags["order"] != str(run.order):
            place = place_tag(run_id, run, since(child)) if is_taken(child) else {"order": str(run.order)}
            send_first("tags", child.info.run_id, tags=place)
    seeds = ", ".join(map(str, study.seeds))
    send_first("tags", run_id, tags=tags_of({"study_key": runs.study_key(study), "seeds": seeds}))
    had = {child.data.tags["seed"] for child in below}
    added = ", ".join(str(seed) for seed in study.seeds if str(seed) not in had)
    show(f"{study.name} goes on in its run of MLflow with more seeds: {added}")


def _ended_before(study: StudyConfig) -> MlflowRun | None:
    """The newest ended parent run with these runs. Shows a line if it is still running or there is none."""
    with answered(address()):
        before = study_of(runs.study_key(study)) or _with_fewer_seeds(study)
        if before is not None and before.info.status != "RUNNING":
            return before
        _say_why(study.name, before)
    return None


def _with_fewer_seeds(study: StudyConfig) -> MlflowRun | None:
    """The newest parent run whose seeds are some of the study's, with the same arms."""
    wanted = {str(seed) for seed in study.seeds}
    for before in studies_with_arms(runs.arms_key(study)):
        if {run.data.tags["seed"] for run in all_below(before.info.run_id)} < wanted:
            return before
    return None


def _say_why(name: str, before: MlflowRun | None) -> None:
    if before is not None:
        show(
            f"the run {before.info.run_id} of {name} has not ended, so this one begins a run of its own in MLflow"
        )
    elif newest_study(name) is not None:
        show(f"the runs of {name} are not those of its last time, so it begins a new run in MLflow")


def finished_before(parent_run_id: str, wanted: Sequence[Run]) -> list[Run]:
    """The wanted runs that are FINISHED in MLflow below the study, on the same data and code as now.

    Raises BadInput where MLflow is away, which alone knows.
    """
    with answered(address()):
        by_order = {run.data.tags["order"]: run for run in runs_below(parent_run_id)}
    return [
        run
        for run in wanted
        if (before := by_order.get(str(run.order))) is not None
        and before.info.status == "FINISHED"
        and goes_on(before, run)
    ]


def is_wanted(run: Run, parent_run_id: str) -> bool:
    """Whether the study still runs and has not finished this run; also where MLflow, which alone knows, cannot say."""

    def against_it() -> list[MlflowRun]:
        study = connect().get_run(parent_run_id)
        in_its_place = [
            each for each in runs_below(parent_run_id) if each.data.tags["order"] == str(run.order)
        ]
        finished = [each for each in in_its_place if each.info.status == "FINISHED" and goes_on(each, run)]
        return [*finished, *([study] if study.info.status != "RUNNING" else [])]

    try:
        return not found(against_it)
    except MlflowException as error:
        if not is_gone(error):  # what was begun while MLflow was away is in the journal alone
            raise
        return True


def go_on_with_run(run: Run, study: str, parent_run_id: str | None) -> str:
    """The MLflow run of a training that did not finish, running again; a new one where there is none."""
    before = _begun(run, parent_run_id)
    if before is None:
        return runs.open_run(run, study, parent_run_id)
    run_id = str(before.info.run_id)
    mark_continued(run_id)
    own = {} if parent_run_id else {"process": this_process()}
    send("reopen", run_id, tags={"continued_at": str(now()), **own})
    with runs.ended_if_it_fails(run_id):
        runs.describe_run(run_id, run)
    return run_id


def _begun(run: Run, parent_run_id: str | None) -> MlflowRun | None:
    def search() -> list[MlflowRun]:
        return runs_below(parent_run_id) if parent_run_id else runs_of_no_study(run.config.run_key())

    for before in found(search):  # MLflow may come to have two, of which the later one stands
        same_place = before.data.tags.get("order") == str(run.order)
        if same_place and before.info.status != "FINISHED" and goes_on(before, run):
            return before
    return None
