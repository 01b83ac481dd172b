"""The combinations in which a codec does not suit what travels beside updates and model."""

from __future__ import annotations

from federated.algorithms import Need
from federated.compressors import Trait
from federated.extension_points.clashes.statements import (
    ALGORITHM,
    DOWNLINK,
    DOWNLINK_BESIDE,
    UPLINK,
    UPLINK_BESIDE,
    Clash,
    Side,
)

OF_WHAT_IS_BESIDE = (
    Clash(
        (
            Side(ALGORITHM, Need.UNBIASED_BESIDE),
            Side(UPLINK_BESIDE, Trait.UNBIASED, False),
            Side(UPLINK_BESIDE, Trait.WHOLE_MODEL, False),
        ),
        "its clients also send vectors whose mean every client's steps rest on, and what this codec makes of them is "
        "not right in the mean; state compression.uplink_beside: none, or an unbiased codec such as qsgd(8)",
    ),
    Clash(
        (Side(ALGORITHM, Need.UNBIASED_BESIDE), Side(UPLINK_BESIDE, Trait.EXPANDS)),
        "its clients also send vectors and make up in the next round for what was lost of them, of which this codec "
        "loses more than there is, so that it would grow without end; state compression.uplink_beside: none or qsgd(8)",
    ),
    Clash(
        (Side(UPLINK_BESIDE, Trait.DIFFERENCE), Side(UPLINK, Trait.DIFFERENCE, False)),
        "difference is for the downlink alone",
    ),
    Clash(
        (Side(UPLINK_BESIDE, Trait.VOTES), Side(UPLINK, Trait.VOTES, False)),
        "signs of size one are votes for the model, and no vector could be read from them",
    ),
    Clash(
        (
            Side(DOWNLINK_BESIDE, Trait.WHOLE_MODEL, False),
            Side(DOWNLINK_BESIDE, Trait.DIFFERENCE, False),
        ),
        "clients hear whole vectors, which it would damage; use none, float16 or bfloat16",
    ),
    Clash(
        (Side(DOWNLINK_BESIDE, Trait.DIFFERENCE), Side(DOWNLINK, Trait.DIFFERENCE, False)),
        "the server does not know which vector a client has from before; use none, float16 or bfloat16",
    ),
)
"""Rows as in `CLASHES`."""
