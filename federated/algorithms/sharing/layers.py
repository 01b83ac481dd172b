"""The choice of layers of a model: by name, by a pattern of names, or by kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from federated.algorithms.holdings import Holdings
from federated.compressors.parts import Layout

KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "batch_norm": (_BatchNorm,),
    "instance_norm": (_InstanceNorm,),
    "layer_norm": (nn.LayerNorm,),
    "group_norm": (nn.GroupNorm,),
    "linear": (nn.Linear,),
    "convolution": (_ConvNd,),
    "embedding": (nn.Embedding, nn.EmbeddingBag),
    "recurrent": (nn.RNNBase, nn.RNNCellBase),
}
"""Kind of layer -> torch's modules, and those that inherit from them."""


def chosen(
    field: str,
    layers: Sequence[str] | None,
    holdings: Holdings,
    otherwise: str = "nothing would be learnt together",
) -> frozenset[str]:
    """The names of all parameters and running statistics of these layers.

    layers: each the name of a layer or parameter as in `named_parameters()`, such as head; a pattern of such names,
    such as `block*.norm` or `head.*`; or a kind of `KINDS`, such as batch_norm, where no layer has this name. None: the
    last layer with trainable parameters. otherwise: what it would come to if they were the whole model. Raises
    ValueError, which names the field, where they are, one of them is not in the model, or none is named.
    """
    names = [name for name, _ in holdings.layout]
    if layers is not None and not layers:
        raise ValueError(f"{field}: [] names no layer; leave it out for the last layer")
    wanted = [_last(field, names, holdings.model)] if layers is None else layers
    every = [*names, *(name for name, _ in holdings.statistics)]
    found: set[str] = set()
    for layer in wanted:
        found |= _of(field, layer, every, holdings)
    if found.issuperset(names):
        raise ValueError(
            f"{field}: {', '.join(wanted)} is {_all_of(holdings)}, so {otherwise}; its parameters: {', '.join(names)}"
        )
    return frozenset(found)


def _all_of(holdings: Holdings) -> str:
    every = all(parameter.requires_grad for parameter in holdings.model.parameters())
    return "the whole model" if every else "all of the model that is trained"


def _last(field: str, names: Sequence[str], model: nn.Module) -> str:
    """The last layer with trainable parameters. Raises ValueError where a weight of it is that of another layer too."""
    layer = names[-1].rpartition(".")[0]
    held = model.get_submodule(layer).named_parameters(layer, remove_duplicate=False, recurse=False)
    if tied := [name for name, value in held if value.requires_grad and name not in names]:
        raise ValueError(
            f"{field}: {', '.join(tied)} of the last layer, {layer}, is a parameter of another layer too, so the two "
            f"cannot be told apart; name the layers; the model's parameters: {', '.join(names)}"
        )
    return layer or names[-1]


def others(names: Collection[str], holdings: Holdings) -> frozenset[str]:
    """The names of all other parameters and running statistics."""
    every = {name for name, _ in (*holdings.layout, *holdings.statistics)}
    return frozenset(every.difference(names))


def of_kind(kind: str, model: nn.Module, names: Collection[str]) -> frozenset[str]:
    """Those of these names that are of layers of a kind, also of their parts."""
    layers = [name for name, module in model.named_modules() if isinstance(module, KINDS[kind])]
    return frozenset(name for name in names if any(not layer or _within(name, layer) for layer in layers))


def parameters_among(field: str, names: Collection[str], layout: Layout) -> frozenset[str]:
    """Those of these names that are parameters. Raises ValueError, which names the field, where none are."""
    if found := frozenset(name for name, _ in layout if name in names):
        return found
    raise ValueError(f"{field}: {', '.join(sorted(names))}: there is no parameter among these to train")


def _of(field: str, layer: str, every: Sequence[str], holdings: Holdings) -> frozenset[str]:
    """The names of one entry. Raises ValueError where there are none."""
    if named := frozenset(name for name in every if any(fnmatchcase(part, layer) for part in _parts(name))):
        return named
    if layer not in KINDS:
        raise ValueError(
            f"{field}: the model has no layer {layer!r}; its parameters: "
            f"{', '.join(name for name, _ in holdings.layout)}; kinds of layers: {', '.join(KINDS)}"
        )
    if found := of_kind(layer, holdings.model, every):
        return found
    raise ValueError(f"{field}: the model has no layer of the kind {layer}")


def _parts(name: str) -> Iterator[str]:
    """The name itself and those of the layers that it is in: a.b.weight, a.b, a."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _within(name: str, layer: str) -> bool:
    return f"{name}.".startswith(f"{layer}.")
