"""One federated training, from data to model, tracked in MLflow. The subflow of every study."""

import time
from collections import defaultdict
from functools import partial
from itertools import islice, takewhile

import torch
from prefect import flow
from prefect.logging import get_run_logger

from federated.config.run import RunConfig
from federated.federation.fingerprint import heterogeneity_metrics
from federated.foundation.errors import Diverged
from federated.foundation.masking import masked_errors
from federated.metrics import Metrics
from federated.run.segments import StopRule, segment_ends
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.study.study import Run
from flows.terminal.progress import Progress, Status, notify, tell
from tasks import checkpoints, rounds
from tasks.rounds import Opaque
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.runs import runs as tracking
from tasks.tracking.runs.history import HistoryWriter, log_history, recording
from tasks.tracking.runs.outcome import log_outcome
from tasks.tracking.studies.resuming import go_on_with_run

_SHORT_SEGMENT_SECONDS = 1.0  # below that, segments share a task run ...
_TASK_RUN_SECONDS = 10.0  # ... of about this long


@flow(name="federated-run", flow_run_name="{run.name}", validate_parameters=False)
def federated_run(run: Run, study: str, parent_run_id: str | None = None, resume: bool = False) -> str:
    """Train one model under one config. Returns the id of its MLflow run.

    resume: continue from the newest checkpoint of this config, in its MLflow run, where these exist. MLflow may be
    away meanwhile: records are kept and delivered later. Where training fails, the MLflow run is marked FAILED with
    the reason, its checkpoint is kept, and the error is raised.
    """
    with masked_errors():
        return _federated_run(run, study, parent_run_id, resume)


def _federated_run(run: Run, study: str, parent_run_id: str | None, resume: bool) -> str:
    started = time.perf_counter()
    show_with(notify)
    begin = go_on_with_run if resume else tracking.open_run
    run_id = begin(run, study, parent_run_id)
    warn = partial(_warn, run)
    with tracking.closing(run_id):
        tell(Progress(run.name, "started", 0, run.config.rounds))
        # Cores are for clients side by side: beside a busy neighbour, two threads in one product can take
        # thirty times as long as one, and they add up in another order.
        torch.set_num_threads(1)
        setup = rounds.prepare(Opaque(run.config)).value
        tracking.log_data(run_id, run.config, setup.federation)
        with recording(run_id, run.config) as record, checkpoints.keeping(setup, warn) as keep:
            first = checkpoints.first_state(setup, resume, warn)
            if first.round:
                tracking.set_tags(run_id, {"resumed_from": str(first.round)})
            state, ended_by = _train(run, setup, first, record, keep)
        log_outcome(run_id, Opaque((run, state, setup)), ended_by)
        seconds = time.perf_counter() - started
        spent = _where_time_goes(state, len(first.history))
        beside = seconds - sum(spent.values())
        times = {"system/run_seconds": seconds, "system/overhead_seconds": max(beside, 0.0)}
        log_history(run_id, [(state.round, times)])
    checkpoints.drop_checkpoint(run.config, warn)
    get_run_logger().info(
        "%.1f s in all: %s; ended by: %s", seconds, _where_time_went(spent, seconds), ended_by
    )
    tell(_news(run, state, "finished", seconds, ended_by))
    return run_id


def _train(
    run: Run, setup: Setup, state: RunState, record: HistoryWriter, keep: checkpoints.Keeper
) -> tuple[RunState, str]:
    """Train and evaluate segment by segment, up to the last round or a stop rule. Returns the reason for the end."""
    segments = _Segments(run, setup, record, keep)
    if not state.history:
        state = rounds.evaluated(rounds.evaluate, state, setup, heterogeneity_metrics(setup.federation))
    record(state.history)
    a_task_run = 1
    while not (reason := segments.reason_to_stop(state)):
        ends = list(islice(segment_ends(run.config, state.round), a_task_run))
        started, done = time.perf_counter(), state.round
        state = segments.one(state, *ends) if len(ends) == 1 else segments.several(state, ends)
        seconds = (time.perf_counter() - started) / (state.round - done)
        a_task_run = _segments_a_task_run(run.config, seconds)
    return state, reason


def _segments_a_task_run(config: RunConfig, round_seconds: float) -> int:
    """The number of segments in a task run: one, unless a segment is shorter than Prefect's own overhead.

    A task run costs 3 ms in this process and 11 ms in the server, while other threads train.
    """
    seconds = round_seconds * config.evaluation.every
    if seconds >= _SHORT_SEGMENT_SECONDS or config.orchestration.granularity == "stage":
        return 1
    return max(1, round(_TASK_RUN_SECONDS / seconds))


class _Segments:
    """The segments of one run as task runs, with their recording and progress messages."""

    def __init__(self, run: Run, setup: Setup, record: HistoryWriter, keep: checkpoints.Keeper) -> None:
        self._run = run
        self._setup = setup
        self._record = record
        self._keep = keep
        self._rule = None if run.config.stop is None else StopRule(run.config.stop)

    def reason_to_stop(self, state: RunState) -> str | None:
        """The reason, in words, why no further segment should start."""
        config = self._run.config
        if self._rule is not None and (reason := self._rule.reason(state.history)):
            return reason
        return None if state.round < config.rounds else f"the last round, {config.rounds}"

    def one(self, state: RunState, last: int) -> RunState:
        """A segment whose training and evaluation are task runs of their own."""
        stages = self._run.config.orchestration.granularity == "stage"
        train = rounds.train_stages if stages else rounds.train_segment
        return self._segment(state, last, train, rounds.evaluate)

    def several(self, state: RunState, ends: list[int]) -> RunState:
        """Segments in one task run, up to the first after which the run should stop."""

        def work() -> RunState:
            now = state
            for last in ends:
                now = self._segment(now, last, rounds.train_plainly, rounds.evaluate_plainly)
                if self.reason_to_stop(now):
                    break
            return now

        return rounds.train_and_evaluate(state.round + 1, ends[-1], Opaque(work)).value

    def _segment(
        self, state: RunState, last: int, train: rounds.Train, evaluate: rounds.Evaluate
    ) -> RunState:
        try:
            state = train(Opaque(state), Opaque(self._setup), state.round + 1, last, self._on_round).value
        except Diverged as error:
            self._record(error.history)
            raise
        self._record(state.history)
        state = rounds.evaluated(evaluate, state, self._setup)
        self._record(state.history)
        self._keep(state)
        self._on_round(state)
        return state

    def _on_round(self, state: RunState) -> None:
        tell(_news(self._run, state, "running"))


def _warn(run: Run, message: str) -> None:
    """Report a problem of a run that continues."""
    get_run_logger().warning(message)
    tell(Progress(run.name, "warning", 0, run.config.rounds, message=message))


def _news(run: Run, state: RunState, status: Status, seconds: float = 0.0, message: str = "") -> Progress:
    """A progress message with all measurements of the state's round."""
    measured: Metrics = {}
    for _, metrics in takewhile(lambda entry: entry[0] == state.round, reversed(state.history)):
        measured = {**metrics, **measured}
    return Progress(run.name, status, state.round, run.config.rounds, measured, seconds, message)


def _where_time_went(spent: dict[str, float], seconds: float) -> str:
    """`training 1.2 s, compression 0.1 s, ..., everything else 0.3 s`."""
    rest = {"everything else": max(seconds - sum(spent.values()), 0.0)}
    return ", ".join(f"{stage} {value:.1f} s" for stage, value in {**spent, **rest}.items())


def _where_time_goes(state: RunState, since: int) -> dict[str, float]:
    """Seconds of each stage, from the entries after the first `since` ones, which came from a checkpoint."""
    spent: dict[str, float] = defaultdict(float)
    for _, metrics in state.history[since:]:
        for name, value in metrics.items():
            if name.startswith("system/"):
                spent[name.removeprefix("system/").removesuffix("_seconds")] += value
    return spent
