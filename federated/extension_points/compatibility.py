"""Which compressors can go which way, and with which algorithm: said when a config is read."""

from __future__ import annotations

from typing import Any

from federated.algorithms import Algorithm
from federated.choices.choice import Choice
from federated.compressors import Compressor


def check_ways(uplink: Choice, downlink: Choice, *, run_own_code: bool = False) -> None:
    """Raise ValueError where a compressor cannot carry what goes its way.

    What is a person's own is looked at only with `run_own_code`.
    """
    down: Compressor | None = _built(downlink, run_own_code)
    if down is not None and not down.whole_model and not down.difference:
        raise ValueError(
            f"downlink: {downlink.label()} would damage a whole model, which is what the server broadcasts; "
            f"use none, float16, bfloat16 or difference(...)"
        )
    up: Compressor | None = _built(uplink, run_own_code)
    if up is not None and up.difference:
        raise ValueError("uplink: an update is a difference already; difference is for the downlink")


def check_votes(algorithm: Choice, uplink: Choice, *, run_own_code: bool = False) -> None:
    """Raise ValueError where votes are sent to an algorithm that does not count them, or the other way round.

    What is a person's own is looked at only with `run_own_code`.
    """
    counts: Algorithm | None = _built(algorithm, run_own_code)
    sends: Compressor | None = _built(uplink, run_own_code)
    if counts is not None and sends is not None and counts.votes != sends.votes:
        raise ValueError(
            f"algorithm: {algorithm.label()} with compression.uplink: {uplink.label()}: the votes of "
            "sign(scale=one) are for sign_majority, which takes nothing else"
        )


def _built(choice: Choice, run_own_code: bool) -> Any:
    return choice.build() if run_own_code or not choice.own_code() else None
