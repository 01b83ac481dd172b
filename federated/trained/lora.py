"""Low-rank adapters beside frozen layers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from torch import nn

from federated.foundation.texts import listed
from federated.models.adapted.adapters import adapters_in, factors_in
from federated.pretrained.folder import check_installed
from federated.trained.head import head_of
from federated.trained.part import TrainedPart
from federated.trained.suitable import check_suitable, is_dense, is_read_past

_QUERY_AND_VALUE = (
    {"query", "value"},
    {"q_proj", "v_proj"},
    {"q_lin", "v_lin"},
    {"q", "v"},
    {"query_key_value"},
    {"qkv"},
    {"c_attn"},
)
"""What the projections of queries and values are called, where attention has dense layers for them."""
_SHOWN = 8


class _Options(NamedTuple):
    rank: int
    alpha: float
    targets: tuple[str, ...] | None
    freeze: str | None
    head: bool


def lora(
    rank: int | list[int] = 8,
    alpha: float | None = None,
    targets: list[str] | None = None,
    freeze: Literal["A"] | None = None,
    head: bool = True,
) -> TrainedPart:
    """Low-rank adapters, by peft: beside the weight W of a frozen layer, alpha / rank times B A of this rank.

    A is drawn from the run's seed, the same in all arms of it, and B is zero, so that training begins with the model
    as it is. The head is trained besides, as it usually is new.

    rank: of the product; at most the smaller side of the layers. A list, such as [4, 8, 16]: clients have these ranks
        in turn, and the model the largest. Each has the first rows of A and columns of B; the rest is zero for it, is
        not trained and does not travel.
    alpha: with it the product counts alpha / rank times, for all clients by the largest rank; null: twice that.
    targets: dense layers and convolutions by name, by the end of their name, such as [query, value], or by a pattern of
        it, such as ["*.layer.1?.*.dense"]; null: the projections of queries and values where attention has such
        layers, else every dense layer but the head. Where they are in the last blocks alone, the blocks below run once
        for each example, see `engine.cache_features`.
    freeze: A: only B is trained and sent, half as much; A is what was drawn. For its mean there is no error, see
        `train/lora_error`, and with noise on what is sent no product of noises. null: both are trained.
    head: whether the head is trained in full besides.

    Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models"; with A frozen Sun et al. 2024, "Improving LoRA
    in Privacy-preserving Federated Learning" (FFA-LoRA). How the factors of several clients become one is the
    `aggregator`: by default A and B are averaged each for itself. torch's nn.MultiheadAttention reads its weights
    past its layers, so it takes no adapter. Models are logged with the products added to the weights.
    """
    check_installed("peft", "trained: lora")
    ranks = rank if isinstance(rank, list) else [rank]
    if not ranks or min(ranks) < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    if len(ranks) > 1 and freeze is not None:
        raise ValueError(
            f"freeze: {freeze}: with clients of different ranks, {ranks}, the other factor would be trained beyond a "
            "client's rank; leave one of the two out"
        )
    if alpha is not None and not alpha > 0:
        raise ValueError(f"alpha must be above 0, got {alpha:g}")
    if targets is not None and not targets:
        raise ValueError("targets must name a layer, got []; leave it out for queries and values")
    options = _Options(
        max(ranks), 2.0 * max(ranks) if alpha is None else alpha, _tuple(targets), freeze, head
    )
    return lambda module: _adapted(module, options)


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _adapted(module: nn.Module, options: _Options) -> nn.Module:
    last = _head(module) if options.head else []
    layers = _layers(module, options, last)
    trained = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    for name in layers:
        check_suitable(module, name, options.rank)
    module = _injected(module, layers, options)
    _through_their_layers(module)
    added = tuple(f"{layer}.lora_" for layer in layers)
    factors = {name for name in factors_in(module) if name.startswith(added)}
    frozen = f".lora_{options.freeze}." if options.freeze else None
    for name, parameter in module.named_parameters():
        is_factor = name in factors and (frozen is None or frozen not in name)
        parameter.requires_grad_(is_factor or (name in last and name in trained))
    return module


def _head(module: nn.Module) -> list[str]:
    try:
        return head_of(module)
    except ValueError as error:
        raise ValueError(f"{error}; with head: false the head is not trained") from error


def _layers(module: nn.Module, options: _Options, last: Collection[str]) -> list[str]:
    """The names of the layers that get an adapter. Raises ValueError where there are none."""
    names = [name for name, _ in module.named_modules()]
    if options.targets is not None:
        found = list(_named(names, options.targets))
        within = {name.rpartition(".")[0] for name in last}
        if among := [name for name in found if name in within]:
            raise ValueError(
                f"targets: {among[0]} is of the head, which is trained in full; leave it out, or state head: false"
            )
        return found
    within = _last_layers(module, last)
    dense = [
        name
        for name, layer in module.named_modules()
        if name and is_dense(layer) and name not in within and not is_read_past(module, name)
    ]
    for alike in _QUERY_AND_VALUE:
        if found := [name for name in dense if name.rpartition(".")[2] in alike]:
            return found
    if not dense:
        raise ValueError("the model has no dense layer beside its head; name targets, such as convolutions")
    return dense


def _last_layers(module: nn.Module, last: Collection[str]) -> set[str]:
    """The layers of the head, also of one that is not trained, or not by itself."""
    try:
        return {name.rpartition(".")[0] for name in last or head_of(module)}
    except ValueError:
        layers = [name for name, _ in module.named_modules() if name]
        return set(layers[-1:])


def _named(names: Sequence[str], targets: Sequence[str]) -> Iterator[str]:
    """The layers of these targets, each once, in the model's order. Raises ValueError where a target names none."""
    alike = {
        target: {name for name in names if fnmatchcase(name, target) or name.endswith(f".{target}")}
        for target in targets
    }
    for target, found in alike.items():
        if not found:
            raise ValueError(
                f"targets: no layer is named like {target!r}; there are {listed(filter(None, names), _SHOWN)}"
            )
    yield from (name for name in names if any(name in found for found in alike.values()))


def _injected(module: nn.Module, layers: Sequence[str], options: _Options) -> nn.Module:
    """The module with an adapter in the place of each of these layers, by peft."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import LoraConfig, inject_adapter_in_model  # takes seconds

        wanted = "|".join(map(re.escape, layers))
        config = LoraConfig(r=options.rank, lora_alpha=options.alpha, target_modules=wanted)
        adapted: nn.Module = inject_adapter_in_model(config, module)
    vars(adapted).pop("peft_config", None)
    return adapted


def _through_their_layers(module: nn.Module) -> None:
    """Keep torch's encoder from the shortcut that it takes in evaluation: it reads weights past adapters."""
    for encoder in module.modules():
        if not adapters_in(encoder):
            continue
        if isinstance(encoder, nn.TransformerEncoder):
            encoder.use_nested_tensor = False
        if isinstance(encoder, nn.TransformerEncoderLayer):
            encoder.activation_relu_or_gelu = 0
