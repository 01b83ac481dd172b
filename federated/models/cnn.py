"""A small convolutional network."""

from __future__ import annotations

from torch import nn

from federated.models.model import Model


def cnn() -> Model:
    """The LeNet of NIID-Bench: 5x5 convolutions to 6 and 16 channels, 2x2 max-pooling, dense 120 and 84.

    Li et al. 2022, "Federated Learning on Non-IID Data Silos", `SimpleCNN`; 44,426 parameters on 28x28x1
    images with 10 classes. Works on images of any number of channels and at least 16x16 pixels.
    """

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        if len(input_shape) != 3 or min(input_shape[1:]) < 16:
            raise ValueError(
                f"cnn needs images [channels, height >= 16, width >= 16], got {list(input_shape)}"
            )
        channels, height, width = input_shape
        flat = 16 * _after_two_blocks(height) * _after_two_blocks(width)
        return nn.Sequential(
            nn.Conv2d(channels, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(flat, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_outputs),
        )

    return make


def _after_two_blocks(size: int) -> int:
    return ((size - 4) // 2 - 4) // 2
