"""The forward pass of evaluation is the module's, to the bit."""

import pytest
import torch
from torch import nn

from federated.evaluation.fast_forward import fast_forward
from federated.models import MODELS

POOLED = {
    "cnn": (lambda: MODELS["cnn"]()((1, 28, 28), 3), (1, 28, 28)),
    "three channels": (lambda: MODELS["cnn"]()((3, 16, 20), 3), (3, 16, 20)),
    "odd sizes": (lambda: MODELS["cnn"]()((1, 17, 21), 3), (1, 17, 21)),
    "padded": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 3)
        ),
        (1, 8, 8),
    ),
    "pooled alone": (lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()), (2, 6, 8)),
    "negative zeros and ties": (
        lambda: nn.Sequential(nn.Hardtanh(-1.0, 0.0), nn.ReLU(), nn.MaxPool2d(2)),
        (2, 8, 8),
    ),
}


@pytest.mark.parametrize("name", POOLED)
def test_it_is_the_module(name):
    make, shape = POOLED[name]
    torch.manual_seed(0)
    module = make().eval()
    inputs = torch.randn(5, *shape)
    with torch.inference_mode():
        assert torch.equal(fast_forward(module)(inputs), module(inputs))


@pytest.mark.parametrize("name", ["cnn", "padded", "pooled alone"])
def test_it_is_another_way_of_computing(name, monkeypatch):
    make, shape = POOLED[name]
    forward = fast_forward(make().eval())
    monkeypatch.setattr(nn.MaxPool2d, "forward", None)  # calling it would fail
    with torch.inference_mode():
        forward(torch.randn(5, *shape))


def test_new_parameters_are_taken_up():
    module = POOLED["cnn"][0]().eval()
    forward, inputs = fast_forward(module), torch.randn(2, 1, 28, 28)
    with torch.inference_mode():
        before = forward(inputs)
        for parameter in module.parameters():
            parameter.add_(0.1)
        assert not torch.equal(forward(inputs), before)
        assert torch.equal(forward(inputs), module(inputs))


def test_hooks_are_called():
    calls = []
    module = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    module[1].register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        fast_forward(module)(torch.ones(1, 1, 2, 2))
    assert calls == [1]
