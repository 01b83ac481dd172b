"""The data that travel beside updates and model: encoded by the codec that the study names for them, and decoded."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from federated.algorithms import Rows
from federated.compressors.compressor import nested, under
from federated.compressors.none import none
from federated.foundation.randomness import Purpose, generator
from federated.run.clients.order import ShardOrder
from federated.run.memory import ALGORITHM, BESIDE, PRIVACY, ServerMemory, rows_of
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.run.worker import Worker
from federated.wire.distortion import is_exact

_OF_UPLINK, _OF_DOWNLINK = 3, 4
"""Ends of the keys of random numbers, which no other payload of a round has."""


class Sent(NamedTuple):
    """Rows [c, n] as the server reads them, a payload of each, and whether they are what was sent."""

    rows: Tensor
    payloads: list[bytes]
    exact: bool = True


def plain(rows: Tensor) -> Sent:
    """Rows sent as 32-bit floats."""
    payloads, _ = none().encode({}, rows, ())
    return Sent(none().decode(payloads, rows.shape[1]), payloads)


def encoded(worker: Worker, order: ShardOrder, sent: Rows) -> tuple[dict[str, Sent], Rows]:
    """(name -> what an algorithm's clients send beside their updates, what the codecs remember of these clients)."""
    found, remembered = dict[str, Sent](), Rows()
    clients = order.clients.tolist()
    for at, (name, rows) in enumerate(sent.items()):
        codec = worker.parts.uplink_beside(name, rows.shape[1])
        if is_exact(codec) and codec.parts == none().parts:
            found[name] = plain(rows)
            continue
        numbers = [
            generator(worker.config.seed, Purpose.COMPRESSION, order.done, client, _OF_UPLINK, at)
            for client in clients
        ]
        fresh = under(f"{name}.", {key: value[0] for key, value in codec.init(1, rows.shape[1]).items()})
        state = nested(rows_of(order.own, BESIDE, clients, fresh), f"{name}.")
        payloads, after = codec.encode(state, rows.to("cpu", torch.float32), numbers)
        read = codec.decode(payloads, rows.shape[1]).to("cpu", torch.float32)
        found[name] = Sent(read, payloads, is_exact(codec))
        remembered |= under(f"{name}.", after)
    return found, remembered


def heard_beside(setup: Setup, state: RunState) -> tuple[dict[str, bytes], ServerMemory]:
    """(name -> the payload of what clients receive beside the model, the server's memory as they hear it).

    What a privacy mechanism tells them is sent as 32-bit floats; what else it remembers stays at the server, such as
    noise that later rounds take back.
    """
    payloads, algorithm = dict[str, bytes](), dict(state.server.get(ALGORITHM, {}))
    for at, name in enumerate(setup.parts.algorithm.client.hears):
        value = state.server[ALGORITHM][name]
        codec = setup.parts.downlink_beside(name, value.numel())
        numbers = generator(setup.config.seed, Purpose.COMPRESSION, state.round, at, _OF_DOWNLINK)
        row = value.reshape(1, -1)
        (payloads[name],), _ = codec.encode(codec.init(*row.shape), row, [numbers])
        if not is_exact(codec):
            algorithm[name] = codec.decode([payloads[name]], value.numel()).to(value).reshape(value.shape)
    for name in setup.parts.privacy.hears:
        (payloads[name],), _ = none().encode({}, state.server[PRIVACY][name].reshape(1, -1), ())
    heard = {name: state.server[PRIVACY][name] for name in setup.parts.privacy.hears}
    kept = {owner: memory for owner, memory in state.server.items() if owner not in (ALGORITHM, PRIVACY)}
    told = {owner: memory for owner, memory in ((ALGORITHM, algorithm), (PRIVACY, heard)) if memory}
    return payloads, {**kept, **told}
