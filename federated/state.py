"""RunState: all that the next round depends on, and its form on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from federated.algorithms import ServerState
from federated.compressors import CohortState
from federated.files import whole

DownlinkState = dict[str, Tensor]
"""What the server remembers of what clients hold: name -> tensor. Empty where it broadcasts whole models."""
Metrics = dict[str, float]
"""Metric name, as in mlflow/README.md -> value."""


@dataclass(frozen=True)
class RunState:
    """A run between two rounds. Never changed: a round returns a new one.

    round: rounds done.
    parameters: the global model [P].
    server: what the algorithm remembers.
    clients: what the uplink compressor remembers of each client that has sent something, rows of its
        `CohortState`.
    downlink: what the server remembers of what clients hold.
    uplink_bytes, downlink_bytes: sent so far, over all clients.
    history: (round, metrics) in the order they were measured; round 0 is the initial model.
    """

    round: int
    parameters: Tensor
    server: ServerState
    clients: dict[int, CohortState]
    downlink: DownlinkState = field(default_factory=dict)
    uplink_bytes: int = 0
    downlink_bytes: int = 0
    history: tuple[tuple[int, Metrics], ...] = ()


def save(state: RunState, path: Path, identity: dict[str, str]) -> None:
    """Write the state to one file, whole or not at all.

    A safetensors file: tensors as they are, the rest as JSON in its header. `identity` (run key, digests) is
    what `load` compares.
    """
    tensors = {
        "parameters": state.parameters,
        **{f"server/{name}": value for name, value in state.server.items()},
        **{f"downlink/{name}": value for name, value in state.downlink.items()},
    }
    for client, kept in state.clients.items():
        tensors |= {f"clients/{client}/{name}": value for name, value in kept.items()}
    rest = {
        "identity": identity,
        "round": state.round,
        "uplink_bytes": state.uplink_bytes,
        "downlink_bytes": state.downlink_bytes,
        "history": state.history,
    }
    with whole(path) as partial:
        safetensors.torch.save_file(_unshared(tensors), partial, {"state": json.dumps(rest)})


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, contiguous, each with memory of its own, as safetensors asks for; copied only where needed."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        memory = value.untyped_storage().data_ptr()
        apart[name] = (
            value.clone(memory_format=torch.contiguous_format) if memory in seen else value.contiguous()
        )
        seen.add(memory)
    return apart


def load(path: Path, identity: dict[str, str], device: torch.device) -> RunState:
    """Read a state written by `save`. Raises ValueError where the file is damaged or of another identity."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            rest: dict[str, Any] = json.loads(file.metadata()["state"])
            found = rest["identity"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"the checkpoint {path} is damaged: {error}") from error
    if found != identity:
        raise ValueError(f"the checkpoint {path} is of {found}, not of {identity}")
    clients: dict[int, CohortState] = {}
    for name, value in tensors.items():
        if name.startswith("clients/"):
            _, client, part = name.split("/", 2)
            clients.setdefault(int(client), {})[part] = value
    return RunState(
        round=rest["round"],
        parameters=tensors["parameters"],
        server={n.removeprefix("server/"): v for n, v in tensors.items() if n.startswith("server/")},
        clients=clients,
        downlink={n.removeprefix("downlink/"): v for n, v in tensors.items() if n.startswith("downlink/")},
        uplink_bytes=rest["uplink_bytes"],
        downlink_bytes=rest["downlink_bytes"],
        history=tuple((at, metrics) for at, metrics in rest["history"]),
    )
