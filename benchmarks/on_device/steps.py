"""The steps in their order: what is cheap and what decides most come first."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from benchmarks.on_device.given import Measure


class Step(NamedTuple):
    """name: in the results. made_by: module and function that measure it, imported in the step's own process, so that
    what cannot be imported fails there alone; an argument may follow. seconds: the most that it may take."""

    name: str
    made_by: str
    seconds: float
    argument: str = ""

    def measure(self) -> Measure:
        """The function. Raises ImportError where the machine lacks a package."""
        module, _, function = self.made_by.partition(":")
        found = getattr(importlib.import_module(f"benchmarks.on_device.{module}"), function)
        made: Measure = found(self.argument) if self.argument else found
        return made


STEPS = (
    Step("facts", "rates:facts", 60),
    Step("W3", "training:workload", 60, "W3"),
    Step("W1", "training:workload", 70, "W1"),
    Step("tests", "tests:cuda_tests", 110),
    Step("cifar10", "training:cifar10", 120),
    Step("study", "small_runs:study", 60),
    Step("W4", "training:workload", 60, "W4"),
    Step("W2", "training:workload", 90, "W2"),
)
