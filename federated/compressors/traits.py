"""The traits of a compressor: what may be assumed of it, which decides where it can be used."""

from __future__ import annotations

from enum import Enum


class Trait(Enum):
    """A property that a compressor states. What it does not state is not assumed."""

    WHOLE_MODEL = (
        "may also carry whole parameters, on the downlink: it neither drops nor coarsely rounds coordinates"
    )
    UNBIASED = "the mean of what is decoded, over draws, is the update"
    FEEDBACK = "sends later what it loses"
    EXPANDS = "what it loses may be larger than the update, so that feedback would grow without end"
    CORRECTED = "accumulates momentum before what it loses"
    DIFFERENCE = "sends models as differences to what the clients have; for the downlink alone"
    ADDITIVE = (
        "payloads add up: behind the header are 32-bit integers, and their sums modulo 2^32 decode to the sum"
    )
    VOTES = "sends signs of size one, which only a vote can use"


Traits = frozenset[Trait]
NO_TRAITS: Traits = frozenset()
