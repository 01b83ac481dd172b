"""The downlink as the difference to what clients already have."""

from __future__ import annotations

from federated.compressors.compressor import Compressor
from federated.compressors.traits import Trait


def difference(inner: Compressor) -> Compressor:
    """Broadcast the model as its difference to the one that clients hold, compressed with `inner`.

    For the downlink; `federated.wire.downlink` says who gets what. What a round loses is part of the next round's
    difference, so no error feedback is needed (Tang et al. 2019, "DoubleSqueeze", keep the same error at the
    server). Raises ValueError where `inner` keeps what it lost as well, or loses more than it is given.
    """
    if inner.traits & {Trait.FEEDBACK, Trait.DIFFERENCE}:
        raise ValueError("inner must not be error_feedback or difference: what was lost would be sent twice")
    if Trait.EXPANDS in inner.traits:
        raise ValueError(
            "inner must lose less than the whole difference, or clients drift away from the model: "
            "use random_k(..., unbiased=false)"
        )
    return inner._replace(
        traits=inner.traits | {Trait.DIFFERENCE},
        parts=None,
        fit=inner.fit and (lambda layout: difference(inner.fitted(layout))),
    )
