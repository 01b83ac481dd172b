"""RunState: all that the next round depends on, and its form on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, overload

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from federated.algorithms import ServerState
from federated.compressors import CohortState
from federated.machine.files import whole
from federated.metrics import Metrics

DownlinkState = dict[str, Tensor]
"""What the server remembers of what clients hold: name -> tensor. Empty where it broadcasts whole models."""
Entry = tuple[int, Metrics]
"""A round, and what was measured in it or after it."""
_FORMAT = 2  # the first with a digest


class History(Sequence[Entry]):
    """Entries in the order they were measured. Never changed: `then` returns a longer one.

    The two share their entries, so that a round costs the same after a million rounds as after ten.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._shared = list(entries)
        self._length = len(self._shared)

    def then(self, entry: Entry) -> History:
        """This history and one more entry. Where this one was continued before, the new one has entries of its own."""
        after = History()
        after._shared = self._shared if len(self._shared) == self._length else list(self)
        after._shared.append(entry)
        after._length = self._length + 1
        return after

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        return islice(self._shared, self._length)

    @overload
    def __getitem__(self, at: int) -> Entry: ...
    @overload
    def __getitem__(self, at: slice) -> list[Entry]: ...
    def __getitem__(self, at: int | slice) -> Entry | list[Entry]:
        places = range(self._length)[at]
        return self._shared[places] if isinstance(places, int) else [self._shared[place] for place in places]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"History({list(self)})"


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
    history: what was measured; round 0 is the initial model.
    """

    round: int
    parameters: Tensor
    server: ServerState
    clients: dict[int, CohortState]
    downlink: DownlinkState = field(default_factory=dict)
    uplink_bytes: int = 0
    downlink_bytes: int = 0
    history: History = field(default_factory=History)


def save(state: RunState, path: Path, identity: dict[str, str]) -> None:
    """Write the state to one file, whole or not at all.

    A safetensors file: tensors as they are, the rest as JSON in its header, and a digest of both. `identity` (run key,
    digests) is what `load` compares. Raises OSError where the file cannot be written.
    """
    tensors = {
        "parameters": state.parameters,
        **{f"server/{name}": value for name, value in state.server.items()},
        **{f"downlink/{name}": value for name, value in state.downlink.items()},
    }
    for client, kept in state.clients.items():
        tensors |= {f"clients/{client}/{name}": value for name, value in kept.items()}
    rest = {
        "format": _FORMAT,
        "identity": identity,
        "round": state.round,
        "uplink_bytes": state.uplink_bytes,
        "downlink_bytes": state.downlink_bytes,
        "history": list(state.history),
    }
    content, text = _unshared(tensors), json.dumps(rest)
    with whole(path) as partial:
        try:
            safetensors.torch.save_file(content, partial, {"state": text, "digest": _digest(content, text)})
        except SafetensorError as error:  # so it calls whatever the system says
            raise OSError(str(error)) from error


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


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 of all that a file holds: the text, and each tensor's name, type, shape and bytes."""
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        found.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load(path: Path, identity: dict[str, str], device: torch.device) -> RunState:
    """Read a state written by `save`.

    Raises FileNotFoundError where there is none, and ValueError where it is damaged, cannot be read, or is of
    another identity. Files of older versions have no digest and are read as they are.
    """
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata()
            rest: dict[str, Any] = json.loads(metadata["state"])
            found = rest["identity"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"the checkpoint {path} is damaged: {error}") from error
    if ("format" in rest or "digest" in metadata) and metadata.get("digest") != _digest(
        tensors, metadata["state"]
    ):
        raise ValueError(f"the checkpoint {path} is damaged: its content is not what was saved")
    if found != identity:
        differ = [key for key in {**found, **identity} if found.get(key) != identity.get(key)]
        was, now = ({key: each.get(key) for key in differ} for each in (found, identity))
        raise ValueError(f"the checkpoint {path} is of {was}, not of {now}")
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
        history=History((at, metrics) for at, metrics in rest["history"]),
    )
