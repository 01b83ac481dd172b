"""An algorithm whose clients keep layers of their own, found once the model is there."""

from __future__ import annotations

from collections.abc import Callable, Collection

from federated.algorithms.algorithm import Algorithm, ClientHalf
from federated.algorithms.holdings import Holdings
from federated.compressors.parts import Layout

Find = Callable[[Holdings], Collection[str]]
"""The names of the parameters and running statistics that stay. Raises ValueError where they do not suit the model."""


def keeping(algorithm: Algorithm, find: Find) -> Algorithm:
    """The algorithm, at each of whose clients stays what is found in the run's model."""

    def fit(holdings: Holdings) -> Algorithm:
        found = find(holdings)
        return algorithm._replace(client=algorithm.client._replace(stays=lambda layout: found))

    return algorithm._replace(client=ClientHalf(stays=_not_known_yet), fit=fit)


def _not_known_yet(layout: Layout) -> Collection[str]:
    return ()
