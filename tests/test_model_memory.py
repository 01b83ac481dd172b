"""The memory of a large model: what a step keeps against torch's own count, and the refusal before anything runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.local_training.activations import Activations, activations
from federated.local_training.steps.work import LocalWork
from federated.models.flat_model import FlatModel
from federated.run.preparing.training import memory
from federated.run.setup import prepare


def test_what_a_step_keeps_by_hand(local_work: Callable[..., LocalWork]) -> None:
    """A dense layer keeps its input, a tanh its output, the loss the logarithms of the probabilities; no parameters."""
    work = local_work(nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 3)))
    found = activations(work)
    assert found.of_each == 8 * (4 + 50 + 3 + 1)  # inputs, tanh, log-probabilities, the target: of 8 bytes
    assert found.once <= 64
    assert Activations(10, 3).of(5) == 25


def test_a_frozen_trunk_is_there_once_and_keeps_nothing(local_work: Callable[..., LocalWork]) -> None:
    trunk, head = nn.Sequential(nn.Linear(4, 300), nn.Tanh(), nn.Linear(300, 6)), nn.Linear(6, 3)
    work = local_work(nn.Sequential(trunk, head), dtype=torch.float32, batch_size=4)
    config = RunConfig.model_validate(
        {"dataset": "digits", "model": "mlp", "rounds": 1, "orchestration": {"threads": 2}}
    )
    full = memory.needed(config, work, work.model)
    assert full.frozen == 0
    assert full.trained == pytest.approx(4 * 24 * work.model.num_trainable / 1e6)
    trunk.requires_grad_(False)
    frozen = work._replace(model=FlatModel(nn.Sequential(trunk, head)))
    part = memory.needed(config, frozen, frozen.model)
    assert part.frozen == pytest.approx(4 * sum(each.numel() for each in trunk.parameters()) / 1e6)
    assert part.trained == pytest.approx(4 * 24 * 21 / 1e6)
    assert part.activations < full.activations / 10


def test_what_cannot_fit_is_refused_with_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,200 x 1,200 weights and those around them, 24 vectors of 4 bytes each: 147 MB."""
    content = {
        "dataset": "digits",
        "model": "mlp(hidden=[1200, 1200])",
        "clients": 2,
        "rounds": 1,
        "device": "cpu",
        "orchestration": {"threads": 1},
    }
    config = RunConfig.model_validate(content)
    monkeypatch.setattr(memory, "machine_mb", lambda: 20.0)
    with pytest.raises(
        BadInput, match=r"needs about 147 MB .* 0 MB of frozen parts, 147 MB .*: use a part of it alone"
    ):
        prepare(config)
    monkeypatch.setattr(memory, "machine_mb", lambda: 300.0)
    prepare(config)
    monkeypatch.setattr(memory, "activations", lambda work: Activations(0, 10_000_000))
    with pytest.raises(
        BadInput, match=r"and 320 MB for the gradients of batches; .* use engine\.micro_batch"
    ):
        prepare(config)
    prepare(config.model_copy(update={"engine": config.engine.model_copy(update={"micro_batch": 4})}))
