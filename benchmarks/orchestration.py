"""W5 as the harness sees it: run in a process and a home of its own, then one row for each run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

_ROOT = Path(__file__).parent.parent


def measure_end_to_end(folder: Path, seconds: float, parts: Sequence[str]) -> dict[str, Any]:
    """What `benchmarks.end_to_end` finds, starting from nothing: no database, no server, no settings."""
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "answer.json"
        environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("PREFECT_", "MLFLOW_"))
            },
            "FEDSTUDY_HOME": scratch,
            "PREFECT_HOME": str(Path(scratch) / "prefect"),
        }
        command = [
            sys.executable,
            "-m",
            "benchmarks.end_to_end",
            str(folder.resolve()),
            str(seconds),
            str(answer),
            *parts,
        ]
        subprocess.run(command, cwd=_ROOT, env=environment, check=True, stdout=sys.stderr)
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def per_round_ms(short: dict[str, float], long: dict[str, float]) -> float:
    """Milliseconds that a round more adds: what a run costs once is in both, and drops out."""
    return 1000 * (long["added_seconds"] - short["added_seconds"]) / (long["rounds"] - short["rounds"])


def end_to_end_table(found: dict[str, Any]) -> Table:
    """What Prefect and MLflow add; the title says how long a study takes to start."""
    title = "W5: what Prefect and MLflow add"
    if found["start_up_seconds"]:
        first, *later = found["start_up_seconds"]
        title += f"; shell to first round {first:.1f} s on an empty home, then {median(later):.1f} s"
    made = Table(title=title, title_justify="left")
    made.add_column("workload")
    for name in (
        "rounds",
        "run s",
        "engine within s",
        "added s",
        "added %",
        "ms a round more",
        "bare engine s",
    ):
        made.add_column(name, justify="right")
    for workload, (short, long) in found["runs"].items():
        made.add_row(workload, *_cells(short), "", f"{short['bare_seconds']:.2f}")
        made.add_row(
            workload, *_cells(long), f"{per_round_ms(short, long):.1f}", f"{long['bare_seconds']:.2f}"
        )
    return made


def _cells(run: dict[str, float]) -> tuple[str, ...]:
    return (
        f"{run['rounds']:.0f}",
        f"{run['run_seconds']:.2f}",
        f"{run['engine_seconds']:.2f}",
        f"{run['added_seconds']:.2f}",
        f"{run['added_percent']:.1f}",
    )
