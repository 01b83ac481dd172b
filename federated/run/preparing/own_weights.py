"""The weights that a model of a person's own starts from beside random numbers, as its code read them from a file."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from federated.config.run import RunConfig
from federated.machine.tensors.digest import digest_of_tensors
from federated.models.flat_model import FlatModel
from federated.trials import flat_model
from federated.user_code.containment import is_own, own_code_named

_OTHER = 1


def own_weights(
    config: RunConfig, model: FlatModel, inputs: Tensor, outputs: tuple[int, ...]
) -> Mapping[str, str]:
    """`model`: the content address of what the run key does not say about its own model; empty where there is nothing.

    That is all that is frozen, and what is trained from values that no random number changes: as a file has them, so
    they must not only be alike all over, as zeros are. model: the run's before training. outputs: the shape of one
    example's. Raises OwnCodeFailed where the model cannot be made again.
    """
    if not is_own(config.model):
        return {}
    with own_code_named(config):
        other = _state(flat_model(config, inputs, outputs, torch.device("cpu"), _OTHER).module)
    frozen = {name for name, each in model.module.named_parameters() if not each.requires_grad}
    found = {
        name: value
        for name, value in _state(model.module).items()
        if name in frozen or (_varies(value) and name in other and _equal(value, other[name]))
    }
    return {"model": digest_of_tensors(found)} if found else {}


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name; those too that a module leaves out of what it saves."""
    return {
        name: tensor.detach().cpu() for name, tensor in (*module.named_parameters(), *module.named_buffers())
    }


def _varies(value: Tensor) -> bool:
    flat = value.reshape(-1)
    return bool((flat != flat[:1]).any())


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
