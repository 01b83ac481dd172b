"""The interface of a transport: the form in which updates travel, and how much of them the server can read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np


class Sending(NamedTuple):
    """The occasion on which payloads are sent.

    seed: of the run. done: rounds before this one. clients: int64 [c], whose payloads they are, in order. cohort: all
    clients that are heard in this round, int64, rising.
    """

    seed: int
    done: int
    clients: np.ndarray
    cohort: np.ndarray


class Transport(NamedTuple):
    """A transport of payloads from clients to the server, pure.

    protect: (a payload of each client, Sending) -> as they travel, one for each. Their bytes are those that count.
    open: (payloads as they travelled, Sending) -> what the codec decodes: one for each, which is what was protected;
        or, where only the sum can be read, a single one for the whole cohort, which decodes to the sum.
    reveals: what the server can read: each payload, or the sum alone.
    """

    protect: Callable[[Sequence[bytes], Sending], list[bytes]]
    open: Callable[[Sequence[bytes], Sending], list[bytes]]
    reveals: Literal["each", "sum"] = "each"
