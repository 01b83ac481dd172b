"""A checkpoint: the course of a run in one file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from federated.foundation.errors import BadInput
from federated.machine.files import whole
from federated.machine.tensors.tensor_file import bytes_of, in_turn, opened, write
from federated.run.course import Best, Course
from federated.run.history import History
from federated.run.memory import ALGORITHM, DOWNLINK, OWN_MODEL, UPLINK, ClientMemory, ServerMemory
from federated.run.state import RunState

_LONGEST_HEADER = 10_000_000
"""Bytes of JSON; safetensors takes 100 MB, in which it has escaped every quotation mark."""
_TEXT = "state"
_OF_CLIENTS = "clients/"
_BEST = "best/"
"""Before the names of the tensors of the best round, where one is chosen."""
_FORMAT = 3  # the first with memory by owner; 2 was the first with a digest


def save(course: Course, path: Path, identity: dict[str, str]) -> None:
    """Write state and history to one file, atomically.

    A safetensors file: tensors unchanged, the rest as JSON in its header, or in a tensor of bytes where it is long
    (100,000 rounds have 100 MB of history; a header has room for less), and a digest of both. `identity` (run key,
    digests) is what `load` compares. No copy of the tensors is made. Raises OSError where the file cannot be written.
    """
    tensors = _tensors(course.state)
    rest = {
        "format": _FORMAT,
        "identity": identity,
        **_counts(course.state),
        "history": list(course.history),
    }
    if (best := course.best) is not None:
        tensors |= {f"{_BEST}{name}": value for name, value in _tensors(best.state).items()}
        rest["best"] = {"value": best.value, **_counts(best.state)}
    text = json.dumps(rest)
    if len(text) > _LONGEST_HEADER:
        tensors[_TEXT], text = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8), ""
    with whole(path) as partial:
        write(partial, tensors, {"state": text, "digest": _digest(tensors, text)})


def _tensors(state: RunState) -> dict[str, Tensor]:
    tensors = {"parameters": state.parameters}
    for owner, kept in state.server.items():
        tensors |= {f"server/{owner}/{name}": value for name, value in kept.items()}
    for owner, rows in state.clients.items():
        for client, kept in rows.items():
            tensors |= {f"clients/{owner}/{client}/{name}": value for name, value in kept.items()}
    return tensors


def _counts(state: RunState) -> dict[str, int]:
    return {
        "round": state.round,
        "uplink_bytes": state.uplink_bytes,
        "downlink_bytes": state.downlink_bytes,
    }


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of all that a file holds: the text, and each tensor's name, type, shape and bytes."""
    digest = _Digest(text)
    for name, content in in_turn(tensors, sorted(tensors)):
        digest.add(name, tensors[name], content)
    return digest.found


class _Digest:
    """A SHA-256 to which tensors are added in the order of their names."""

    def __init__(self, text: str) -> None:
        self._hash = hashlib.sha256(text.encode())

    def add(self, name: str, value: Tensor, content: memoryview) -> None:
        """Take in a tensor's name, type, shape and bytes."""
        self._hash.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
        self._hash.update(content)

    @property
    def found(self) -> str:
        """In hexadecimal digits."""
        return self._hash.hexdigest()


def load(
    path: Path,
    identity: dict[str, str],
    device: torch.device,
    kept: Callable[[Tensor], Tensor] = lambda value: value,
) -> Course:
    """Read what `save` wrote, one tensor at a time. kept: a copy of each that a client remembers, where that belongs.

    Raises FileNotFoundError where there is none, and ValueError where it is damaged, cannot be read, or has
    another identity. Files of older versions have no digest and are read without that check.
    """
    tensors: dict[str, Tensor] = {}
    try:
        with opened(path) as file:
            metadata = file.metadata
            digest = _Digest(metadata["state"])
            for name in file.names:
                value = file.read(name)
                digest.add(name, value, bytes_of(value))
                of_clients = name.removeprefix(_BEST).startswith(_OF_CLIENTS)
                tensors[name] = kept(value) if of_clients else value.to(device)
            rest: dict[str, Any] = json.loads(metadata["state"] or bytes(tensors[_TEXT].cpu().numpy()))
            found = rest["identity"]
    except (FileNotFoundError, BadInput):
        raise
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"the checkpoint {path} is damaged: {error}") from error
    if ("format" in rest or "digest" in metadata) and metadata.get("digest") != digest.found:
        raise ValueError(f"the checkpoint {path} is damaged: its content is not what was saved")
    if found != identity:
        differ = [key for key in {**found, **identity} if found.get(key) != identity.get(key)]
        was, now = ({key: each.get(key) for key in differ} for each in (found, identity))
        raise ValueError(f"the checkpoint {path} is of {was}, not of {now}")
    if rest.get("format", 1) < _FORMAT:
        tensors = {_of_today(name): value for name, value in tensors.items()}
    of_best = {name.removeprefix(_BEST): value for name, value in tensors.items() if name.startswith(_BEST)}
    best = Best(rest["best"]["value"], _state(of_best, rest["best"])) if of_best else None
    history = History((at, metrics) for at, metrics in rest["history"])
    return Course(_state(tensors, rest), history, best)


def _state(tensors: Mapping[str, Tensor], counts: Mapping[str, Any]) -> RunState:
    server, clients = _memories(tensors)
    return RunState(
        round=counts["round"],
        parameters=tensors["parameters"],
        server=server,
        clients=clients,
        uplink_bytes=counts["uplink_bytes"],
        downlink_bytes=counts["downlink_bytes"],
    )


def _memories(tensors: Mapping[str, Tensor]) -> tuple[ServerMemory, ClientMemory]:
    server: ServerMemory = {}
    clients: ClientMemory = {}
    for name, value in tensors.items():
        side, _, rest = name.partition("/")
        owner, _, rest = rest.partition("/")
        if side == "server":
            server.setdefault(owner, {})[rest] = value
        elif side == "clients":
            client, _, part = rest.partition("/")
            clients.setdefault(owner, {}).setdefault(int(client), {})[part] = value
    return server, clients


def _of_today(name: str) -> str:
    """The current name of a tensor in a file older than owners, where a client had residuals or its own model."""
    side, _, rest = name.partition("/")
    if side == "server":
        return f"server/{ALGORITHM}/{rest}"
    if side == "downlink":
        return f"server/{DOWNLINK}/{rest}"
    if side == "clients":
        client, _, part = rest.partition("/")
        return f"clients/{OWN_MODEL if part == 'parameters' else UPLINK}/{client}/{part}"
    return name
