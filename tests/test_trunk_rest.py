"""Models with a forward of their own are cut before the first block that trains: the same numbers, from kept states."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.forecast import forecast_study
from federated.local_training.steps.dropout import DropoutGenerators, Masks
from federated.local_training.trunk import passes
from federated.local_training.trunk.beginning import NoTrunk
from federated.local_training.trunk.rest import Rest, rest_of
from federated.local_training.trunk.states import states_of_each
from federated.machine.folders import home
from federated.models.flat_model import FlatModel
from federated.models.pretrained.huggingface import _Pooled
from federated.models.pretrained.pooling import POOLINGS
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.study.study import Run
from federated.trained import TRAINED
from tasks.checkpoints import _identity
from tests.test_pretrained_folders import LENGTH, WIDTH, bert, content_of, needed, texts

SMALL: dict[str, Any] = {
    "vocab_size": 30,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.2,
    "pad_token_id": 0,
}
ENCODERS: dict[str, Callable[[], Any]] = {
    "bert": lambda: needed.BertModel(needed.BertConfig(**SMALL), add_pooling_layer=False),
    "roberta": lambda: needed.RobertaModel(needed.RobertaConfig(**SMALL), add_pooling_layer=False),
    "electra": lambda: needed.ElectraModel(needed.ElectraConfig(**SMALL, embedding_size=16)),
    "mpnet": lambda: needed.MPNetModel(needed.MPNetConfig(**SMALL), add_pooling_layer=False),
    "distilbert": lambda: needed.DistilBertModel(
        needed.DistilBertConfig(
            vocab_size=30, n_layers=3, n_heads=2, dim=16, hidden_dim=24, dropout=0.2, attention_dropout=0.2
        )
    ),
    "a decoder": lambda: needed.GPT2Model(
        needed.GPT2Config(
            vocab_size=30,
            n_layer=3,
            n_head=2,
            n_embd=16,
            embd_pdrop=0.0,
            use_cache=False,
            bos_token_id=1,
            eos_token_id=2,
        )
    ),
}


def _tokens() -> Tensor:
    tokens = torch.zeros(6, 9, dtype=torch.int64)
    for row, length in enumerate((2, 9, 5, 4, 7, 3)):
        tokens[row, :length] = 3 + (torch.arange(length) * (row + 2)) % 20
    return tokens


def _encoder(name: str, part: str, **arguments: Any) -> FlatModel:
    torch.manual_seed(0)
    module = _Pooled(ENCODERS[name](), POOLINGS["mean"], 0, 16, 4)
    return FlatModel(TRAINED[part](**arguments)(module), rest_in_evaluation=True)


def _step(model: FlatModel, inputs: Tensor) -> Tensor:
    """The gradient of one training step with the masks of a client, and torch's numbers of it."""
    twin = model.twin()
    masks = Masks(twin.module)
    masks.draw_from(DropoutGenerators(3, 0, 1))
    twin.train()
    torch.manual_seed(7)
    return twin.gradient(twin.module(inputs).square().sum())


def _check_same(found: Rest, inputs: Tensor) -> None:
    """Outputs and gradients of the rest on the states of each text alone are those of the whole."""
    whole = found.whole
    module, states = whole.twin().module.eval(), []
    module.get_submodule(found.cut.entry).register_forward_pre_hook(
        lambda _, arguments, named: states.append([*arguments, *named.values()][0]), with_kwargs=True
    )
    with torch.no_grad():
        for each in torch.split(inputs, 1):
            module(each)
        rest = found.on(states_of_each(states, by_position=found.by_position))
        torch.testing.assert_close(rest.twin().module.eval()(found.numbered(inputs)), module(inputs))
    assert rest.layout == whole.layout
    expected = _step(whole, inputs)
    assert torch.linalg.vector_norm(expected) > 0
    apart = torch.linalg.vector_norm(_step(rest, found.numbered(inputs)) - expected)
    assert apart <= 1e-6 * torch.linalg.vector_norm(expected)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_cut_before_their_last_block(name: str) -> None:
    """Whatever their blocks take and return. mpnet has a bias of positions after them, which `last` trains too."""
    is_tuple = name == "mpnet"
    names = ["trunk.encoder.layer.2.*", "head.*"]
    whole = _encoder(name, "pattern", names=names) if is_tuple else _encoder(name, "last", n=1)
    found = rest_of(whole, _tokens())
    assert found.cut.entry.endswith(".2")
    idle = [each.name for each in found.place.idle]
    assert [each[-2:] for each in idle if each[-2:] in {".0", ".1"}] == [".0", ".1"]
    _check_same(found, _tokens())


PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "two blocks": ({"part": "last", "n": 2}, "trunk.encoder.layer.1"),
    "the end of a block": (
        {"part": "pattern", "names": ["trunk.encoder.layer.2.output.*", "head.*"]},
        "trunk.encoder.layer.2",
    ),
    "adapters": (
        {
            "part": "lora",
            "rank": 2,
            "targets": ["trunk.encoder.layer.2.*.query", "trunk.encoder.layer.1.*.value"],
        },
        "trunk.encoder.layer.1",
    ),
    "adapters whose A is drawn": (
        {"part": "lora", "rank": 2, "freeze": "A", "targets": ["trunk.encoder.layer.2.*.query"]},
        "trunk.encoder.layer.2",
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_the_cut_is_before_the_first_block_that_holds_what_is_trained(name: str) -> None:
    pytest.importorskip("peft", reason="the extra `make finetune` is not installed")
    arguments, entry = PARTS[name]
    found = rest_of(_encoder("bert", **arguments), _tokens())
    assert found.cut.entry == entry
    _check_same(found, _tokens())


class _Blocks(nn.Module):
    """Blocks of images that change their shape, one after another; `joined`: how the last one is given the others'."""

    def __init__(self, joined: Callable[[list[Tensor]], Tensor], trained: int = 2) -> None:
        super().__init__()
        sizes = [1, 4, 6, 6]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n, m, 3, padding=1, bias=False), nn.BatchNorm2d(m), nn.ReLU())
            for n, m in pairwise(sizes)
        )
        self.head = nn.Linear(6, 3)
        self.joined = joined
        self.stages[:trained].requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        found = [images]
        for stage in self.stages[:-1]:
            found.append(stage(found[-1]))
        found.append(self.stages[-1](self.joined(found)))
        outputs: Tensor = self.head(found[-1].mean((2, 3)))
        return outputs


def _blocks(joined: Callable[[list[Tensor]], Tensor], trained: int = 2) -> FlatModel:
    torch.manual_seed(0)
    return FlatModel(_Blocks(joined, trained), rest_in_evaluation=True)


def test_images_have_one_state_each_in_whatever_shape() -> None:
    found = rest_of(_blocks(lambda states: states[-1].tanh()), torch.rand(5, 1, 4, 4))
    assert found.cut.entry == "stages.2"
    assert [each.shape for each in found.place.idle] == [(4, 4, 4), (6, 4, 4)]
    _check_same(found, torch.rand(5, 1, 4, 4))


def test_a_model_that_reads_more_than_its_last_state_is_not_cut() -> None:
    """Here the head reads the first state besides."""

    class Skips(_Blocks):
        def forward(self, images: Tensor) -> Tensor:
            first = self.stages[0](images)
            outputs: Tensor = self.head(self.stages[2](self.stages[1](first)).mean((2, 3)) * first.mean())
            return outputs

    torch.manual_seed(0)
    with pytest.raises(NoTrunk, match="depend on more than what its first trained part is given"):
        rest_of(FlatModel(Skips(lambda states: states[-1]), rest_in_evaluation=True), torch.rand(5, 1, 4, 4))


def test_a_model_without_anything_frozen_before_what_is_trained_is_not_cut() -> None:
    with pytest.raises(NoTrunk, match="too little of it is frozen before its first trained part"):
        rest_of(_blocks(lambda states: states[-1], 0), torch.rand(5, 1, 4, 4))


def test_texts_whose_filling_counts_are_not_cut() -> None:
    """A mean over all positions, filling too: what is kept of a short text says nothing of how long others are."""

    class Averages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pooled = _Pooled(ENCODERS["bert"](), POOLINGS["mean"], 0, 16, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            cut, is_text = self.pooled.cut(tokens)
            states = self.pooled.trunk(input_ids=cut, attention_mask=is_text.long()).last_hidden_state
            outputs: Tensor = self.pooled.head(states.mean(1))
            return outputs

    torch.manual_seed(0)
    module = TRAINED["pattern"](names=["pooled.trunk.encoder.layer.2.*", "pooled.head.*"])(Averages())
    with pytest.raises(NoTrunk, match="depend on more than"):
        rest_of(FlatModel(module, rest_in_evaluation=True), _tokens())


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pretrained")
    made = content_of(texts(folder / "texts.csv"), bert(folder / "bert"), dropout=0.2)
    return {**made, "clients": 2, "rounds": 2, "trained": "last(1)"}


def _prepared(content: dict[str, Any], **changes: Any) -> Setup:
    return prepare(RunConfig.model_validate({**content, **changes}))


def _kept() -> list[Path]:
    return sorted((home() / "features").glob("states-*"))


def test_rounds_and_evaluations_are_those_of_recomputing_and_resume_to_the_bit(
    content: dict[str, Any], tmp_path: Path
) -> None:
    """To the rounding of a trunk in batches of other sizes. The states are made anew where they are gone."""
    setup, whole = _prepared(content), _prepared(content, engine={"name": "loop", "cache_features": False})
    assert setup.inputs.shape == (len(whole.inputs), 1 + whole.inputs.shape[1])
    states = [train_rounds(initial_state(each), each, 2) for each in (setup, whole)]
    size, moved, apart = (
        float(torch.linalg.vector_norm(each))
        for each in (
            states[1].parameters,
            states[1].parameters - whole.model.vector,
            states[0].parameters - states[1].parameters,
        )
    )
    assert apart <= min(1e-6 * size, 1e-5 * moved)
    found, expected = evaluate(states[0], setup), evaluate(states[1], whole)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-7)
    save(Course(train_rounds(initial_state(setup), setup, 1)), tmp_path / "run", _identity(setup))
    for folder in _kept():
        shutil.rmtree(folder)
    again = _prepared(content)
    read = load(tmp_path / "run", _identity(again), again.inputs.device, again.store.kept).state
    assert torch.equal(train_rounds(read, again, 2).parameters, states[0].parameters)


def test_what_is_kept_is_of_the_texts_lengths_and_serves_all_parts_of_the_same_blocks(
    content: dict[str, Any], tmp_path: Path
) -> None:
    """Another seed, and adapters of any rank, have the states of the block below in common."""
    pytest.importorskip("peft", reason="the extra `make finetune` is not installed")
    file = texts(tmp_path / "texts.csv", 100)  # more than go through the trunk at once
    content = {**content, "dataset": {**content["dataset"], "path": str(file)}}
    foreseen = forecast_study([Run("last", RunConfig.model_validate(content))])
    setup = _prepared(content)
    assert setup.trunk is not None
    assert foreseen.trunk_mb == pytest.approx(setup.trunk.num_bytes / 1e6, rel=0.05)
    assert setup.trunk.num_bytes < len(setup.inputs) * LENGTH * WIDTH * 4
    before = _kept()
    targets = ["trunk.encoder.layer.1.*.query"]
    for changes in (
        {"seed": 3},
        {"trained": {"name": "lora", "rank": 2, "targets": targets}},
        {"trained": {"name": "lora", "rank": 3, "targets": targets, "freeze": "A"}, "seed": 3},
    ):
        again = _prepared(content, **changes).trunk
        assert again == setup.trunk._replace(seconds=0.0)
    assert _kept() == before


def test_states_without_room_are_not_kept_and_the_log_says_why(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(passes, "LARGEST_CACHE", 1000)
    with caplog.at_level(logging.INFO):
        setup = _prepared(content)
    assert setup.trunk is None
    assert "its features would take 0.0 GB, the limit is 0" in caplog.text
