"""Transports by name: forms in which updates travel. The registry is the table of contents."""

from collections.abc import Callable

from federated.transports.plain import plain
from federated.transports.secure_aggregation.secure_aggregation import secure_aggregation
from federated.transports.transport import (
    Exchanged,
    Meeting,
    Protocol,
    Sending,
    SumTooLarge,
    TooFewLeft,
    Transport,
)

TRANSPORTS: dict[str, Callable[..., Transport]] = {
    "plain": plain,
    "secure_aggregation": secure_aggregation,
}

__all__ = [
    "TRANSPORTS",
    "Exchanged",
    "Meeting",
    "Protocol",
    "Sending",
    "SumTooLarge",
    "TooFewLeft",
    "Transport",
]
