"""Long short-term memory, for tokens."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from federated.models.model import Model
from federated.preprocessing.raw_next import CLASS_SHIFT


def lstm(
    embedding: int = 8,
    hidden: int = 256,
    layers: int = 2,
    vocabulary: int | None = None,
    outputs: Literal["every", "last"] = "every",
) -> Model:
    """An embedding, layers of LSTM and a dense layer; by default that of McMahan et al. 2017 for the next character.

    About 820,000 weights for 90 characters, as in Reddi et al. 2021, "Adaptive federated optimization", Shakespeare.
    The loop trains it, or vmap, which has no kernel of its own for it.

    embedding: numbers for each token.
    hidden: numbers that a layer remembers.
    vocabulary: how many tokens there are; null: as many as `next_token` makes of its classes.
    outputs: at every position, for targets [N, length]; or at the last one, for targets [N].
    """
    for field, value in {"embedding": embedding, "hidden": hidden, "layers": layers}.items():
        if value < 1:
            raise ValueError(f"{field} must be at least 1, got {value}")
    if vocabulary is not None and vocabulary < 1:
        raise ValueError(f"vocabulary must be at least 1, got {vocabulary}")

    def make(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        if len(input_shape) != 1:
            raise ValueError(f"lstm needs tokens [length], got inputs {list(input_shape)}")
        tokens = num_outputs + CLASS_SHIFT if vocabulary is None else vocabulary
        return _Lstm(tokens, embedding, hidden, layers, num_outputs, last=outputs == "last")

    return make


class _Lstm(nn.Module):
    def __init__(
        self, tokens: int, embedding: int, hidden: int, layers: int, num_outputs: int, *, last: bool
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, embedding)
        self.recurrent = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.scores = nn.Linear(hidden, num_outputs)
        self._last = last

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.recurrent(self.embedding(tokens))
        found: Tensor = self.scores(states[:, -1] if self._last else states)
        return found
