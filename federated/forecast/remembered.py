"""What goes with a run beside its rounds on this machine, kept from study to study under the home folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from federated.home import home


class Overheads(NamedTuple):
    """Seconds of wall time.

    run: of one run: Prefect, MLflow, the model, pictures and tables. first_run: what the first run of a process takes
    longer, as it loads libraries. segment: of each stretch of rounds between two evaluations: two Prefect tasks and a
    checkpoint. process: until a process of `--workers` trains. measured: whether a study on this machine told.
    """

    run: float = 2.0
    first_run: float = 4.0
    segment: float = 0.02
    process: float = 8.0
    measured: bool = False


def overheads() -> Overheads:
    """As the last study measured them; figures of a quiet machine with two cores where there was none."""
    try:
        known = json.loads(_file().read_text())
        return Overheads()._replace(
            run=float(known["run"]), first_run=float(known["first_run"]), measured=True
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Overheads()


def remember(seconds: list[float], segments: list[int]) -> None:
    """Keep what the runs of a study, in their order and one at a time, took beside their rounds.

    seconds: of each run, without training, compression, aggregation and evaluation. segments: of each run.
    """
    beside = [max(s - n * Overheads().segment, 0.0) for s, n in zip(seconds, segments, strict=True)]
    if not beside:
        return
    rest = sorted(beside[1:]) or [min(beside[0], overheads().run)]
    run = rest[len(rest) // 2]
    _file().parent.mkdir(parents=True, exist_ok=True)
    partial = _file().with_name(f"{_file().name}.{os.getpid()}.partial")
    partial.write_text(json.dumps({"run": run, "first_run": max(beside[0] - run, 0.0)}))
    partial.replace(_file())


def _file() -> Path:
    return home() / "overheads.json"
