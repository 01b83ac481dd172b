"""The interface of a transport: the form in which updates travel, and how much of them the server can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from federated.compressors import Compressor


class Sending(NamedTuple):
    """The occasion on which payloads are sent.

    seed: of the run. done: rounds before this one. clients: int64 [c], whose payloads they are, in order. cohort: all
    clients that are heard in this round, int64, rising.
    """

    seed: int
    done: int
    clients: np.ndarray
    cohort: np.ndarray


class Meeting(NamedTuple):
    """The clients of a round that exchange messages with the server.

    seed: of the run. done: rounds before this one. clients: int64 [C], rising, each of which received the model. lost:
    bool [C], of those whose update never arrives. model: the bytes of the received model. numbers: the secret random
    numbers of each client, which a forecast is without. weights: int64 [C], how often each update is in the sum, which
    everybody may know; None: once.
    """

    seed: int
    done: int
    clients: np.ndarray
    lost: np.ndarray
    model: bytes = b""
    numbers: Sequence[np.random.Generator] = ()
    weights: np.ndarray | None = None

    @property
    def updates(self) -> int:
        """How many updates the sum has, if all arrive, each by its weight."""
        return len(self.clients) if self.weights is None else int(self.weights.sum())


class SumTooLarge(ValueError):
    """Raised where a sum needs more bits than there are.

    fit: the most bits a number with which it does not; 0 where only the message was handed on.
    """

    def __init__(self, message: str, fit: int = 0) -> None:
        super().__init__(message)
        self.fit = fit


class TooFewLeft(ValueError):
    """Of the clients of a round too few are left for its sum to be opened."""


class Exchanged(NamedTuple):
    """total: a payload that decodes to the sum of those that were heard; none, b"", where it was given up. uplink,
    downlink: the messages of each client of the meeting, as (part of the ledger, message)."""

    total: bytes
    uplink: list[Sequence[tuple[str, bytes]]]
    downlink: list[Sequence[tuple[str, bytes]]]


class Protocol(NamedTuple):
    """An exchange of several messages between the server and the whole cohort, in place of a payload of each client.

    codec: makes what it adds up of updates, and a study states no other; None: the privacy mechanism makes it.
    run: (a payload of each that is heard, Meeting) -> Exchanged. check: (P, Meeting) -> None; raises ValueError where
        that round cannot succeed. foreseen: (P, Meeting) -> (uplink bytes, downlink bytes) of the round, also of one
        that is given up.
    least: clients -> the fewest of them whose updates are in a sum.
    doubts: clients -> a warning where cohorts of so many are protected less than is usual, or "".
    adding: (codec, bits of its modulus, integers in a payload, clients) -> the same with that codec, for cohorts of so
        many clients alone.
    given_up: (P, Meeting) -> the messages of a round in which check raises TooFewLeft, up to the step at which the
        server gives it up; None: a run that has such a round is refused.
    weighs: whether updates are in the sum by `Meeting.weights`.
    """

    codec: Compressor | None
    run: Callable[[Sequence[bytes], Meeting], Exchanged]
    check: Callable[[int, Meeting], None]
    foreseen: Callable[[int, Meeting], tuple[int, int]]
    least: Callable[[int], int]
    doubts: Callable[[int], str]
    adding: Callable[[Compressor, int, int, int], Protocol]
    given_up: Callable[[int, Meeting], Exchanged] | None = None
    weighs: bool = False


def as_they_are(payloads: Sequence[bytes], sending: Sending) -> list[bytes]:
    """Payloads as the codec made them."""
    return list(payloads)


class Transport(NamedTuple):
    """A transport of payloads from clients to the server, pure.

    protect: (a payload of each client, Sending) -> as they travel, one for each. Their bytes are those that count.
    open: (payloads as they travelled, Sending) -> what the codec decodes: one for each, which is what was protected;
        or, where only the sum can be read, a single one for the whole cohort, which decodes to the sum.
    reveals: what the server can read: each payload, or the sum alone.
    protocol: where clients and server exchange several messages, which then are what travels and counts.
    """

    protect: Callable[[Sequence[bytes], Sending], list[bytes]] = as_they_are
    open: Callable[[Sequence[bytes], Sending], list[bytes]] = as_they_are
    reveals: Literal["each", "sum"] = "each"
    protocol: Protocol | None = None
