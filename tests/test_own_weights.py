"""A model of one's own whose weights come from a file: with another file it is another training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from tasks.checkpoints import first_course, save_checkpoint
from tasks.tracking.runs.digests import digest_tags
from tasks.tracking.studies import same_training
from tests.conftest import config_of

MODEL = """
import torch
from torch import nn
def net(input_shape, num_outputs, kind: str):
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, num_outputs))
    weight = torch.load({path!r}, weights_only=True)
    if kind == "buffer":
        module.register_buffer("held", weight, persistent=False)
    elif kind != "random":
        module[1].weight.data = weight
        module[1].weight.requires_grad_(kind != "frozen")
    return module
"""
pytestmark = pytest.mark.usefixtures("home")


def _write(path: Path, seed: int) -> None:
    torch.save(torch.randn(8, 64, generator=torch.Generator().manual_seed(seed)), path)


@pytest.mark.parametrize(
    ("kind", "trained"),
    [
        ("frozen", "full"),
        ("trained", "full"),
        ("trained", "head"),
        ("trained", "lora(rank=2)"),
        ("buffer", "full"),
    ],
)
def test_with_another_file_no_checkpoint_and_no_finished_run_is_taken_for_the_same(
    kind: str,
    trained: str,
    tmp_path: Path,
    own: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, said = tmp_path / "weights.pt", list[str]()
    monkeypatch.setattr(same_training, "show", said.append)
    name = own(MODEL.format(path=str(path)))
    config = config_of(model={"name": f"{name}:net", "kind": kind}, trained=trained)
    _write(path, 0)
    setup = prepare(config)
    finished = SimpleNamespace(data=SimpleNamespace(tags={"run_key": config.run_key(), **digest_tags(setup)}))
    run = SimpleNamespace(config=config, name="arm")
    save_checkpoint(Course(initial_state(setup)), setup)
    first_course(prepare(config), True, said.append)
    assert same_training.goes_on(finished, run)
    assert said == []
    _write(path, 1)
    first_course(prepare(config), True, said.append)
    assert not same_training.goes_on(finished, run)
    fresh, begins = said
    assert "weights of model" in fresh
    assert "it starts afresh" in fresh
    assert "begins anew" in begins
    assert "the weights that it starts from were model" in begins


def test_random_weights_need_no_digest_as_the_seed_says_them(
    tmp_path: Path, own: Callable[[str], str]
) -> None:
    path = tmp_path / "weights.pt"
    _write(path, 0)
    model = {"name": f"{own(MODEL.format(path=str(path)))}:net", "kind": "random"}
    setup = prepare(config_of(model=model))
    assert "weights_digest" not in digest_tags(setup)
