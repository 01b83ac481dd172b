"""The stages of a round with trainers elsewhere, and the refusals of what cannot be scaled out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil, floor
from typing import Any

import torch

from federated.config.run import Engine, RunConfig
from federated.foundation.errors import BadInput
from federated.local_training import Updates
from federated.machine.cores import threads_of
from federated.rounds import STAGES, Stages
from federated.run.setup import Setup
from federated.run.worker import Worker
from federated.shards import ShardOrder, ShardReport
from federated.study.study import Run
from tasks.scale_out.cluster import connect, require_ray
from tasks.scale_out.crew import Crew
from tasks.scale_out.trainer import that_travels

_crew: tuple[tuple[Any, ...], Crew] | None = None
"""The trainers of this process, which serve one run after another: to start one takes as long as to import torch."""


@contextmanager
def scaled_out(setup: Setup, say: Callable[[str], None]) -> Iterator[Stages | None]:
    """The stages of a run whose clients are trained by Ray; None where this process trains them.

    say: shows a sentence to the user. Raises BadInput.
    """
    if setup.config.engine.scale_out is None:
        yield None
        return
    config = _of_trainers(setup.config)
    crew = _crew_of(config)
    crew.begin(config, that_travels(setup.federation), say)
    try:
        yield stages_of(crew)
    finally:
        crew.end()


def stages_of(crew: Crew) -> Stages:
    """The stages of a round whose shards these trainers run."""

    def run_shards(worker: Worker, orders: Iterable[ShardOrder]) -> Iterator[ShardReport]:
        return crew.each("run", orders)

    def train_shards(worker: Worker, orders: Iterable[ShardOrder]) -> Iterator[Updates]:
        return crew.each("train", orders)

    return STAGES._replace(run_shards=run_shards, train_shards=train_shards)


def check_scale_out(runs: Sequence[Run]) -> None:
    """Raise BadInput where runs are to be scaled out that cannot be here."""
    configs = {run.config.engine: run.config for run in runs if run.config.engine.scale_out}
    if len(addresses := sorted({address_of(engine) for engine in configs})) > 1:
        raise BadInput(
            "engine.address: a study uses one Ray cluster, and this one names "
            f"{', '.join(addresses)}; make a study of each"
        )
    for config in configs.values():
        require_ray()
        _check(config)


def _check(config: RunConfig) -> None:
    engine, address = config.engine, address_of(config.engine)
    if config.orchestration.granularity == "stage":
        raise BadInput(
            "orchestration.granularity: stage makes task runs of stages in this process, and engine.scale_out: "
            f"{engine.scale_out} has them elsewhere; leave one of them out"
        )
    wanted = _gpus_of(engine.workers or 0, engine.gpus_per_worker or 0.0)
    if config.device == "cpu" and wanted:
        raise BadInput(
            f"engine.gpus_per_worker: {engine.gpus_per_worker:g} GPUs would be idle with device: cpu; leave one out"
        )
    if config.device == "cuda" and not wanted:
        raise BadInput(
            "device: 'cuda' was asked for, and Ray gives its processes no GPU; state engine.gpus_per_worker, such as 1"
        )
    if address == "local":
        there = float(torch.cuda.device_count())
    elif address != "local" and wanted:
        there = connect(address).cluster_resources().get("GPU", 0.0)
    else:
        connect(address)
        return
    if wanted > there:
        raise BadInput(
            f"engine.gpus_per_worker: {engine.workers} workers with {engine.gpus_per_worker:g} each need {wanted} "
            f"GPUs, and there are {there:g}; use fewer, or shares such as 0.5"
        )


def _gpus_of(workers: int, share: float) -> int:
    """The GPUs that so many workers need. share: of each; a share below 1 is of one GPU, never of two halves."""
    if not 0 < share < 1:
        return round(workers * share)
    return ceil(workers / floor(1 / share + 1e-9))


def address_of(engine: Engine) -> str:
    """The address of the cluster."""
    return engine.address or "local"


def _of_trainers(config: RunConfig) -> RunConfig:
    """The config as trainers have it: with the number of threads of each."""
    workers, threads = config.engine.workers or 1, config.orchestration.threads
    if threads is None:
        threads = max(1, threads_of(None) // workers) if address_of(config.engine) == "local" else 1
    orchestration = config.orchestration.model_copy(update={"threads": threads})
    return config.model_copy(update={"orchestration": orchestration})


def _crew_of(config: RunConfig) -> Crew:
    """The trainers of this process, anew where others are wanted than there are."""
    global _crew
    engine, threads = config.engine, config.orchestration.threads
    kind = (address_of(engine), engine.workers, engine.gpus_per_worker, threads)
    if _crew is None or _crew[0] != kind:
        if _crew is not None:
            _crew[1].dismiss()
        ray = connect(address_of(engine))
        cpus = 0.0 if address_of(engine) == "local" else float(threads or 1)
        resources = {"num_cpus": cpus, "num_gpus": engine.gpus_per_worker or 0.0}
        _crew = kind, Crew(ray, engine.workers or 1, resources)
    return _crew[1]
