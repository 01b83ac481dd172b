"""Targets that are trained on in standard deviations and reported in their own unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score

from federated.config.run import RunConfig
from federated.datasets import DATASETS
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.examples.examples import Examples
from federated.foundation.errors import BadInput
from federated.losses import Readout
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

NUMBERS = np.random.default_rng(2)
INPUTS = NUMBERS.normal(size=(200, 3)).astype(np.float32)
TARGETS = np.stack([5000 + 300 * INPUTS[:, 0], INPUTS[:, 1] / 100 - 3], axis=1)
TARGETS = (TARGETS + NUMBERS.normal(size=TARGETS.shape) * [50, 0.001]).astype(np.float32)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "prices", lambda: lambda: Examples("prices", INPUTS, TARGETS, None))
    constant = np.stack([TARGETS[:, 0], np.full(200, 7, np.float32)], axis=1)
    monkeypatch.setitem(DATASETS, "one_constant", lambda: lambda: Examples("prices", INPUTS, constant, None))
    monkeypatch.setitem(
        DATASETS, "one_price", lambda: lambda: Examples("prices", INPUTS, TARGETS[:, 0], None)
    )


def _config(dataset: str = "prices", **more: Any) -> RunConfig:
    content = {
        "dataset": dataset,
        "clients": 4,
        "model": "linear",
        "rounds": 40,
        "local": {"learning_rate": 0.1, "batch_size": 16},
        "target": {"standardise": True},
        "holdout": {"client": 0.2},
        **more,
    }
    return RunConfig.model_validate(content)


def test_a_standardised_regression_learns_and_is_measured_in_the_target_s_unit(registered: None) -> None:
    setup = prepare(_config())
    trained, test = setup.federation.training, setup.federation.test
    mean, sd = TARGETS[trained].mean(axis=0, dtype=float), TARGETS[trained].std(axis=0, dtype=float)
    assert setup.readout.shift == pytest.approx(mean, rel=1e-6)
    assert setup.readout.scale == pytest.approx(sd, rel=1e-6)
    given = setup.worker.work.targets.numpy()
    assert given[trained] == pytest.approx((TARGETS[trained] - mean) / sd, abs=1e-3)
    assert torch.equal(setup.targets, torch.from_numpy(TARGETS))
    state = train_rounds(initial_state(setup), setup, 40)
    found = evaluate(state, setup)
    module = setup.model.independent_module(state.parameters)
    predicted = setup.readout(module(torch.from_numpy(INPUTS[test]))).detach().numpy()
    assert found["generalisation/test_mae"] == pytest.approx(
        mean_absolute_error(TARGETS[test], predicted), rel=1e-3
    )
    best = LinearRegression().fit(INPUTS[trained], TARGETS[trained]).predict(INPUTS[test])
    assert found["generalisation/test_r2"] == pytest.approx(r2_score(TARGETS[test], best), abs=0.02)
    assert found["generalisation/test_r2"] > 0.9


@pytest.mark.parametrize("loss", [None, "mae", "huber", "quantile"])
def test_clients_that_fine_tune_train_on_standardised_targets_too(registered: None, loss: str | None) -> None:
    setup = prepare(_config("one_price", loss=loss, evaluation={"personalisation": {"epochs": 3}}))
    state = train_rounds(initial_state(setup), setup, 3)
    found = generalisation(state, setup).metrics
    assert found["generalisation/personalisation_gain"] > 0


def test_a_target_that_is_constant_is_only_centred(registered: None) -> None:
    setup = prepare(_config("one_constant"))
    assert setup.readout.scale[1] == 1.0
    assert not setup.worker.work.targets[:, 1].any()


def test_the_mean_and_deviation_are_of_all_clients_whoever_trains(registered: None) -> None:
    together = prepare(_config(training="centralised")).readout
    assert together == prepare(_config()).readout == prepare(_config(training="local")).readout


@pytest.mark.parametrize(
    ("stated", "wrong"),
    [
        ({"dataset": "digits", "model": "logistic"}, "target.standardise is for regression"),
        (
            {"loss": "poisson", "dataset": "one_price"},
            "target.standardise: loss poisson is of targets as they are",
        ),
    ],
)
def test_what_cannot_be_standardised_is_refused(registered: None, stated: dict[str, Any], wrong: str) -> None:
    with pytest.raises(BadInput, match=wrong):
        prepare(_config(**stated))


def test_predictions_undo_what_was_done_to_targets() -> None:
    readout = Readout("identity", (300.0, 0.01), (5000.0, -3.0))
    targets = torch.from_numpy(TARGETS)
    assert torch.allclose(readout(readout.standardised(targets)), targets.double(), rtol=1e-6)
    assert Readout("exp")(torch.zeros(2, 1)).tolist() == [[1.0], [1.0]]
    outputs = torch.tensor([[1.0, -2.0]])
    assert Readout()(outputs) is outputs
    assert readout(outputs).tolist()[0] == pytest.approx([5300, -3.02])


def test_whole_numbers_are_standardised_to_fractions() -> None:
    """(1, 2, 6) have a mean of 3."""
    found = Readout("identity", (2.0,), (3.0,)).standardised(torch.tensor([1, 2, 6]))
    assert found.dtype == torch.float32
    assert found.tolist() == [-1.0, -0.5, 1.5]
