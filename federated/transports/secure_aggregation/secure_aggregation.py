"""Secure aggregation: the server reads the sum of a cohort's updates and nothing of any one."""

from __future__ import annotations

from functools import partial
from typing import Literal

from federated.compressors import Compressor
from federated.foundation.scales import check_scale
from federated.transports.secure_aggregation.exchange import (
    Options,
    checked,
    exchange,
    foreseen,
    given_up,
)
from federated.transports.secure_aggregation.fixed_point import fixed_point
from federated.transports.secure_aggregation.terms import doubts_of, survivors_for
from federated.transports.transport import Protocol, Transport

_FEWEST_BITS, _USUAL_BITS, _MOST_BITS = 2, 16, 28


def secure_aggregation(
    clip: float | None = None,
    bits: int | None = None,
    threshold: float = 2 / 3,
    neighbours: int | None = None,
    lost_after: Literal["keys", "sharing"] = "sharing",
    silent: float = 0.0,
) -> Transport:
    """Updates under masks that cancel in the sum, which is all that the server reads (Bonawitz et al. 2017).

    clip, bits: each number of an update is held within +-clip and rounded at random to so many bits (null: 16), so that
        sums are exact; left out with a privacy mechanism that rounds, as distributed_gaussian does. With
        cohort.weighting: examples each client multiplies these integers by its number of examples, which all may know,
        and the sum takes as many more bits.
    threshold: the share of the cohort, and of a client and its neighbours, of which more must stay to the end; no sum
        of fewer than three clients is opened. A round of which fewer stay is lost: the model learns nothing.
    neighbours: with how many others, fewer than the cohort has, each client shares masks, with a warning before the run
        where those are few; null: with all in cohorts of up to 50 clients, and in larger ones with as many as Bell et
        al. 2020 need where one client in five is on the server's side and one in ten drops out.
    lost_after: the step after which clients that the sampling loses are gone.
    silent: the share of those heard that drop out after they sent their masked update.
    """
    if clip is not None:
        check_scale("clip", clip)
        bits = _USUAL_BITS if bits is None else bits
    elif bits is not None:
        raise ValueError(
            "bits has no effect without clip; state both, or neither with a mechanism that rounds"
        )
    if bits is not None and not _FEWEST_BITS <= bits <= _MOST_BITS:
        raise ValueError(f"bits must be from {_FEWEST_BITS} to {_MOST_BITS}, got {bits}")
    if not 0.5 <= threshold < 1:
        raise ValueError(f"threshold must be from 0.5 to below 1, got {threshold}")
    if neighbours is not None and neighbours < 2:
        raise ValueError(f"neighbours must be at least 2, got {neighbours}")
    if not 0 <= silent < 1:
        raise ValueError(f"silent must be from 0 to below 1, got {silent}")
    options = Options(bits, threshold, neighbours, lost_after, silent)

    codec = None if clip is None or bits is None else fixed_point(clip, bits)
    return Transport(reveals="sum", protocol=_protocol(options, codec))


def _protocol(options: Options, codec: Compressor | None) -> Protocol:
    return Protocol(
        codec,
        partial(exchange, options),
        partial(checked, options),
        partial(foreseen, options),
        least=lambda clients: survivors_for(clients, options.threshold),
        doubts=lambda clients: doubts_of(clients, options.threshold, options.neighbours),
        adding=lambda other, modulus, size, clients: _protocol(
            options._replace(modulus=modulus, size=size, clients=clients), other
        ),
        given_up=partial(given_up, options),
        weighs=options.modulus is None,
    )
