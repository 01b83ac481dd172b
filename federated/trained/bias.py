"""The biases and the head."""

from __future__ import annotations

from torch import nn

from federated.trained.head import head_of
from federated.trained.part import TrainedPart, train_only


def bias() -> TrainedPart:
    """Every bias and the head: of a large model about a thousandth.

    Ben Zaken, Goldberg and Ravfogel 2022, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked
    Language-models". Those of normalisation are biases too: batch normalisation that has one is in training mode, and
    its running statistics travel.
    """
    return _biases_and_head


def _biases_and_head(module: nn.Module) -> nn.Module:
    last = head_of(module)
    names = [name for name, _ in module.named_parameters() if name in last or _is_bias(name)]
    if len(names) == len(last):
        raise ValueError("the model has no bias but that of its head: write head")
    return train_only(module, names)


def _is_bias(name: str) -> bool:
    """Whether a parameter is a bias, by its name: bias, in_proj_bias, bias_ih_l0."""
    last = name.rpartition(".")[2]
    return last.startswith("bias") or last.endswith("bias")
