"""Participation by name: laws by which the cohort of a round is drawn. The registry is the table of contents."""

from collections.abc import Callable

from federated.participation.in_turn import in_turn
from federated.participation.participation import (
    Cohort,
    Memory,
    Numbers,
    Participation,
    Population,
    SamplingLaw,
    all_heard,
)
from federated.participation.poisson import poisson
from federated.participation.uniform import uniform
from federated.participation.unreliable import unreliable

PARTICIPATION: dict[str, Callable[..., Participation]] = {
    "uniform": uniform,
    "poisson": poisson,
    "in_turn": in_turn,
    # made of another
    "unreliable": unreliable,
}

__all__ = [
    "PARTICIPATION",
    "Cohort",
    "Memory",
    "Numbers",
    "Participation",
    "Population",
    "SamplingLaw",
    "all_heard",
]
