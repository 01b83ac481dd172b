"""The report of one round, and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from federated.config.run import RunConfig
from federated.machine.cores import runs_at_a_time
from federated.machine.meters import Used
from federated.metrics import Metrics
from federated.run.memory import PRIVACY
from federated.run.state import RunState


@dataclass(frozen=True)
class RoundReport:
    """The results of one round. communication, drift: metrics of both directions and of the updates, as logged.

    adapters: metrics of what averaging low-rank adapters loses.
    canaries: metrics of what they sent. loss: None where no client was heard. lost_clients: None where none can be.
    zeroed_clients: whose update was not finite and counted as zeros; None where that would end the run. lost: whether
    the sum stayed closed, so that no client was heard; None where that cannot be. bounded: how many gradients of single
    examples were longer than their bound, of how many; None in plain steps.
    """

    round: int
    loss: float | None
    cohort_clients: int
    cohort_examples: int
    update_norm: float | None
    drift: Metrics
    communication: Metrics
    clipped_clients: int
    training_seconds: float
    compression_seconds: float
    aggregation_seconds: float
    lost_clients: int | None = None
    zeroed_clients: int | None = None
    canaries: Mapping[str, float] = field(default_factory=dict)
    lost: bool | None = None
    bounded: tuple[int, int] | None = None
    adapters: Mapping[str, float] = field(default_factory=dict)

    def metrics(self, state: RunState) -> Metrics:
        """The report under the names of mlflow/README.md; `state` is the one after the round."""
        return {
            **({} if self.loss is None else {"train/loss": self.loss}),
            "train/cohort_clients": self.cohort_clients,
            "train/cohort_examples": self.cohort_examples,
            **({} if self.lost_clients is None else {"train/lost_clients": self.lost_clients}),
            **({} if self.lost is None else {"train/round_lost": int(self.lost)}),
            **({} if self.update_norm is None else {"train/update_norm": self.update_norm}),
            **self.drift,
            **self.adapters,
            **self.communication,
            "communication/uplink_bytes_total": state.uplink_bytes,
            "communication/downlink_bytes_total": state.downlink_bytes,
            "privacy/clipped_clients": self.clipped_clients,
            **({} if self.zeroed_clients is None else {"privacy/zeroed_clients": self.zeroed_clients}),
            **_bounded_share(self.bounded),
            **_adaptive_norm(state),
            **self.canaries,
            "system/training_seconds": self.training_seconds,
            "system/compression_seconds": self.compression_seconds,
            "system/aggregation_seconds": self.aggregation_seconds,
        }


def _bounded_share(bounded: tuple[int, int] | None) -> Metrics:
    """The share of examples whose gradient was bounded, where a round has any in private steps."""
    return {"privacy/clipped_examples": bounded[0] / bounded[1]} if bounded and bounded[1] else {}


def _adaptive_norm(state: RunState) -> Metrics:
    """The norm that a privacy mechanism clips to from the next round on, where it remembers one."""
    norm = state.server.get(PRIVACY, {}).get("norm")
    return {} if norm is None or norm.numel() != 1 else {"privacy/norm": float(norm)}


def used_metrics(config: RunConfig, device: torch.device, used: Used) -> Metrics:
    """What a round has used of this machine, for the bill; {} where processes of Ray train, which it does not see.

    A GPU that several runs share is each one's for its part of the time.
    """
    if config.engine.scale_out is not None:
        return {}
    return {
        "system/processor_seconds": used.processor_seconds,
        **({"system/gpu_seconds": used.seconds / runs_at_a_time()} if device.type == "cuda" else {}),
        **({} if used.joules is None else {"system/energy_joules": used.joules}),
    }
