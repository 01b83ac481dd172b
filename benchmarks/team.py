"""The servers of a team on loopback, as docs/servers.md starts them: PostgreSQL, MLflow, Prefect, and a worker."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from socket import create_connection, socket
from tempfile import mkdtemp

from benchmarks.faults.fault import ROOT, NotHere, wait_for

USER = "team"
"""Who runs studies: a user of MLflow that is not its administrator."""
_SECONDS_TO_START = 300.0


def why_not_here() -> str:
    """What this machine lacks for the servers; empty where it has all."""
    if not any(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        return "PostgreSQL's programs are not installed (apt-get install postgresql)"
    if os.getuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL does not run as root, and there is no runuser"
    missing = [name for name in ("psycopg2", "flask_wtf") if find_spec(name) is None]
    return f"{' and '.join(missing)} not installed (make server)" if missing else ""


class Team:
    """Servers with new passwords in a folder of their own. `environment` is that of people and workers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres_folder = Path(mkdtemp(prefix="fedstudy-postgres-"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: _free_port() for name in ("postgres", "mlflow", "prefect")}
        self.secrets = {name: secrets.token_hex(16) for name in ("postgres", "admin", "key", "prefect", USER)}
        self.mlflow = f"http://127.0.0.1:{self.ports['mlflow']}"
        self.prefect = f"http://127.0.0.1:{self.ports['prefect']}/api"
        self.environment = {
            **_plain(),
            "FEDSTUDY_HOME": str(folder / "home"),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.prefect,
            "PREFECT_API_AUTH_STRING": f"team:{self.secrets['prefect']}",
            "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
            "MLFLOW_TRACKING_URI": self.mlflow,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": self.secrets[USER],
        }

    @property
    def _of_servers(self) -> dict[str, str]:
        return {
            **_plain(),
            "PREFECT_HOME": str(self.folder / "prefect-server"),
            "FEDSTUDY_POSTGRES": str(self.postgres_folder / "data"),
            "FEDSTUDY_ARTIFACTS": str(self.folder / "artifacts"),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.ports["postgres"]),
            "PGUSER": "fedstudy",
            "PGPASSWORD": self.secrets["postgres"],
            "MLFLOW_ALLOWED_HOSTS": "127.0.0.1:*",  # a relay before it has a port of its own
            "MLFLOW_PORT": str(self.ports["mlflow"]),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.secrets["admin"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secrets["key"],
            "PREFECT_PORT": str(self.ports["prefect"]),
            "PREFECT_SERVER_API_AUTH_STRING": f"team:{self.secrets['prefect']}",
        }

    def start_all(self) -> None:
        """All servers, and MLflow's user."""
        self.start_postgres()
        self.start("mlflow")
        self.start("prefect")
        self.wait("mlflow")
        self._run(["servers/mlflow-user.sh", USER], {**self.as_admin, "NEW_PASSWORD": self.secrets[USER]})
        self.wait("prefect")

    @property
    def as_admin(self) -> dict[str, str]:
        """The environment of MLflow's administrator."""
        admin = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": self.secrets["admin"]}
        return {**self.environment, **admin}

    def start_postgres(self) -> None:
        """PostgreSQL, as a user that is not root."""
        if os.getuid() == 0:
            shutil.chown(self.postgres_folder, "postgres")
        self._postgres("start")

    def stop_postgres(self) -> None:
        """At once, as in a power cut."""
        self._postgres("stop", "immediate")

    def _postgres(self, *what: str) -> None:
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        self._run([*as_user, "servers/postgres.sh", *what], self._of_servers)

    def start(self, name: str) -> None:
        """`mlflow` or `prefect`."""
        self.process(name, [f"servers/{name}.sh"], self._of_servers)

    def wait(self, name: str) -> None:
        """Return once a server answers."""
        wait_for(lambda: _answers(self.ports[name]) or self._raise_ended(name), _SECONDS_TO_START)

    def kill(self, name: str) -> None:
        """kill -9 to a process and all that it started."""
        process = self.processes[name]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def start_worker(self, pool: str = "fedstudy") -> None:
        """A worker of the work pool, with the settings of its service."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", "1"]
        self.process("worker", command, self.environment)

    def prefect_says(self, *arguments: str) -> str:
        """What a command of Prefect's says."""
        return self._run([sys.executable, "-m", "prefect", "--no-prompt", *arguments], self.environment)

    def process(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start a process in a group of its own; what it says is added to its log."""
        with self.log(name).open("ab") as said:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=said, stderr=said, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """What a process has said."""
        return self.folder / f"{name}.log"

    def end(self) -> None:
        """End all of it, and remove the database."""
        for name, process in self.processes.items():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    self.kill(name)
        if (self.postgres_folder / "data" / "postmaster.pid").exists():
            self.stop_postgres()
        shutil.rmtree(self.postgres_folder, ignore_errors=True)

    def _raise_ended(self, name: str) -> bool:
        if self.processes[name].poll() is not None:
            raise RuntimeError(f"{name} ended: {self.log(name).read_text()[-2000:]}")
        return False

    def _run(self, command: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return done.stdout


@contextmanager
def team(folder: Path) -> Iterator[Team]:
    """The servers, started, and ended with the block. Raises NotHere."""
    if why := why_not_here():
        raise NotHere(why)
    servers = Team(folder)
    try:
        servers.start_all()
        yield servers
    finally:
        servers.end()


def _plain() -> dict[str, str]:
    """The environment without what a person or a test has set for other servers."""
    others = ("PREFECT_", "MLFLOW_", "FEDSTUDY_HOME", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def _free_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        time.sleep(0.2)
        return False
    return True
