"""The low-rank adapters of a model after a round: the error of averaging their factors, and what rules make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from federated.aggregators.lora.adapters import Adapter
from federated.aggregators.lora.factors import Factors, added, norm, shortened
from federated.aggregators.lora.layer import Layer, Made
from federated.algorithms import Tensors
from federated.foundation.randomness import Purpose, generator
from federated.metrics import Metrics
from federated.run.memory import ADAPTERS
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.shards.report import ShardReport
from federated.wire.residuals import packed, remembered, unpacked

_METRICS = {"error": "train/lora_error", "discarded": "train/lora_discarded"}
_NEW_ADAPTER = 3
"""A key of random numbers that no other has."""


def with_adapters(
    setup: Setup, state: RunState, update: Tensor, reports: Sequence[ShardReport]
) -> tuple[Tensor, Tensors]:
    """(the update [P] in which the aggregator's rule has replaced the means of factors, the memory of adapters).

    update: the mean, float64. The error of that is measured with any rule, as a share of the mean product, over all
    layers; 0 where that is zero.
    """
    memory = state.server.get(ADAPTERS, {})
    if reports and _are_halves(setup):
        return update, _numbers({"error": 0.0})
    if not reports or not reports[0].products:
        return update, memory
    adapters, rule = setup.parts.adapters, setup.parts.aggregator.of_products
    layers = list(_layers(state, update, adapters, reports))
    measured = {"error": _share([norm(each.error) for each in layers], [norm(each.exact) for each in layers])}
    if rule is None:
        return update, {**memory, **_numbers(measured)}
    made = [rule(layer, _drawn(setup, state, at)) for at, layer in enumerate(layers)]
    if not setup.parts.aggregator.beside:
        lost, all_of_it = (
            sum(each.discarded for each in made),
            sum(each.kept + each.discarded for each in made),
        )
        measured["discarded"] = lost / all_of_it if all_of_it else 0.0
    after = _replaced(state, update, adapters, made)
    if not setup.parts.aggregator.beside:
        return after, _numbers(measured)
    payload = packed([each.beside for each in made if each.beside is not None])
    for adapter, matrix in zip(adapters, unpacked(payload, [_size(each) for each in adapters]), strict=True):
        assert adapter.beside is not None
        after[adapter.beside.at] = matrix.flatten().double()
    return after, {**remembered(memory, payload, setup.model.num_residual), **_numbers(measured)}


def adapter_metrics(state: RunState) -> Metrics:
    """What was measured in the round that led to the state."""
    found = state.server.get(ADAPTERS, {})
    return {metric: float(found[name]) for name, metric in _METRICS.items() if name in found}


def _are_halves(setup: Setup) -> bool:
    """Whether one factor of each adapter is frozen, so that the mean of the other one is the mean of the products.

    Not where one is trained and stays at its client: the products of clients have factors of their own each.
    """
    parts = setup.parts
    trained, moving = (
        {name for name, _ in layout if name in setup.model.factors}
        for layout in (setup.model.layout, parts.travelling.layout)
    )
    averages = parts.aggregator.linear and parts.algorithm.clusters is None
    return averages and not parts.adapters and bool(moving) and moving == trained


def _layers(
    state: RunState, update: Tensor, adapters: Sequence[Adapter], reports: Sequence[ShardReport]
) -> Iterator[Layer]:
    before = state.parameters.cpu().double()
    for at, adapter in enumerate(adapters):
        of_shards = [Factors(*report.products[2 * at : 2 * at + 2]) for report in reports]
        (b, a), (mean_b, mean_a) = adapter.factors(before), adapter.factors(update)
        yield Layer(a, b, mean_a, mean_b, shortened(added(of_shards)))


def _drawn(setup: Setup, state: RunState, number: int) -> np.random.Generator:
    return generator(setup.config.seed, Purpose.INITIAL_PARAMETERS, _NEW_ADAPTER, state.round, number)


def _replaced(state: RunState, update: Tensor, adapters: Sequence[Adapter], made: Sequence[Made]) -> Tensor:
    """The update [P] that leads to the new factors."""
    after, before = update.clone(), state.parameters.cpu().double()
    for adapter, new in zip(adapters, made, strict=True):
        for part, value in ((adapter.a, new.a), (adapter.b, new.b)):
            after[part.at] = value.flatten() - before[part.at]
    return after


def _size(adapter: Adapter) -> tuple[int, int]:
    assert adapter.beside is not None
    rows, columns = adapter.beside.shape
    return rows, columns


def _share(parts: Sequence[float], wholes: Sequence[float]) -> float:
    """The norm over all layers as a share of another; 0 where that is zero."""
    whole = float(np.linalg.norm(wholes))
    return float(np.linalg.norm(parts)) / whole if whole else 0.0


def _numbers(measured: dict[str, float]) -> Tensors:
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in measured.items()}
