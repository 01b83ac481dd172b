"""The parts of a run, built from its choices and fitted to its model."""

from __future__ import annotations

from typing import NamedTuple

from federated.aggregators import Aggregator
from federated.algorithms import Algorithm
from federated.algorithms.travelling import Travelling
from federated.compressors import Compressor
from federated.participation import Participation
from federated.privacy import Privacy
from federated.transports import Transport


class Parts(NamedTuple):
    """The parts of a round besides local training. travelling: the parameters sent; clients keep the others."""

    algorithm: Algorithm
    aggregator: Aggregator
    participation: Participation
    privacy: Privacy
    uplink: Compressor
    transport: Transport
    downlink: Compressor
    travelling: Travelling
