"""The last blocks and what follows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from federated.trained.head import stated_head
from federated.trained.part import TrainedPart, is_within, train_only

_CURE = (
    "give the model an attribute `blocks`, the name of the module that holds them, or name what is trained: "
    'pattern(["layer4.*", "head.*"])'
)


def last(n: int = 1) -> TrainedPart:
    """The last n blocks and all that follows them, the head included.

    The blocks are the children of the module `blocks` of a model, or of the one that its attribute `blocks` names; else
    layers of one kind that stand in lists (nn.ModuleList, nn.Sequential): of several kinds those that have layers of
    their own, and of these the most. What follows is what the model makes after them. The blocks below run once for
    each example, see `engine.cache_features`.

    n: number of blocks.

    Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", unfreeze a model from its
    last layer on, one by one; Lee, Tang and Lin 2019, "What Would Elsa Do? Freezing Layers During Transformer
    Fine-Tuning", how many are enough.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}; head trains what follows the blocks alone")
    return partial(_from_block, n=n)


def _from_block(module: nn.Module, n: int) -> nn.Module:
    blocks = blocks_of(module)
    if n > len(blocks):
        raise ValueError(
            f"n {n}: the model has {len(blocks)} blocks, {blocks[0]} to {blocks[-1]}; at most {len(blocks)} are allowed"
        )
    names = [name for name, _ in module.named_parameters()]
    first = next((at for at, name in enumerate(names) if is_within(name, blocks[-n])), None)
    if first is None:
        raise ValueError(f"{blocks[-n]} has no parameters of its own, but those of another layer: {_CURE}")
    head = stated_head(module)
    after = [
        name for at, name in enumerate(names) if at >= first or any(is_within(name, layer) for layer in head)
    ]
    return train_only(module, after)


def blocks_of(module: nn.Module) -> list[str]:
    """The names of a model's blocks, in order. Raises ValueError where it has none, or none can be told."""
    stated: Any = getattr(module, "blocks", None)
    if isinstance(stated, nn.Module):
        return _children("blocks", stated)
    if stated is not None:
        if not isinstance(stated, str) or stated not in dict(module.named_modules()):
            raise ValueError(f"blocks of the model must name one of its modules, got {stated!r}")
        return _children(stated, module.get_submodule(stated))
    groups: dict[type[nn.Module], list[str]] = {}
    for name, part in _listed(module):
        groups.setdefault(type(part), []).append(name)
    modules = dict(module.named_modules())
    several = [names for names in groups.values() if len(names) > 1]
    if not several:
        raise ValueError(f"the model has no blocks, layers of one kind in a list: {_CURE}")
    return max(several, key=lambda names: (_has_layers(modules[names[0]]), len(names)))


def _children(name: str, holder: nn.Module) -> list[str]:
    found = [f"{name}.{child}" for child, part in holder.named_children() if _has_parameters(part)]
    if not found:
        raise ValueError(f"the blocks of the model, {name}, are none with parameters")
    return found


def _listed(module: nn.Module, at: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers with parameters that stand in a list with others of their kind, by name, from the outside in.

    Layers that hold others may have some of another kind beside them, such as the first convolution.
    """
    parts = {
        f"{at}.{name}".lstrip("."): part for name, part in module.named_children() if _has_parameters(part)
    }
    kinds = Counter(map(type, parts.values()))
    is_list = isinstance(module, nn.ModuleList | nn.Sequential)
    for name, part in parts.items():
        alone = len(kinds) == 1 or _has_layers(part)
        if is_list and alone and kinds[type(part)] > 1:
            yield name, part
        else:
            yield from _listed(part, name)


def _has_layers(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _has_parameters(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())
