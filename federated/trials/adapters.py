"""The low-rank adapters of a run's model, and the refusal of a rule for adapters that it cannot have."""

from __future__ import annotations

import math

from federated.aggregators import Aggregator
from federated.aggregators.lora.adapters import Adapter, adapters_of
from federated.algorithms.travelling import Travelling
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.models.flat_model import FlatModel


def adapters_in(config: RunConfig, model: FlatModel, moves: Travelling) -> tuple[Adapter, ...]:
    """The adapters of which both factors travel. Raises BadInput where the aggregator needs others than there are."""
    moving = {name for name, _ in moves.layout}
    found = tuple(
        adapter
        for adapter in adapters_of(model.layout, model.factors, _residuals(model))
        if {adapter.name_a, adapter.name_b} <= moving
    )
    rule: Aggregator = config.aggregator.build()
    if rule.of_products is not None and config.kind.has_server:
        _check(config, model, found, beside=rule.beside)
    return found


def _check(config: RunConfig, model: FlatModel, found: tuple[Adapter, ...], *, beside: bool) -> None:
    label = f"aggregator: {config.aggregator.label()}"
    factors = [name for name, _ in model.layout if name in model.factors]
    if not factors:
        raise BadInput(
            f"{label} is for low-rank adapters, and the model has none of the form of peft's; state "
            "trained: lora(...), or give layers of your own base_layer, lora_A, lora_B and scaling"
        )
    travelling = {name for adapter in found for name in (adapter.name_a, adapter.name_b)}
    if missing := [name for name in factors if name not in travelling]:
        raise BadInput(
            f"{label} needs both factors of each adapter of every client, and of {missing[0]} the other one is frozen, "
            "or one stays at clients: where nobody moves A, the mean is exact already; state aggregator: mean"
        )
    if beside and (plain := [adapter.layer for adapter in found if adapter.beside is None]):
        raise BadInput(
            f"{label} adds matrices beside the weights of dense layers, and {plain[0]} is none; use lora_svd, or other "
            "targets"
        )


def _residuals(model: FlatModel) -> list[tuple[str, tuple[int, ...], int]]:
    at, found = model.num_sendable, list[tuple[str, tuple[int, ...], int]]()
    for name, shape in model.residuals:
        found.append((name, shape, at))
        at += math.prod(shape)
    return found
