"""Gradient inversion: exact in closed form, near by search, and blind behind noise or a sum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.attacks.inversion import InversionFound, inversion
from federated.attacks.reconstruction import (
    closed_form,
    first_dense,
    label_of,
    pixels_of,
    reconstructed,
)
from federated.attacks.victims import views
from federated.compressors import COMPRESSORS
from federated.config.measuring.leakage import Inversion
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.losses import LOSSES
from federated.metrics.dictionary import METRICS
from federated.models.flat_model import FlatModel
from federated.privacy import Bounded, Privacy
from federated.run.setup import Setup, initial_state, prepare
from federated.transports import TRANSPORTS
from tests.conftest import config_of
from tests.test_transports import integers, masked

pytestmark = pytest.mark.usefixtures("home")
EXACT = Inversion(clients=2, iterations=1)
KEY = "privacy/inversion_"


def small() -> FlatModel:
    torch.manual_seed(0)
    return FlatModel(nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.Sigmoid(), nn.Linear(24, 3)))


def step_of(model: FlatModel, images: Tensor, labels: Tensor, rate: float = 0.1) -> Tensor:
    """One step of plain gradient descent."""
    return -rate * model.gradient(LOSSES["cross_entropy"]()(model.module(images), labels))


def attacked(config: RunConfig, options: Inversion = EXACT, privacy: Privacy | None = None) -> InversionFound:
    setup = prepare(config)
    if privacy is not None:
        setup = with_privacy(setup, privacy)
    return inversion(initial_state(setup), setup, options)


def with_privacy(setup: Setup, privacy: Privacy) -> Setup:
    parts = setup.parts._replace(privacy=privacy)
    return replace(setup, worker=replace(setup.worker, parts=parts))


def test_the_input_of_one_example_is_exact_and_so_is_its_class() -> None:
    model, numbers = small(), np.random.default_rng(0)
    for label in range(3):
        image = torch.from_numpy(numbers.random((1, 1, 6, 6), np.float32))
        seen = step_of(model, image, torch.tensor([label]))
        assert first_dense(model, 36)
        assert float((closed_form(model, seen, 36) - image.flatten()).abs().max()) < 1e-5
        assert label_of(model, seen, 3) == label


def test_of_two_examples_the_closed_form_is_a_mixture() -> None:
    model = small()
    images = torch.stack([torch.zeros(1, 6, 6), torch.ones(1, 6, 6)])
    found = closed_form(model, step_of(model, images, torch.tensor([0, 1])), 36)
    assert torch.allclose(found, found[0].expand(36), atol=1e-5)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 3)),
        nn.Sequential(nn.Flatten(), nn.Linear(36, 4, bias=False), nn.Linear(4, 3)),
        nn.Sequential(nn.Flatten(), nn.LayerNorm(36), nn.Linear(36, 3)),
    ],
)
def test_other_first_layers_have_no_closed_form(module: nn.Module) -> None:
    assert not first_dense(FlatModel(module), 36)


def test_a_last_layer_without_bias_says_no_class() -> None:
    model = FlatModel(nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)))
    assert label_of(model, torch.ones(12), 3) is None


def test_a_search_draws_an_image_again() -> None:
    """Of a smooth net and a smooth image, far above noise and above the mean grey."""
    model = small()
    across = torch.linspace(0, 1, 6)
    image = (across[:, None] * across[None])[None, None]
    seen, known = step_of(model, image, torch.tensor([1])), pixels_of(image)
    options = Inversion(iterations=200, total_variation=0.0)
    found = reconstructed(
        model.twin(),
        LOSSES["cross_entropy"](),
        seen,
        torch.tensor([1]),
        (1, 6, 6),
        known,
        options,
        np.random.default_rng(1),
    )
    error = float(((found - image) ** 2).mean())
    assert 10 * np.log10(1 / error) > 25
    assert float(image.var()) > 20 * error
    assert found.min() >= known.low
    assert found.max() <= known.high


def test_an_update_of_a_run_without_protection_gives_the_image_away() -> None:
    found = attacked(config_of())
    assert found.metrics[f"{KEY}closed_form_psnr"] > 100
    assert found.metrics[f"{KEY}label_accuracy"] == 1
    assert found.metrics[f"{KEY}blind_psnr"] < 20
    assert found.metrics[f"{KEY}images"] == 2
    assert set(found.metrics) <= set(METRICS)
    (drawn,) = found.drawn
    assert drawn.exact is not None
    assert np.abs(drawn.exact - drawn.images).max() < 1e-4


def test_it_is_as_the_server_reads_it_that_an_update_is_attacked() -> None:
    """Clipping leaves the direction; half precision rounds a little; one bit leaves nearly nothing."""
    psnr = {
        name: attacked(config_of(**changes)).metrics[f"{KEY}closed_form_psnr"]
        for name, changes in {
            "clip": {"privacy": "clip(norm=0.001)"},
            "float16": {"compression": {"uplink": "float16"}},
            "sign": {"compression": {"uplink": "sign"}},
        }.items()
    }
    assert psnr["clip"] > 100
    assert 30 < psnr["float16"] < psnr["clip"]
    assert psnr["sign"] < 20


def noisy(scale: float, at: str) -> Privacy:
    def bound(memory: dict[str, Tensor], updates: Tensor, numbers: Any) -> Bounded:
        noise = torch.stack(
            [torch.from_numpy(each.normal(size=updates.shape[1])).float() for each in numbers]
        )
        return Bounded(updates + scale * noise, torch.zeros(len(updates), dtype=torch.bool))

    def release(memory: dict[str, Tensor], gathered: Any, numbers: np.random.Generator) -> Any:
        noise = torch.from_numpy(numbers.normal(size=len(gathered.update)))
        return memory, gathered.update + scale * noise.to(gathered.update)

    return Privacy(bound=bound) if at == "client" else Privacy(release=release)


def test_noise_at_the_clients_hides_from_the_server() -> None:
    config = config_of(cohort={"weighting": "uniform"})
    weak, strong = (
        attacked(config, privacy=noisy(scale, "client")).metrics[f"{KEY}closed_form_psnr"]
        for scale in (1e-6, 10.0)
    )
    assert weak > 40
    assert strong < 15


def test_noise_at_the_server_hides_from_others_and_not_from_the_server() -> None:
    config = config_of(cohort={"size": 1, "weighting": "uniform"})
    found = attacked(config, privacy=noisy(10.0, "server"))
    assert found.metrics[f"{KEY}closed_form_psnr"] > 100
    assert found.metrics[f"{KEY}released_closed_form_psnr"] < 15
    assert [drawn.title for drawn in found.drawn] == ["as it is read", "as it is released"]
    quiet = attacked(config, privacy=noisy(0.0, "server")).metrics
    assert quiet[f"{KEY}released_closed_form_psnr"] > 80


def test_of_a_sum_the_sum_is_attacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSPORTS, "masked", masked)
    monkeypatch.setitem(COMPRESSORS, "integers", integers)
    changes = {"cohort": {"size": 3, "weighting": "uniform"}, "compression": {"uplink": "integers"}}
    setup = prepare(config_of(transport="masked", **changes))
    seen = views(initial_state(setup), setup, EXACT)
    each = prepare(config_of(**changes))
    apart = views(initial_state(each), each, Inversion(clients=3, iterations=1))
    (whole,) = seen.read
    assert whole.indices.tolist() == [int(i) for view in apart.read for i in view.indices]
    mean = torch.stack([view.update for view in apart.read]).mean(dim=0)
    assert torch.allclose(whole.update, mean, atol=1e-4)
    found = inversion(initial_state(setup), setup, EXACT)
    assert found.metrics[f"{KEY}images"] == 3
    assert f"{KEY}label_accuracy" not in found.metrics
    assert found.metrics[f"{KEY}closed_form_psnr"] < 40


def test_the_update_is_one_step_of_its_few_examples_unless_more_are_asked_for() -> None:
    setup = prepare(config_of())
    state = initial_state(setup)
    for steps in (1, 3):
        (view,) = views(state, setup, Inversion(clients=1, examples=2, steps=steps)).read
        assert len(view.indices) == 2
        twin = setup.model.twin()
        twin.load(state.parameters)
        inputs = setup.inputs[torch.from_numpy(view.indices)].float() / 255
        labels = setup.targets[torch.from_numpy(view.indices)]
        for _ in range(steps):
            gradient = twin.gradient(nn.functional.cross_entropy(twin.module(inputs), labels))
            twin.vector[: len(gradient)] -= 0.1 * gradient
        assert torch.allclose(view.update, twin.vector - state.parameters, atol=1e-6)


def test_several_examples_are_matched_and_their_classes_given() -> None:
    found = attacked(config_of(), Inversion(clients=1, examples=3, iterations=2))
    assert found.metrics[f"{KEY}images"] == 3
    assert f"{KEY}label_accuracy" not in found.metrics


@pytest.mark.parametrize(
    ("changes", "options", "why"),
    [
        ({"dataset": "linear", "model": "linear"}, {}, "the inputs of this data set are none, with shape"),
        ({}, {"examples": 10_000}, r"10000 are more than any client trains on; at most \d+"),
        ({"algorithm": "fedper"}, {}, "keeps a part of the model"),
    ],
)
def test_an_attack_without_an_object_is_refused(
    changes: dict[str, Any], options: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadInput, match=why):
        prepare(config_of(leakage={"inversion": options}, **changes))
