"""W5: what Prefect and MLflow add to the bare engine, and how long a study takes to start.

Run as a program of its own (`python -m benchmarks.end_to_end FOLDER SECONDS ANSWER PART...`), because Prefect reads its
settings when it is first imported. Everything it leaves behind lies in FEDSTUDY_HOME and PREFECT_HOME.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.workloads import WORKLOADS
from federated.config.run import RunConfig

SHORT_ROUNDS = 20
STARTS = 3
START_UP = "start-up"
PARTS = (START_UP, "W1", "W3")
_FIRST_ROUND = "round 1/"


def end_to_end(folder: Path, seconds: float, parts: Sequence[str] = PARTS) -> dict[str, Any]:
    """Start-up first, on an empty home; then W1 and W3, each as a short run and as one of about `seconds`."""
    starts = [start_up(folder) for _ in range(STARTS)] if START_UP in parts else []
    names = [name for name in parts if name != START_UP]
    if not names:
        return {"start_up_seconds": starts, "runs": {}}
    with _prefect():
        # Imports and first calls, once a process: what a study's first run pays beyond the others.
        run, engine = _as_a_run(WORKLOADS["W3"].config(folder, 2))
        runs = {name: _workload(name, folder, seconds) for name in names}
    return {"start_up_seconds": starts, "first_run_added_seconds": run - engine, "runs": runs}


def start_up(folder: Path) -> float:
    """Seconds from the shell to the end of the first round of W3, by the line that says so."""
    from federated.machine.folders import home

    study = home() / "start-up.yaml"
    study.parent.mkdir(parents=True, exist_ok=True)
    base = WORKLOADS["W3"].config(folder, SHORT_ROUNDS).model_dump(mode="json")
    study.write_text(json.dumps({"name": "start-up", "base": base}), encoding="utf-8")
    command = [sys.executable, "-u", "-m", "flows", "run", str(study)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [time.perf_counter() - started for line in process.stdout if line.startswith(_FIRST_ROUND)]
    if process.returncode or not said:
        raise RuntimeError(
            f"{' '.join(command)} ended with exit code {process.returncode} and no first round"
        )
    return said[0]


@contextmanager
def _prefect() -> Iterator[None]:
    """Prefect and its server, as the command line has them."""
    from flows.prefect_runtime.runtime import configure, prefect_api

    configure()
    with prefect_api() as prefect:
        prefect.wait()
        yield


def _workload(name: str, folder: Path, seconds: float) -> list[dict[str, float]]:
    """A short and a long run; what a round more costs is the difference between the two."""
    workload = WORKLOADS[name]
    _bare(workload.config(folder, 2))  # the data are loaded
    a_round = _bare(workload.config(folder, SHORT_ROUNDS)) / SHORT_ROUNDS
    lengths = (SHORT_ROUNDS, max(2 * SHORT_ROUNDS, round(seconds / a_round)))
    return [_compared(workload.config(folder, rounds)) for rounds in lengths]


def _compared(config: RunConfig) -> dict[str, float]:
    """One run, and the same without Prefect and MLflow right after it."""
    run, engine = _as_a_run(config)
    return {
        "rounds": config.rounds,
        "run_seconds": run,
        "engine_seconds": engine,
        "added_seconds": run - engine,
        "added_percent": 100 * (run - engine) / engine,
        "bare_seconds": _bare(config),
    }


def _as_a_run(config: RunConfig) -> tuple[float, float]:
    """(seconds of the flow, seconds of them spent in the engine's own functions).

    Both within one run: two runs differ by more than what is looked for when the machine has other work.
    """
    from federated import rounds
    from federated.evaluation import evaluate as evaluation
    from federated.run import setup
    from federated.study.study import Run
    from flows.federated_run import federated_run
    from flows.terminal.display import shown
    from flows.terminal.screen import Screen

    spent, run = [0.0], Run("W5", config)
    # run_round and not train_rounds, which tells the display of each round.
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        patch.object(setup, "prepare", _timed(setup.prepare, spent)),
        patch.object(rounds, "run_round", _timed(rounds.run_round, spent)),
        patch.object(evaluation, "evaluate", _timed(evaluation.evaluate, spent)),
        shown("end to end", [run], Screen(file=nowhere)),
    ):
        started = time.perf_counter()
        federated_run(run, "end to end")
        seconds = time.perf_counter() - started
    if not spent[0]:
        raise RuntimeError("the flow did not reach the functions that are timed")
    return seconds, spent[0]


def _timed(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            spent[0] += time.perf_counter() - started

    return timed


def _bare(config: RunConfig) -> float:
    """Seconds for the same training and evaluations, the engine alone."""
    import torch

    from federated.evaluation.evaluate import evaluate
    from federated.rounds import train_rounds
    from federated.run.setup import initial_state, prepare
    from federated.segments.ends import segment_ends

    torch.set_num_threads(config.orchestration.threads or 1)
    started = time.perf_counter()
    setup = prepare(config)
    state = initial_state(setup)
    evaluate(state, setup)
    for last in segment_ends(config, 0):
        state = train_rounds(state, setup, last)
        evaluate(state, setup)
    return time.perf_counter() - started


if __name__ == "__main__":
    measured = end_to_end(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[4:] or PARTS)
    Path(sys.argv[3]).write_text(json.dumps(measured), encoding="utf-8")
