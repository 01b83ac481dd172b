"""The interface of a privacy mechanism, which changes a cohort's updates before they are encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Privacy(NamedTuple):
    """A mechanism on the clients' side, pure.

    clip: updates [C, P] -> (bounded updates [C, P], whether each client's update was changed, bool [C]); None: updates
        leave the client as they are.
    """

    clip: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
