"""Peers: other simulators, each in a virtual environment of its own under var/benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.statistics import Timing
from federated.machine.folders import home

PEERS = ("flower", "pfl", "fedjax")
_ROOT = Path(__file__).parent.parent
_INSTALL_SECONDS, _RUN_SECONDS = 1800, 1800
_TOLD = 400


class PeerFailedError(RuntimeError):
    """A peer cannot be run; the message says why."""


def folder() -> Path:
    """Where environments and work files lie."""
    return home() / "benchmarks"


def requirements(name: str) -> Path:
    """The pinned requirements of a peer."""
    return Path(__file__).parent / "peers" / f"{name}.txt"


def version(name: str) -> str:
    """What is measured: the first line of the requirements."""
    return requirements(name).read_text(encoding="utf-8").split()[0]


def install(name: str) -> str:
    """Make the peer's environment unless it is there; empty, or why that failed."""
    environment, wanted = _environment(name), requirements(name)
    done = environment.with_name("installed.txt")
    if done.is_file() and done.read_bytes() == wanted.read_bytes():
        return ""
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(environment)], _INSTALL_SECONDS)
        _run([_python(name), "-m", "pip", "install", "--quiet", "-r", str(wanted)], _INSTALL_SECONDS)
    except PeerFailedError as error:
        return f"not installed: {error}"
    done.write_bytes(wanted.read_bytes())
    return ""


def measure(name: str, work: Path) -> Timing:
    """One pass of a peer over the work in a file, in a fresh process. Raises PeerFailedError."""
    with tempfile.TemporaryDirectory(dir=folder()) as scratch:
        answer = Path(scratch) / "answer.json"
        _run([_python(name), "-m", f"benchmarks.peers.{name}", str(work), str(answer)], _RUN_SECONDS)
        found = json.loads(answer.read_text(encoding="utf-8"))
    return Timing(tuple(found["round_seconds"]), found["accuracy"])


def _python(name: str) -> str:
    return str(_environment(name) / "bin" / "python")


def _environment(name: str) -> Path:
    return folder() / name / "venv"


def _run(command: list[str], seconds: int) -> None:
    """Run a command from the project's root, quietly. Raises PeerFailedError with the end of what it said."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerFailedError(str(error)) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise PeerFailedError(f"exit code {done.returncode}: ...{said[-_TOLD:]}")
