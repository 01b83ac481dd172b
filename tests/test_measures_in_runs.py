"""The measures that a study asks for, in a run: values, gaps, clients, thresholds, stop rule, warnings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from federated.config.run import RunConfig
from federated.datasets import DATASETS
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.evaluation.measure_tags import measure_tags
from federated.evaluation.outputs import Outputs
from federated.evaluation.predicted import evaluated
from federated.examples.examples import Examples
from federated.forecast.measure_warnings import of_delta
from federated.forecast.warnings import cautions
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.metrics.dictionary import metric_of
from federated.metrics.names import main_metric, metric_names
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.study.comparison import Comparison

OWN = """
import numpy as np
from federated.metrics.measures import own_measure


def cost(missed: float = 2.0):
    def value(labels, probabilities):
        wrong = probabilities.argmax(axis=1) != labels
        return float(np.mean(np.where(labels == 1, missed, 1.0) * wrong))

    return own_measure(value, better="lower", targets="classification")


def counting():
    calls = []
    return own_measure(lambda labels, shares: calls.append(0) or len(calls), better="lower", targets="classification")


def text():
    return own_measure(lambda labels, shares: "much", better="lower", targets="classification")
"""


def examples() -> Examples:
    """Of 600 examples 10 % are sick; the first client holds none of them."""
    numbers = np.random.default_rng(0)
    clients = np.repeat(np.arange(6), 100)
    inputs = numbers.normal(size=(600, 3)).astype(np.float32)
    order = np.argsort(-(inputs[:, 0] + numbers.normal(size=600)) * (clients > 0))
    labels = np.ones(600, np.int64)
    labels[order[:60]] = 0
    return Examples("made", inputs, labels, ("sick", "well"), clients)


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(DATASETS, "made_sick", lambda: examples)
    return {
        "dataset": "made_sick",
        "partitioner": "by_client",
        "model": "logistic",
        "rounds": 2,
        "holdout": {"client": 0.3, "validation": 0.3},
    }


def run_of(config: dict[str, Any], **evaluation: Any) -> tuple[Setup, dict[str, float], Any]:
    setup = prepare(RunConfig.model_validate({**config, "evaluation": evaluation}))
    state = train_rounds(initial_state(setup), setup, 2)
    return setup, evaluate(state, setup), state


def test_a_run_is_measured_as_asked_and_the_first_measure_is_the_main_one(config: dict[str, Any]) -> None:
    asked = [
        "auroc",
        {"name": "sensitivity", "at_specificity": 0.8},
        {"name": "f1", "of": "sick"},
        "perplexity",
    ]
    setup, measured, state = run_of(config, metric=asked)
    assert main_metric(setup.scoring) == "generalisation/test_auroc"
    federation = setup.federation
    outputs = Outputs(setup).of(state.parameters, federation.test)
    sick = torch.softmax(outputs.double(), 1).numpy()[:, 0]
    true = federation.examples.targets[federation.test] == 0
    assert measured["generalisation/test_auroc"] == pytest.approx(sk.roc_auc_score(true, sick), abs=1e-12)
    at = measured["generalisation/threshold_specificity_0.8"]
    found = measured["generalisation/test_sensitivity_at_specificity_0.8"]
    assert found == pytest.approx(sk.recall_score(true, sick >= at), abs=1e-12)
    assert measure_tags(setup.scoring, federation) == {
        "main_metric": "generalisation/test_auroc",
        "positive_class": "sick",
        "counted_class": "sick",
        "thresholds_chosen_on": "validation",
    }
    judged = measure_tags(setup.scoring, federation, judged_on="client")
    assert judged["main_metric"] == "generalisation/client_auroc"
    assert judged["main_metric"] in measured
    with pytest.raises(
        BadInput, match=r"judged_on: client compares arms on .* state holdout.client \(now 0.0\)"
    ):
        run_of({**config, "holdout": {}}, judged_on="client")
    chosen = Outputs(setup).of(state.parameters, federation.held_out_sets()["validation"])
    well = federation.examples.targets[federation.held_out_sets()["validation"]] == 1
    shares = torch.softmax(chosen.double(), 1).numpy()[:, 0]
    assert (shares[well] < at).mean() >= 0.8
    gap = measured["generalisation/training_auroc"] - measured["generalisation/client_auroc"]
    assert measured["generalisation/out_of_sample_gap"] == pytest.approx(gap)
    assert measured["generalisation/client_auroc_clients"] == 5  # the first has no sick ones
    names = metric_names(setup.scoring, dict.fromkeys(federation.held_out_sets(), 9))
    counts = {f"generalisation/{each}_auroc_clients" for each in ("client", "validation")}
    others = set(measured) - set(names)  # which no stop rule can watch, as neither way is better
    assert counts < others
    assert all(name.endswith("_clients") or "/threshold_" in name for name in others)
    table = generalisation(state, setup).clients
    assert table["auroc"][0] is None
    assert table["held_out_positives"][0] == 0
    assert np.nanmean(np.array(table["auroc"], float)) == pytest.approx(
        measured["generalisation/client_auroc_mean"]
    )


def test_what_is_logged_at_the_end_is_in_the_dictionary(config: dict[str, Any]) -> None:
    asked = ["average_precision", "specificity", "calibration_error"]
    setup, measured, state = run_of(config, metric=asked, personalisation=True)
    found = generalisation(state, setup).metrics
    assert [name for name in (*measured, *found) if metric_of(name) is None] == []
    assert found["generalisation/personalised_average_precision"] > 0
    assert found["generalisation/test_constant_specificity"] == 1.0  # never positive
    true = examples().targets[setup.federation.test] == 0
    assert found["generalisation/test_constant_average_precision"] == pytest.approx(true.mean())
    assert found["generalisation/out_of_sample_gap_low"] < found["generalisation/out_of_sample_gap_high"]


def test_thresholds_are_chosen_on_training_examples_where_no_others_are_set_aside(
    config: dict[str, Any],
) -> None:
    setup, measured, _ = run_of({**config, "holdout": {"client": 0.3}}, metric="sensitivity")
    assert measure_tags(setup.scoring, setup.federation)["thresholds_chosen_on"] == "training"
    assert 0 < measured["generalisation/threshold_youden"] < 1


def test_a_measure_that_some_clients_do_not_define_is_warned_of_with_the_support(
    config: dict[str, Any],
) -> None:
    setup = prepare(RunConfig.model_validate({**config, "evaluation": {"metric": "auroc"}}))
    said = " ".join(cautions(setup))
    undefined = (
        "AUROC is undefined for 1 of 6 clients: it needs examples of both classes among the examples that a client "
        "holds out; "
    )
    assert (
        f"{undefined}statistics over clients leave out those without. "
        "It is mostly chance for 5 with fewer than 10 positive examples" in said
    )
    usual = prepare(RunConfig.model_validate(config))
    assert "evaluation.metric" not in " ".join(cautions(usual))


def test_a_stop_rule_watches_the_main_measure_on_validation_examples(config: dict[str, Any]) -> None:
    stated = {**config, "stop": {"metric": "main", "target": 0.9}, "evaluation": {"metric": "auroc"}}
    setup = prepare(RunConfig.model_validate(stated))
    assert setup.stop is not None
    assert setup.stop.metric == "generalisation/validation_auroc"
    without = prepare(RunConfig.model_validate({**stated, "holdout": {}, "evaluation": {}}))
    assert without.stop is not None
    assert without.stop.metric == "generalisation/test_accuracy"
    assert "stop.metric: main ends the run by the data that judge it" in " ".join(cautions(without))


def test_clients_with_models_of_their_own_are_measured_too(config: dict[str, Any]) -> None:
    _, measured, _ = run_of({**config, "training": "local"}, metric=["auroc", "sensitivity"])
    assert 0.4 < measured["generalisation/test_auroc"] < 1
    assert "generalisation/client_sensitivity_mean" in measured


def test_scores_of_different_models_are_never_ordered_together(config: dict[str, Any]) -> None:
    asked = ["auroc", "average_precision", "macro_f1", "calibration_error"]
    setup, measured, state = run_of({**config, "training": "local"}, metric=asked)
    scores = {"auroc": sk.roc_auc_score, "average_precision": sk.average_precision_score}
    levels = {}
    for name, part, found in evaluated(state, setup):
        assert part.sizes is not None
        ends, sick = np.cumsum(part.sizes)[:-1], torch.softmax(found.answers.double(), 1).numpy()[:, 0]
        clients = list(zip(np.split(found.targets.numpy() == 0, ends), np.split(sick, ends), strict=True))
        for measure, score in scores.items():
            each = [score(true, shares) for true, shares in clients if true.any() and not true.all()]
            levels[name, measure] = np.mean(each)
            assert measured[f"generalisation/{name}_{measure}"] == pytest.approx(np.mean(each), abs=1e-12)
        f1 = [
            sk.f1_score(true, shares > 0.5, average="macro", zero_division=0)
            for true, shares in clients
            if len(true)
        ]
        assert measured[f"generalisation/{name}_macro_f1"] == pytest.approx(np.mean(f1), abs=1e-12)
        if name == "test":
            assert measured["generalisation/test_auroc"] == measured["generalisation/test_auroc_mean"]
    gap = levels["training", "auroc"] - levels["client", "auroc"]
    assert measured["generalisation/out_of_sample_gap"] == pytest.approx(gap, abs=1e-12)
    final = generalisation(state, setup).metrics
    low, high = (final[f"generalisation/out_of_sample_gap_{end}"] for end in ("low", "high"))
    assert low < gap < high
    calibration = final["generalisation/test_calibration_error"]  # of all these examples together
    assert measured["generalisation/test_calibration_error"] == pytest.approx(calibration, abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("r2", r"evaluation.metric: R² is a measure of regression, and this is classification"),
        ({"name": "auroc", "positive": "ill"}, "evaluation.metric: auroc.positive: 'ill' is no class"),
        (["brier", "brier"], "evaluation.metric: brier is asked for more than once"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(config: dict[str, Any], metric: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        prepare(RunConfig.model_validate({**config, "evaluation": {"metric": metric}}))


def test_what_cannot_be_read_is_refused(config: dict[str, Any]) -> None:
    for metric, said in (([], "state one measure or several"), ("aurok", "did you mean")):
        with pytest.raises(ValueError, match=said):
            RunConfig.model_validate({**config, "evaluation": {"metric": metric}})


def test_a_measure_of_ones_own(
    config: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_costs.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def read(metric: Any) -> RunConfig:
        content = {**config, "evaluation": {"metric": metric}}
        return RunConfig.model_validate(content, context=(tmp_path,))

    setup = prepare(read({"name": "my_costs:cost", "missed": 3}))
    assert main_metric(setup.scoring) == "generalisation/test_cost_missed_3.0_lower_is_better"
    measured = evaluate(initial_state(setup), setup)
    true = examples().targets[setup.federation.test]  # the first model says sick to all
    assert measured[main_metric(setup.scoring)] == pytest.approx((true == 1).mean() * 3)
    with pytest.raises(OwnCodeFailed, match="my_costs:text must return a number, got 'much'"):
        prepare(read("my_costs:text"))
    with pytest.raises(OwnCodeFailed, match="my_costs:counting returns 1, and 2 when it is asked again"):
        prepare(read("my_costs:counting"))


def test_the_class_that_is_counted_is_the_second_of_two_where_the_measure_is_of_all(
    config: dict[str, Any],
) -> None:
    setup = prepare(RunConfig.model_validate(config))
    assert measure_tags(setup.scoring, setup.federation) == {
        "main_metric": "generalisation/test_accuracy",
        "counted_class": "well",
    }


def test_a_default_difference_that_matters_is_warned_of_where_it_has_no_meaning() -> None:
    """0.01 is a point of accuracy; of MAE it is anything."""
    base = {"dataset": "linear", "clients": 5, "model": "linear", "rounds": 1}
    numbers = prepare(RunConfig.model_validate({**base, "evaluation": {"metric": "mae"}}))
    (said,) = of_delta(numbers, Comparison().default_delta)
    assert said.startswith(
        "comparison.delta: 0.01, the smallest difference that matters, is not stated, and MAE has"
    )
    assert [*of_delta(numbers, Comparison(delta=0.5).default_delta)] == []
    assert [*of_delta(prepare(RunConfig.model_validate(base)), Comparison().default_delta)] == []


def test_an_f1_may_be_undefined_where_a_client_lacks_its_class(config: dict[str, Any]) -> None:
    """Sick is the class that a model of zeros predicts, so that F1 of sick has a value then; it need not have one."""
    setup = prepare(
        RunConfig.model_validate({**config, "evaluation": {"metric": {"name": "f1", "of": "sick"}}})
    )
    lacking = sum(not (examples().targets[part] == 0).any() for part in setup.federation.own_held_out)
    assert lacking > 0
    assert f"F1 of sick may be undefined for {lacking} of 6 clients: it needs" in " ".join(cautions(setup))
