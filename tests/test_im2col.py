"""Hand-written convolutions: against torch's own, against the loop, and which models are left to the loop."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from federated.algorithms.local_terms import LocalTerms
from federated.config.run import Engine, LocalTraining
from federated.local_training import engine_probe as probe
from federated.local_training.convolution import recording, unfolding
from federated.local_training.convolution.pooling import WindowMaximum
from federated.local_training.convolution.recognise import convolution_stack
from federated.local_training.convolution.recording import Recordings, as_recorded
from federated.local_training.convolution.trainer import im2col_trainer
from federated.local_training.convolution.unfolding import output_rows
from federated.local_training.engine import local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.steps.work import LocalWork
from federated.losses import LOSSES, usual_loss
from federated.metrics.tasks import TASKS
from federated.models import MODELS
from federated.models.flat_model import FlatModel

COHORT = [3, 5, 0, 1, 2, 4]
SIZES = (7, 1, 12, 5, 100, 9)


def _unpooled():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding="same"),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(5, 6, 3, padding=1, bias=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(96, 3),
    )


def _strided():
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(1, 0)),
        nn.Tanh(),
        nn.MaxPool2d((3, 2)),
        nn.Dropout(0.3),
        nn.Conv2d(4, 3, 2, bias=False),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(9, 7, bias=False),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(7, 3),
    )


def _oblong():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d((1, 3)), nn.ReLU()),
        nn.Identity(),
        nn.Conv2d(4, 4, 1, stride=2, padding="valid"),
        nn.MaxPool2d((3, 1)),
        nn.Flatten(),
        nn.Linear(8, 3),
        nn.ReLU(),
    )


NETWORKS = {
    "lenet": (lambda: MODELS["cnn"]()((1, 28, 28), 3), (1, 28, 28)),
    "odd sizes": (lambda: MODELS["cnn"]()((3, 17, 21), 3), (3, 17, 21)),
    "unpooled": (_unpooled, (3, 8, 8)),
    "strided": (_strided, (2, 15, 10)),
    "oblong": (_oblong, (1, 8, 11)),
}

OPTIONS = {
    "momentum and weight decay": ({"epochs": 2, "momentum": 0.5, "weight_decay": 0.1}, LocalTerms()),
    "full batch": ({"steps": 3, "batch_size": None}, LocalTerms()),
    "clipped": ({"max_gradient_norm": 0.5, "momentum": 0.9}, LocalTerms()),
    "terms": ({}, LocalTerms(proximal=0.3, rate_factors=np.linspace(0.5, 1.5, 6), steps=np.arange(1, 7))),
    "recorded": ({"steps": 30, "momentum": 0.5}, LocalTerms()),
}


def _work(make, shape, dtype=torch.float64, task="classification", **local):
    torch.manual_seed(0)
    numbers = np.random.default_rng(0)
    x = torch.from_numpy(numbers.standard_normal((sum(SIZES), *shape))).to(dtype)
    y = torch.from_numpy(numbers.integers(3, size=sum(SIZES)))
    if task == "regression":
        y = torch.from_numpy(numbers.standard_normal((sum(SIZES), 3))).to(dtype)
    clients = np.split(numbers.permutation(sum(SIZES)), np.cumsum(SIZES)[:-1])
    options = LocalTraining(**{"batch_size": 4, "learning_rate": 0.02, **local})
    return LocalWork(FlatModel(make().to(dtype)), usual_loss(TASKS[task]), x, y, clients, options, 10, 3)


def _im2col(work, threads=1):
    stack = convolution_stack(work)
    assert stack is not None
    return side_by_side(work, lambda: im2col_trainer(work, stack), threads, 1)


def _assert_close(updates, expected, bound):
    assert float(expected.deltas.abs().max(dim=1).values.min()) > 1e-4  # everybody learnt something
    assert float((updates.deltas - expected.deltas).abs().max() / expected.deltas.abs().max()) < bound
    assert torch.allclose(updates.losses, expected.losses, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_im2col_takes_the_steps_of_the_loop(network, options, monkeypatch):
    if options != "terms":  # batches are of few images, whose convolutions would be one product each
        monkeypatch.setattr(unfolding, "_LEAST_WIDTH", 1)
    if options == "momentum and weight decay":
        monkeypatch.setattr(unfolding, "_LEAST_OUTPUTS", 1)
    local, terms = OPTIONS[options]
    work = _work(*NETWORKS[network], **local)
    start = work.model.vector.clone()
    expected = loop_trainer(*work)(start, COHORT, 2, terms)
    _assert_close(_im2col(work)(start, COHORT, 2, terms), expected, 1e-12)


def test_im2col_is_the_loop_to_rounding_in_float32():
    work = _work(*NETWORKS["lenet"], dtype=torch.float32, momentum=0.9)
    work = work._replace(inputs=(work.inputs * 50 + 128).clamp(0, 255).to(torch.uint8))
    start = work.model.vector.clone()
    _assert_close(_im2col(work)(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2), 1e-4)


def test_a_regression_is_trained_too():
    work = _work(*NETWORKS["unpooled"], task="regression")
    start = work.model.vector.clone()
    _assert_close(_im2col(work)(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2), 1e-12)


@pytest.mark.parametrize("size", [96, 97, None])
def test_large_batches_go_through_in_parts(size):
    work = _work(*NETWORKS["strided"], batch_size=size, steps=12)
    start = work.model.vector.clone()
    _assert_close(_im2col(work)(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2), 1e-12)


@pytest.mark.parametrize("threads", [2, 3])
def test_neither_threads_nor_order_nor_repeats_change_a_bit(threads):
    work = _work(*NETWORKS["lenet"], dtype=torch.float32, epochs=4, momentum=0.9)
    start = work.model.vector.clone()
    alone, train = _im2col(work)(start, COHORT, 1), _im2col(work, threads)
    for _ in range(3):
        assert torch.equal(train(start, COHORT, 1).deltas, alone.deltas)
        assert torch.equal(train(start, COHORT[::-1], 1).deltas.flip(0), alone.deltas)


@pytest.mark.parametrize(
    "convolution",
    [
        {"kernel_size": 5},
        {"kernel_size": 3, "padding": 1, "bias": False},
        {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 2), "dilation": (3, 1)},
        {"kernel_size": 1, "stride": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("pool", [[], [nn.MaxPool2d((2, 3))]], ids=["unpooled", "pooled"])
@pytest.mark.parametrize(
    "cut", [(4, 32), (1000, 32), (1000, 1)], ids=["one product", "tiles", "rows of tiles"]
)
def test_an_unfolded_convolution_is_torchs(convolution, pool, cut, monkeypatch):
    most, least_outputs = cut
    monkeypatch.setattr(unfolding, "_LEAST_OUTPUTS", least_outputs)
    torch.manual_seed(1)
    module = nn.Conv2d(2, 3, **convolution).double()
    x = torch.randn(4, 2, 11, 12, dtype=torch.float64)
    planes = nn.Sequential(module, *pool)(x)
    later = [nn.Conv2d(3, 1, 1), nn.Flatten(), nn.Linear(planes[0, 0].numel(), 3)]
    work = _work(lambda: nn.Sequential(module, *pool, *later), (2, 11, 12))
    spec = convolution_stack(work).convolutions[0]
    shuffled = torch.randperm(x[0].numel())
    table = unfolding.unfolding(spec, shuffled, work.model.vector.numel(), most)
    high = spec.tile[0] if least_outputs == 1 else 1
    assert len(table.columns) == (1 if most == 4 else spec.tiles[0] * high)
    rows = torch.zeros(x[0].numel() + 2, len(x), dtype=torch.float64)
    rows[shuffled], rows[-1] = x.flatten(1).T, 1
    parameters = F.pad(work.model.vector, (0, 1))
    matrix = parameters[table.matrix].view(-1, table.numbers)
    strips = rows[table.strips].view(-1, table.num_strips * len(x))
    product = torch.empty(table.outputs, table.tiles * len(x), dtype=torch.float64)
    for part, made in zip(table.columns, table.by_product(product), strict=True):
        made.copy_(matrix @ strips[part])
    if module.bias is not None:
        product = product.view(-1, 3, product.shape[1]) + module.bias[:, None]
    if pool:  # corners of the windows: by column, then by row
        product = product.view(6, -1).amax(dim=0)
    found = product.view(-1, len(x))[output_rows(spec)].T
    assert torch.allclose(found, planes.flatten(1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("window", [(2, 2), (3, 2), (1, 3), (4, 1)])
def test_pooling_gives_ties_to_the_first_as_torch_does(window):
    height, width = window
    torch.manual_seed(0)
    x = torch.randint(-1, 3, (1, 5, 4 * height, 3 * width)).float().requires_grad_()
    expected = F.max_pool2d(x, window)
    upstream = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad(expected, x, upstream)

    def as_planes(images):
        return images.view(5, 4, height, 3, width).permute(2, 4, 0, 1, 3).reshape(-1).clone()

    planes, outputs = as_planes(x.detach()), torch.empty(60)
    pooling = WindowMaximum(window, planes, torch.empty(60 * height), outputs)
    pooling.forward()
    assert torch.equal(outputs.view_as(expected), expected)
    pooling.backward(upstream.flatten().clone())
    assert torch.equal(planes, as_planes(wanted))


@pytest.mark.parametrize("can_record", [True, False])
def test_a_recorded_step_does_what_the_step_does(can_record, monkeypatch):
    monkeypatch.setattr(recording, "_CAN_RECORD", can_record and recording._CAN_RECORD)
    state, other, calls = torch.zeros(4), torch.zeros(4), []

    def step(given):
        calls.append(1)
        state.add_(given)
        torch.mul(state[:3], 2, out=other[:3])
        other[1:].sub_(state[:3])

    recordings = Recordings()
    with torch.no_grad(), as_recorded():
        for number in range(1, 40):
            recordings.run("key", step, lambda: [state, other], torch.full((4,), float(number)))
    total = float(sum(range(1, 40)))
    assert state.tolist() == [total] * 4
    assert other[:2].tolist() == [2 * total, total]
    assert len(calls) == (9 if recording._CAN_RECORD else 39)  # the ninth is recorded


def _linear(width):
    return [nn.Flatten(), nn.Linear(width, 3)]


def _frozen():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), *_linear(72))
    module[0].requires_grad_(False)
    return module


def _shared():
    layer = nn.Conv2d(1, 1, 3, padding=1)
    return nn.Sequential(layer, nn.ReLU(), layer, *_linear(64))


def _hooked():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), *_linear(72))
    module[0].register_forward_hook(lambda *_: None)
    return module


LEFT_TO_THE_LOOP = {
    "batch norm": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), *_linear(72)),
    "average pooling": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), *_linear(18)),
    "overlapping pooling": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(3, 1), *_linear(32)),
    "padded pooling": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, padding=1), *_linear(32)),
    "pooled twice": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.MaxPool2d(3), *_linear(2)),
    "two activations": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Tanh(), *_linear(72)),
    "pooling first": lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 2, 3), *_linear(8)),
    "groups": lambda: nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 3, groups=2), *_linear(72)),
    "circular": lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), *_linear(128)),
    "lopsided": lambda: nn.Sequential(nn.Conv2d(1, 2, 2, padding="same"), *_linear(128)),
    "dropped channels": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Dropout2d(0.5), *_linear(72)),
    "dropout before pooling": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Dropout(0.5), nn.MaxPool2d(2), *_linear(18)
    ),
    "no dense layer": lambda: nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()),
    "no convolution": lambda: nn.Sequential(*_linear(64)),
    "flattened late": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(6, 2), *_linear(24)),
    "wide": lambda: nn.Sequential(nn.Conv2d(1, 256, 1), nn.Conv2d(256, 512, 3), *_linear(512 * 36)),
    "frozen": _frozen,
    "shared": _shared,
    "hooked": _hooked,
}


@pytest.mark.parametrize("name", LEFT_TO_THE_LOOP)
def test_other_models_are_left_to_the_loop(name, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    caplog.set_level("INFO")
    work = _work(LEFT_TO_THE_LOOP[name], (1, 8, 8))
    assert convolution_stack(work) is None
    if name != "no convolution":
        local_trainer(work, Engine(), COHORT[:3])  # too few for a race with vmap
        assert "engine: loop" in caplog.text


def test_so_are_other_losses_and_types():
    work = _work(*NETWORKS["lenet"])
    assert convolution_stack(work) is not None
    assert convolution_stack(work._replace(loss=LOSSES["focal"]())) is None
    assert convolution_stack(work._replace(inputs=work.inputs.float())) is None
    assert convolution_stack(work._replace(inputs=work.inputs[:, :, :20])) is None


@pytest.mark.parametrize(("seconds", "chosen"), [([1.0, 0.5], "im2col"), ([1.0, 0.95], "loop")])
def test_auto_races_it_against_the_loop(seconds, chosen, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    caplog.set_level("INFO")
    work = _work(*NETWORKS["lenet"])
    times = iter(seconds)
    monkeypatch.setattr(probe, "_best_time", lambda *_: next(times))
    start = work.model.vector.clone()
    updates = local_trainer(work, Engine(), COHORT, 2)(start, COHORT, 2)
    assert f"engine: {chosen} (seconds in the probe" in caplog.text
    _assert_close(updates, loop_trainer(*work)(start, COHORT, 2), 1e-12)


def test_bfloat16_is_left_to_the_loop(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    caplog.set_level("INFO")
    work = _work(*NETWORKS["lenet"], dtype=torch.float32)._replace(precision="bfloat16")
    local_trainer(work, Engine(), COHORT)
    assert "engine: loop" in caplog.text


def test_a_probe_takes_a_few_steps_only():
    work, asked = _work(*NETWORKS["lenet"]), []

    def train(received, clients, done, terms):
        asked.append(terms.steps.tolist())

    probe._best_time(work, train, [4, 1])
    assert asked == [[5, 1]] * 3
