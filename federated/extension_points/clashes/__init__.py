"""Combinations that do not work: the statements of parts, and the table of those that clash."""

from federated.extension_points.clashes.adapters import OF_ADAPTERS
from federated.extension_points.clashes.beside import OF_WHAT_IS_BESIDE
from federated.extension_points.clashes.by_example import OF_SINGLE_EXAMPLES
from federated.extension_points.clashes.statements import States
from federated.extension_points.clashes.table import CLASHES

EVERY_CLASH = (*CLASHES, *OF_SINGLE_EXAMPLES, *OF_WHAT_IS_BESIDE, *OF_ADAPTERS)

__all__ = ["CLASHES", "EVERY_CLASH", "States"]
