"""Batch normalisation of a model, and which of it is trained."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


def normalisations(module: nn.Module, *, by_place: bool) -> dict[str, tuple[_NormBase, bool]]:
    """Every layer of batch normalisation by name, and whether it is trained: whether any of its parameters is.

    by_place: one without parameters is trained where the part whose outputs it normalises is trained wholly. That is
    the nearest with parameters before it in the innermost module that has any, or else after it. False: always.
    """
    return {
        name: (layer, _is_trained(module, name, layer, by_place=by_place))
        for name, layer in module.named_modules()
        if isinstance(layer, _NormBase)
    }


def running_statistics(module: nn.Module, *, by_place: bool) -> dict[str, Tensor]:
    """Running means and variances of the batch normalisation that is trained, by name."""
    return {
        f"{at}.{name}".lstrip("."): statistic
        for at, (layer, is_trained) in normalisations(module, by_place=by_place).items()
        if is_trained
        for name, statistic in (("running_mean", layer.running_mean), ("running_var", layer.running_var))
        if statistic is not None
    }


def _is_trained(module: nn.Module, name: str, layer: _NormBase, *, by_place: bool) -> bool:
    if layer.affine:
        return any(parameter.requires_grad for parameter in layer.parameters())
    path = name.split(".") if name else []
    for depth in reversed(range(len(path) if by_place else 0)):
        if near := _beside(module.get_submodule(".".join(path[:depth])), path[depth]):
            return all(near)
    return True


def _beside(owner: nn.Module, child: str) -> list[bool]:
    """Which parameters are trained of the nearest part with any before this child, or after it, or of the owner."""
    names = list(owner._modules)
    at = names.index(child)
    parts = [owner._modules[name] for name in (*names[:at][::-1], *names[at + 1 :])]
    of_each = [[each.requires_grad for each in part.parameters()] for part in parts if part is not None]
    own = [each.requires_grad for each in owner.parameters(recurse=False)]
    return next(filter(None, (*of_each, own)), [])
