"""What a constant answer gets, by scikit-learn's dummies fitted on the training examples alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)

from federated.config.run import RunConfig
from federated.evaluation.constant import constant_metrics
from federated.metrics.constant_answer import constant_answers, constant_metric
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


def test_a_class_without_training_examples_counts_as_half_an_example() -> None:
    (answer,) = constant_answers(np.array([0, 0, 2]), 3)
    assert np.exp(answer.numpy()[0]) == pytest.approx(np.array([2, 0.5, 1]) / 3.5)


def test_its_name_stands_beside_the_metric() -> None:
    assert constant_metric("generalisation/client_mse_mean") == "generalisation/client_constant_mse_mean"
