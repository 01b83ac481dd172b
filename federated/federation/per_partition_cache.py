"""A cache for values that depend only on the data and its partition."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from federated.federation.federation import Federation

P = ParamSpec("P")
T = TypeVar("T")

_MOST_KEPT = 64


def once_per_partition(
    make: Callable[Concatenate[Federation, P], T],
) -> Callable[Concatenate[Federation, P], T]:
    """Keep what `make` returns by data set, digests and other arguments, for the last 64 of them.

    The name of the data set says how it is preprocessed, which its digest does not. Not by the federation
    itself, which would be held in memory with its examples.
    """
    kept: OrderedDict[object, T] = OrderedDict()

    @wraps(make)
    def remembered(federation: Federation, /, *args: P.args, **kwargs: P.kwargs) -> T:
        data = (federation.examples.name, federation.data_digest)
        key = (data, federation.partition_digest, federation.names, args, tuple(sorted(kwargs.items())))
        if key not in kept:
            kept[key] = make(federation, *args, **kwargs)
            if len(kept) > _MOST_KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]

    return remembered
