"""Reconstruction of images from what a server reads of an update that few of them are behind.

In closed form, from a first dense layer with a bias: of one example its gradient is the bias's times the input. By
optimisation: Geiping, Bauermeister, Dröge and Moeller 2020, "Inverting Gradients" (arXiv:2003.14053): images whose
gradient points where the update came from, with little total variation, by Adam on the signs of the gradient, in a box.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from federated.config.measuring.leakage import Inversion
from federated.losses import Loss
from federated.models.flat_model import FlatModel
from federated.optimisers.adam import adam

_DECAYS = (3 / 8, 5 / 8, 7 / 8)
"""Shares of the iterations after which the step is a tenth as long, as in the paper."""
_TENTH = 0.1


class Pixels(NamedTuple):
    """What is known of all images: the least and the greatest value of a pixel, the mean and the deviation."""

    low: float
    high: float
    mean: float
    deviation: float


def pixels_of(images: Tensor) -> Pixels:
    """Of images [n, ...] as models see them."""
    deviation = float(images.std()) if images.numel() > 1 else 0.0
    return Pixels(float(images.min()), float(images.max()), float(images.mean()), deviation or 1.0)


def first_dense(model: FlatModel, size: int) -> bool:
    """Whether the first trainable numbers are the weight of a dense layer on all of the input, `size`, and its bias."""
    names, shapes = zip(*model.layout[:2], strict=True)
    first = next((m for m in model.module.modules() if any(True for _ in m.parameters(recurse=False))), None)
    parameters = [name for name, _ in model.module.named_parameters()][:2]
    if not isinstance(first, nn.Linear) or list(names) != parameters:
        return False
    return shapes == ((first.out_features, size), (first.out_features,))


def closed_form(model: FlatModel, seen: Tensor, size: int) -> Tensor:
    """The input [size] behind an update [T] by one step on one example; of several a mean by what they contribute.

    The least-squares solution of all units of the layer: exact where the update is.
    """
    units = model.layout[0][1][0]
    weight, bias = seen[: units * size].view(units, size).double(), seen[units * size :][:units].double()
    return (bias @ weight) / (bias @ bias).clamp(min=torch.finfo(torch.float64).tiny)


def label_of(model: FlatModel, seen: Tensor, num_outputs: int) -> int | None:
    """The class of the one example behind an update [T], by the last bias; None where there is none.

    Zhao, Mopuri and Bilen 2020, "iDLG": the gradient of cross entropy is below zero for the right class alone, so its
    score alone rises.
    """
    last = list(model.module.named_parameters())[-1][0]
    if model.layout[-1] != (last, (num_outputs,)):
        return None
    return int(seen[-num_outputs:].argmax())


def reconstructed(
    model: FlatModel,
    loss: Loss,
    seen: Tensor,
    labels: Tensor,
    shape: tuple[int, ...],
    known: Pixels,
    options: Inversion,
    numbers: np.random.Generator,
    sent: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> Tensor:
    """Images [n, *shape] of these classes [n] whose step from the model is most like an update.

    model: a twin, in the state in which the client received it. seen: the update [M] as it was read. sent: what travels
    of rows [1, T]. The best of all iterations by the attack's own objective.
    """
    attacked_mode(model)
    start = numbers.standard_normal((len(labels), *shape), dtype=np.float32)
    hidden = torch.from_numpy(start).to(seen).requires_grad_()
    ends = [(end - known.mean) / known.deviation for end in (known.low, known.high)]
    optimiser = adam()
    assert optimiser.direction is not None
    memory = {name: torch.zeros_like(hidden) for name in optimiser.remembers}
    decays = [share * options.iterations for share in _DECAYS]
    best, least = hidden.detach().clamp(*ends), np.inf
    for at in range(options.iterations):
        step = _gradient(model, loss, known.mean + known.deviation * hidden, labels)
        along = -sent(step[None])[0]
        away = 1 - torch.nn.functional.cosine_similarity(along, seen, dim=0, eps=1e-30)
        objective = away + options.total_variation * _total_variation(hidden)
        now = float(objective.detach())
        if now < least:
            best, least = hidden.detach().clone(), now
        (gradient,) = torch.autograd.grad(objective, [hidden])
        rate = options.learning_rate * _TENTH ** sum(at >= decay for decay in decays)
        with torch.no_grad():
            hidden -= rate * optimiser.direction(memory, gradient.sign(), at + 1)
            hidden.clamp_(*ends)
    return known.mean + known.deviation * best


def attacked_mode(model: FlatModel) -> None:
    """Training mode, in which the gradient was taken, without dropout, whose draws an attacker does not know."""
    model.train()
    for part in model.module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.eval()


def _gradient(model: FlatModel, loss: Loss, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient [T] of the mean loss, which can be differentiated by the images."""
    outputs = model.module(images)
    parts = torch.autograd.grad(
        loss(outputs, labels), model.trainable, create_graph=True, materialize_grads=True
    )
    return torch.cat([part.reshape(-1) for part in parts])


def _total_variation(images: Tensor) -> Tensor:
    """The mean absolute difference of neighbouring pixels [n, ..., height, width], both ways together."""
    down, across = images.diff(dim=-2).abs(), images.diff(dim=-1).abs()
    return sum((part.mean() for part in (down, across) if part.numel()), images.new_zeros(()))
