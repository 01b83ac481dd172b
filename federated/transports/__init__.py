"""Transports by name: forms in which updates travel. The registry is the table of contents."""

from collections.abc import Callable

from federated.transports.plain import plain
from federated.transports.transport import Sending, Transport

TRANSPORTS: dict[str, Callable[..., Transport]] = {
    "plain": plain,
}

__all__ = ["TRANSPORTS", "Sending", "Transport"]
