"""One pass of a rival over a workload: fedstudy and the plain loop in this process, peers in their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import peer
from benchmarks.ours import measure_fedstudy
from benchmarks.plain import measure_plain
from benchmarks.statistics import Result, Timing
from benchmarks.work import save, work_of
from benchmarks.workloads import WORKLOADS
from federated.run.setup import prepare

FEDSTUDY, PLAIN = "fedstudy", "plain"
Pass = Callable[[], Timing]


@dataclass(frozen=True)
class Options:
    """What was asked for. rounds: None for the workload's own number; threads: of fedstudy."""

    folder: Path
    rivals: tuple[str, ...]
    rounds: int | None
    repeats: int
    threads: int
    device: str = "cpu"


def measure(workload: str, options: Options, say: Callable[[str], None]) -> list[Result]:
    """fedstudy and its rivals on one workload, in turn, `repeats` times."""
    passes = _passes(workload, options)
    results = {name: _announced(workload, name) for name in passes}
    for repeat in range(options.repeats):
        for name, once in passes.items():
            if not results[name].failure:
                say(f"{workload}: {name}, pass {repeat + 1} of {options.repeats}")
                results[name] = _one_more(results[name], once)
    return list(results.values())


def _passes(workload: str, options: Options) -> dict[str, Pass]:
    """Every rival ready to go; the work of the peers lies in a file."""
    side_by_side = {"threads": options.threads}
    config = WORKLOADS[workload].config(
        options.folder, options.rounds, device=options.device, orchestration=side_by_side
    )
    setup = prepare(config)
    work, file = work_of(setup), peer.folder() / f"{workload}.npz"
    passes: dict[str, Pass] = {FEDSTUDY: lambda: measure_fedstudy(setup)}
    if PLAIN in options.rivals:
        for threads in sorted({1, options.threads}):
            name = PLAIN if threads == 1 else f"{PLAIN}, {threads} threads"
            passes[name] = lambda threads=threads: measure_plain(work, threads, options.device)  # type: ignore[misc]
    peers = [name for name in options.rivals if name != PLAIN]
    if peers:
        save(work, file, config.model.name)
    return passes | {name: lambda name=name: peer.measure(name, file) for name in peers}


def _announced(workload: str, name: str) -> Result:
    """The result before the first pass; a peer that cannot be installed has failed already."""
    if name not in peer.PEERS:
        return Result(workload, name)
    return Result(workload, name, failure=peer.install(name), version=peer.version(name))


def _one_more(result: Result, once: Pass) -> Result:
    try:
        return replace(result, timings=(*result.timings, once()))
    except peer.PeerFailedError as error:
        return replace(result, timings=(), failure=str(error))
