"""The contract of a rule by which examples are held out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from federated.examples.examples import Examples

SetName = Literal["test", "client", "validation"]
"""What is held out: the central test set, a client's own held-out share, its share for choosing."""

Split = Callable[[np.ndarray, float, SetName, np.random.Generator], np.ndarray]
"""(examples int64 [n] in rising order, share, which set, random numbers) -> those to hold out, bool [n].

Called once for the central test set and once for each client and each of its shares; some are left to train on.
"""


class FittedRule(NamedTuple):
    """A rule that knows its data set.

    units: int [N], equal where examples must be on one side of every split; None where each may be alone.
    """

    split: Split
    units: np.ndarray | None = None


class HoldoutRule(NamedTuple):
    """A rule by which examples are held out.

    fitted: (data set; a number for each example, int64 [N], equal where copies stay together, or None) -> the rule
        for it. Raises ValueError where the data set does not have what the rule needs.
    states: the sets whose examples the rule names itself, so that no share is stated for them.
    columns: the columns that it reads.
    is_random: examples are drawn alike, whatever is known of them.
    """

    fitted: Callable[[Examples, np.ndarray | None], FittedRule]
    states: frozenset[SetName] = frozenset()
    columns: tuple[str, ...] = ()
    is_random: bool = False
