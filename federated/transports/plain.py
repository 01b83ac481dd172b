"""Payloads as they are."""

from __future__ import annotations

from collections.abc import Sequence

from federated.transports.transport import Sending, Transport


def plain() -> Transport:
    """Payloads travel as the codec made them, and the server reads each. Nothing is hidden."""

    def as_they_are(payloads: Sequence[bytes], sending: Sending) -> list[bytes]:
        return list(payloads)

    return Transport(as_they_are, as_they_are)
