"""A small transformer, for tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from federated.models.model import Model
from federated.preprocessing.raw_next import CLASS_SHIFT

_SPREAD = 0.02


def transformer(
    width: int = 128,
    layers: int = 4,
    heads: int = 4,
    feed_forward: int | None = None,
    dropout: float = 0.0,
    vocabulary: int | None = None,
    outputs: Literal["every", "last"] = "every",
    tied: bool = False,
) -> Model:
    """A decoder: blocks of causal attention and dense layers, each with a layer norm before it, and learnt positions.

    As GPT-2 of Radford et al. 2019, "Language models are unsupervised multitask learners", at any size: exact GELU,
    initial weights of spread 0.02, those that end a branch smaller by sqrt(2 x layers). 823,372 weights for texts of 80
    characters of 76 kinds, about as many as `lstm`. A position sees itself and those before it, so padding at the end
    of a text changes nothing before it.

    width: numbers for each token.
    layers: blocks.
    heads: of attention in each block; they share the width.
    feed_forward: width of the dense layer of a block; null: four times the width.
    dropout: of embeddings and of what each branch adds.
    vocabulary: how many tokens there are; null: as many as `next_token` makes of its classes.
    outputs: at every position, for targets [N, length]; or at the last one, for targets [N].
    tied: whether the last layer's weights are the embeddings of the classes, which needs the tokens of `next_token`.
    """
    inner = 4 * width if feed_forward is None else feed_forward
    for field, value in {"width": width, "layers": layers, "heads": heads, "feed_forward": inner}.items():
        if value < 1:
            raise ValueError(f"{field} must be at least 1, got {value}")
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, got width {width} and heads {heads}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {dropout:g}")
    if vocabulary is not None and vocabulary < 1:
        raise ValueError(f"vocabulary must be at least 1, got {vocabulary}")
    if tied and (vocabulary is not None or outputs == "last"):
        raise ValueError(
            "tied is for the tokens of next_token at every position: leave vocabulary and outputs out"
        )

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        if len(input_shape) != 1:
            raise ValueError(f"transformer needs tokens [length], got inputs {list(input_shape)}")
        tokens = num_outputs + CLASS_SHIFT if vocabulary is None else vocabulary
        blocks = [_Block(width, heads, inner, dropout) for _ in range(layers)]
        return _Transformer(
            input_shape[0], tokens, width, blocks, num_outputs, dropout, last=outputs == "last", tied=tied
        )

    return make


class _Transformer(nn.Module):
    def __init__(
        self,
        length: int,
        tokens: int,
        width: int,
        blocks: list[_Block],
        num_outputs: int,
        dropout: float,
        *,
        last: bool,
        tied: bool,
    ) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(tokens, width), nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens if tied else num_outputs, bias=not tied)
        self._last, self._skipped = last, tokens - num_outputs if tied else 0
        _initialise(self, blocks)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        states = self.dropout(self.embedding(tokens) + self.positions(places))
        for block in self.blocks:
            states = block(states)
        states = self.norm(states[:, -1] if self._last else states)
        scores: Tensor = self.head(states)
        return scores[..., self._skipped :]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), _Attention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.attention_dropout, self.feed_forward_dropout = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        states = states + self.attention_dropout(self.attention(self.attention_norm(states)))
        added: Tensor = self.feed_forward_dropout(self.feed_forward(self.feed_forward_norm(states)))
        return states + added


class _Attention(nn.Module):
    """Each position's states [B, T, width] become a mixture of those up to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self._heads = heads

    def forward(self, states: Tensor) -> Tensor:
        query, key, value = (
            layer(states).unflatten(-1, (self._heads, -1)).transpose(-3, -2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        found: Tensor = self.output(mixed.transpose(-3, -2).flatten(-2))
        return found


def _initialise(model: nn.Module, blocks: list[_Block]) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=_SPREAD)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for block in blocks:
        for weight in (block.attention.output.weight, block.feed_forward.get_parameter("2.weight")):
            nn.init.normal_(weight, std=_SPREAD / (2 * len(blocks)) ** 0.5)
