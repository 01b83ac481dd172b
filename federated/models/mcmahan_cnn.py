"""The convolutional network of the paper that introduced FedAvg."""

from __future__ import annotations

from torch import nn

from federated.models.model import Model


def mcmahan_cnn() -> Model:
    """The CNN of McMahan et al. 2017: 5x5 convolutions to 32 and 64 channels, 2x2 max-pooling, dense 512.

    "Communication-Efficient Learning of Deep Networks from Decentralized Data", section 3: 1,663,370 parameters on
    28x28x1 images with 10 classes, which fixes that the convolutions are padded by 2 to keep the images' size. Works on
    images of any number of channels and at least 4x4 pixels.
    """

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        if len(input_shape) != 3 or min(input_shape[1:]) < 4:
            raise ValueError(
                f"mcmahan_cnn needs images [channels, height >= 4, width >= 4], got {list(input_shape)}"
            )
        channels, height, width = input_shape
        return nn.Sequential(
            nn.Conv2d(channels, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), 512),
            nn.ReLU(),
            nn.Linear(512, num_outputs),
        )

    return make
