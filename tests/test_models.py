"""The contract of a model, its initial parameters, and what is refused."""

import pytest
import torch
from torch import nn

from federated.foundation.errors import BadInput
from federated.models import MODELS, initial_module
from federated.models import model as model_module
from federated.models.flat_model import FlatModel

# One row a registered model: arguments, input shape, outputs, parameters worked out by hand.
ROWS = {
    "linear": ({}, (3, 2), 4, 6 * 4 + 4),
    "logistic": ({"bias": False}, (5,), 3, 15),
    "mlp": ({"hidden": (200, 200)}, (1, 28, 28), 10, 784 * 200 + 200 + 200 * 200 + 200 + 200 * 10 + 10),
    "cnn": ({}, (1, 28, 28), 10, 44_426),  # the count that NIID-Bench's SimpleCNNMNIST has
    "mcmahan_cnn": ({}, (1, 28, 28), 10, 1_663_370),  # the count that the paper states
    "lstm": ({}, (7,), 90, 92 * 8 + 4 * 256 * (8 + 256 + 2) + 4 * 256 * (256 + 256 + 2) + 256 * 90 + 90),
    # embeddings, positions; of each block four projections, two norms and two dense layers; a norm and the last layer
    "transformer": (
        {"width": 8, "layers": 3, "heads": 2, "feed_forward": 20},
        (7,),
        5,
        7 * 8 + 7 * 8 + 3 * (4 * (8 * 8 + 8) + 2 * 2 * 8 + 8 * 20 + 20 + 20 * 8 + 8) + 2 * 8 + 8 * 5 + 5,
    ),
}
OF_TOKENS = {"lstm", "transformer"}


def _inputs(name, count, shape):
    return torch.zeros(count, *shape, dtype=torch.int64 if name in OF_TOKENS else torch.float32)


ELSEWHERE = {"huggingface": "tests/test_huggingface.py, as it needs weights"}


def test_every_registered_model_has_a_row():
    assert {*ROWS, *ELSEWHERE} == set(MODELS)


@pytest.mark.parametrize("name", ROWS)
def test_shapes_and_number_of_parameters(name):
    arguments, shape, outputs, count = ROWS[name]
    module = MODELS[name](**arguments)(shape, outputs)
    assert FlatModel(module).vector.numel() == count
    before = shape if name in OF_TOKENS else ()
    assert module(_inputs(name, 3, shape)).shape == (3, *before, outputs)


@pytest.mark.parametrize("name", ROWS)
def test_initial_parameters_are_a_function_of_the_seed(name):
    arguments, shape, outputs, _ = ROWS[name]
    vectors = []
    for seed, disturbance in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(disturbance)
        of_one = (*(shape if name in OF_TOKENS else ()), outputs)
        module = initial_module(MODELS[name](**arguments), name, _inputs(name, 2, shape), of_one, seed)
        vectors.append(FlatModel(module).vector)
    assert torch.equal(vectors[0], vectors[1])
    if name != "logistic":  # which starts at zero
        assert not torch.equal(vectors[0], vectors[2])


@pytest.mark.parametrize("name", ["cnn", "mcmahan_cnn"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 16, 16), (4, 40, 17)])
def test_cnn_works_on_other_images(name, shape):
    assert MODELS[name]()(shape, 7)(torch.zeros(2, *shape)).shape == (2, 7)


def _make(name, arguments, shape):
    return initial_module(MODELS[name](**arguments), name, torch.zeros(2, *shape), (3,), 0)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("cnn", (8,)), ("cnn", (1, 8, 8)), ("cnn", (28, 28)), ("mcmahan_cnn", (9,)), ("mcmahan_cnn", (1, 3, 8))],
)
def test_cnn_refuses_what_is_no_image(name, shape):
    with pytest.raises(BadInput, match=r"cnn needs images .* got \["):
        _make(name, {}, shape)


@pytest.mark.parametrize("hidden", [(), (0,), (8, -1)])
def test_mlp_refuses_widths(hidden):
    with pytest.raises(ValueError, match="hidden must be one or more widths >= 1"):
        MODELS["mlp"](hidden=hidden)


class _TooWide(nn.Module):
    def __init__(self, input_shape, num_outputs):
        super().__init__()
        self.layer = nn.Linear(input_shape[0], num_outputs + 1)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda shape, outputs: "no module", "returned a str, not a torch.nn.Module"),
        (_TooWide, r"must return outputs \[2, 3\], got \[2, 4\]"),
        (lambda shape, outputs: nn.Linear(99, outputs), r"fails on inputs \[2, 5\]"),
        (lambda shape: nn.Linear(5, 3), "cannot be made"),
    ],
)
def test_users_own_model_that_is_wrong_is_explained(model, message):
    with pytest.raises(BadInput, match=message):
        initial_module(model, "mine:make", torch.zeros(2, 5), (3,), 0)


def test_torch_global_generator_is_left_alone():
    before = torch.get_rng_state()
    _make("mlp", {}, (5,))
    assert torch.equal(torch.get_rng_state(), before)


def _detached(shape, outputs):
    layer = nn.Linear(5, outputs)

    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x).detach()

    return Detached()


class _Typo(nn.Module):
    def __init__(self, input_shape, num_outputs):
        super().__init__()
        self.fc1 = nn.Linear(5, num_outputs)

    def forward(self, x):
        return self.fc3(x)


class _Broken(_Typo):
    def forward(self, x):
        return self.fc1(x) / 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_detached, "the outputs do not depend on any parameter"),
        (_Typo, r"AttributeError: '_Typo' object has no attribute 'fc3'"),
        (_Broken, "must return finite floating-point outputs"),
        (lambda shape, outputs: {}["x"], "cannot be made .* KeyError: 'x'"),
    ],
)
def test_models_that_could_not_be_trained_are_refused_at_once(model, message):
    with pytest.raises(BadInput, match=message):
        initial_module(model, "mine:make", torch.zeros(2, 5), (3,), 0)


def test_a_model_that_the_machine_cannot_hold_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr(model_module, "machine_mb", lambda: 24_000.0)
    # 64 x 10^8 weights, 10^8 biases, 3 x 10^8 weights, 3 biases, of four bytes
    with pytest.raises(BadInput, match=r"model: mlp has 6,800,000,003 parameters, 27.2 GB, .* has 24.0 GB"):
        _make("mlp", {"hidden": (10**8,)}, (64,))


def test_a_model_and_its_copy_may_fill_the_machine(monkeypatch):
    monkeypatch.setattr(
        model_module, "machine_mb", lambda: 2 * 4 * 18 / 1e6
    )  # 5 x 3 weights and 3 biases, twice
    _make("logistic", {}, (5,))
    monkeypatch.setattr(model_module, "machine_mb", lambda: 2 * 4 * 18 / 1e6 - 1e-6)
    with pytest.raises(BadInput, match="has 18 parameters"):
        _make("logistic", {}, (5,))


def test_the_size_of_a_model_is_found_without_drawing_numbers():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    model_module._check_size(MODELS["mlp"](), "mlp", (4,), 2)
    assert torch.equal(torch.rand(1), expected)


def test_lstm_may_answer_at_the_last_token_alone_and_refuses_what_is_no_token():
    module = MODELS["lstm"](embedding=2, hidden=3, layers=1, vocabulary=9, outputs="last")((7,), 4)
    every = MODELS["lstm"](embedding=2, hidden=3, layers=1, vocabulary=9)((7,), 4)
    every.load_state_dict(module.state_dict())
    tokens = torch.arange(7).repeat(2, 1)
    assert torch.equal(module(tokens), every(tokens)[:, -1])
    with pytest.raises(BadInput, match=r"lstm needs tokens \[length\], got inputs \[3, 7\]"):
        _make("lstm", {}, (3, 7))
    with pytest.raises(ValueError, match="hidden must be at least 1, got 0"):
        MODELS["lstm"](hidden=0)
