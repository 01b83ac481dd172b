"""The parts of a run, built from its choices and fitted to its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from federated.aggregators import Aggregator
from federated.aggregators.lora.adapters import Adapter
from federated.aggregators.lora.ranks import Ranks
from federated.algorithms import Algorithm
from federated.algorithms.travelling import Travelling
from federated.compressors import Compressor
from federated.participation import Participation
from federated.privacy import Privacy
from federated.transports import Transport

CodecOf = Callable[[str, int], Compressor]


class Parts(NamedTuple):
    """The parts of a round besides local training. travelling: the parameters sent; clients keep the others.

    uplink_beside, downlink_beside: (name, length) -> the codec of such a vector beside the update or the model.
    adapters: the low-rank adapters of which both factors travel. ranks: those of the clients; None where all have one.
    """

    algorithm: Algorithm
    aggregator: Aggregator
    participation: Participation
    privacy: Privacy
    uplink: Compressor
    transport: Transport
    downlink: Compressor
    travelling: Travelling
    uplink_beside: CodecOf
    downlink_beside: CodecOf
    adapters: tuple[Adapter, ...] = ()
    ranks: Ranks | None = None

    @property
    def with_plain_sum(self) -> Parts:
        """The same, in which the server gets the sum of what a protocol would add up without its messages."""
        return self._replace(transport=self.transport._replace(protocol=None))
