"""One federated training, from data to model, tracked in MLflow. The subflow of every study."""

from functools import partial
from itertools import islice

from prefect import flow
from prefect.logging import get_run_logger

from federated.config.run import RunConfig
from federated.foundation.masking import masked_errors
from federated.machine.garbage import look_at_new_objects_alone
from federated.machine.queueing import all_others_work_beside, own_seconds
from federated.machine.torch_threads import torch_threads
from federated.metrics.names import main_metric
from federated.metrics.stage_seconds import in_words, seconds_by_stage
from federated.rounds import Stages
from federated.run.course import Course
from federated.run.setup import Setup
from federated.segments import Observers, concluded, ending, segment_ends
from federated.segments.gathering import with_others
from federated.study.study import Run
from flows.terminal.progress import Progress, Status, notify, tell
from tasks import checkpoints, rounds
from tasks.claims import claimed
from tasks.coalitions import log_coalitions
from tasks.leakage import log_leakage
from tasks.rounds import Opaque
from tasks.scale_out.stages import scaled_out
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.runs import runs as tracking
from tasks.tracking.runs.clusters import with_clusters
from tasks.tracking.runs.history import log_history, recording
from tasks.tracking.runs.outcome import log_outcome
from tasks.tracking.runs.privacy import log_promise
from tasks.tracking.studies.resuming import go_on_with_run


@flow(
    name="federated-run",
    flow_run_name="{run.name}",
    validate_parameters=False,
    retries=0,
    persist_result=False,
)
def federated_run(run: Run, study: str, parent_run_id: str | None = None, resume: bool = False) -> str:
    """Train one model under one config. Returns the id of its MLflow run.

    resume: continue from the newest checkpoint of this config, in its MLflow run, where these exist. MLflow may be
    away meanwhile: records are kept and delivered later. Where training fails, the MLflow run is marked FAILED with
    the reason, its checkpoint is kept, and the error is raised.
    """
    all_others_work_beside()
    with masked_errors(), torch_threads(1), claimed(run, parent_run_id):
        run_id = _federated_run(run, study, parent_run_id, resume)
    look_at_new_objects_alone()
    return run_id


def _federated_run(run: Run, study: str, parent_run_id: str | None, resume: bool) -> str:
    started = own_seconds()
    show_with(notify)
    begin = go_on_with_run if resume else tracking.open_run
    run_id = begin(run, study, parent_run_id)
    warn = partial(_warn, run)
    with tracking.closing(run_id):
        tell(Progress(run.name, "started", 0, run.config.rounds))
        setup = with_others(rounds.prepare(Opaque(run.config)).value)
        tracking.log_data(run_id, setup)
        log_promise(run_id, setup)
        with recording(run_id, run.config) as record, checkpoints.keeping(setup, warn) as keep:
            first = checkpoints.first_course(setup, resume, warn)
            if first.round:
                tracking.set_tags(run_id, {"resumed_from": str(first.round)})
            news = partial(_news, run, main_metric(setup.scoring, run.config.evaluation.judged_on))
            kept = with_clusters(run_id, setup, keep)
            observers = Observers(lambda course: tell(news(course, "running")), record, kept)
            with scaled_out(setup, warn) as stages:
                course, ended_by = _train(run.config, setup, first, observers, stages)
            course = concluded(course, record)
        if run.config.leakage is not None:  # first, as an interrupted run repeats all that is below
            log_leakage(run_id, Opaque((course.kept, setup)))
        if run.config.coalitions is not None:
            log_coalitions(run_id, Opaque((course.state, setup)))
        log_outcome(run_id, Opaque((run, course, setup)), ended_by, parent_run_id)
        shared = 0.0 if setup.trunk is None else setup.trunk.seconds
        seconds = own_seconds() - started - shared
        spent = seconds_by_stage(course.history[len(first.history) :])
        beside = seconds - sum(spent.values())
        times = {
            "system/run_seconds": seconds,
            "system/overhead_seconds": max(beside, 0.0),
            "system/shared_seconds": shared,
        }
        log_history(run_id, [(course.round, times)])
    checkpoints.drop_checkpoint(run.config, warn)
    get_run_logger().info("%.1f s in all: %s; ended by: %s", seconds, in_words(spent, seconds), ended_by)
    tell(news(course, "finished", seconds, ended_by))
    return run_id


def _train(
    config: RunConfig, setup: Setup, course: Course, observers: Observers, stages: Stages | None
) -> tuple[Course, str]:
    """Train and evaluate segment by segment, up to the last round or a stop rule. Returns the reason for the end."""
    ended = ending(config, setup.stop, setup.promise)
    course = rounds.begun(course, setup, observers)
    a_task_run = 1
    while not (reason := ended(course)):
        ends = list(islice(segment_ends(config, course.round, setup.last_round), a_task_run))
        started, done = own_seconds(), course.round
        course = rounds.advance(course, setup, ends, observers, ended, stages)
        seconds = (own_seconds() - started) / (course.round - done)
        a_task_run = rounds.segments_a_task_run(config, seconds)
    return course, reason


def _warn(run: Run, message: str) -> None:
    """Report a problem of a run that continues."""
    get_run_logger().warning(message)
    tell(Progress(run.name, "warning", 0, run.config.rounds, message=message))


def _news(
    run: Run, main: str, course: Course, status: Status, seconds: float = 0.0, message: str = ""
) -> Progress:
    """A progress message with all measurements of the last round. main: the metric that the arm is compared by."""
    return Progress(
        run.name, status, course.round, run.config.rounds, course.latest(), seconds, message, main
    )
