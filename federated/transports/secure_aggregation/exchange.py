"""The protocol as a transport: from the payloads of a cohort to their sum, with every message on the way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from federated.foundation.randomness import Purpose, generator
from federated.transports.secure_aggregation.attendance import Attendance
from federated.transports.secure_aggregation.client import Client
from federated.transports.secure_aggregation.fixed_point import integers_of, levels_of, payload_of
from federated.transports.secure_aggregation.messages import Step, TooFew
from federated.transports.secure_aggregation.packed import signed
from federated.transports.secure_aggregation.playing import Messages, play
from federated.transports.secure_aggregation.primitives import KEY_BYTES, digest_of, identity_of
from federated.transports.secure_aggregation.server import Server
from federated.transports.secure_aggregation.terms import (
    LEAST_CLIENTS,
    bits_for,
    neighbours_of,
    terms_of,
)
from federated.transports.transport import Exchanged, Meeting, SumTooLarge

_SILENT = 1  # a second key: the first, of the round alone, is the graph's
GONE_AFTER = {"keys": Step.SHARE_KEYS, "sharing": Step.UPDATE}
"""The step after which clients that the sampling loses are gone -> the first in which they send nothing."""


class Options(NamedTuple):
    """What a study states of the protocol. See `secure_aggregation`.

    bits: of each number, from which the modulus follows. modulus: its bits, where what is added up has its own; then it
    is so many integers, and cohorts must be of so many clients.
    """

    bits: int | None
    threshold: float
    neighbours: int | None
    lost_after: Literal["keys", "sharing"]
    silent: float
    modulus: int | None = None
    size: int | None = None
    clients: int | None = None


def attendance_of(options: Options, size: int, meeting: Meeting) -> Attendance:
    """Who is there in a round for vectors of so many numbers. Raises ValueError where its cohort is too small."""
    cohort = meeting.clients.tolist()
    bits = options.modulus
    if bits is None:
        assert options.bits is not None
        bits = bits_for(meeting.updates, levels_of(options.bits))
    terms = terms_of(
        meeting.done, len(cohort), options.threshold, options.neighbours, bits, options.size or size
    )
    numbers = generator(meeting.seed, Purpose.NEIGHBOURS, meeting.done)
    silent = dict.fromkeys(meeting.clients[meeting.lost].tolist(), GONE_AFTER[options.lost_after])
    if options.silent:
        draws = generator(meeting.seed, Purpose.NEIGHBOURS, meeting.done, _SILENT).random(max(cohort) + 1)
        heard = meeting.clients[~meeting.lost]
        silent |= dict.fromkeys(heard[draws[heard] < options.silent].tolist(), Step.CONSISTENCY)
    return Attendance(terms, neighbours_of(cohort, terms.neighbours, numbers), silent)


def checked(options: Options, size: int, meeting: Meeting) -> None:
    """Raise TooFewLeft, naming the round, where too few clients would be left to open its sum.

    ValueError where the cohort is of another size than its noise is for, or the terms allow none of its size.
    """
    found = len(meeting.clients)
    if options.clients not in (None, found):
        raise ValueError(
            f"round {meeting.done + 1}: the mechanism's noise is for cohorts of {options.clients:,} clients, and "
            f"{found:,} take part"
        )
    try:
        if meeting.lost.any() or options.silent:
            attendance_of(options, size, meeting).check()
        else:
            _of_all(options, size, found, meeting.updates)  # which fails where the cohort itself is too small
    except SumTooLarge as error:
        raise SumTooLarge(f"round {meeting.done + 1}: {error}", error.fit) from error
    except ValueError as error:
        raise type(error)(f"round {meeting.done + 1}: {error}") from error


def foreseen(options: Options, size: int, meeting: Meeting) -> tuple[int, int]:
    """(bytes to the server, bytes from it) of a round. Where all stay, numbers of clients and updates say it all."""
    if len(meeting.clients) < LEAST_CLIENTS:
        return 0, 0
    if meeting.lost.any() or options.silent:
        return attendance_of(options, size, meeting).foreseen()
    return _of_all(options, size, len(meeting.clients), meeting.updates)


@lru_cache
def _of_all(options: Options, size: int, clients: int, updates: int) -> tuple[int, int]:
    nobody, weights = np.zeros(clients, bool), np.array([*[1] * (clients - 1), updates - clients + 1])
    meeting = Meeting(0, 0, np.arange(clients), nobody, weights=weights)
    return attendance_of(options, size, meeting).foreseen()


def parties_of(attendance: Attendance, meeting: Meeting) -> tuple[dict[int, Client], Server]:
    """The clients of a round and its server. Raises Rejected where a client takes no part."""
    cohort, model = meeting.clients.tolist(), digest_of(meeting.model)
    draws = {client: each.bytes for client, each in zip(cohort, meeting.numbers, strict=True)}
    identities = {client: identity_of(draw(KEY_BYTES)) for client, draw in draws.items()}
    directory = {client: identity.public for client, identity in identities.items()}
    clients = {
        client: Client(client, attendance.terms, identities[client], directory, model, draw)
        for client, draw in draws.items()
    }
    return clients, Server(attendance.terms, attendance.graph, directory, model)


def exchange(options: Options, payloads: Sequence[bytes], meeting: Meeting) -> Exchanged:
    """Run the protocol. payloads: of those that are heard, in order. Raises Rejected and ValueError."""
    heard = ~meeting.lost
    numbers = [integers_of(payload) for payload in payloads]
    if meeting.weights is not None:
        numbers = [
            row * weight
            for row, weight in zip(numbers, meeting.weights[heard].astype(np.uint32), strict=True)
        ]
    attendance = attendance_of(options, numbers[0].size, meeting)
    attendance.check()
    of_each = dict(zip(meeting.clients[heard].tolist(), numbers, strict=True))
    played = play(*parties_of(attendance, meeting), of_each, attendance.silent)
    total = payload_of(payloads[0], signed(played.total, attendance.terms.bits))
    return _exchanged(meeting, total, played.messages)


def given_up(options: Options, size: int, meeting: Meeting) -> Exchanged:
    """The messages of a round whose sum stays closed, up to the step at which the server finds too few left.

    What is masked are zeros: a masked vector is as long and as random whatever is in it, and it is not opened.
    """
    messages = Messages.of(meeting.clients.tolist())
    if len(meeting.clients) < LEAST_CLIENTS:
        return _exchanged(meeting, b"", messages)  # of so few none begins
    attendance = attendance_of(options, size, meeting)
    nothing = dict.fromkeys(attendance.graph, np.zeros(attendance.terms.size, np.uint32))
    try:
        play(*parties_of(attendance, meeting), nothing, attendance.silent, messages)
    except TooFew:
        return _exchanged(meeting, b"", messages)
    raise AssertionError(f"round {meeting.done + 1} was to be given up, and its sum was opened")


def _exchanged(meeting: Meeting, total: bytes, messages: Messages) -> Exchanged:
    cohort = meeting.clients.tolist()
    return Exchanged(
        total, [messages.up[client] for client in cohort], [messages.down[client] for client in cohort]
    )
