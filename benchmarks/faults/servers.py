"""Servers and disks that can be taken away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks.faults.fault import NotHere, Place, wait_for


class Server:
    """A real MLflow server on loopback, which can be stopped and started again."""

    def __init__(self, place: Place, store: str) -> None:
        self._place, self._store = place, store
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self._store]
        command += ["--artifacts-destination", str(self._place.folder / "artifacts"), "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        self.process = self._place.process(command, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
        wait_for(self._answers)

    def stop(self) -> None:
        """Kill it and all its processes."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def served(place: Place) -> Server:
    """A server that has started, and that the place's studies use."""
    server = Server(place, f"sqlite:///{place.folder / 'mlflow.db'}")
    place.environment["MLFLOW_TRACKING_URI"] = server.uri
    server.start()
    return server


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of this size."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, check=False).returncode:
        raise NotHere("a file system of its own needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(descriptor: int) -> None:
    """Write until no space is left."""
    try:
        while os.write(descriptor, b"\0" * 65536):
            pass
    except OSError:
        return


@contextmanager
def postgres(place: Place) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """(its URI, stop, start) of a cluster of its own on loopback."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found or os.getuid():
        raise NotHere("PostgreSQL is not installed, or this is not root, who can become its user")
    if find_spec("psycopg2") is None:
        raise NotHere("psycopg2 is not installed")
    data, binaries = place.folder / "postgres", found[-1].parent
    data.mkdir()
    shutil.chown(data, "postgres")
    os.chmod(place.folder, 0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def control(*command: str) -> None:
        subprocess.run(
            ["runuser", "-u", "postgres", "--", *command], check=True, stdout=subprocess.DEVNULL, cwd="/"
        )

    def start() -> None:
        options = f"-p {port} -h 127.0.0.1 -k {data}"
        control(
            str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start"
        )

    def stop() -> None:
        control(str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")

    control(str(binaries / "initdb"), "-D", str(data), "-A", "trust")
    start()
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres", stop, start
    finally:
        stop()
