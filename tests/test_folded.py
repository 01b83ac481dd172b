"""Many clients in one pass of a mostly frozen model: to 1e-6 what the loop does, or a refusal with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from federated.config.engine import Engine
from federated.local_training.engine import ENGINES, local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.work import LocalWork
from federated.models.flat_model import FlatModel

COHORT = [3, 5, 0, 1, 2, 4]
WORDS, WIDTH, RANK = 20, 8, 2


class _Adapter(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.a, self.b = nn.Linear(WIDTH, RANK, bias=False), nn.Linear(RANK, WIDTH, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layer(hidden) + 2 * self.b(self.a(hidden.to(self.a.weight.dtype)))  # type: ignore[no-any-return]


class _Attends(nn.Module):
    """A block of attention over tokens, 0 for padding, cut to the longest text of the batch; adapters and a head."""

    def __init__(self, dropout: float = 0.0, attention_dropout: float = 0.0, mixes: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.requires_grad_(False)
        self.query, self.value = _Adapter(self.query), _Adapter(self.value)  # type: ignore[assignment]
        self.norm, self.dropout, self.head = nn.LayerNorm(WIDTH), nn.Dropout(dropout), nn.Linear(WIDTH, 3)
        self.attention_dropout, self.mixes = attention_dropout, mixes

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens[:, : max(int((tokens != 0).sum(dim=1).max()), 1)]
        mask = tokens != 0
        hidden = self.dropout(self.words(tokens))
        rate = self.attention_dropout if self.training else 0.0
        seen = functional.scaled_dot_product_attention(
            self.query(hidden), self.key(hidden), self.value(hidden), mask[:, None], rate
        )
        hidden = self.norm(hidden + seen) * mask[..., None]
        if self.mixes:
            hidden = hidden - hidden.mean(dim=(0, 1))
        return self.head(hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1))  # type: ignore[no-any-return]


def _work(local_work: Callable[..., LocalWork], model: nn.Module, **local: Any) -> LocalWork:
    """Texts of 1 to 9 words, of clients with 1 to 30 of them."""
    work = local_work(nn.Linear(4, 3), dtype=torch.float32, **{"batch_size": 4, **local})
    torch.manual_seed(2)
    total = len(work.inputs)
    tokens = torch.randint(1, WORDS, (total, 9))
    lengths = torch.randint(1, 10, (total,))
    tokens[torch.arange(9) >= lengths[:, None]] = 0
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return work._replace(model=FlatModel(model), inputs=tokens)


@pytest.mark.parametrize(
    "local",
    [{"learning_rate": 0.1, "momentum": 0.5}, {"optimiser": "adamw", "learning_rate": 0.01, "epochs": 2}],
)
def test_adapters_of_all_clients_train_as_one_after_another(
    local: dict[str, Any], local_work: Callable[..., LocalWork]
) -> None:
    """Of unequal sizes, so that clients end at different steps, and padded to the longest text of all."""
    work = _work(local_work, _Attends(), **local)
    start = work.model.vector.clone()
    expected = loop_trainer(*work)(start, COHORT, 1)
    frozen = [each.clone() for each in work.model.module.parameters() if not each.requires_grad]
    updates = ENGINES["folded"](work, 1)(start, COHORT, 1)
    assert float(expected.deltas.abs().max()) > 1e-2
    bound = 1e-6 if "momentum" in local else 1e-4  # Adam's first steps divide a gradient by its own size
    assert float((updates.deltas - expected.deltas).abs().max()) < bound
    torch.testing.assert_close(updates.losses, expected.losses)
    now = [each for each in work.model.module.parameters() if not each.requires_grad]
    assert all(torch.equal(before, after) for before, after in zip(frozen, now, strict=True))


def test_dropout_draws_what_the_loop_draws(local_work: Callable[..., LocalWork]) -> None:
    """Where texts are of one length, so that a client's inputs have one shape whoever is beside it."""
    work = _work(local_work, _Attends(dropout=0.3), learning_rate=0.1)
    work = work._replace(inputs=work.inputs.clamp(min=1))
    expected = loop_trainer(*work)(work.model.vector, COHORT, 1)
    updates = ENGINES["folded"](work, 1)(work.model.vector, COHORT, 1)
    assert float((updates.deltas - expected.deltas).abs().max()) < 1e-6


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout of padded inputs": (lambda: _Attends(dropout=0.3), "whose padding depends on the batch"),
    "numbers of its own": (lambda: _Attends(attention_dropout=0.3), "draws random numbers of its own"),
    "mixed examples": (lambda: _Attends(mixes=True), "mixes the examples of a batch"),
    "another layer": (
        lambda: nn.Sequential(nn.Embedding(WORDS, 4), nn.Flatten(), nn.Linear(36, 3)),
        "trained layer 0 is Embedding, and clients are folded in Linear, LayerNorm alone",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_one_pass_would_change_is_refused(name: str, local_work: Callable[..., LocalWork]) -> None:
    make, why = REFUSED[name]
    with pytest.raises(ValueError, match=why):
        ENGINES["folded"](_work(local_work, make()), 1)


def test_auto_tries_it_on_a_mostly_frozen_model(
    local_work: Callable[..., LocalWork], caplog: pytest.LogCaptureFixture, tmp_path: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    with caplog.at_level("INFO"):
        local_trainer(_work(local_work, _Attends()), Engine(), COHORT[:2])
    assert "'folded': " in caplog.text
    caplog.clear()
    with caplog.at_level("INFO"):
        local_trainer(_work(local_work, _Attends(mixes=True)), Engine(), COHORT[:2])
    assert "engine: loop (the model mixes the examples of a batch" in caplog.text


class _Prompts(nn.Module):
    """A trained projection of texts that are no examples, as CLIP has them; at most so many examples at a time."""

    def __init__(self, prompts: int, most: int = 1000) -> None:
        super().__init__()
        self.most = most
        self.body = nn.Sequential(nn.Embedding(WORDS, 64), nn.Flatten(), nn.Linear(9 * 64, WIDTH))
        self.prompts = nn.Parameter(torch.randn(prompts, WIDTH))
        self.requires_grad_(False)
        self.text = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        if len(tokens) > self.most:
            raise KeyError("too many")
        if len(self.prompts) == 3:
            return self.text(self.body(tokens)) @ self.prompts.T  # type: ignore[no-any-return]
        return self.body(tokens) @ self.text(self.prompts)[:3].T  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("prompts", "most", "why"),
    [
        (5, 1000, "the model fails on clients' examples together: shape "),
        (6, 1000, "the model mixes the examples of a batch"),
        (3, 6, "not folded, which fails: 'too many'"),
    ],
    ids=["clients do not divide them", "clients divide them", "more examples than it takes"],
)
def test_auto_means_the_loop_for_a_model_of_anybodys_that_fails_in_one_pass(
    prompts: int,
    most: int,
    why: str,
    local_work: Callable[..., LocalWork],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    torch.manual_seed(0)
    work = _work(local_work, _Prompts(prompts, most))
    with caplog.at_level("INFO"):
        train = local_trainer(work, Engine(), COHORT[:3])  # too few for another engine
    assert why in caplog.text
    expected = loop_trainer(*work)(work.model.vector, COHORT, 1)
    assert torch.equal(train(work.model.vector, COHORT, 1).deltas, expected.deltas)
    caplog.clear()
    with caplog.at_level("INFO"):
        local_trainer(work, Engine(), COHORT)
    assert why in caplog.text
