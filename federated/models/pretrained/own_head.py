"""A pretrained model with the last layers that transformers has for a classification."""

from __future__ import annotations

from typing import Any

import torch

from federated.pretrained.weights import pretrained


def with_own_head(path: str, num_outputs: int, dropout: float | None) -> tuple[Any, list[str]]:
    """(the model of transformers, the names of its last layers below `trunk`); those without weights drawn anew."""
    loaded = pretrained(path, num_outputs, dropout)
    trunk: Any = loaded.module
    base = trunk.base_model_prefix
    head = [  # for what trains a part of a model
        f"trunk.{name}"
        for name, part in trunk.named_children()
        if name != base and any(True for _ in part.parameters())
    ]
    check_whole(path, tuple(name for name in loaded.missing if name.startswith(f"{base}.")))
    if torch.get_default_device().type != "meta":
        for name in sorted(
            {name.rpartition(".")[0] for name in loaded.missing}
        ):  # from the run's own random numbers
            trunk._init_weights(trunk.get_submodule(name))
    return trunk, head


def check_whole(path: str, missing: tuple[str, ...]) -> None:
    """Raise ValueError where weights of the pretrained part are not there, and would be random."""
    if missing:
        raise ValueError(
            f"huggingface: {path} lacks {len(missing)} weights of its own architecture, the first is {missing[0]}: are "
            "config.json and model.safetensors of the same model?"
        )
