"""Low-rank adapters: training as peft's own, what travels, layers that take none, the model that comes back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from federated.aggregators.lora.adapters import adapters_of
from federated.compressors.none import none
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, torch_seeded
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs
from federated.models.representation import Place, representation_of
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.trained.applied import applied
from federated.trained.lora import lora
from federated.trained.merged import merged
from tasks.tracking.models.folder import write_model
from tests.conftest import generators

pytestmark = pytest.mark.slow  # peft alone takes seconds to import

RANK, ROUNDS, STEPS = 2, 2, 3
SIZES = {"1": (8, 64), "3": (6, 8)}  # outputs and inputs of the layers below the head, which is 10 x 6


def config(**changes: Any) -> RunConfig:
    base: dict[str, Any] = {
        "dataset": "digits",
        "model": "mlp(hidden=[8, 6])",
        "clients": 2,
        "rounds": ROUNDS,
        "trained": f"lora(rank={RANK})",
        "local": {"batch_size": None, "steps": STEPS, "optimiser": "adamw", "learning_rate": 0.05},
    }
    return RunConfig.model_validate({**base, **changes})


@pytest.fixture(scope="module")
def two_clients() -> tuple[Setup, Any]:
    setup = prepare(config())
    return setup, train_rounds(initial_state(setup), setup, ROUNDS)


def factors(setup: Setup) -> list[str]:
    return [name for name, _ in setup.model.layout if ".lora_" in name]


def test_one_client_is_trained_as_peft_trains_step_for_step() -> None:
    """The oracle: peft's own wrapper, torch's AdamW, whose memory starts anew in every round, and the head beside."""
    from peft import LoraConfig, get_peft_model

    setup, plain = prepare(config(clients=1)), prepare(config(clients=1, trained="full"))
    state = train_rounds(initial_state(setup), setup, ROUNDS)
    module = plain.model.independent_module().train()
    with torch_seeded(setup.config.seed, Purpose.TRAINED_PART):
        peft = get_peft_model(module, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["1", "3"]))
    module[5].requires_grad_(True)
    held = torch.from_numpy(setup.trainers.holders.indices[0])
    inputs, targets = model_inputs(setup.inputs[held]), setup.targets[held]
    for _ in range(ROUNDS):
        steps = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=0.05, weight_decay=0)
        for _ in range(STEPS):
            steps.zero_grad()
            F.cross_entropy(peft(inputs), targets).backward()
            steps.step()
    right = {
        name.removeprefix("base_model.model."): p for name, p in peft.named_parameters() if p.requires_grad
    }
    assert list(right) == [name for name, _ in setup.model.layout]
    first, now = setup.initial_parameters, state.parameters
    for (name, _), part in zip(setup.model.layout, split(setup, now), strict=True):
        assert torch.allclose(part, right[name].detach().reshape(-1), rtol=1e-4, atol=1e-5), name
    assert all(bool((a != b).any()) for a, b in zip(split(setup, first), split(setup, now), strict=True))


def split(setup: Setup, vector: Tensor) -> tuple[Tensor, ...]:
    return torch.split(vector, [parameter.numel() for parameter in setup.model.trainable])


def test_the_model_begins_as_it_is_and_what_is_frozen_does_not_move_by_one_bit(
    two_clients: tuple[Setup, Any],
) -> None:
    setup, state = two_clients
    whole = dict(prepare(config(trained="full")).model.module.named_parameters())
    inputs = model_inputs(setup.inputs[:5])
    begun, ended = (
        setup.model.independent_module(each) for each in (setup.initial_parameters, state.parameters)
    )
    assert torch.equal(begun(inputs), prepare(config(trained="full")).model.independent_module()(inputs))
    for name, parameter in ended.named_parameters():
        if ".lora_" in name:
            continue
        same = torch.equal(parameter, whole[name.replace(".base_layer", "")])
        assert same is not name.startswith("5."), name


def test_the_rank_decides_what_travels(two_clients: tuple[Setup, Any], tmp_path: Path) -> None:
    setup, state = two_clients
    (header,), _ = none().encode(none().init(1, 0), torch.zeros(1, 0), generators(1))
    numbers = sum(RANK * sum(shape) for shape in SIZES.values()) + 10 * 6 + 10
    assert state.uplink_bytes == ROUNDS * 2 * (4 * numbers + len(header))
    pairs = adapters_of(setup.model.layout, setup.model.factors)
    assert {pair.layer: (pair.b.shape, pair.a.shape) for pair in pairs} == {
        name: ((outputs, RANK), (RANK, inputs)) for name, (outputs, inputs) in SIZES.items()
    }
    save(Course(state), tmp_path / "state.safetensors", {})
    kept = load(tmp_path / "state.safetensors", {}, torch.device("cpu")).state
    assert kept.parameters.shape == (numbers,)
    frozen = prepare(config(trained=f"lora(rank={RANK}, freeze=A, head=false)"))
    assert frozen.model.layout == tuple(
        (f"{name}.lora_B.default.weight", (shape[0], RANK)) for name, shape in SIZES.items()
    )
    for name, parameter in frozen.model.module.named_parameters():
        if "lora_A" in name:
            assert torch.equal(parameter, dict(setup.model.module.named_parameters())[name]), "drawn alike"


def test_a_run_that_goes_on_ends_with_the_same_bits(two_clients: tuple[Setup, Any], tmp_path: Path) -> None:
    setup, state = two_clients
    save(Course(train_rounds(initial_state(setup), setup, 1)), tmp_path / "half.safetensors", {})
    again = prepare(config())
    half = load(tmp_path / "half.safetensors", {}, torch.device("cpu")).state
    assert torch.equal(train_rounds(half, again, ROUNDS).parameters, state.parameters)


class Encoder(nn.Module):
    """torch's own transformer, which in evaluation reads weights past its layers unless it is kept from it."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.embedding = nn.Embedding(7, 8)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.encoder(self.embedding(x), src_key_padding_mask=x == 0).mean(1))
        return found


class Attention(nn.Module):
    """Dense layers for queries, keys and values, a weight that two layers share, and no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 7)
        self.query, self.key, self.value = (nn.Linear(7, 7, bias=False) for _ in range(3))
        self.key.weight = self.embedding.weight
        self.head = nn.Linear(7, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)
        weights = torch.softmax(self.query(x) @ self.key(x).mT, -1)
        found: Tensor = self.head((weights @ self.value(x)).mean(1))
        return found


def convolutions() -> nn.Module:
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(4 * 2 * 2, 3))


TOKENS, IMAGES = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 1]]), torch.ones(2, 1, 8, 8)
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor, dict[str, Any], list[str]]] = {
    "torch's transformer": (
        Encoder,
        TOKENS,
        {},
        [f"encoder.layers.{at}.linear{number}" for at in range(2) for number in (1, 2)],
    ),
    "queries and values": (Attention, TOKENS, {}, ["query", "value"]),
    "a weight of two layers": (Attention, TOKENS, {"targets": ["key"]}, ["key"]),
    "convolutions": (convolutions, IMAGES, {"targets": ["0", "3"]}, ["0", "3"]),
}


@pytest.mark.parametrize("what", MODELS)
def test_layers_get_adapters_and_give_them_back_in_their_weights(what: str) -> None:
    """In evaluation without gradients, as with them, and as the plain layers into which the products are added."""
    make, inputs, options, layers = MODELS[what]
    module = applied(lora(rank=2, **options), "lora", make().eval(), inputs, (3,), 0)
    model = FlatModel(module, rest_in_evaluation=True)
    assert [pair.layer for pair in adapters_of(model.layout, model.factors)] == layers
    before = make().state_dict().keys()
    model.vector.add_(torch.linspace(-0.5, 0.5, model.vector.numel()))
    module = model.independent_module()
    with torch.no_grad():
        found = module(inputs)
    assert torch.allclose(module(inputs), found, atol=1e-6)
    base = FlatModel(applied(lora(rank=2, **options), "lora", make().eval(), inputs, (3,), 0)).module.eval()
    assert not torch.allclose(base(inputs), found, atol=1e-3)
    whole, changed = merged(module)
    assert changed == {f"{layer}.weight" for layer in layers}
    assert whole.state_dict().keys() == before
    with torch.no_grad():
        assert torch.allclose(whole(inputs), found, atol=1e-5)


def test_the_representation_is_where_it_is_without_adapters() -> None:
    for options in ({"head": True}, {"head": False, "targets": ["5"]}):
        setup = prepare(config(trained={"name": "lora", "rank": 2, **options}))
        assert representation_of(setup.model.module) == Place("5", "input")


class Past(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(F.linear(x, self.first.weight))
        return found


def twice() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.Linear(4, 3))


class Scaled(nn.Linear):
    """As with an equalised learning rate."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, 3 * self.weight, self.bias)


class Standardised(nn.Conv2d):
    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight / weight.std(), bias)


class Tied(nn.Module):
    """Calls a layer, and reads its weight once more past it, as an autoencoder with tied weights does."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.code, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(F.linear(self.code(self.plain(x)), self.code.weight.T))
        return found


def dense(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.Linear(4, 3))


def watched_layer() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.register_forward_pre_hook(lambda _, given: (2 * given[0],))
    return dense(layer)


def convolved(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(2 * 8 * 8, 3))


ROWS_OF_FOUR = torch.ones(2, 4)
REFUSED: dict[str, tuple[Callable[[], nn.Module], Tensor, dict[str, Any], str]] = {
    "no such layer": (
        Past,
        ROWS_OF_FOUR,
        {"targets": ["query"]},
        "no layer is named like 'query'; there are first",
    ),
    "a rank above the layer": (
        Past,
        ROWS_OF_FOUR,
        {"rank": 5},
        r"rank 5 is above 4, the smaller side of first \[4, 4\]",
    ),
    "the head": (Past, ROWS_OF_FOUR, {"targets": ["head"]}, "head is of the head, which is trained in full"),
    "weights read past a layer": (Past, ROWS_OF_FOUR, {"rank": 2}, "first is not called when the model is"),
    "one layer twice": (twice, ROWS_OF_FOUR, {"rank": 2}, "0 stands in the model under several names"),
    "attention's last layer": (
        Encoder,
        TOKENS,
        {"targets": ["out_proj"]},
        "reads its weights past its layers",
    ),
    "attention": (Encoder, TOKENS, {"targets": ["self_attn"]}, "reads its weights past its layers"),
    "an embedding": (
        Encoder,
        TOKENS,
        {"targets": ["embedding"]},
        "embedding is Embedding; adapters are for dense",
    ),
    "a convolution in groups": (
        lambda: nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(4, 2)),
        torch.ones(2, 4, 1, 1),
        {"targets": ["0"], "rank": 2},
        "0 is a convolution in 2 groups",
    ),
    "a forward of its own": (
        lambda: dense(Scaled(4, 4)),
        ROWS_OF_FOUR,
        {"rank": 2},
        "0 is Scaled with a forward",
    ),
    "weights of its own": (
        lambda: convolved(Standardised(1, 2, 3, padding=1)),
        IMAGES,
        {"targets": ["0"], "rank": 2},
        "0 is Standardised with a _conv_forward of its own",
    ),
    "a hook": (watched_layer, ROWS_OF_FOUR, {"rank": 2}, "0 has a hook of its own"),
    **{
        function.__name__: (
            lambda function=function: dense(function(nn.Linear(4, 4))),
            ROWS_OF_FOUR,
            {"rank": 2},
            "0 computes its weight from other parameters",
        )
        for function in (parametrizations.weight_norm, parametrizations.spectral_norm)
    },
    "a hook that computes the weight": (
        lambda: dense(nn.utils.spectral_norm(nn.Linear(4, 4))),
        ROWS_OF_FOUR,
        {"rank": 2},
        "0 computes its weight from other parameters",
    ),
    **{
        mode: (
            lambda mode=mode: convolved(nn.Conv2d(1, 2, 3, padding=1, padding_mode=mode)),
            IMAGES,
            {"targets": ["0"], "rank": 2},
            f"0 is a convolution with padding_mode {mode}",
        )
        for mode in ("reflect", "circular", "replicate")
    },
    "a weight that is read past the layer too": (
        Tied,
        ROWS_OF_FOUR,
        {"rank": 2},
        "code: with the adapter beside it the model answers otherwise",
    ),
    "dilation": (
        lambda: convolved(nn.Conv2d(1, 2, 3, padding="same", dilation=2)),
        IMAGES,
        {"targets": ["0"], "rank": 2},
        r"0 is a convolution with dilation \(2, 2\)",
    ),
    "convolutions alone": (convolutions, IMAGES, {}, "no dense layer beside its head; name targets"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_layers_that_take_no_adapter_are_refused(what: str) -> None:
    make, inputs, options, message = REFUSED[what]
    with pytest.raises(BadInput, match=f"trained: lora: .*{message}"):
        applied(lora(**options), "lora", make(), inputs, (3,), 0)


def test_own_adapters_by_peft_are_tried_too() -> None:
    """A convolution that pads by reflection, adapted past the room's own checks; the same with zeros is taken."""
    from peft import LoraConfig, inject_adapter_in_model

    def own(module: nn.Module) -> nn.Module:
        found: nn.Module = inject_adapter_in_model(LoraConfig(r=2, target_modules=["0"]), module)
        return found

    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for mode in ("zeros", "reflect"):
        module = convolved(nn.Conv2d(1, 2, 3, padding=1, padding_mode=mode))
        before = {name: each.clone() for name, each in module.named_parameters()}
        if mode == "reflect":
            with pytest.raises(BadInput, match="trained: mine:own: 0: with the adapter beside it the model"):
                applied(own, "mine:own", module, images, (3,), 0)
            continue
        chosen = applied(own, "mine:own", module, images, (3,), 0)
        for name, each in chosen.named_parameters():
            right = (
                torch.zeros_like(each)
                if "lora_B" in name
                else before.get(name.replace(".base_layer", ""), each)
            )
            assert torch.equal(each, right), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"alpha": 0.0}, "alpha must be above 0, got 0"),
        ({"targets": []}, "targets must name a layer"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lora(**options)


def test_without_peft_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"trained: lora needs the package peft, .* make finetune"):
        lora()


def test_the_logged_model_is_the_plain_architecture_and_answers_as_in_evaluation(
    two_clients: tuple[Setup, Any], tmp_path: Path
) -> None:
    setup, state = two_clients
    examples = setup.federation.examples
    saved = write_model(tmp_path / "model", ("lora",), setup.model, state.parameters, examples, setup.readout)
    assert saved.how == "pt2"
    module = setup.model.independent_module(state.parameters)
    right = torch.softmax(module(model_inputs(setup.inputs[:6])), dim=1).max(dim=1).values.detach()
    answers = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(examples.inputs[:6])
    assert answers["probability"].to_numpy() == pytest.approx(right.numpy(), abs=1e-5)
    programs = list(tmp_path.rglob("*.pt2"))
    assert len(programs) == 1
    with zipfile.ZipFile(io.BytesIO(programs[0].read_bytes())) as archive:
        assert not any(b"peft" in archive.read(name) for name in archive.namelist())
    assert not any(b"peft" in file.read_bytes() for file in tmp_path.rglob("requirements.txt"))
