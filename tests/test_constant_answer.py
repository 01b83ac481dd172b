"""What a constant answer gets, by scikit-learn's dummies fitted on the training examples alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
)

from federated.config.run import RunConfig
from federated.evaluation.constant import constant_metrics
from federated.metrics.constant_answer import constant_answers, constant_metric, further_answers
from federated.metrics.measures import Predictions, own_measure
from federated.run.setup import prepare


def setup_of(**changes: Any) -> Any:
    base = {"model": "linear", "rounds": 1, "clients": 6, "holdout": {"client": 0.3, "unseen_clients": 2}}
    return prepare(RunConfig.model_validate({**base, **changes}))


def test_of_classes_it_is_the_most_frequent_one_with_the_shares_as_probabilities() -> None:
    setup = setup_of(dataset="digits", partitioner="dirichlet(0.5)", model="logistic")
    federation, found = setup.federation, constant_metrics(setup)
    targets = federation.examples.targets
    training = targets[federation.training]
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((len(training), 1)), training)
    for name, indices in federation.held_out_sets().items():
        true, nothing = targets[indices], np.zeros((len(indices), 1))
        said = {
            measure: found[f"generalisation/{name}_constant_{measure}"]
            for measure in ("accuracy", "loss", "macro_f1")
        }
        assert said["accuracy"] == pytest.approx(accuracy_score(true, dummy.predict(nothing)), abs=1e-12)
        assert said["loss"] == pytest.approx(
            log_loss(true, dummy.predict_proba(nothing), labels=range(10)), abs=1e-12
        )
        assert said["macro_f1"] == pytest.approx(
            f1_score(true, dummy.predict(nothing), average="macro", zero_division=0), abs=1e-12
        )
    own = [accuracy_score(targets[held], dummy.predict(held[:, None])) for held in federation.own_held_out]
    assert found["generalisation/client_constant_accuracy_mean"] == pytest.approx(np.mean(own), abs=1e-12)


def test_of_numbers_each_measure_has_its_best_constant() -> None:
    setup = setup_of(dataset="linear")
    federation, found = setup.federation, constant_metrics(setup)
    targets = federation.examples.targets.astype(np.float64)
    training = targets[federation.training]
    test = targets[federation.test]
    for measure, strategy, score in (
        ("mse", "mean", mean_squared_error),
        ("r2", "mean", r2_score),
        ("mae", "median", mean_absolute_error),
    ):
        dummy = DummyRegressor(strategy=strategy).fit(np.zeros((len(training), 1)), training)
        expected = score(test, dummy.predict(np.zeros((len(test), 1))))
        assert found[f"generalisation/test_constant_{measure}"] == pytest.approx(
            expected, rel=1e-9, abs=1e-12
        )


@pytest.mark.parametrize("quantile", [0.99, 0.02])
def test_of_a_quantile_loss_it_is_the_quantile(quantile: float) -> None:
    asked = {"metric": {"name": "quantile_loss", "quantile": quantile}}
    setup = setup_of(dataset="linear", evaluation=asked)
    federation, targets = setup.federation, setup.federation.examples.targets.reshape(-1).astype(np.float64)
    training, test = targets[federation.training], targets[federation.test]
    dummy = DummyRegressor(strategy="quantile", quantile=quantile).fit(training[:, None], training)
    expected = mean_pinball_loss(test, dummy.predict(test[:, None]), alpha=quantile)
    found = constant_metrics(setup)[f"generalisation/test_constant_quantile_loss_{quantile:g}"]
    assert found == pytest.approx(expected, rel=1e-6)


def test_of_one_class_it_is_always_this_class_or_never() -> None:
    asked = {
        "metric": [
            {"name": "f1", "of": "3"},
            {"name": "specificity", "positive": "3", "threshold": 0.01},
            {"name": "sensitivity", "positive": "3", "at_specificity": 0.9},
        ]
    }
    setup = setup_of(dataset="digits", model="logistic", evaluation=asked)
    true = setup.federation.examples.targets[setup.federation.test] == 3
    found = {
        name.removeprefix("generalisation/test_constant_"): value
        for name, value in constant_metrics(setup).items()
        if name.startswith("generalisation/test_constant_")
    }
    always = f1_score(true, np.ones(len(true)))
    assert found["f1_3"] == pytest.approx(always, abs=1e-12)
    assert found["specificity_3_at_threshold_0.01"] == 1.0  # never: the shares are all above the threshold
    assert (
        found["sensitivity_3_at_specificity_0.9"] == 0.0
    )  # a threshold that always says so has no specificity
    training = setup.federation.examples.targets[setup.federation.training]
    assert found["accuracy"] == pytest.approx(
        np.mean(setup.federation.examples.targets[setup.federation.test] == np.bincount(training).argmax())
    )


def test_by_a_measure_of_ones_own_it_may_be_a_rare_class() -> None:
    cost = own_measure(
        lambda true, shares: float(np.mean(np.where(true == 1, 9.0, 1.0) * (shares.argmax(1) != true))),
        better="lower",
        targets="classification",
    )
    true = np.array([0] * 7 + [1] * 3)
    tried = [*constant_answers(true, 2), *further_answers(cost, true, 2)]
    costs = [cost.of(Predictions(answer.expand(10, 2), torch.from_numpy(true))) for answer in tried]
    assert min(costs) == pytest.approx(0.7)  # always the rare one is wrong for 7 of 10; never it costs 2.7


def test_a_class_without_training_examples_counts_as_half_an_example() -> None:
    (answer,) = constant_answers(np.array([0, 0, 2]), 3)
    assert np.exp(answer.numpy()[0]) == pytest.approx(np.array([2, 0.5, 1]) / 3.5)


def test_its_name_stands_beside_the_metric() -> None:
    assert constant_metric("generalisation/client_mse_mean") == "generalisation/client_constant_mse_mean"
