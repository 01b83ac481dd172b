"""Training: fedstudy against the plain loops and pfl-research on the same work."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cifar10 import CIFAR10
from benchmarks.cifar10 import is_real as is_cifar10
from benchmarks.data import default_folder
from benchmarks.data import is_real as is_fashion_mnist
from benchmarks.on_device.given import Answer, Given, Skipped
from benchmarks.on_device.graphed import measure_graphed
from benchmarks.ours import train
from benchmarks.plain import measure_plain
from benchmarks.statistics import Timing
from benchmarks.work import Work, save, work_of
from benchmarks.workloads import WORKLOADS, Workload
from federated.evaluation.evaluate import evaluate
from federated.machine.cores import threads_of
from federated.run.setup import Setup, prepare

FEDSTUDY, PLAIN, GRAPHED, PFL = "fedstudy", "plain", "plain, CUDA graphs", "pfl-research"
_PASSES = 3
_TOLD = 2000
_ROOT = Path(__file__).parents[2]
_QUICK = {"clients": 12, "cohort": {"size": 4}}
_ROUNDS = {"W1": 8, "W2": 4, "W3": 12, "W4": 6}

Pass = Callable[[], Timing]


def workload(name: str) -> Callable[[Given], Iterator[Answer]]:
    """A step for one of W1 to W4."""

    def measure(given: Given) -> Iterator[Answer]:
        folder = default_folder() if given.data is None else given.data / "fashion-mnist"
        data = "Fashion-MNIST" if is_fashion_mnist(folder) else "random data of Fashion-MNIST's shape"
        yield from _in_turn(given, WORKLOADS[name], folder, _ROUNDS[name], {"data": data})

    return measure


def cifar10(given: Given) -> Iterator[Answer]:
    """pfl-research's CIFAR-10 workload, itself among the rivals where its wheels were carried."""
    folder = (given.data or Path("var/datasets")) / "cifar-10-batches-bin"
    data = "CIFAR-10" if is_cifar10(folder) else "random data of CIFAR-10's shape"
    yield from _in_turn(given, CIFAR10, folder, CIFAR10.rounds, {"data": data}, pfl=True)


def _in_turn(
    given: Given, workload: Workload, folder: Path, rounds: int, answer: Answer, *, pfl: bool = False
) -> Iterator[Answer]:
    """A pass of each rival, then again, until the passes are made or the time is up."""
    started = time.perf_counter()
    with _engine_told() as told:
        setup = _prepared(given, workload, folder, rounds)
    work, stages = work_of(setup), list[dict[str, float]]()
    passes = _passes(given, setup, work, stages)
    if pfl:
        passes[PFL] = _pfl(given, setup, work)
    answer |= {"title": workload.title, "rounds": setup.config.rounds, "rivals": {}, "engine": told}
    longest: dict[str, float] = {}
    for _ in range(1 if given.quick else _PASSES):
        for name, once in passes.items():
            found = answer["rivals"].setdefault(name, {"passes": []})
            left = given.limit - (time.perf_counter() - started)
            if "failure" in found or "skipped" in found:
                continue
            if left < 1.3 * longest.get(name, 0):
                answer["stopped"] = "the next pass would not have ended in time"
                continue
            _one_more(found, name, once, longest)
            if name == FEDSTUDY:
                found["stages"] = _medians(stages)
            _conclude(answer)
            yield answer


@contextmanager
def _engine_told() -> Iterator[list[str]]:
    """What is said of the choice of an engine meanwhile."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, listener = logging.getLogger("federated.local_training"), Listener()
    before = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        yield told
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before)


def _prepared(given: Given, workload: Workload, folder: Path, rounds: int) -> Setup:
    changes: dict[str, Any] = {"device": given.device, "orchestration": {"threads": threads_of(None)}}
    if given.quick:
        workload, rounds = replace(workload, training=240), 2
        changes |= _QUICK
    return prepare(workload.config(folder, rounds, **changes))


def _passes(given: Given, setup: Setup, work: Work, stages: list[dict[str, float]]) -> dict[str, Pass]:
    def ours() -> Timing:
        stages.clear()
        state, seconds = train(setup, stages)
        return Timing(seconds, evaluate(state, setup)["generalisation/test_accuracy"])

    def graphed() -> Timing:
        if given.device != "cuda":
            raise Skipped(
                "a CUDA graph needs a GPU; its step, not recorded, is tested against the plain loop"
            )
        return measure_graphed(work, given.device)

    return {FEDSTUDY: ours, PLAIN: lambda: measure_plain(work, 1, given.device), GRAPHED: graphed}


def _one_more(found: Answer, name: str, once: Pass, longest: dict[str, float]) -> None:
    """A pass into what was found; why there is none, where there is none."""
    started = time.perf_counter()
    try:
        timing = once()
    except Skipped as why:
        found["skipped"] = str(why)
    except Exception as error:  # noqa: BLE001 - a rival that fails is a finding, and the others go on
        found["failure"] = f"{type(error).__name__}: {error}"[-_TOLD:]
    else:
        found["passes"].append({"round_seconds": list(timing.round_seconds), "seconds": timing.seconds})
        found["accuracy"] = timing.accuracy
    longest[name] = max(longest.get(name, 0), time.perf_counter() - started)


def _conclude(answer: Answer) -> None:
    """Seconds a round, and how many times fedstudy's each rival takes: the median of the ratios within passes."""
    ours = answer["rivals"][FEDSTUDY]["passes"]
    for found in answer["rivals"].values():
        if not found["passes"]:
            continue
        seconds = [each["seconds"] for each in found["passes"]]
        found["seconds_per_round"] = median(seconds)
        found["slowest_over_quickest"] = max(seconds) / min(seconds)
        pairs = [
            theirs["seconds"] / mine["seconds"] for mine, theirs in zip(ours, found["passes"], strict=False)
        ]
        if pairs:
            found["times_fedstudy"] = median(pairs)


def _medians(stages: list[dict[str, float]]) -> dict[str, float]:
    """Of each stage of a round, the first round left out."""
    rounds = stages[1:] or stages
    return {name: median(each[name] for each in rounds) for name in rounds[0]} if rounds else {}


def _pfl(given: Given, setup: Setup, work: Work) -> Pass:
    """pfl-research itself in a process of its own, from the wheels that were carried for it."""
    folder, file = os.environ.get("PFL_PACKAGES", ""), given.out / "cifar10.npz"

    def once() -> Timing:
        if not folder:
            raise Skipped(
                "its wheels were not carried or could not be installed; nothing else goes by its name"
            )
        if not file.exists():
            save(work, file, setup.config.model.name)
        answer = given.out / "pfl.json"
        paths = [folder, str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PFL_PYTORCH_DEVICE": given.device,
        }
        command = [sys.executable, "-m", "benchmarks.peers.pfl", str(file), str(answer)]
        done = subprocess.run(
            command,
            cwd=_ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=max(20, given.limit / 2),
        )
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {(done.stderr or done.stdout)[-_TOLD:]}")
        found = json.loads(answer.read_text(encoding="utf-8"))
        return Timing(tuple(found["round_seconds"]), found["accuracy"])

    return once
