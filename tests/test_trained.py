"""What is trained: which parameters each part leaves, what stays to the bit, what travels, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from federated.compressors.none import none
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.local_training.convolution.recognise import convolution_stack
from federated.local_training.dense.recognise import linear_stack
from federated.local_training.loop import loop_trainer
from federated.local_training.vmapped import vmapped_trainer
from federated.models.flat_model import FlatModel
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import Observers, begun
from federated.trained import TRAINED
from tests.conftest import generators

LAYERS = "digits", "mlp(hidden=[8, 6])"  # 1 (64 x 8), 3 (8 x 6), 5 (6 x 10)
ROWS: dict[str, tuple[str, list[str]]] = {
    "full": ("full", ["1.weight", "1.bias", "3.weight", "3.bias", "5.weight", "5.bias"]),
    "head": ("head", ["5.weight", "5.bias"]),
    "last": ("last(2)", ["3.weight", "3.bias", "5.weight", "5.bias"]),
    "bias": ("bias", ["1.bias", "3.bias", "5.weight", "5.bias"]),
    "pattern": ('pattern(["3", "?.bias"])', ["1.bias", "3.weight", "3.bias", "5.bias"]),
}
"""One row a registered part of the model of three dense layers: the choice, what is trained."""
ELSEWHERE = {"lora": "tests/test_lora.py"}


def config(**changes: Any) -> RunConfig:
    base = {"dataset": LAYERS[0], "model": LAYERS[1], "clients": 3, "rounds": 2}
    return RunConfig.model_validate({**base, "local": {"batch_size": 64, "learning_rate": 0.5}, **changes})


def test_every_registered_part_has_a_row() -> None:
    assert {*ROWS, *ELSEWHERE} == set(TRAINED)


@pytest.mark.parametrize("name", ROWS)
def test_a_part_is_trained_and_the_rest_does_not_move_by_one_bit(name: str) -> None:
    choice, names = ROWS[name]
    setup, whole = prepare(config(trained=choice)), prepare(config())
    assert [each for each, _ in setup.model.layout] == names
    first = dict(whole.model.module.named_parameters())
    for each, parameter in setup.model.module.named_parameters():
        assert torch.equal(parameter, first[each]), "arms of a seed begin with the same model"
    state = train_rounds(initial_state(setup), setup, 2)
    now = setup.model.independent_module(state.parameters)
    for each, parameter in now.named_parameters():
        assert torch.equal(parameter, first[each]) is (each not in names), each


def test_what_travels_weighs_what_is_trained_and_so_does_the_checkpoint(tmp_path: Path) -> None:
    """32 bits a number and the header that any vector has."""
    setup = prepare(config(trained="head"))
    state = train_rounds(initial_state(setup), setup, 2)
    codec = none()
    (header,), _ = codec.encode(codec.init(1, 0), torch.zeros(1, 0), generators(1))
    assert state.uplink_bytes == 2 * 3 * (4 * (6 * 10 + 10) + len(header))
    save(Course(state), tmp_path / "state.safetensors", {})
    assert load(tmp_path / "state.safetensors", {}, torch.device("cpu")).state.parameters.shape == (70,)


def test_a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_bits(tmp_path: Path) -> None:
    one, other = (prepare(config(trained="bias")) for _ in range(2))
    whole = train_rounds(initial_state(one), one, 2)
    save(Course(train_rounds(initial_state(one), one, 1)), tmp_path / "half.safetensors", {})
    half = load(tmp_path / "half.safetensors", {}, torch.device("cpu")).state
    assert torch.equal(train_rounds(half, other, 2).parameters, whole.parameters)


def test_keys_are_as_before_for_all_of_a_model_and_anchors_train_the_same_part() -> None:
    plain = RunConfig.model_validate(
        {"dataset": "digits", "model": "mlp(hidden=[16,16])", "clients": 4, "rounds": 2}
    )
    keys = (plain.run_key(), plain.arm_key(), plain.anchor_key())
    assert keys == ("dfb88304873d", "681c66ded182", "b8cfba917d33"), "those before there were parts"
    full, head = (
        plain.model_copy(update={"trained": config(trained=part).trained}) for part in ("full", "head")
    )
    assert (full.run_key(), full.anchor_key()) == (keys[0], keys[2])
    assert len({plain.anchor_key(), head.anchor_key()}) == 2
    assert len({plain.run_key(), head.run_key()}) == 2


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.norm, self.drop = nn.BatchNorm1d(width), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.drop(self.norm(self.inner(x)))
        return found


class Deep(nn.Module):
    """An embedding, three blocks with lists of their own in them, dropout and a head."""

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 4)
        self.layers = nn.ModuleList(Block(4) for _ in range(blocks))
        self.drop, self.score = nn.Dropout(0.5), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.layers:
            x = block(x)
        found: Tensor = self.score(self.drop(x))
        return found


class Stages(nn.Module):
    """As residual networks are: several lists of blocks, the first of which changes the shape by a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3)
        self.layer1, self.layer2 = (nn.Sequential(Block(2), Block(2)) for _ in range(2))
        self.fc = nn.Linear(2, 3)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(7, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.scores = nn.Linear(4, 7, bias=False)
        self.scores.weight = self.words.weight


def saying(module: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def trained_of(choice: str, module: nn.Module) -> set[str]:
    module = config(trained=choice).trained.build()(module)
    return {name for name, parameter in module.named_parameters() if parameter.requires_grad}


def within(module: nn.Module, *layers: str) -> set[str]:
    return {name for name, _ in module.named_parameters() if f"{name}.".startswith(layers)}


PARTS: dict[str, tuple[Callable[[], nn.Module], str, tuple[str, ...]]] = {
    "head of blocks": (Deep, "head", ("score.",)),
    "head by its name": (lambda: saying(Deep(), head="layers.2"), "head", ("layers.2.",)),
    "head of two layers": (
        lambda: saying(Deep(), head=["layers.2", "score"]),
        "head",
        ("layers.2.", "score."),
    ),
    "head as a module": (lambda: saying(Tied(), head=nn.Linear(2, 2)), "head", ("head.",)),
    "head after a representation": (
        lambda: saying(Deep(), representation="layers.1"),
        "head",
        ("layers.2.", "score."),
    ),
    "one block": (Deep, "last(1)", ("layers.2.", "score.")),
    "all blocks": (Deep, "last(3)", ("layers.", "score.")),
    "blocks of several lists": (Stages, "last(3)", ("layer1.1.", "layer2.", "fc.")),
    "blocks by their name": (
        lambda: saying(Deep(), blocks="layers.2.inner"),
        "last(1)",
        ("layers.2.inner.2.", "layers.2.norm.", "score."),
    ),
    "blocks below a tied head": (Tied, "last(1)", ("layers.1.",)),
    "tied by its second name": (Tied, 'pattern(["scores.*"])', ("words.",)),
    "a layer and all in it": (Deep, 'pattern(["layers.1", "score.bias"])', ("layers.1.", "score.bias.")),
}


@pytest.mark.parametrize("what", PARTS)
def test_parts_of_other_models(what: str) -> None:
    make, choice, layers = PARTS[what]
    module = make()
    assert trained_of(choice, module) == within(module, *layers)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "one layer": (lambda: nn.Sequential(nn.Linear(2, 2)), "head", "no representation can be found"),
    "a head that is all": (lambda: saying(nn.Sequential(nn.Linear(2, 2)), head="0"), "head", "write full"),
    "a tied head": (Tied, "head", "scores.weight is also words.weight"),
    "a head that is none": (
        lambda: saying(Deep(), head="top"),
        "head",
        "must name one of its modules, or a list of them, got 'top'",
    ),
    "an unusual last layer": (lambda: nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), "head", "LayerNorm"),
    "no blocks": (lambda: nn.Sequential(nn.Conv2d(1, 1, 3), nn.Linear(2, 2)), "last(1)", "no blocks"),
    "too many blocks": (Deep, "last(4)", "the model has 3 blocks, layers.0 to layers.2"),
    "blocks that are none": (lambda: saying(Deep(), blocks="bloks"), "last(1)", "got 'bloks'"),
    "no bias": (
        lambda: nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2)),
        "bias",
        "no bias but that of its head",
    ),
    "a pattern of nothing": (
        Deep,
        'pattern(["layers.1", "top*"])',
        "named like 'top\\*'; there are stem.weight",
    ),
    "what the model itself freezes": (
        lambda: saying(Deep(), stem=nn.Linear(5, 4).requires_grad_(False)),
        'pattern(["stem"])',
        "the model itself freezes stem.bias, stem.weight",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_model_does_not_have_is_refused(what: str) -> None:
    make, choice, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        trained_of(choice, make())


def test_what_is_frozen_rests_while_the_rest_is_trained() -> None:
    """Dropout before what is trained draws, that of frozen layers does not; their batch normalisation stands still."""
    module = config(trained="head").trained.build()(Deep())
    model = FlatModel(module, rest_in_evaluation=True)
    for each in (model, model.twin()):
        each.train()
        training = {name for name, part in each.module.named_modules() if part.training}
        assert training == {"", "drop", "score"}
    assert model.statistics == ()
    ordinary = FlatModel(module)
    ordinary.train()
    assert {name for name, part in ordinary.module.named_modules() if not part.training} == {
        f"layers.{at}.norm" for at in range(3)
    }, "as models that freeze a part themselves are trained"
    inner = config(trained='pattern(["layers.1.norm", "score"])').trained.build()(Deep())
    model = FlatModel(inner, rest_in_evaluation=True)
    model.train()
    resting = {name for name, part in model.module.named_modules() if not part.training}
    assert {"stem", "layers.0", "layers.1.inner", "layers.2"} <= resting
    assert resting.isdisjoint({"layers", "layers.1", "layers.1.norm", "layers.1.drop", "drop", "score"})
    assert {name.rpartition(".")[0] for name, _ in model.statistics} == {"layers.1.norm"}


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_engines_train_a_part_as_the_loop_does(model: str, local_work: Callable[..., Any]) -> None:
    work = local_work(model, batch_size=4, shape=(1, 16, 16), dtype=torch.float64)
    module = config(trained="head").trained.build()(work.model.module)
    work = work._replace(model=FlatModel(module, rest_in_evaluation=True))
    assert linear_stack(work) is None
    assert convolution_stack(work) is None
    expected = loop_trainer(*work)(work.model.vector, [0, 1, 2], 0)
    slots = vmapped_updates(work, len(work.model.vector))
    assert torch.allclose(slots, expected.deltas, rtol=0, atol=1e-12)
    assert float(expected.deltas.abs().max()) > 1e-4


def vmapped_updates(work: Any, size: int) -> Tensor:
    from federated.local_training.steps.side_by_side import side_by_side

    train = side_by_side(work, lambda: vmapped_trainer(work), 1, 3)
    deltas: Tensor = train(work.model.vector, [0, 1, 2], 0).deltas
    assert deltas.shape == (3, size)
    return deltas


OWN = """
import torch
from torch import nn

def norms(module, which: str = "bias"):
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.endswith(which))
    return module

def forgets(module):
    norms(module)

def nothing(module):
    return norms(module, "zzz")

class Cut(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.trunk, self.score = nn.Linear(64, 8), nn.Linear(8, outputs)
    def forward(self, x):
        with torch.no_grad():
            features = self.trunk(x.flatten(1))
        return self.score(features)
"""


def test_a_part_of_ones_own(own: Callable[[str], str]) -> None:
    code = own(OWN)
    setup = prepare(config(trained=f"{code}:norms(which=weight)"))
    assert [name for name, _ in setup.model.layout] == ["1.weight", "3.weight", "5.weight"]
    for name, message in (
        ("forgets", "must return the module, got NoneType"),
        ("nothing", "leaves no parameter to train"),
    ):
        with pytest.raises(OwnCodeFailed, match=f"trained: {code}:{name} {message}"):
            prepare(config(trained=f"{code}:{name}"))


def test_a_part_that_the_outputs_do_not_depend_on_is_refused(own: Callable[[str], str]) -> None:
    model = f"{own(OWN)}:Cut"
    assert prepare(config(model=model, trained="head")).model.num_trainable == 8 * 10 + 10
    with pytest.raises(BadInput, match="do not depend on what is trained, trunk"):
        prepare(config(model=model, trained='pattern(["trunk"])'))


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("fedper", "personal: 5 is all of the model that is trained, so nothing would be learnt together"),
        ("moon", "only 5 is trained, which comes after the representation"),
    ],
)
def test_algorithms_of_layers_say_what_they_miss_in_a_part(algorithm: str, message: str) -> None:
    with pytest.raises(BadInput, match=f"algorithm: {algorithm}: {message}"):
        prepare(config(trained="head", algorithm=algorithm))
    assert prepare(config(trained="last(2)", algorithm=algorithm)).model.num_trainable == 9 * 6 + 7 * 10


def test_the_numbers_of_parameters_are_measured_once_of_the_whole_model() -> None:
    """Also where the head alone is trained and evaluated, on features of the frozen trunk."""
    silent = Observers(lambda course: None, lambda history: None, lambda course: None)
    for part, frozen in (("head", 64 * 8 + 8 + 8 * 6 + 6), ("full", None)):
        setup = prepare(config(trained=part))
        ((_, metrics),) = begun(Course(initial_state(setup)), setup, silent).history
        found = metrics.get("train/trained_parameters"), metrics.get("train/frozen_parameters")
        assert found == ((70, frozen) if frozen else (None, None))
