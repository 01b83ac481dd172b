"""The contract of a person's own transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federated.extension_points.returned import found_text
from federated.foundation.errors import OwnCodeFailed
from federated.transports import Sending, Transport
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

    return transport._replace(protect=protect, open=open_)


def _all_bytes(found: Any, count: int, what: str) -> list[bytes]:
    if not isinstance(found, list) or len(found) != count or not all(isinstance(one, bytes) for one in found):
        raise OwnCodeFailed(
            f"{what} must return a list of {count} payloads of bytes, got {found_text(found)}"
        )
    return found
