"""Pretrained models of images: pixels scaled as their processor does it, and a new last layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from federated.datasets.image_files.processor import Processor, processor_of
from federated.models.pretrained.own_head import check_whole, with_own_head
from federated.models.pretrained.pooling import POOLINGS, Pooling
from federated.pretrained.weights import config_of_trunk, pretrained

_FILTERS = {2: "bilinear", 3: "bicubic"}
"""Those of pillow, by number, that torch has too."""


def module_of_images(
    path: str, input_shape: tuple[int, ...], num_outputs: int, head: str, pooling: str, dropout: float | None
) -> nn.Module:
    """The model for images of this shape, resized where they are not as its processor makes them.

    head, pooling, dropout: as of `huggingface`. Raises ValueError where it does not read such images.
    """
    config, processor = config_of_trunk(path), processor_of(path)
    _check_images(path, config, input_shape, processor)
    if head == "own":
        return _Own(path, processor, num_outputs, dropout)
    width = getattr(config, "hidden_size", None) or (getattr(config, "hidden_sizes", None) or [None])[-1]
    if not isinstance(width, int):
        raise ValueError(
            f"huggingface: how wide the states of {path} ({config.model_type}) are is not known; state head: own"
        )
    trunk = pretrained(path, dropout=dropout)
    check_whole(path, trunk.missing)
    return _Pooled(trunk.module, POOLINGS[pooling], pooling, processor, width, num_outputs)


class _Images(nn.Module):
    """A model of images [B, channels, height, width] from 0 to 1."""

    def __init__(self, processor: Processor) -> None:
        super().__init__()
        self._processor = processor

    def pixels(self, images: Tensor) -> Tensor:
        """The images as the processor makes them: of its size, channels and scale."""
        images = _sized(images, self._processor.values)
        mean, deviation = (
            torch.tensor(each, dtype=images.dtype, device=images.device)[:, None, None]
            for each in (self._processor.mean, self._processor.deviation)
        )
        return (images - mean) / deviation


class _Pooled(_Images):
    def __init__(
        self,
        trunk: nn.Module,
        pooling: Pooling,
        name: str,
        processor: Processor,
        width: int,
        num_outputs: int,
    ) -> None:
        super().__init__(processor)
        self.trunk = trunk
        self.head = nn.Linear(width, num_outputs)
        self._pooling, self._name = pooling, name

    def forward(self, images: Tensor) -> Tensor:
        states = self.trunk(pixel_values=self.pixels(images)).last_hidden_state
        if states.dim() == 4:  # of a convolutional model, [B, width, height, width of the map]
            if self._name in ("cls", "last"):
                raise ValueError(
                    f"pooling: {self._name} is for transformers; this model has a map of states: mean or max"
                )
            states = states.flatten(2).transpose(1, 2)
        every = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        found: Tensor = self.head(self._pooling(states, every))
        return found


class _Own(_Images):
    def __init__(self, path: str, processor: Processor, num_outputs: int, dropout: float | None) -> None:
        super().__init__(processor)
        self.trunk, self.head = with_own_head(path, num_outputs, dropout)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.trunk(pixel_values=self.pixels(images)).logits
        return found


def _check_images(path: str, config: Any, input_shape: tuple[int, ...], processor: Processor) -> None:
    channels = len(processor.mean)
    if len(input_shape) != 3 or input_shape[0] not in (1, channels):
        raise ValueError(
            f"huggingface: {path} ({config.model_type}) reads images [{channels}, height, width], got inputs "
            f"{list(input_shape)}"
        )
    values = processor.values
    as_made = input_shape[1:] == (values["height"], values["width"])
    if not as_made and values["resample"] not in _FILTERS:
        raise ValueError(
            f"huggingface: {path} resizes images with a filter of pillow's that torch does not have; use the data set "
            f"images with inputs: model, or images of {values['height']} x {values['width']} pixels"
        )


def _sized(images: Tensor, values: dict[str, Any]) -> Tensor:
    """Images of the processor's size and number of channels.

    Where they are not of this size, torch resizes them, without rounding to whole levels as pillow does.
    """
    size, stated = (values["height"], values["width"]), values["resized"]
    if images.shape[-2:] != size:
        height, width = images.shape[-2:]
        if isinstance(stated, int):
            ratio = stated * max(height, width) / min(height, width)
            stated = (stated, int(ratio)) if height <= width else (int(ratio), stated)
        mode = _FILTERS[values["resample"]]
        for sides in (
            (height, stated[1]),
            stated,
        ):  # as pillow, whose first pass does not leave the range either
            images = functional.interpolate(images, tuple(sides), mode=mode, antialias=True).clamp(0, 1)
        top, left = (stated[0] - size[0]) // 2, (stated[1] - size[1]) // 2
        images = images[..., top : top + size[0], left : left + size[1]]
    channels = 1 if values["colour"] == "grey" else 3
    return images.expand(-1, channels, -1, -1) if images.shape[1] != channels else images
