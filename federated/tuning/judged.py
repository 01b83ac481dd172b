"""The examples by which a study judges, with any of its seeds, and a federation that has none of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NewType

import numpy as np

from data_partitioners.partition import Slices, flat_of, sliced
from federated.config.run import RunConfig
from federated.federation.federation import Federation, partition_clients, ready
from federated.foundation.errors import BadInput

Blind = NewType("Blind", Federation)
"""A federation in which a trial may train: no example of it judges. Only `without_judged` makes one."""

_JUDGING = ("test", "client", "unseen")
_LEAST_LEFT = 0.5


def judged_by(configs: Iterable[RunConfig]) -> dict[str, np.ndarray]:
    """By data digest, the examples int64 [n] that are in a judging set of any of these runs."""
    found: dict[str, list[np.ndarray]] = {}
    for federation in _federations(configs):
        sets = federation.held_out_sets()
        found.setdefault(federation.data_digest, []).extend(sets[name] for name in _JUDGING if name in sets)
    none = np.empty(0, np.int64)
    return {digest: np.unique(np.concatenate([none, *parts])) for digest, parts in found.items()}


def partitions_of(configs: Iterable[RunConfig]) -> list[str]:
    """The content addresses of who holds what in these runs, each once."""
    return sorted({federation.partition_digest for federation in _federations(configs)})


def _federations(configs: Iterable[RunConfig]) -> Iterator[Federation]:
    """Those of these runs, of runs that share one once, and as the data were loaded."""
    each = {
        (config.dataset_as_read, config.partitioner, config.clients, config.holdout, config.seed): config
        for config in configs
    }
    for config in each.values():
        yield partition_clients(config, fitted=False)


def without_judged(config: RunConfig, judged: Mapping[str, np.ndarray]) -> Blind:
    """The federation of a trial: what it trains on and chooses by, and no example that judges with any seed.

    Raises BadInput where this leaves less than half of what a run trains on, or chooses by: it would tune for another
    problem.
    """
    return Blind(ready(_without(config, judged)))


def check_left(config: RunConfig, judged: Mapping[str, np.ndarray]) -> None:
    """Raise BadInput as `without_judged` does."""
    _without(config, judged)


def _without(config: RunConfig, judged: Mapping[str, np.ndarray]) -> Federation:
    whole = partition_clients(config, fitted=False)
    out = np.zeros(len(whole.examples.targets), bool)
    out[_of_data(judged, whole)] = True
    nothing = Slices(np.empty(0, np.int64), np.zeros(len(whole.clients), np.int64))
    federation = replace(
        whole,
        clients=_outside(out, whole.clients),
        own_tuning=_outside(out, whole.own_tuning),
        own_validation=_outside(out, whole.own_validation),
        tuning_clients=_outside(out, whole.tuning_clients),
        own_held_out=nothing,
        unseen=(),
        unseen_names=(),
        test=np.empty(0, np.int64),
    )
    _check_enough(len(federation.training), len(whole.training), "train on", config)
    _check_enough(len(_choosing(federation)), len(_choosing(whole)), "choose by", config)
    check_blind(federation, judged)
    return federation


def _choosing(federation: Federation) -> np.ndarray:
    parts = (federation.own_tuning, federation.own_validation, federation.tuning_clients)
    return np.concatenate([flat_of(part) for part in parts])


def _check_enough(left: int, all_of_it: int, what_for: str, config: RunConfig) -> None:
    if left < _LEAST_LEFT * all_of_it:
        raise BadInput(
            f"tuning: {config.partitioner.label()} with these seeds judges by {1 - left / max(all_of_it, 1):.0%} of "
            f"the examples that a trial would {what_for}, so it would tune for another problem; fewer seeds, a smaller "
            "holdout.client, no unseen_clients, or clients of the data (by_client), which are the same for all seeds"
        )


def _of_data(judged: Mapping[str, np.ndarray], federation: Federation) -> np.ndarray:
    """The examples of these data that judge. Raises RuntimeError where nothing is known of them, as of other data."""
    if (found := judged.get(federation.data_digest)) is None:
        raise RuntimeError("a trial would read other data than any run of its study, or read them otherwise")
    return found


def check_blind(federation: Federation, judged: Mapping[str, np.ndarray]) -> None:
    """Raise RuntimeError where a trial would see an example that judges, which no code may come to."""
    sets = [federation.training, *federation.held_out_sets().values()]
    seen = np.concatenate([flat_of([each]) for each in sets])
    if leaked := np.intersect1d(seen, _of_data(judged, federation)).tolist():
        raise RuntimeError(f"a trial would see example {leaked[0]}, one of {len(leaked)} that judge")


def _outside(out: np.ndarray, held: Iterable[np.ndarray]) -> Slices:
    parts = [each[~out[each]] for each in held]
    return sliced(parts) if parts else Slices(np.empty(0, np.int64), np.zeros(0, np.int64))
