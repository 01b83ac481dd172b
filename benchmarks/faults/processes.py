"""Faults of the processes beside a study's own, and of the files that it leaves for the next one."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.faults.fault import Came, Fault, Place, wait_for
from benchmarks.faults.looking import at_a_time, ended, lost, now

_ROUNDS, _LONG = 200, 4000
_POOL = "multiprocessing.spawn"


def pool_process_killed(place: Place) -> Came:
    """One of three, once the first run is done."""
    study = place.start("run", str(place.study(_ROUNDS, seeds=4)), "--workers", "3")
    place.wait_until_said(study, "done 1/8")
    moment = now()
    os.kill(below(study.pid, _POOL)[0], signal.SIGKILL)
    code = study.wait()
    pace = f"{at_a_time(place, moment)} runs at a time began after it"
    return Came(f"{ended(code, place.said(study))}, {pace}", lost(place, runs=8))


def ui_ended(number: int) -> Callable[[Place], Came]:
    """A signal to the command, once the UI answers."""

    def inject(place: Place) -> Came:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shown = place.start("ui", "--port", str(port))
        wait_for(lambda: web_answers(f"http://127.0.0.1:{port}/health"))
        family = below(shown.pid, "")
        os.kill(shown.pid, number)
        code = shown.wait()
        wait_for(lambda: not any(_lives(each) for each in family), 30.0)
        return Came(f"exit code {code}, none of its {len(family)} processes is left", lost(place, 0, 0))

    return inject


def checkpoint(damage: Callable[[bytearray], bytearray]) -> Callable[[Place], Came]:
    """kill -9 once a run has two checkpoints; the newer one damaged; --resume."""

    def inject(place: Place) -> Came:
        file = str(place.study(_LONG, seeds=1))
        study = place.start("run", file)
        wait_for(lambda: any(place.home.glob("checkpoints/*.earlier.safetensors")))
        os.kill(study.pid, signal.SIGKILL)
        study.wait()
        (earlier,) = place.home.glob("checkpoints/*.earlier.safetensors")
        newer = earlier.with_name(earlier.name.replace(".earlier", ""))
        newer.write_bytes(damage(bytearray(newer.read_bytes())))
        code, said = place.flows("run", file, "--resume")
        told = "goes on from the checkpoint before" in said and "is damaged" in said
        how = "one line, it went on from the checkpoint before" if told else "no word of it"
        return Came(f"--resume: exit code {code}, {how}", lost(place, runs=2))

    return inject


def database(name: str) -> Callable[[Place], Came]:
    """Every command with it damaged; then with what it was."""

    def inject(place: Place) -> Came:
        file = str(place.study(rounds=5))
        place.flows("run", file)
        whole = (place.home / name).read_bytes()
        (place.home / name).write_bytes(b"\xff" * len(whole))
        came = []
        for command in (["run", file, "--resume"], ["compare", "faults"], ["sync"]):
            code, said = place.flows(*command)
            came.append(f"{command[0]}: exit code {code}{_told(said, name) if code else ''}")
        (place.home / name).write_bytes(whole)
        again, _ = place.flows("run", file, "--resume")
        return Came(f"{'; '.join(came)}; put back, --resume: exit code {again}", lost(place))

    return inject


def _told(said: str, name: str) -> str:
    lines = sum(name in line for line in said.splitlines())
    return ", a traceback" if "Traceback" in said else f", {lines} line{'s' if lines != 1 else ''} about it"


def _flipped(content: bytearray) -> bytearray:
    content[len(content) // 2] ^= 1
    return content


def below(process: int, command: str) -> list[int]:
    """The processes below one whose command lines have `command` in them."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for one in lists for child in one.read_text().split()]
    return [
        *(child for child in children if command in Path(f"/proc/{child}/cmdline").read_text()),
        *(each for child in children for each in below(child, command)),
    ]


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def web_answers(url: str) -> bool:
    """Whether a server answers there."""
    try:
        with urlopen(url):
            return True
    except (URLError, ConnectionError):
        return False


FAULTS = [
    Fault(
        "a process of `--workers` killed",
        "kill -9 to one of three after the first of 8 runs",
        pool_process_killed,
    ),
    Fault("`flows ui` killed", "kill -9 to the command once the UI answers", ui_ended(signal.SIGKILL)),
    Fault("`flows ui` ended", "the same with SIGTERM", ui_ended(signal.SIGTERM)),
    Fault(
        "a checkpoint with a flipped bit",
        "kill -9 once a run has two checkpoints, a bit of the newer one changed, then `--resume`",
        checkpoint(_flipped),
    ),
    Fault(
        "a checkpoint cut off",
        "the same, the newer one cut to half its length",
        checkpoint(lambda content: content[: len(content) // 2]),
    ),
    Fault(
        "mlflow.db of the home damaged", "overwritten after a study, later put back", database("mlflow.db")
    ),
    Fault("prefect.db of the home damaged", "the same", database("prefect.db")),
]
