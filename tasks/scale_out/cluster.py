"""The Ray cluster that this process uses: one of its own on this machine, or one that runs already."""

from __future__ import annotations

import atexit
import importlib.util
import logging
import os
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

from federated.foundation.addresses import host_and_port
from federated.foundation.errors import BadInput
from federated.local_training.memory import machine_bytes
from federated.machine.folders import home

EXTRA = "make ray"
"""The command that installs Ray."""

_SECONDS_TO_ANSWER, _SECONDS_TO_BEGIN = 5.0, 240.0
_TRIES = 3  # of a cluster of our own: Ray gives up after 30 s, in which a busy machine may not have begun it
_LONGEST_FOLDER = 44  # Ray adds 62 characters, and the path of a socket has at most 107
_SHARE_OF_MEMORY = 4  # a quarter of the machine's, at most, is for the data and models that processes share

_connected: str | None = None
"""The address of the cluster that this process is connected to; there is one for its whole life."""


def require_ray() -> None:
    """Raise BadInput, which says how to install it, where Ray is not there."""
    if importlib.util.find_spec("ray") is None:
        raise BadInput(
            f"engine.scale_out: ray needs the package ray, which is not installed: {EXTRA} installs it"
        )


def connect(address: str) -> Any:
    """Ray, connected to the cluster of this address. Raises BadInput where that cannot be reached in time."""
    global _connected
    if _connected is None:
        require_ray()
        if (place := host_and_port(address)) is not None:
            _require_answer(address, place)
        _begin_in_time(address, _of_its_own() if address == "local" else {"address": address})
        _connected = address
    if _connected != address:
        raise BadInput(
            f"engine.address: this process uses the Ray cluster {_connected} already, and {address} is another; a "
            "process has one, so begin anew for the other"
        )
    import ray

    return ray


def _of_its_own() -> dict[str, Any]:
    """The options of a cluster for this process alone: on the loopback interface, silent, its files at home."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = (
        "0"  # Ray's switch for addresses of the loopback interface
    )
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", uuid4().hex)  # else Ray writes one to the person's home
    return {
        "address": "local",
        "num_cpus": os.cpu_count(),
        "include_dashboard": False,
        "object_store_memory": machine_bytes() // _SHARE_OF_MEMORY,
        "_temp_dir": str(_new_folder()),
        "_node_ip_address": "127.0.0.1",
    }


def _new_folder() -> Path:
    """A folder for this process's cluster, removed at its end; those of processes that were killed go now."""
    above = home() / "ray"
    above.mkdir(parents=True, exist_ok=True)
    for left in above.iterdir():
        if left.name.isdecimal() and not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = above / str(os.getpid())
    if len(str(folder)) > _LONGEST_FOLDER:
        folder = Path(mkdtemp(prefix="fedstudy-ray-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _require_answer(address: str, place: tuple[str, int]) -> None:
    try:
        socket.create_connection(place, _SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise BadInput(
            f"engine.address: no Ray head answers at {address}: {error.strerror or error}; start one there with "
            "`ray start --head`, or use local"
        ) from error


def _begin_in_time(address: str, options: dict[str, Any]) -> None:
    """Call ray.init in a thread that lives as long as this process.

    Linux ends the processes of a local cluster when the thread that started them ends, however that happens: so none
    outlives a study that was killed. And outside of the main thread Ray leaves our handler of SIGTERM alone.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    begun, failed = threading.Event(), list[BaseException]()

    def live() -> None:
        for _ in range(_TRIES if address == "local" else 1):
            try:
                _init(options)
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                failed.append(error)
            else:
                failed.clear()
                break
        begun.set()
        threading.Event().wait()

    threading.Thread(target=live, name="ray", daemon=True).start()
    if not begun.wait(_SECONDS_TO_BEGIN):
        raise BadInput(f"engine.address: Ray at {address} did not begin within {_SECONDS_TO_BEGIN:.0f} s")
    if failed:
        why = str(failed[-1]).strip().partition("\n")[0]
        raise BadInput(f"engine.address: Ray at {address} cannot be used: {why}") from failed[-1]


def _init(options: dict[str, Any]) -> None:
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    ray._private.worker.print_to_stdstream = _print_nothing
    try:
        ray.init(**options, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except BaseException:
        ray.shutdown()
        raise


def disconnect() -> None:
    """End a local cluster, or leave another one."""
    global _connected
    if _connected is not None:
        import ray

        with suppress(Exception):
            ray.shutdown()
        _connected = None


def _print_nothing(*_: object, **__: object) -> None:
    """In place of a function of Ray's that prints paragraphs over our display when a process ends, unasked."""
