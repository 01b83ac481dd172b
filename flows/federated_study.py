"""A study: every arm with every seed, each a federated run of its own, then the comparison.

Started by `./fedstudy run`, by a deployment in prefect.yaml or on a schedule. Needs nothing but the
study: without PREFECT_API_URL and MLFLOW_TRACKING_URI everything stays under var/.
"""

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from federated.forecast.seconds.tuning import forecast_tuned
from federated.foundation.masking import mask_logs, masked, masked_errors
from federated.machine.memory import peak_mb
from federated.machine.queueing import Stopwatch
from federated.report.costs.forecast_against_fact import Took
from federated.report.expected.figures import in_short, missed
from federated.run.preparing.sites import with_sites
from federated.study.study import Run, StudyConfig
from federated.study.tuning.tuned import of_tuned
from federated.tuning.arms import check_tuned
from federated.user_code.containment import contain_exits
from flows.batches import in_turn, without_twins
from flows.deployments.artifacts import StudyArtifacts, progress_shown
from flows.deployments.flow_run import ShownFlowRun, shown_flow_run
from flows.failed_runs import mark_failed, summary
from flows.federated_run import federated_run
from flows.in_processes import run_in_processes
from flows.overheads import remember_overheads
from flows.startup.beginning import goes_on_unasked, study_is_open, take_beginning
from flows.terminal.progress import Progress, notify, tell
from flows.work_pool.pool import refuse_own_pool, require_pool
from flows.work_pool.runs import run_on_workers
from flows.work_pool.workers import Workers, pool_named, workers_in
from tasks.scale_out.stages import check_scale_out
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.delivery.sending import begin
from tasks.tracking.runs import runs as tracking
from tasks.tracking.runs.tuning import log_tuning
from tasks.tracking.studies.comparison import StudyOutcome
from tasks.tracking.studies.concluding import conclude_when_possible
from tasks.tracking.studies.forecasts import log_fact, log_finished_before, log_forecast
from tasks.tracking.studies.resuming import begun_by, finished_before, go_on_with_study
from tasks.tracking.studies.taking import take_finished
from tasks.tuning import tune_arms

_PREFECTS = re.compile(r"^(Flow|Task) run encountered an exception:? (OwnCodeFailed: )?")


class StudyFailed(RuntimeError):
    """Some runs failed, or a figure is outside its band; `outcome` has what there is, if MLflow answers."""

    def __init__(self, message: str, outcome: StudyOutcome | None) -> None:
        super().__init__(message)
        self.outcome = outcome


@flow(name="federated-study", flow_run_name="{study.name}")
def federated_study(study: StudyConfig, workers: Workers = 1, resume: bool = False) -> StudyOutcome | None:
    """Run a study and compare its arms; None where MLflow is away at the end, which postpones the comparison.

    study: the study itself, or the path of its YAML file. workers: number of runs at a time, each in its own process,
    or `pool:NAME`, a Prefect work pool whose workers take the runs; the results do not depend on it. resume: continue
    in the same MLflow run, from the checkpoints of unfinished runs.
    Raises BadInput before anything runs where the study cannot work, and StudyFailed at the end where
    runs failed, or where a figure is outside the band that the study states.
    """
    contain_exits()
    mask_logs()
    with masked_errors():
        return _federated_study(study, workers, resume)


def _federated_study(study: StudyConfig, workers: Workers, resume: bool) -> StudyOutcome | None:
    began, stopwatch = take_beginning(), Stopwatch()
    pool = pool_named(workers := workers_in(workers))
    at_a_time = _workers_of(pool) if pool else int(workers)
    study = with_sites(study)
    check_scale_out(study.runs())
    faults = check_tuned(study)
    so_far = time.perf_counter() - began
    forecast = forecast_tuned(study, at_a_time, faults, so_far)
    known = so_far + forecast.probe_seconds
    before = peak_mb()
    tell(forecast)
    show_with(notify)
    begin()
    tracking.end_dead_studies()
    flow_run = shown_flow_run()
    takes = resume and not goes_on_unasked()
    stated = study
    again = resume or (flow_run is not None and flow_run.tried_before)
    study, found = tune_arms(stated, faults, resume=again)
    runs, faults = study.runs(), of_tuned(faults, study)
    parent_run_id, resume = _open(study, resume, flow_run)
    with tracking.closing(parent_run_id):
        study_is_open()
        artifacts = _shown(study, flow_run, parent_run_id)
        log_forecast(parent_run_id, forecast)
        log_tuning(parent_run_id, stated, found)
        get_run_logger().info("%d runs, %d at a time", len(runs), at_a_time)
        started = time.perf_counter()
        left = _unfinished(runs, faults, parent_run_id, study.name, takes) if resume else runs
        if resume:
            log_finished_before(parent_run_id, len(runs) - len(left))
        with progress_shown(artifacts, runs, left):
            failures = _run_all(left, faults, study.name, parent_run_id, workers, resume)
        memory, before_it = peak_mb(children=at_a_time > 1), len(runs) - len(left)
        took = Took(None, time.perf_counter() - started, memory, before_it)
        log_fact(parent_run_id, took)
        outcome = conclude_when_possible(parent_run_id, study)
        seconds = time.perf_counter() - began
        took = took._replace(seconds=seconds)
        log_fact(parent_run_id, took._replace(runs_seconds=None, memory_mb=None))
        outcome = outcome and outcome.took(forecast, took)
        if workers == 1 and not resume and outcome is not None and not failures and not found:
            ratio = (seconds - known) / max(forecast.seconds - known, 1e-9)
            growth = max(peak_mb() - before - forecast.evaluation_mb - forecast.remembered_mb, 0.0)
            whole = stopwatch.taken()
            share = whole.alone / max(whole.seconds, 1e-9)
            around = took.around_seconds or 0.0
            remember_overheads(
                outcome.results, growth, (around, around - known), ratio, share, took.runs_seconds
            )
        failed = [summary(failures, len(runs))] if failures else []
        problems = [*failed, *_bands_missed(study, outcome)]
        if artifacts is not None:
            artifacts.show_end(outcome, failed)
        if problems:
            if flow_run is not None and outcome is not None and not failures:
                flow_run.try_no_more()  # the same figures would be outside the same bands
            raise StudyFailed("; ".join(problems), outcome)
    return outcome


def _workers_of(pool: str) -> int:
    """The number of its workers. Raises BadInput where it is none that can take the runs."""
    refuse_own_pool(pool)
    return require_pool(pool)


def _open(study: StudyConfig, resume: bool, flow_run: ShownFlowRun | None) -> tuple[str, bool]:
    """(The study's run in MLflow, whether it goes on), which it does too where Prefect tries its flow run again."""
    before = None
    if flow_run is not None and flow_run.tried_before:
        flow_run.let_any_worker_retry()
        before = begun_by(study, str(flow_run.id))
    resume = resume or before is not None
    tags = {} if flow_run is None else flow_run.tags()
    return go_on_with_study(study, before, tags) if resume else tracking.open_study(study, tags), resume


def _shown(study: StudyConfig, flow_run: ShownFlowRun | None, parent_run_id: str) -> StudyArtifacts | None:
    """Tell Prefect where the study is in MLflow; nothing where the flow run's server ends with the study."""
    return None if flow_run is None else StudyArtifacts(flow_run, study.name, parent_run_id)


def _bands_missed(study: StudyConfig, outcome: StudyOutcome | None) -> list[str]:
    """Log each figure that is outside the band that the study states. Returns the sentence that sums them up."""
    if outcome is None and study.expect:
        return ["its figures are not judged by their bands, as MLflow is away; `./fedstudy sync` judges them"]
    figures = [] if outcome is None else outcome.found.figures
    for sentence in missed(figures):
        get_run_logger().error(sentence)
    return [in_short(figures)] if missed(figures) else []


def _unfinished(
    runs: Sequence[Run], faults: Mapping[str, str], parent_run_id: str, study: str, takes: bool
) -> list[Run]:
    """The runs that did not finish before; the others are reported as done.

    takes: count what an earlier study has finished too, as a person who resumes means. A study that goes on unasked
    trains it: what it is run for may be a change of this tool, which the settings of a run do not show.
    """
    get_run_logger().info("the forecast is of the whole study; runs that have a checkpoint take less")
    sound = [run for run in runs if run.name not in faults]
    finished = finished_before(parent_run_id, sound)
    if takes:
        finished += take_finished(parent_run_id, study, [run for run in sound if run not in finished])
    for run in finished:
        rounds = run.config.rounds
        tell(Progress(run.name, "finished", rounds, rounds, message="finished before, not run again"))
    return [run for run in runs if run not in finished]


def _run_all(
    runs: Sequence[Run],
    faults: Mapping[str, str],
    study: str,
    parent_run_id: str,
    workers: Workers,
    resume: bool,
) -> dict[str, str]:
    """Run every run without a fault, even when some fail. Returns the names of failed runs with the reasons."""
    mark_failed(runs, faults, study, parent_run_id, resume)
    for run in runs:
        if run.name in faults:
            _tell_failed(run, faults[run.name])
    failures = dict(faults)
    for several in without_twins([run for run in runs if run.name not in faults]):
        failures |= _run_several(several, study, parent_run_id, workers, resume)
    return failures


def _run_several(
    runs: Sequence[Run], study: str, parent_run_id: str, workers: Workers, resume: bool
) -> dict[str, str]:
    """Run them here, in processes or on workers. Returns the names of failed runs with the reasons."""
    if workers == 1:
        return _run_each(runs, study, parent_run_id, resume)
    states: Sequence[State[str] | None]
    if pool := pool_named(workers):
        states = run_on_workers(pool, runs, study, parent_run_id, resume=resume)
    else:
        states = run_in_processes(runs, study, parent_run_id, int(workers), resume=resume)
    each = zip(runs, states, strict=True)
    return {run.name: why for run, state in each if (why := _why_failed(run, state)) is not None}


def _run_each(runs: Sequence[Run], study: str, parent_run_id: str, resume: bool) -> dict[str, str]:
    """Run one after another in this process, for a single worker; where it pays, several in one stack."""

    def start(run: Run) -> State[str]:
        return federated_run(run, study, parent_run_id, resume, return_state=True)

    with closing(in_turn(runs, start)) as ended:
        return {run.name: why for run, state in ended if (why := _why_failed(run, state)) is not None}


def _why_failed(run: Run, state: State[str] | None) -> str | None:
    """Report a failed run. Returns the reason; None where the run did not fail."""
    if state is not None and state.is_completed():
        return None
    why = "its process died" if state is None else masked(_PREFECTS.sub("", state.message or ""))
    _tell_failed(run, why)
    return why


def _tell_failed(run: Run, why: str) -> None:
    get_run_logger().error("%s failed: %s", run.name, why)
    tell(Progress(run.name, "failed", 0, run.config.rounds, message=why))
