"""A round of the protocol: every message from each party to the next, and all of them kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from federated.transports.secure_aggregation.client import Client
from federated.transports.secure_aggregation.messages import Step
from federated.transports.secure_aggregation.server import Answers, Server

Sent = dict[int, list[tuple[str, bytes]]]
"""Client -> its messages in order, each by the name of its step."""


class Messages(NamedTuple):
    """All messages of a round: up to the server, down from it."""

    up: Sent
    down: Sent

    @classmethod
    def of(cls, clients: Iterable[int]) -> Messages:
        """Of these clients, before the first one."""
        numbers = list(clients)
        return cls({client: [] for client in numbers}, {client: [] for client in numbers})


class Played(NamedTuple):
    """total: the sum of the survivors' numbers modulo the terms' power of two."""

    total: np.ndarray
    messages: Messages


def play(
    clients: Mapping[int, Client],
    server: Server,
    numbers: Mapping[int, np.ndarray],
    silent: Mapping[int, Step],
    messages: Messages | None = None,
) -> Played:
    """Carry every message of a round. numbers: uint32 of each client that sends an update. silent: the first step in
    which a client sends nothing. messages: where they are kept, also those before an error. Raises Rejected."""
    messages = Messages.of(clients) if messages is None else messages
    up, down = messages

    def sent(step: Step, answers: Mapping[int, bytes], make: Callable[[Client, bytes], bytes]) -> list[bytes]:
        there = [client for client in answers if silent.get(client, step + 1) > step]
        messages = [make(clients[client], answers[client]) for client in there]
        for client, message in zip(there, messages, strict=True):
            up[client].append((step.name.lower(), message))
        return messages

    def got(step: Step, answers: Answers) -> Answers:
        for client, message in answers.items():
            down[client].append((step.name.lower(), message))
        return answers

    first = sent(Step.ADVERTISE_KEYS, dict.fromkeys(clients, b""), lambda client, _: client.advertise_keys())
    keys = got(Step.ADVERTISE_KEYS, server.keys_advertised(first))
    shares = got(Step.SHARE_KEYS, server.keys_shared(sent(Step.SHARE_KEYS, keys, Client.share_keys)))
    masked = sent(Step.UPDATE, shares, lambda client, answer: client.mask(answer, numbers[client.number]))
    survivors = got(Step.CONSISTENCY, server.updates_masked(masked))
    signatures = sent(Step.CONSISTENCY, survivors, Client.confirm)
    confirmed = got(Step.UNMASK, server.survivors_confirmed(signatures))
    total = server.unmasked(sent(Step.UNMASK, confirmed, Client.unmask))
    return Played(total, messages)
