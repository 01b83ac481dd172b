"""Which compressors can go which way, and with which algorithm: said when a config is read."""

from __future__ import annotations

from federated.algorithms import Algorithm
from federated.choice import Choice
from federated.compressors import Compressor


def check_ways(uplink: Choice, downlink: Choice) -> None:
    """Raise ValueError where a compressor cannot carry what goes its way."""
    down: Compressor = downlink.build()
    if not down.whole_model and not down.difference:
        raise ValueError(
            f"downlink: {downlink.label()} would damage a whole model, which is what the server broadcasts; "
            f"use none, float16, bfloat16 or difference(...)"
        )
    if uplink.build().difference:
        raise ValueError("uplink: an update is a difference already; difference is for the downlink")


def check_votes(algorithm: Choice, uplink: Choice) -> None:
    """Raise ValueError where votes are sent to an algorithm that does not count them, or the other way round."""
    counts: Algorithm = algorithm.build()
    sends: Compressor = uplink.build()
    if counts.votes != sends.votes:
        raise ValueError(
            f"algorithm: {algorithm.label()} with compression.uplink: {uplink.label()}: the votes of "
            "sign(scale=one) are for sign_majority, which takes nothing else"
        )
