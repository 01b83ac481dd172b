"""The contract of a person's own transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federated.extension_points.returned import found_text
from federated.foundation.errors import OwnCodeFailed
from federated.transports import Exchanged, Meeting, Protocol, Sending, Transport
from federated.user_code.containment import contained


def held_transport(name: str, transport: Transport) -> Transport:
    """A transport whose functions return what `Transport` says. They raise OwnCodeFailed otherwise."""
    what = f"transport: {name}"
    if transport.reveals not in ("each", "sum"):
        raise OwnCodeFailed(f"{what}: reveals must be 'each' or 'sum', got {found_text(transport.reveals)}")

    def protect(payloads: Sequence[bytes], sending: Sending) -> list[bytes]:
        with contained(f"{what}: protect fails"):
            found = transport.protect(payloads, sending)
        return _all_bytes(found, len(payloads), f"{what}: protect")

    def open_(payloads: Sequence[bytes], sending: Sending) -> list[bytes]:
        with contained(f"{what}: open fails"):
            found = transport.open(payloads, sending)
        return _all_bytes(found, len(payloads) if transport.reveals == "each" else 1, f"{what}: open")

    protocol = None if transport.protocol is None else _held_protocol(what, transport.protocol)
    return transport._replace(protect=protect, open=open_, protocol=protocol)


def _held_protocol(what: str, protocol: Protocol) -> Protocol:
    """A protocol whose total is one payload. What its check refuses stays a ValueError."""

    def run(payloads: Sequence[bytes], meeting: Meeting) -> Exchanged:
        with contained(f"{what}: protocol.run fails"):
            found = protocol.run(payloads, meeting)
        if not isinstance(found, Exchanged) or len(found.uplink) != len(meeting.clients):
            raise OwnCodeFailed(
                f"{what}: protocol.run must return Exchanged with the messages of {len(meeting.clients)} clients, got "
                f"{found_text(found)}"
            )
        _all_bytes([found.total], 1, f"{what}: protocol.run: total")
        return found

    return protocol._replace(run=run)


def _all_bytes(found: Any, count: int, what: str) -> list[bytes]:
    if not isinstance(found, list) or len(found) != count or not all(isinstance(one, bytes) for one in found):
        raise OwnCodeFailed(
            f"{what} must return a list of {count} payloads of bytes, got {found_text(found)}"
        )
    return found
