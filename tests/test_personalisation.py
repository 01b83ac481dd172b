"""Personalisation: no steps is the global model, a hand-written torch loop, shards, intervals, who gains, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from federated.config.run import Evaluation, RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.evaluation.personalisation import (
    Personalised,
    personalisation_metrics,
    personalised,
)
from federated.evaluation.sets import resampling
from federated.foundation.errors import BadInput, Diverged
from federated.foundation.randomness import Purpose, generator
from federated.local_training.steps.batches import epoch_orders
from federated.metrics.tasks import CLASSIFICATION, REGRESSION
from federated.models.objective import model_inputs
from federated.report.figures.clients.personalisation_picture import personalisation_picture
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from tests.conftest import config_of

HELD_OUT = {"client": 0.25}


def trained(personalisation: object = True, **changes: object) -> tuple[RunState, Setup]:
    changes = {"holdout": HELD_OUT, "partitioner": "dirichlet(0.3)", **changes}
    evaluation = {"personalisation": personalisation}
    setup = prepare(config_of(evaluation=evaluation, **changes))
    return train_rounds(initial_state(setup), setup, setup.config.rounds), setup


def test_no_steps_leave_every_client_with_the_global_model() -> None:
    state, setup = trained({"steps": 0})
    found = personalised(state, setup)
    assert np.nanmax(np.abs(found.gains)) == 0
    assert np.array_equal(found.before, found.after, equal_nan=True)
    metrics = personalisation_metrics(found, CLASSIFICATION.measure("accuracy"), resampling(0))
    gains = {name: value for name, value in metrics.items() if "_gain" in name}
    assert set(gains.values()) == {0.0}
    evaluated = evaluate(state, setup)
    assert metrics["generalisation/personalised_accuracy"] == evaluated["generalisation/client_accuracy"]
    assert (
        metrics["generalisation/personalised_accuracy_mean"]
        == evaluated["generalisation/client_accuracy_mean"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_the_gain_is_that_of_a_hand_written_loop(engine: str) -> None:
    """torch.optim on each client's batches of the next round, then accuracy on its own held-out examples."""
    local = {"batch_size": 16, "learning_rate": 0.1, "momentum": 0.5, "schedule": "cosine"}
    wanted = {"epochs": 2, "learning_rate": 0.05}
    state, setup = trained(wanted, local=local, engine={"name": engine})
    found, federation, seed = personalised(state, setup), setup.federation, setup.config.seed
    for client, (held, own) in enumerate(zip(federation.clients, federation.own_held_out, strict=True)):
        if not len(own):
            assert np.isnan(found.gains[client])
            continue
        model = setup.model.independent_module(state.parameters)
        before = _accuracy(model, setup, own)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
        numbers = generator(seed, Purpose.BATCHES, state.round, client)
        model.train()
        for order in epoch_orders(numbers, held, 16, 2, None):
            for start in range(0, len(order), 16):
                batch = order[start : start + 16]
                optimiser.zero_grad()
                outputs = model(model_inputs(setup.inputs[batch]))
                nn.functional.cross_entropy(outputs, setup.targets[batch]).backward()
                optimiser.step()
        assert found.before[client] == pytest.approx(before)
        assert found.after[client] == pytest.approx(_accuracy(model, setup, own))
    assert np.nanmax(np.abs(found.gains)) > 0


def _accuracy(model: nn.Module, setup: Setup, indices: np.ndarray) -> float:
    with torch.no_grad():
        outputs = model.eval()(model_inputs(setup.inputs[indices]))
    return float((outputs.argmax(dim=1) == setup.targets[indices]).double().mean())


@pytest.mark.parametrize("most", [1, 2])
def test_shards_change_nothing(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    state, setup = trained()
    owns = list(setup.federation.own_held_out)
    owns[2] = owns[2][:0]  # a client in the middle that holds nothing out
    setup = replace(setup, federation=replace(setup.federation, own_held_out=tuple(owns)))
    whole = personalised(state, setup)
    assert np.flatnonzero(np.isnan(whole.after)).tolist() == [2]
    monkeypatch.setattr("federated.evaluation.tuning.shard_size", lambda *_: most)
    again = personalised(state, setup)
    assert again.after == pytest.approx(whole.after, nan_ok=True)


def test_of_a_regression_the_gain_is_the_fall_of_the_error() -> None:
    content = {"dataset": "linear(size=400)", "model": "linear", "clients": 4, "rounds": 1}
    evaluation = {"personalisation": {"epochs": 5}}
    setup = prepare(
        RunConfig.model_validate({**content, "holdout": HELD_OUT, "evaluation": evaluation, "seed": 1})
    )
    found = personalised(initial_state(setup), setup)
    assert found.gains == pytest.approx(found.before - found.after)
    assert (found.gains > 0).all()
    metrics = personalisation_metrics(found, REGRESSION.measure("mse"), resampling(0))
    assert metrics["generalisation/personalised_mse_mean"] == pytest.approx(found.after.mean())


def test_who_gains_worked_by_hand() -> None:
    before, after = np.full(11, 0.5), np.array([0.5, np.nan, 0.4, 0.9, 0.6, 0.7, 0.5, 0.8, 1.0, 0.3, 0.7])
    before[1] = np.nan
    sizes = np.array([10, 0, *[10] * 8, 30])
    found = Personalised(before, after, after - before, sizes, float(np.nansum(after * sizes) / sizes.sum()))
    metrics = personalisation_metrics(found, CLASSIFICATION.measure("accuracy"), resampling(0))

    def of(name: str) -> float:
        return metrics[f"generalisation/{name}"]

    assert of("personalisation_gain") == pytest.approx(0.14)
    assert of("personalisation_gain_median") == pytest.approx(0.15)
    assert of("personalisation_gain_worst_10_percent") == pytest.approx(-0.2)
    assert of("personalisation_gain_best_10_percent") == pytest.approx(0.5)
    assert of("personalisation_gainers") == pytest.approx(0.6)
    assert of("personalisation_losers") == pytest.approx(0.2)
    assert of("personalised_accuracy") == pytest.approx((5.7 * 10 + 0.7 * 30) / 120)
    assert of("personalised_accuracy_mean") == pytest.approx(0.64)
    assert of("personalisation_gain_low") < 0.14 < of("personalisation_gain_high")


@pytest.mark.slow
def test_the_interval_of_the_gain_covers_it_at_about_its_rate() -> None:
    draws, covered = generator(3, Purpose.EVALUATION), []
    for _ in range(300):
        gains = draws.normal(0.03, 0.08, 40)  # what differs between clients
        found = Personalised(np.zeros(40), gains, gains, np.full(40, 5), gains.mean())
        metrics = personalisation_metrics(found, CLASSIFICATION.measure("accuracy"), draws)
        low, high = (metrics[f"generalisation/personalisation_gain_{end}"] for end in ("low", "high"))
        covered.append(low <= 0.03 <= high)
    assert 0.89 < np.mean(covered) <= 0.98


def test_the_end_of_a_run_has_it_in_metrics_table_and_picture() -> None:
    state, setup = trained(holdout={**HELD_OUT, "unseen_clients": 2})
    found = generalisation(state, setup)
    assert found.personalised is not None
    table = found.clients
    assert len(table["personalisation_gain"]) == len(table["client"]) == 8
    assert table["personalisation_gain"][-2:] == [None, None]
    some = np.array(table["held_out_examples"][:6]) > 0
    gains = np.array(table["personalised_accuracy"][:6], float) - np.array(table["accuracy"][:6], float)
    assert np.array(table["personalisation_gain"][:6], float)[some] == pytest.approx(gains[some])
    assert found.metrics["generalisation/personalisation_gain"] == pytest.approx(gains[some].mean())
    figure = personalisation_picture(found)
    assert figure is not None
    assert len(figure.axes[0].collections[0].get_offsets()) == some.sum()
    without = generalisation(*trained(None))
    assert personalisation_picture(without) is None
    assert "personalisation_gain" not in without.clients


def test_at_every_evaluation_only_where_asked() -> None:
    state, setup = trained({"at": "evaluations"})
    metrics = evaluate(state, setup)
    assert metrics["generalisation/personalisation_gain"] == pytest.approx(
        np.nanmean(personalised(state, setup).gains)
    )
    assert "generalisation/personalisation_gain" not in evaluate(*trained())


def test_a_model_that_diverges_is_an_error_that_names_the_setting() -> None:
    state, setup = trained({"steps": 50, "learning_rate": 1e12})
    with pytest.raises(Diverged, match=r"evaluation\.personalisation\.learning_rate"):
        personalised(state, setup)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"epochs": 1, "steps": 3}, r"state epochs or steps, not both \(epochs 1, steps 3\)"),
        ({"epochs": 0}, "greater than 0"),
        ({"steps": -1}, "greater than or equal to 0"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"rounds": 3}, "Extra inputs"),
        ({"at": "start"}, "'end' or 'evaluations'"),
        ("yes", "valid dictionary"),
    ],
)
def test_bad_settings_are_refused(wanted: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Evaluation.model_validate({"personalisation": wanted})


def test_true_and_false_are_on_and_off() -> None:
    on, off = (Evaluation.model_validate({"personalisation": wanted}) for wanted in (True, False))
    assert on == Evaluation.model_validate({"personalisation": {}})
    assert off == Evaluation()


def test_without_held_out_examples_of_the_clients_it_is_refused() -> None:
    with pytest.raises(BadInput, match=r"there are none; state holdout\.client \(now 0\.0\)"):
        prepare(config_of(evaluation={"personalisation": True}))
