"""The quantities of one run of an arm as they are foreseen, by the metrics of its bill."""

from __future__ import annotations

from federated.networks import SECONDS_TOTAL
from federated.run.setup import Setup
from federated.segments.used import data_sizes


def used_by(
    setup: Setup, rounds_seconds: float, core_seconds: float, network_seconds: float | None
) -> dict[str, float]:
    """Beside its bytes. rounds_seconds, core_seconds: of all rounds here. network_seconds: of a round there; None
    without one."""
    rounds, promise = setup.last_round, setup.promise
    epsilon = {} if promise is None else promise.metrics(rounds)
    on_gpu, seen = setup.inputs.device.type == "cuda", setup.config.engine.scale_out is None
    return {
        "bill/rounds": float(rounds),
        "bill/data_bytes": float(data_sizes(setup).sum()),
        **({"bill/core_seconds": core_seconds} if seen else {}),
        **({"bill/gpu_seconds": rounds_seconds} if on_gpu and seen else {}),
        **({} if network_seconds is None else {SECONDS_TOTAL: rounds * network_seconds}),
        **({"privacy/epsilon": epsilon["privacy/epsilon"]} if "privacy/epsilon" in epsilon else {}),
    }
