"""`python -m benchmarks`: fedstudy against its rivals, as ratios in one run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console

from benchmarks.data import default_folder, is_real
from benchmarks.end_to_end import PARTS
from benchmarks.machine import description
from benchmarks.memory import growth
from benchmarks.orchestration import measure_end_to_end
from benchmarks.peer import PEERS, folder
from benchmarks.report import Measured, as_json, show
from benchmarks.rivals import PLAIN, Options, measure
from benchmarks.workloads import WORKLOADS
from federated.machine.cores import threads_of

GROWTH_ROUNDS = 5
W5 = "W5"


def main() -> None:
    """Measure, print the tables, write the JSON."""
    asked = _arguments()
    measured, screen = _measured(asked), Console()
    show(measured, screen)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(as_json(measured), indent=2) + "\n", encoding="utf-8")
    screen.print(f"all of it: {asked.json}", highlight=False, soft_wrap=True)


def _measured(asked: argparse.Namespace) -> Measured:
    """All that was asked for, one thing after another; what is under way is said on standard error."""
    options = Options(
        asked.data, tuple(asked.rival), asked.rounds, asked.repeats, asked.threads, asked.device
    )
    progress = Console(stderr=True, style="dim", markup=False)
    return Measured(
        machine=description(asked.threads, asked.device),
        data="Fashion-MNIST" if is_real(asked.data) else "random data of Fashion-MNIST's shape",
        results=[
            result
            for workload in asked.workload
            if workload != W5
            for result in measure(workload, options, progress.print)
        ],
        growth=growth(asked.data, GROWTH_ROUNDS) if "W4" in asked.workload else [],
        end_to_end=measure_end_to_end(asked.data, asked.seconds, asked.parts) if W5 in asked.workload else {},
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "--workload",
        nargs="+",
        choices=(*WORKLOADS, W5),
        default=list(WORKLOADS),
        help="what is trained; W5 (end to end) takes minutes",
    )
    add("--rival", nargs="*", choices=(PLAIN, *PEERS), default=[PLAIN], help="what fedstudy is held against")
    add("--rounds", type=int, help="rounds a pass, the first is warm-up; default: the workload's own number")
    add("--repeats", type=int, default=3, help="passes of every rival, made in turn")
    add(
        "--threads",
        type=int,
        default=threads_of(None),
        help="clients side by side in fedstudy; the plain loop has one thread, and then as many",
    )
    add("--seconds", type=float, default=60, help="about how long the long runs of W5 take")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="of W5")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="of fedstudy and the plain loop")
    add("--data", type=Path, default=default_folder(), help="folder with the four files of Fashion-MNIST")
    add("--json", type=Path, default=folder() / "latest.json", help="file for all that was measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
