"""The frozen beginning of a model runs once: where it may, that numbers stay what they are, and what is kept of it."""

from __future__ import annotations

import ast
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.forecast import forecast_study
from federated.local_training.trunk.beginning import NoTrunk
from federated.local_training.trunk.order import batches_by_length
from federated.local_training.trunk.split import split
from federated.machine.folders import home
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments import Observers, begun
from federated.study.study import StudyConfig
from tasks.checkpoints import _identity


def _still(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(*modules).requires_grad_(False)


class _Encoder(nn.Module):
    """A trunk of its own forward, and a head; `last`: (head, features) -> outputs."""

    def __init__(
        self, trunk: nn.Module, head: nn.Module, last: Callable[..., Tensor] = lambda h, f: h(f)
    ) -> None:
        super().__init__()
        self.trunk, self.head, self.last = trunk, head, last

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.head, self.trunk(inputs).tanh())


class _Mixes(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs - inputs.mean(dim=0)


class _Augments(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.randn_like(inputs) if self.training else inputs


def _tied() -> nn.Module:
    model = _Encoder(_still(nn.Linear(6, 6)), nn.Linear(6, 6))
    model.trunk[0].weight = model.head.weight  # type: ignore[index]
    return model


SPLIT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a row": (lambda: nn.Sequential(_still(nn.Linear(6, 4)), nn.ReLU(), nn.Linear(4, 3)), "2"),
    "a longer head": (
        lambda: nn.Sequential(
            _still(nn.Linear(6, 4)), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)
        ),
        "2",
    ),
    "a frozen beginning of a nested row": (
        lambda: nn.Sequential(
            nn.Sequential(_still(nn.Linear(6, 4)), nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 3)
        ),
        "0.1",
    ),
    "dropout before the head is the head's": (
        lambda: nn.Sequential(_still(nn.Linear(6, 4)), nn.Dropout(0.5), nn.Linear(4, 3)),
        "1",
    ),
    "a forward of its own": (lambda: _Encoder(_still(nn.Linear(6, 4)), nn.Linear(4, 3)), "head"),
    "a head of several layers": (
        lambda: _Encoder(_still(nn.Linear(6, 4)), nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))),
        "head.0",
    ),
    "a half frozen head": (
        lambda: _Encoder(_still(nn.Linear(6, 4)), nn.Sequential(_still(nn.Linear(4, 5)), nn.Linear(5, 3))),
        "head.1",
    ),
    "batch normalisation that is frozen": (
        lambda: nn.Sequential(_still(nn.Linear(6, 4), nn.BatchNorm1d(4)), nn.Linear(4, 3)),
        "1",
    ),
    "batch normalisation in the head": (
        lambda: nn.Sequential(_still(nn.Linear(6, 4)), nn.BatchNorm1d(4), nn.Linear(4, 3)),
        "1",
    ),
}

WHOLE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "all is trained": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)),
        "first parameters are trained",
    ),
    "the last is frozen": (lambda: nn.Sequential(nn.Linear(6, 4), _still(nn.Linear(4, 3))), "are trained"),
    "both ends are trained": (
        lambda: nn.Sequential(nn.Linear(6, 4), _still(nn.Linear(4, 4)), nn.Linear(4, 3)),
        "are trained",
    ),
    "augmentation": (
        lambda: nn.Sequential(_Augments(), _still(nn.Linear(6, 4)), nn.Linear(4, 3)),
        "another in training than in evaluation",
    ),
    "dropout within": (
        lambda: nn.Sequential(nn.Dropout(0.5), _still(nn.Linear(6, 4)), nn.Linear(4, 3)),
        "another in training than in evaluation",
    ),
    "examples of a batch are mixed": (
        lambda: nn.Sequential(_Mixes(), _still(nn.Linear(6, 4)), nn.Linear(4, 3)),
        "depend on the others of its batch",
    ),
    "something after the head": (
        lambda: _Encoder(_still(nn.Linear(6, 4)), nn.Linear(4, 3), lambda head, features: 2 * head(features)),
        "not those of one call",
    ),
    "features by another way as well": (
        lambda: _Encoder(
            _still(nn.Linear(6, 4)), nn.Linear(4, 4), lambda head, features: head(features) + features
        ),
        "not those of one call",
    ),
    "the head twice": (
        lambda: _Encoder(
            _still(nn.Linear(6, 4)), nn.Linear(4, 4), lambda head, features: head(head(features))
        ),
        "not those of one call",
    ),
    "a weight of the head in the trunk": (_tied, "trained"),
    "the trunk reads the head": (
        lambda: _Encoder(
            _still(nn.Linear(6, 4)),
            nn.Linear(4, 3),
            lambda head, features: head(features * head.weight.detach().mean()),
        ),
        "depends on trained parameters",
    ),
}


@pytest.mark.parametrize("name", SPLIT)
def test_a_model_is_cut_where_its_frozen_beginning_ends(name: str) -> None:
    """The head has the model's own vector and names, and on the features its outputs and gradient."""
    make, entry = SPLIT[name]
    torch.manual_seed(0)
    whole, inputs = FlatModel(make()), torch.randn(5, 6)
    found = split(whole, inputs)
    assert found.cut.entry == entry
    assert (found.head.layout, found.head.statistics) == (whole.layout, whole.statistics)
    assert torch.equal(found.head.vector, whole.vector)
    whole.train()
    given: list[Tensor] = []
    whole.module.get_submodule(entry).register_forward_pre_hook(lambda _, values: given.append(values[0]))
    gradients = []
    for model, values in ((whole, lambda: inputs), (found.head, lambda: given[0])):
        torch.manual_seed(1)
        gradients.append(model.gradient(model.module(values()).square().sum()))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", WHOLE)
def test_a_model_that_cannot_be_cut_says_why(name: str) -> None:
    make, why = WHOLE[name]
    torch.manual_seed(0)
    with pytest.raises(NoTrunk, match=why):
        split(FlatModel(make()), torch.randn(5, 6))


def test_sequences_go_with_others_of_their_length_and_every_one_once() -> None:
    tokens = torch.zeros(7, 5, dtype=torch.int64)
    lengths = [4, 1, 5, 2, 5, 3, 0]
    for row, length in enumerate(lengths):
        tokens[row, :length] = 9
    batches = batches_by_length(tokens, 3)
    assert [[lengths[at] for at in batch] for batch in batches] == [[5, 5, 0], [1, 2, 3], [4]]
    assert sorted(torch.cat(batches).tolist()) == list(range(7))
    images = batches_by_length(torch.zeros(5, 1, 2, 2), 2)
    assert torch.equal(torch.cat(images), torch.arange(5))


OWN = """
import torch
from torch import nn

CALLS = []


class Encoder(nn.Module):
    def __init__(self, outputs, dropout):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)  # as if pretrained: the same for every seed
            self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 16))
        self.trunk.requires_grad_(False)
        self.representation = "trunk"
        self.head = nn.Sequential(nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, outputs))

    def forward(self, inputs):
        CALLS.append(len(inputs))
        return self.head(self.trunk(inputs))


def encoder(input_shape, num_outputs, dropout: float = 0.0):
    return Encoder(num_outputs, dropout)
"""

CONTENT = {
    "dataset": "digits",
    "clients": 5,
    "partitioner": "dirichlet(0.5)",
    "holdout": {"client": 0.2, "unseen_clients": 1},
    "local": {"batch_size": 16, "learning_rate": 0.1},
    "rounds": 2,
    "device": "cpu",
}


@pytest.fixture
def model(own: Callable[[str], str]) -> str:
    return f"{own(OWN)}:encoder"


def _trained(model: str, **changes: object) -> tuple[RunState, Setup]:
    setup = prepare(RunConfig.model_validate({**CONTENT, "model": model, **changes}))
    return train_rounds(initial_state(setup), setup, setup.config.rounds), setup


ALIKE: dict[str, dict[str, object]] = {
    "changed by clients": {
        "partitioner": "rotation(test=true)",
        "local": {"batch_size": 16, "optimiser": "adam", "learning_rate": 0.01},
    },
    "personal": {"algorithm": "ditto"},
    "control variates": {"algorithm": "scaffold"},
    "centralised": {"training": "centralised"},
    "fine-tuned": {"evaluation": {"personalisation": {"epochs": 1}}, "rounds": 1},
}


@pytest.mark.parametrize("name", ALIKE)
def test_numbers_are_those_of_the_whole_model(name: str, model: str) -> None:
    """Parameters and metrics, to the rounding of a trunk in batches of other sizes; it runs for each example once."""
    (state, setup), (other, whole) = (
        _trained(model, engine={"cache_features": cache, "name": "loop"}, **ALIKE[name])
        for cache in (True, False)
    )
    assert setup.inputs.shape[1:] == (16,)
    assert whole.inputs.shape[1:] == (1, 8, 8)
    torch.testing.assert_close(state.parameters, other.parameters, rtol=1e-4, atol=1e-6)
    found, expected = evaluate(state, setup), evaluate(other, whole)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


def _pass(model: str) -> list[int]:
    """The sizes of all batches that the whole model has been given since the last time."""
    calls = sys.modules[model.partition(":")[0]].CALLS
    sizes = list(calls)
    calls.clear()
    return sizes


def test_the_trunk_runs_once_for_all_runs_and_seeds(model: str) -> None:
    """What is kept serves another seed, another algorithm and another process; a trial of a study computes nothing."""
    total = 1797
    rehearsed = prepare(RunConfig.model_validate({**CONTENT, "model": model}), rehearsal=True)
    assert rehearsed.inputs.shape == (total, 16)
    assert rehearsed.trunk is not None
    assert rehearsed.trunk.seconds > 0
    assert rehearsed.trunk.num_bytes == total * 16 * 4
    assert sum(_pass(model)) < total
    _, setup = _trained(model)
    assert setup.trunk is not None
    assert setup.trunk.seconds > 0  # that it took
    assert sum(_pass(model)) > total
    assert not torch.equal(rehearsed.inputs, setup.inputs)
    for changes in ({"seed": 3}, {"algorithm": "scaffold"}, {"partitioner": "iid"}):
        _, again = _trained(model, **changes)
        assert torch.equal(again.inputs, setup.inputs)
        assert again.trunk is not None
        assert again.trunk.seconds == 0
    assert sum(_pass(model)) < total
    _trained(model, partitioner="rotation")  # whose clients have other inputs
    assert sum(_pass(model)) > total


def test_what_is_damaged_on_the_disk_is_made_anew(model: str) -> None:
    state, setup = _trained(model)
    file = max((home() / "features").glob("trunk-*/features.npy"), key=lambda path: path.stat().st_mtime_ns)
    whole = file.read_bytes()
    file.unlink()  # what is mapped here stays as it is
    file.write_bytes(whole[:1000])
    again, other = _trained(model)
    assert torch.equal(again.parameters, state.parameters)
    assert torch.equal(other.inputs, setup.inputs)


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "switched off": ({"engine": {"cache_features": False}}, "cache_features is false"),
    "precision": ({"engine": {"precision": "bfloat16"}}, "engine.precision is bfloat16"),
    "moon": ({"algorithm": "moon"}, "compares representations"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_whole_model_is_trained_where_features_would_not_do(
    name: str, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    changes, why = REFUSED[name]
    with caplog.at_level(logging.INFO):
        setup = prepare(RunConfig.model_validate({**CONTENT, "model": model, **changes}))
    assert setup.trunk is None
    assert setup.whole is setup
    assert setup.inputs.shape[1:] == (1, 8, 8)
    assert why in caplog.text


def test_a_model_without_frozen_parts_is_not_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        setup = prepare(RunConfig.model_validate({**CONTENT, "model": "mlp"}))
    assert setup.trunk is None
    assert "features" not in caplog.text


def test_a_run_goes_on_from_a_checkpoint_with_or_without_features(model: str, tmp_path: Path) -> None:
    """Its identity is the whole model's, so that older checkpoints serve; to the bit where both have features."""
    state, setup = _trained(model)
    begun = train_rounds(initial_state(setup), setup, 1)
    save(Course(begun), tmp_path / "run.safetensors", _identity(setup))
    other = prepare(
        RunConfig.model_validate({**CONTENT, "model": model, "engine": {"cache_features": False}})
    )
    assert _identity(other) == _identity(setup)
    read = load(tmp_path / "run.safetensors", _identity(other), setup.inputs.device, setup.store.kept).state
    assert torch.equal(train_rounds(read, setup, 2).parameters, state.parameters)
    torch.testing.assert_close(
        train_rounds(read, other, 2).parameters, state.parameters, rtol=1e-4, atol=1e-6
    )


def test_the_whole_model_is_there_for_who_needs_the_inputs(model: str) -> None:
    """What is logged, and attacks that reconstruct inputs."""
    state, setup = _trained(model)
    module = setup.whole_model.independent_module(state.parameters)
    inputs = model_inputs(torch.from_numpy(setup.federation.examples.inputs[:4]))
    setup.model.load(state.parameters)
    with torch.no_grad():
        expected = setup.model.module.eval()(setup.inputs[:4])
        torch.testing.assert_close(module(inputs), expected)
    whole = setup.whole
    assert whole.model is setup.whole_model
    assert torch.equal(whole.inputs, torch.from_numpy(setup.federation.examples.inputs))
    assert whole.trunk is setup.trunk


def test_the_forecast_has_the_pass_once(model: str) -> None:
    """Its time, as long as it is to be made, and the size of its features, for all arms together."""
    content = {
        "name": "trunk",
        "base": {**CONTENT, "model": model, "local": {"batch_size": 16}},
        "axes": {"local.learning_rate": [0.1, 0.2]},
        "seeds": [0],
    }
    runs = StudyConfig.model_validate(content).runs()
    forecast = forecast_study(runs)
    assert forecast.trunk_mb == pytest.approx(1797 * 16 * 4 / 1e6)
    assert forecast.trunk_seconds > 0
    prepare(runs[0].config)
    later = forecast_study(runs)
    assert (later.trunk_mb, later.trunk_seconds) == (forecast.trunk_mb, 0)


def test_frozen_parameters_are_those_of_the_whole_model(model: str) -> None:
    """64 x 30 + 30 + 30 x 16 + 16 of the trunk, and 16 x 10 + 10 of the head."""
    setup = prepare(RunConfig.model_validate({**CONTENT, "model": model}))
    assert setup.model is not setup.whole_model
    silent = Observers(lambda course: None, lambda history: None, lambda course: None)
    ((_, found), *_) = begun(Course(initial_state(setup)), setup, silent).history
    assert (found["train/frozen_parameters"], found["train/trained_parameters"]) == (2446, 170)


def test_only_what_trains_makes_the_pass() -> None:
    """Checks, forecasts and previews of a study would else wait for it before anything is said."""
    names = {"prepare", "setups.prepare", "prepare_shadow"}
    makes = {
        path.as_posix()
        for folder in ("federated", "tasks", "flows")
        for path in Path(folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
        if "rehearsal" not in [keyword.arg for keyword in node.keywords]
    }
    handed_over = "federated/run/preparing/attacks/shadow_config.py"  # with the rehearsal in it
    trained = {"tasks/rounds.py", "federated/attacks/shadows.py", "federated/tuning/trial.py"}
    assert makes == {*trained, "federated/coalitions/gathered.py", handed_over}


CUT = """
import json
import torch
from torch import nn


class Cut(nn.Module):
    def __init__(self, input_shape, num_outputs):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.words = nn.Embedding(9, 4).requires_grad_(False)
        self.longest = json.load(open({path!r}))["longest"]
        self.trunk, self.head = nn.Identity(), nn.Linear(4, num_outputs)

    def forward(self, tokens):
        tokens = tokens[:, : self.longest]
        return self.head(self.trunk(self.words(tokens).amax(1)))
"""


def test_a_setting_in_a_file_that_concerns_long_texts_alone_gives_other_features(
    own: Callable[[str], str], tmp_path: Path
) -> None:
    tokens = torch.randint(1, 9, (40, 12), generator=torch.Generator().manual_seed(0))
    tokens[:30] = tokens[:30, :1]  # the same, however they are cut
    np.savez(tmp_path / "texts.npz", inputs=tokens.numpy(), targets=np.arange(40) % 2)
    file = tmp_path / "settings.json"
    name = own(CUT.format(path=str(file)))
    content = {**CONTENT, "dataset": {"name": "arrays", "path": str(tmp_path / "texts.npz")}}
    config = RunConfig.model_validate({**content, "clients": 2, "holdout": {}, "model": f"{name}:Cut"})
    of_each = []
    for longest in (12, 6):
        file.write_text(json.dumps({"longest": longest}))
        of_each.append(prepare(config).inputs.clone())
    assert of_each[0].shape == (40, 4)
    assert torch.equal(of_each[0][:30], of_each[1][:30])
    assert not torch.equal(of_each[0][30:], of_each[1][30:])
