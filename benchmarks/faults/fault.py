"""What a fault is: how it is injected into a study of its own, and what came of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

STUDY = """\
name: faults
base: {dataset: digits, model: "mlp(hidden=[8])", clients: 6, cohort: {size: 3}, rounds: ROUNDS}
seeds: SEEDS
axes: {partitioner: [iid, dirichlet(0.3)]}
"""


class Came(NamedTuple):
    """happened: what the person saw. lost: what is not in MLflow or on disk in the end; "nothing" where all is."""

    happened: str
    lost: str


class NotHere(Exception):
    """This machine lacks what the fault needs."""


@dataclass
class Place:
    """A folder of its own for one fault: home, study file, environment. Processes started here end with it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """FEDSTUDY_HOME of its studies."""
        return self.folder / "home"

    def study(self, rounds: int = 40, seeds: int = 2) -> Path:
        """A study of two runs a seed."""
        path = self.folder / "study.yaml"
        text = STUDY.replace("ROUNDS", str(rounds)).replace("SEEDS", str([*range(seeds)]))
        path.write_text(text, encoding="utf-8")
        return path

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """`python -m flows` with these arguments, in the background."""
        return self.process([sys.executable, "-m", "flows", *arguments], **more)

    def process(self, command: list[str], **more: str) -> subprocess.Popen[bytes]:
        """Any process, which writes what it says to a file; more: of its environment."""
        variables = {**os.environ, "FEDSTUDY_HOME": str(self.home), **self.environment, **more}
        with (self.folder / f"said-{len(self.processes)}").open("wb") as said:
            started = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=said, stderr=said, start_new_session=True
            )
        self.processes.append(started)
        return started

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """What it has said so far."""
        at = self.processes.index(process)
        return (self.folder / f"said-{at}").read_text(encoding="utf-8", errors="replace")

    def wait_until_said(self, process: subprocess.Popen[bytes], words: str) -> None:
        """Return once it has said them. Raises TimeoutError where it does not, or ends before."""
        wait_for(lambda: words in self.said(process) or process.poll() is not None)
        if words not in self.said(process):
            raise TimeoutError(f"it ended without {words!r}: {self.said(process)[-300:]}")

    def flows(self, *arguments: str, **more: str) -> tuple[int, str]:
        """`python -m flows` to its end: exit code and what it said."""
        process = self.start(*arguments, **more)
        return process.wait(), self.said(process)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True)
class Fault:
    """name: of the row. how: it is injected, in a few words. inject: does it and looks."""

    name: str
    how: str
    inject: Callable[[Place], Came]


def wait_for(condition: Callable[[], bool], seconds: float = 1800.0) -> None:
    """Return once it holds. Raises TimeoutError where it does not."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so after {seconds:.0f} s")
        time.sleep(0.05)
