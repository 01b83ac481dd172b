"""The trial of adapters: with them a model must answer as with their products in its weights, as it is logged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from federated.foundation.randomness import Purpose, torch_seeded
from federated.models.adapted.adapters import adapters_in
from federated.models.flat_model import copied
from federated.trained.merged import merged

_SHARE = 0.02  # of what adapters change in the outputs
_ROUNDING = 100  # times the type's precision, as a share of the outputs


def not_mergeable(module: nn.Module, sample: Tensor) -> str | None:
    """The first layer whose adapter is not what is added to its weight, in evaluation; None where there is none.

    sample: a few ready inputs. Factors are random, as a new adapter changes nothing. The module stays as it is.
    """
    layers = [name for name, layer in adapters_in(module).items() if hasattr(layer, "get_delta_weight")]
    if not layers or _alike(module, layers, sample):
        return None
    return next((name for name in layers if not _alike(module, [name], sample)), layers[0])


def _alike(module: nn.Module, layers: Sequence[str], sample: Tensor) -> bool:
    """Whether the outputs are the same, but for rounding and for what differs between two calls."""
    probe = copied(module).eval()
    before = _outputs(probe, sample)
    for number, name in enumerate(layers):
        _move(probe.get_submodule(name), number)
    found, again = _outputs(probe, sample), _outputs(probe, sample)
    whole = _outputs(merged(copied(probe))[0], sample)
    changed, noise, away = ((found - other).norm() for other in (before, again, whole))
    rounding = _ROUNDING * torch.finfo(found.dtype).eps * found.norm()
    return not bool(away > _SHARE * changed + rounding + noise)  # nor where outputs are not finite


def _outputs(module: nn.Module, sample: Tensor) -> Tensor:
    with torch.no_grad(), torch_seeded(0, Purpose.TRAINED_PART):
        outputs: Tensor = copied(module)(sample.clone())
    return outputs.detach()


def _move(adapter: Any, number: int) -> None:
    """Make the product of an adapter's factors about as large as the weight, where B can be trained."""
    random = torch.Generator().manual_seed(number)
    with torch.no_grad():
        trained = [each for each in adapter.lora_B.parameters() if each.requires_grad]
        for factor in trained:
            factor.copy_(torch.randn(factor.shape, generator=random))
        size = adapter.get_delta_weight("default").norm()
        for factor in trained:
            factor.mul_((adapter.base_layer.weight.norm() or 1) / size if size else 1)
