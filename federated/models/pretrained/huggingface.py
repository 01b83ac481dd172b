"""Pretrained models of Hugging Face, with a new last layer."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from federated.datasets.text_files.tokeniser import padding_of
from federated.models.model import Model
from federated.models.pretrained.images import module_of_images
from federated.models.pretrained.own_head import check_whole, with_own_head
from federated.models.pretrained.pooling import POOLINGS, Pooling
from federated.pretrained.folder import Pretrained, check_installed, check_place, folder_of, json_of
from federated.pretrained.weights import config_of_trunk, is_of_images, pretrained

_UNLIMITED = 1_000_000
"""transformers writes 10^30 where a tokeniser has no longest text."""


def huggingface(
    path: Pretrained,
    head: Literal["linear", "own"] = "linear",
    pooling: Literal["mean", "cls", "last", "max"] = "mean",
    dropout: float | None = None,
) -> Model:
    """A pretrained model of Hugging Face, of texts or images, with a new last layer.

    Its data set is `text` or `images` with `inputs: model`: its own tokeniser or image processor reads it. Images of
    other data sets are resized within the model as its processor says. Weights are read from safetensors alone, and no
    code that lies beside them is run. They are in memory once, however many runs and clients train them. Batches are
    cut to the longest text in them. Needs the packages of `make finetune`.

    path: a folder with config.json, model.safetensors and the tokeniser or processor, as save_pretrained writes it;
        `package:folder`, a folder within an installed package; or the name of a model on the hub, `owner/name`, or
        `owner/name@revision` for one version of it, which is fetched once.
    head: "linear": a dense layer on the pooled states of the last layer, with torch's initial values, an output for
        each class or value. "own": the layers that transformers has for classification with this architecture, with
        their weights where the folder has them for as many outputs; `pooling` has no effect.
    pooling: of the states of a text's tokens, or of an image's patches: their mean or maximum, or the state of the
        first token ("cls") or of the last one.
    dropout: the share of numbers that dropout sets to zero in layers that are not wholly frozen; null: as in
        pretraining, mostly 0.1. With 0 clients are trained side by side, which random draws within a model forbid.
    """
    check_installed("transformers", "model: huggingface")
    check_place(path)
    if head == "own" and pooling != "mean":
        raise ValueError(
            f'pooling is for `head: linear`, but head is "own"; leave pooling out, got {pooling}'
        )

    if dropout is not None and not 0 <= dropout < 1:
        raise ValueError(f"dropout must be from 0 up to 1, without 1, got {dropout}")

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        config = config_of_trunk(path)
        if is_of_images(config):
            return module_of_images(path, input_shape, num_outputs, head, pooling, dropout)
        _check_text(path, config, input_shape)
        padding = padding_of(path)
        if head == "own":
            return _Own(path, padding, num_outputs, dropout)
        trunk = pretrained(path, dropout=dropout)
        check_whole(path, trunk.missing)
        return _Pooled(trunk.module, POOLINGS[pooling], padding, config.hidden_size, num_outputs)

    return make


class _Tokens(nn.Module):
    """A model of texts. padding: the number that fills up short ones, which they are cut by."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def cut(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens up to the end of the longest text, which of them are of a text), [B, longest] each."""
        if tokens.is_floating_point():
            raise ValueError(
                "huggingface reads tokens, whole numbers; its data set is text with inputs: model"
            )
        is_text = tokens != self.padding
        if not torch.compiler.is_exporting() and not torch._C._functorch.is_functorch_wrapped_tensor(tokens):
            longest = max(1, int(is_text.any(0).nonzero().max()) + 1 if is_text.any() else 1)
            tokens, is_text = tokens[:, :longest], is_text[:, :longest]
        first = (
            torch.arange(tokens.shape[1], device=tokens.device) == 0
        )  # an empty text has one token: padding
        return tokens, is_text | first


class _Pooled(_Tokens):
    def __init__(
        self, trunk: nn.Module, pooling: Pooling, padding: int, width: int, num_outputs: int
    ) -> None:
        super().__init__(padding)
        self.trunk = trunk
        self.head = nn.Linear(width, num_outputs)
        self._pooling = pooling

    def forward(self, tokens: Tensor) -> Tensor:
        tokens, is_text = self.cut(tokens)
        states = self.trunk(input_ids=tokens, attention_mask=is_text.long()).last_hidden_state
        found: Tensor = self.head(self._pooling(states, is_text))
        return found


class _Own(_Tokens):
    def __init__(self, path: str, padding: int, num_outputs: int, dropout: float | None) -> None:
        super().__init__(padding)
        self.trunk, self.head = with_own_head(path, num_outputs, dropout)
        self.trunk.config.pad_token_id = padding

    def forward(self, tokens: Tensor) -> Tensor:
        tokens, is_text = self.cut(tokens)
        found: Tensor = self.trunk(input_ids=tokens, attention_mask=is_text.long()).logits
        return found


def _check_text(path: str, config: Any, input_shape: tuple[int, ...]) -> None:
    """Raise ValueError where the model does not read texts of this length."""
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"huggingface: {path} is an encoder with a decoder ({config.model_type}), which is not supported"
        )
    if not hasattr(config, "hidden_size") or not hasattr(config, "vocab_size"):
        raise ValueError(f"huggingface: {path} is no model of texts or of images alone ({config.model_type})")
    if len(input_shape) != 1:
        raise ValueError(
            f"huggingface: {path} ({config.model_type}) needs tokens of texts [length], got inputs {list(input_shape)}"
        )
    stated = (getattr(config, "max_position_embeddings", None), _longest_text(path))
    longest = min((each for each in stated if isinstance(each, int) and each > 0), default=_UNLIMITED)
    if input_shape[0] > longest:
        raise ValueError(
            f"huggingface: {path} reads texts of at most {longest} tokens, got dataset.length {input_shape[0]}"
        )


def _longest_text(path: str) -> int | None:
    stated = json_of(folder_of(path) / "tokenizer_config.json").get("model_max_length")
    return stated if isinstance(stated, int) and stated < _UNLIMITED else None
