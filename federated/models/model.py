"""The interface of a model: a function from input shape and number of outputs to an untrained module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.foundation.randomness import Purpose, torch_seeded
from federated.machine.memory import machine_mb
from federated.models.flat_model import copied
from federated.user_code.containment import contained

_SHOWN = 5

Model = Callable[[tuple[int, ...], int], nn.Module]
"""(shape of one input, number of outputs) -> module that maps inputs [B, ...] to outputs [B, outputs].

For sequences [B, length, outputs], a score of every class at every position.
"""


def initial_module(
    model: Model, name: str, sample: Tensor, outputs: tuple[int, ...], seed: int, number: int = 0
) -> nn.Module:
    """The module before training, its initial parameters a function of the seed and of the number alone.

    name: as `package.module:function` where the model is a person's own, whose faults are OwnCodeFailed. sample: a few
    ready inputs [B, ...], on which the module is tried; what lazy layers are to be is found on them. outputs: the shape
    of one example's, of which the last is the number. Raises BadInput where it is too large for the machine, is no
    module, or its outputs are of another shape.
    """
    failed, shape = _failed(name), list(sample.shape[1:])
    if failed is BadInput:
        _check_size(model, name, tuple(shape), outputs[-1])
    key = (number,) if number else ()
    with torch_seeded(seed, Purpose.INITIAL_PARAMETERS, *key), torch.no_grad():
        with contained(f"model: {name} cannot be made for inputs {shape}", failed):
            module = model(tuple(shape), outputs[-1])
        _check_module(module, name)
        if any(map(is_lazy, (*module.parameters(), *module.buffers()))):
            with contained(f"model: {name} fails on inputs {list(sample.shape)}", failed):
                module.eval()
                module(sample.clone())
                module.train()
        _try_out(module, name, sample, outputs)
    return module


def check_outputs(outputs: object, given: str, shape: tuple[int, ...], failed: type[BadInput]) -> None:
    """Raise `failed` where outputs are not finite floats of this shape. given: the model, and what it got."""
    expected = list(shape)
    if not isinstance(outputs, Tensor):
        raise failed(f"{given} must return outputs {expected}, a tensor, got {_found(outputs)}")
    if list(outputs.shape) != expected:
        raise failed(
            f"{given} must return outputs {expected}, got {list(outputs.shape)}{_cure(outputs, expected)}"
        )
    if not outputs.is_floating_point() or not torch.isfinite(outputs).all():
        found = f"{str(outputs.dtype).removeprefix('torch.')} {outputs[0].tolist()[:_SHOWN]}"
        raise failed(f"{given} must return finite floating-point outputs, got {found}")


def _check_size(model: Model, name: str, shape: tuple[int, ...], num_outputs: int) -> None:
    """Raise BadInput where the machine cannot hold a model of ours and the flat copy of it, before it is made.

    Not of a person's own, which may keep what it makes here, without numbers, for the next time.
    """
    try:
        with torch.device("meta"):
            parameters = [*model(shape, num_outputs).parameters()]
    except (RuntimeError, ValueError):
        return  # what is wrong with it is said where it is really made
    size, there = sum(each.numel() * each.element_size() for each in parameters) / 1e6, machine_mb()
    if 2 * size > there:
        raise BadInput(
            f"model: {name} has {sum(each.numel() for each in parameters):,} parameters, {size / 1e3:,.1f} GB, and a "
            f"run holds two copies of it at least; this machine has {there / 1e3:,.1f} GB: use a smaller model"
        )


def _failed(name: str) -> type[BadInput]:
    return OwnCodeFailed if ":" in name else BadInput


def _check_module(module: object, name: str) -> None:
    if isinstance(module, nn.Module):
        return
    found = f"the class {module.__name__}: call it" if isinstance(module, type) else _found(module)
    raise _failed(name)(f"model: {name} returned {found}, not a torch.nn.Module")


def _try_out(module: nn.Module, name: str, sample: Tensor, shape: tuple[int, ...]) -> None:
    """One step forward, as in training and as in evaluation, on a copy; what it returns must be trainable."""
    failed = _failed(name)
    with contained(f"model: {name} cannot be copied", failed):
        trial = copied(module)
    for mode in (True, False):
        what = f"model: {name} fails on inputs {list(sample.shape)}"
        with contained(what, failed, tokens_hint(sample)), torch.enable_grad():
            trial.train(mode)
            outputs = trial(sample.clone())  # which a module may change in place
        check_outputs(outputs, f"model: {name}", (len(sample), *shape), failed)
    if any(parameter.requires_grad for parameter in module.parameters()) and not outputs.requires_grad:
        raise failed(f"model: {name}: the outputs do not depend on any parameter (are they detached?)")


def tokens_hint(sample: Tensor) -> str:
    """A hint for a model that fails on whole numbers, which most layers do not accept."""
    if sample.is_floating_point():
        return ""
    return (
        f"; the inputs are whole numbers ({str(sample.dtype).removeprefix('torch.')}), which are read as tokens, the "
        "numbers of words for an embedding; if they are features, store them as floats: inputs.astype('float32')"
    )


def _found(value: object) -> str:
    if value is None:
        return "nothing (is a return missing?)"
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"a {type(value).__name__}"


def _cure(outputs: Tensor, expected: list[int]) -> str:
    """The operation that dropped a dimension, where one was dropped."""
    if list(outputs.shape) == [size for size in expected if size != 1]:
        which = "the batch" if expected[0] == 1 else "the only output"
        return f"; squeeze() drops {which}'s dimension: name the one that is to go"
    return ""
