"""The messages of the protocol as bytes: a header of eight bytes, a content, and what clients send is signed."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from federated.transports.secure_aggregation.primitives import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    TAG_BYTES,
    Identity,
    is_signed,
)
from federated.transports.secure_aggregation.shamir import SHARE_BYTES
from federated.transports.secure_aggregation.terms import Terms


class Step(IntEnum):
    """The steps of a round, each a message of the client and the server's answer to it."""

    ADVERTISE_KEYS = 1
    SHARE_KEYS = 2
    UPDATE = 3
    CONSISTENCY = 4
    UNMASK = 5


HEADER = struct.Struct("<BBHI")
"""Step, whether the server sends it, the round modulo 2^16, the client that sends or receives it."""
_ROUNDS = 2**16
ID = struct.Struct("<I")
SEALED_BYTES = 2 * SHARE_BYTES + TAG_BYTES
KEYS_BYTES = 2 * KEY_BYTES
Directory = Mapping[int, Ed25519PublicKey]
"""The public key by which each client of a cohort is known; that it is the client's own is taken as given."""


class Rejected(RuntimeError):
    """A message that a party does not accept, or one that is missing; the error names the client.

    client: whose message it is or who refuses it; None where it is of no single client.
    """

    def __init__(self, client: int | None, why: str) -> None:
        whose = "" if client is None else f"client {client}: "
        super().__init__(f"secure aggregation: {whose}{why}")
        self.client, self.why = client, why

    def __reduce__(self) -> tuple[type[Rejected], tuple[int | None, str]]:
        return type(self), (self.client, self.why)


class TooFew(Rejected):
    """Too many clients dropped out: the server gives the round up."""


class Received(NamedTuple):
    """A message that passed the checks: the client of its header, its content, and its signature where it has one."""

    client: int
    content: bytes
    signature: bytes = b""


def from_client(
    step: Step, terms: Terms, client: int, content: bytes, by: Identity, beside: bytes = b""
) -> bytes:
    """A signed message to the server. beside: what is signed too and known to the reader."""
    head = HEADER.pack(step, 0, terms.done % _ROUNDS, client)
    return head + content + by.private.sign(terms.context + head + beside + content)


def signed_content(step: Step, terms: Terms, client: int, content: bytes, beside: bytes = b"") -> bytes:
    """What a client signs."""
    return terms.context + HEADER.pack(step, 0, terms.done % _ROUNDS, client) + beside + content


def to_client(step: Step, terms: Terms, client: int, content: bytes) -> bytes:
    """A message of the server; what it passes on is signed or sealed by the clients that it is of."""
    return HEADER.pack(step, 1, terms.done % _ROUNDS, client) + content


def read_by_server(
    message: bytes, step: Step, terms: Terms, directory: Directory, beside: bytes = b""
) -> Received:
    """A client's message. Raises Rejected."""
    client = _checked(message, step, terms, 0, SIGNATURE_BYTES)
    if client not in directory:
        raise Rejected(client, f"is not of this cohort, and sent {_name(step)}")
    content, signature = message[HEADER.size : -SIGNATURE_BYTES], message[-SIGNATURE_BYTES:]
    if not is_signed(directory[client], signature, signed_content(step, terms, client, content, beside)):
        raise Rejected(client, f"{_name(step)} is not as it was signed: tampered with, or of another round")
    return Received(client, content, signature)


def read_by_client(message: bytes, step: Step, terms: Terms, client: int) -> bytes:
    """The content of a message of the server to this client. Raises Rejected."""
    found = _checked(message, step, terms, 1, 0, client)
    if found != client:
        raise Rejected(client, f"got {_name(step)} that was for client {found}: misdirected")
    return message[HEADER.size :]


def _checked(
    message: bytes, step: Step, terms: Terms, by_server: int, least: int, reader: int | None = None
) -> int:
    """The client in the header. Raises Rejected where the header is of another step, round or direction."""
    if len(message) < HEADER.size:
        raise Rejected(reader, f"a message of {len(message)} bytes is shorter than its header: truncated")
    found, direction, done, client = HEADER.unpack_from(message)
    whose = client if reader is None else reader
    if len(message) < HEADER.size + least:
        raise Rejected(whose, f"{_name(step)} of {len(message)} bytes is too short: truncated")
    if done != terms.done % _ROUNDS:
        raise Rejected(
            whose, f"{_name(step)} is of round {done + 1} and this is round {terms.done + 1}: replayed"
        )
    if found != step or direction != by_server:
        raise Rejected(
            whose, f"expected {_name(step)}, got a message of step {found}: replayed or out of order"
        )
    return int(client)


def records(content: bytes, size: int, client: int, what: str) -> list[tuple[int, bytes]]:
    """[(client, record)]: a content that is a list of records of one size, each behind a client's number.

    Raises Rejected, naming `client`, where it is no such list or has two records of one client.
    """
    if len(content) % (ID.size + size):
        raise Rejected(client, f"{what}: {len(content)} bytes are no whole number of records: truncated")
    each = [content[at : at + ID.size + size] for at in range(0, len(content), ID.size + size)]
    found = [(int(ID.unpack_from(record)[0]), record[ID.size :]) for record in each]
    if len({number for number, _ in found}) != len(found):
        raise Rejected(client, f"{what}: two records are of one client")
    return found


def joined(pairs: Sequence[tuple[int, bytes]]) -> bytes:
    """A list of records, as `records` reads it."""
    return b"".join(ID.pack(number) + record for number, record in pairs)


def _name(step: Step) -> str:
    return f"message {step.name.lower().replace('_', ' ')!r}"
