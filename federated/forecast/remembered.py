"""What goes with a run beside its rounds on this machine, kept from study to study under the home folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from federated.files import whole
from federated.home import home


class Overheads(NamedTuple):
    """Seconds of wall time, and memory.

    run: of one run: Prefect, MLflow, the model, pictures and tables. first_run: what the first run of a process takes
    longer, as it loads libraries. segment: of each stretch of rounds between two evaluations: two Prefect tasks and a
    checkpoint. process: until a process of `--workers` trains. growth_mb: how much memory a process takes beyond what
    it has when the forecast is made: torch's export, pictures, what is kept. measured: whether a study here told.
    """

    run: float = 0.7
    first_run: float = 4.0
    segment: float = 0.02
    process: float = 8.0
    growth_mb: float = 420.0
    measured: bool = False


def overheads() -> Overheads:
    """As the last study measured them; figures of a quiet machine with two cores where there was none."""
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
        found = {name: float(known[name]) for name in ("run", "first_run", "growth_mb")}
        return Overheads()._replace(**found, measured=True)
    except (OSError, ValueError, KeyError, TypeError):
        return Overheads()


def remember(seconds: Sequence[float], segments: Sequence[int], growth_mb: float) -> None:
    """Keep what the runs of a study, in their order and one at a time, took beside their rounds.

    seconds: of each run, without training, compression, aggregation and evaluation. segments: of each run. growth_mb:
    as of `Overheads`.
    """
    beside = [max(s - n * Overheads().segment, 0.0) for s, n in zip(seconds, segments, strict=True)]
    if not beside:
        return
    rest = sorted(beside[1:]) or [min(beside[0], overheads().run)]
    run = rest[len(rest) // 2]
    kept = {"run": run, "first_run": max(beside[0] - run, 0.0), "growth_mb": growth_mb}
    with whole(_file()) as partial:
        partial.write_text(json.dumps(kept), encoding="utf-8")


def _file() -> Path:
    return home() / "overheads.json"
