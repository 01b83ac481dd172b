"""What a model is: a function of the input shape and the number of outputs that makes an untrained module."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from federated.errors import BadInput
from federated.own_code import explained
from federated.randomness import Purpose, torch_seeded

Model = Callable[[tuple[int, ...], int], nn.Module]
"""(shape of one input, number of outputs) -> module that maps inputs [B, ...] to outputs [B, outputs]."""


def initial_module(model: Model, name: str, sample: Tensor, num_outputs: int, seed: int) -> nn.Module:
    """The module before training, its initial parameters a function of the seed alone.

    sample: a few ready inputs [B, ...], on which the module is tried. Raises BadInput where it is no module or its
    outputs are not [B, outputs].
    """
    with torch_seeded(seed, Purpose.INITIAL_PARAMETERS), torch.no_grad():
        try:
            module = model(tuple(sample.shape[1:]), num_outputs)
        except Exception as error:
            raise BadInput(
                f"model: {name} cannot be made for inputs {list(sample.shape[1:])}: {explained(error)}"
            ) from error
        if not isinstance(module, nn.Module):
            raise BadInput(f"model: {name} returned a {type(module).__name__}, not a torch.nn.Module")
        _try_out(module, name, sample, num_outputs)
    return module


def takes_single_examples(module: nn.Module, sample: Tensor) -> bool:
    """Whether the module can be trained on a batch of one; batch normalisation of plain features cannot."""
    try:
        copy.deepcopy(module).train()(sample[:1])
    except ValueError:
        return False
    return True


def _try_out(module: nn.Module, name: str, sample: Tensor, num_outputs: int) -> None:
    """One step forward, as in training and as in evaluation, on a copy; what it returns must be trainable."""
    trial = copy.deepcopy(module)
    for mode in (trial.train(), trial.eval()):
        try:
            with torch.enable_grad():
                outputs = mode(sample)
        except Exception as error:
            raise BadInput(
                f"model: {name} fails on inputs {list(sample.shape)}: {explained(error)}{tokens_hint(sample)}"
            ) from error
        _check_outputs(outputs, name, len(sample), num_outputs)
    if any(parameter.requires_grad for parameter in module.parameters()) and not outputs.requires_grad:
        raise BadInput(f"model: {name}: the outputs do not depend on any parameter (are they detached?)")


def _check_outputs(outputs: object, name: str, size: int, num_outputs: int) -> None:
    if not isinstance(outputs, Tensor) or outputs.shape != (size, num_outputs):
        found = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise BadInput(f"model: {name} must return outputs [{size}, {num_outputs}], got {found}")
    if not outputs.is_floating_point() or not torch.isfinite(outputs).all():
        raise BadInput(f"model: {name} must return finite floating-point outputs, got {outputs[0].tolist()}")


def tokens_hint(sample: Tensor) -> str:
    """What may be wrong where a model fails on whole numbers, which are not what most layers take."""
    if sample.is_floating_point():
        return ""
    return (
        f"; the inputs are whole numbers ({str(sample.dtype).removeprefix('torch.')}), which are read as tokens, the "
        "numbers of words for an embedding; if they are features, store them as floats: inputs.astype('float32')"
    )
