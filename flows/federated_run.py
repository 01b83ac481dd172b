"""One federated training, from data to model, tracked in MLflow. The subflow of every study."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from prefect import flow
from prefect.logging import get_run_logger

from federated.config import RunConfig
from federated.errors import Diverged
from federated.heterogeneity import heterogeneity_metrics
from federated.networks import SECONDS_TOTAL, timed
from federated.setup import Setup
from federated.state import Metrics, RunState
from federated.stopping import reason_to_stop, segment_ends
from federated.study import Run
from flows.progress import Progress, Status, tell
from tasks import checkpoints, rounds
from tasks.rounds import opaque, opened
from tasks.tracking import runs as tracking
from tasks.tracking.outcome import log_outcome

_SECONDS_BETWEEN_LOGS = 1.0


@flow(name="federated-run", flow_run_name="{run.name}", validate_parameters=False)
def federated_run(run: Run, study: str, parent_run_id: str | None = None, resume: bool = False) -> str:
    """Train one model under one config; the id of its MLflow run.

    resume: go on from the newest checkpoint of this config where there is one. Where training fails, the
    MLflow run is marked FAILED with the reason, its checkpoint is kept, and the error is raised.
    """
    started = time.perf_counter()
    run_id = tracking.open_run(run, study, parent_run_id)
    with tracking.closing(run_id):
        tell(Progress(run.name, "started", 0, run.config.rounds))
        # Cores are for clients side by side: beside a busy neighbour, two threads in one product can take
        # thirty times as long as one.
        torch.set_num_threads(run.config.orchestration.threads or 1)
        setup = opened(rounds.prepare(opaque(run.config)))
        tracking.log_data(run_id, run.config, setup.federation)
        with _recording(run_id, run.config) as record:
            state, ended_by = _train(run, setup, checkpoints.first_state(setup, resume), record)
        log_outcome(run_id, opaque(state), opaque(setup), ended_by)
        seconds = time.perf_counter() - started
        beside = seconds - sum(_where_time_goes(state).values())
        times = {"system/run_seconds": seconds, "system/overhead_seconds": max(beside, 0.0)}
        tracking.log_history(run_id, [(state.round, times)])
    checkpoints.drop_checkpoint(run.config)
    get_run_logger().info(
        "%.1f s in all: %s; ended by: %s", seconds, _where_time_went(state, seconds), ended_by
    )
    tell(_news(run, state, "finished", seconds, ended_by))
    return run_id


def _train(run: Run, setup: Setup, state: RunState, record: "_Record") -> tuple[RunState, str]:
    """Segments of rounds, each followed by an evaluation, up to the last round or a stop rule; why it ended."""
    config = run.config
    train = rounds.train_stages if config.orchestration.granularity == "stage" else rounds.train_segment

    def on_round(now: RunState) -> None:
        tell(_news(run, now, "running"))

    if not state.history:
        state = _evaluated(state, setup, heterogeneity_metrics(setup.federation))
    record(state.history)
    for last in segment_ends(config, state.round):
        if reason := reason_to_stop(config.stop, state.history):
            return state, reason
        try:
            state = opened(train(opaque(state), opaque(setup), state.round + 1, last, opaque(on_round)))
        except Diverged as error:
            record(error.history)
            raise
        record(state.history)
        state = _evaluated(state, setup)
        record(state.history)
        checkpoints.save_checkpoint(state, setup)
        tell(_news(run, state, "running"))
    return state, reason_to_stop(config.stop, state.history) or f"the last round, {config.rounds}"


class _Record:
    """Keeps MLflow up to date with a run's history: at once, or for short rounds once a second.

    Simulated time is added here and is not in the history itself: a checkpoint serves a run on any network.
    """

    def __init__(self, run_id: str, config: RunConfig) -> None:
        self._run_id = run_id
        self._network = None if config.network is None else config.network.build()
        self._seed = config.seed
        self._elapsed = 0.0
        self._history: Sequence[tuple[int, Metrics]] = ()
        self._logged = 0
        self._due = time.monotonic()

    def __call__(self, history: Sequence[tuple[int, Metrics]]) -> None:
        """This is the history now."""
        self._history = history
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Log what is not in MLflow yet; a call costs as much as a round of a small model."""
        tracking.log_history(self._run_id, self._on_the_clock(self._history[self._logged :]))
        self._logged = len(self._history)
        self._due = time.monotonic() + _SECONDS_BETWEEN_LOGS

    def _on_the_clock(self, fresh: Sequence[tuple[int, Metrics]]) -> Sequence[tuple[int, Metrics]]:
        if self._network is None:
            return fresh
        clocked = timed(fresh, self._network, self._seed, self._elapsed)
        self._elapsed = max([self._elapsed, *(metrics.get(SECONDS_TOTAL, 0.0) for _, metrics in clocked)])
        return clocked


@contextmanager
def _recording(run_id: str, config: RunConfig) -> Iterator[_Record]:
    """A record that is complete at the end, also when the run fails."""
    record = _Record(run_id, config)
    try:
        yield record
    finally:
        record.flush()


def _evaluated(state: RunState, setup: Setup, more: Metrics | None = None) -> RunState:
    """The state with its evaluation in the history."""
    started = time.perf_counter()
    metrics = rounds.evaluate(opaque(state), opaque(setup), state.round)
    timed = {**metrics, "system/evaluation_seconds": time.perf_counter() - started, **(more or {})}
    return replace(state, history=(*state.history, (state.round, timed)))


def _news(run: Run, state: RunState, status: Status, seconds: float = 0.0, message: str = "") -> Progress:
    """What was measured in the state's round, all of it."""
    measured: Metrics = {}
    for at, metrics in state.history:
        measured |= metrics if at == state.round else {}
    return Progress(run.name, status, state.round, run.config.rounds, measured, seconds, message)


def _where_time_went(state: RunState, seconds: float) -> str:
    """`training 1.2 s, compression 0.1 s, ..., everything else 0.3 s`."""
    spent = _where_time_goes(state)
    rest = {"everything else": max(seconds - sum(spent.values()), 0.0)}
    return ", ".join(f"{stage} {value:.1f} s" for stage, value in {**spent, **rest}.items())


def _where_time_goes(state: RunState) -> dict[str, float]:
    """Seconds of each stage over all rounds: training, compression, aggregation, evaluation."""
    spent: dict[str, float] = defaultdict(float)
    for _, metrics in state.history:
        for name, value in metrics.items():
            if name.startswith("system/"):
                spent[name.removeprefix("system/").removesuffix("_seconds")] += value
    return spent
