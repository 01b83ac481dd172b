"""The CNN of McMahan et al. 2017: 1,663,370 parameters, and what a client's training of it takes."""

from __future__ import annotations

import time

import torch
from torch import nn

from federated.compressors import Layout
from federated.foundation.randomness import Purpose, generator
from federated.models.mcmahan_cnn import mcmahan_cnn

LAYOUT: Layout = (
    ("conv1.weight", (32, 1, 5, 5)),
    ("conv1.bias", (32,)),
    ("conv2.weight", (64, 32, 5, 5)),
    ("conv2.bias", (64,)),
    ("hidden.weight", (512, 3136)),
    ("hidden.bias", (512,)),
    ("outputs.weight", (10, 512)),
    ("outputs.bias", (10,)),
)
IMAGES, BATCH = 600, 32


def cnn() -> nn.Module:
    """The model of `LAYOUT`, for images of Fashion-MNIST's shape."""
    return mcmahan_cnn()((1, 28, 28), 10)


def training_seconds(images: int = IMAGES) -> float:
    """Seconds of one epoch of one client with an ordinary loop, on random images."""
    module, numbers = cnn(), generator(0, Purpose.DATA)
    optimiser = torch.optim.SGD(module.parameters(), 0.1)
    inputs = torch.from_numpy(numbers.random((images, 1, 28, 28)).astype("float32"))
    targets = torch.from_numpy(numbers.integers(10, size=images))
    starts, started = list(range(0, images, BATCH)), 0.0
    for step, start in enumerate([0, *starts]):
        if step == 1:  # the first was warm-up
            started = time.perf_counter()
        batch = slice(start, start + BATCH)
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(inputs[batch]), targets[batch]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return time.perf_counter() - started
