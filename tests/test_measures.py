"""Measures that a study may ask for, each against scikit-learn to 1e-12."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from federated.metrics.by_client import grouped_means
from federated.metrics.client_sums import client_sums
from federated.metrics.dictionary.stated import EXAMPLES, stated
from federated.metrics.measures import MEASURES, Classes, Measure, Predictions, own_measure
from federated.metrics.names import headline_of, higher_is_better, metric_label, range_of
from federated.metrics.scoring import of_clients, scoring_of
from federated.metrics.tasks import CLASSIFICATION, REGRESSION, TASKS
from federated.report.findings.results import RunResult
from federated.report.questions.sites_tables import _note

CLASSES = ("no", "yes", "may_be")


class Case(NamedTuple):
    """A measure with arguments, and the function of scikit-learn that it equals.

    of: (targets, predictions: classes' probabilities [N, classes] or numbers) -> value. classes: 0 for regression.
    """

    name: str
    arguments: Mapping[str, Any]
    of: Callable[[np.ndarray, np.ndarray], float]
    classes: int = 2


def _f1(which: int) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda y, p: sk.f1_score(y == which, p.argmax(1) == which)


def _youden(y: np.ndarray, p: np.ndarray) -> tuple[float, float]:
    """(sensitivity, specificity) where their sum is largest, by scikit-learn's ROC curve."""
    false, true, _ = sk.roc_curve(y, p[:, 1], drop_intermediate=False)
    at = np.argmax(true - false)
    return true[at], 1 - false[at]


CASES = (
    Case("accuracy", {}, lambda y, p: sk.accuracy_score(y, p.argmax(1)), 3),
    Case("balanced_accuracy", {}, lambda y, p: sk.balanced_accuracy_score(y, p.argmax(1)), 3),
    Case("macro_f1", {}, lambda y, p: sk.f1_score(y, p.argmax(1), average="macro"), 3),
    Case("f1", {"of": "may_be"}, _f1(2), 3),
    Case("f1", {"of": "no"}, _f1(0)),
    Case("auroc", {}, lambda y, p: sk.roc_auc_score(y, p[:, 1])),
    Case("auroc", {}, lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr"), 3),
    Case("auroc", {"positive": "may_be"}, lambda y, p: sk.roc_auc_score(y == 2, p[:, 2]), 3),
    Case("average_precision", {}, lambda y, p: sk.average_precision_score(y, p[:, 1])),
    Case("average_precision", {"positive": "no"}, lambda y, p: sk.average_precision_score(y == 0, p[:, 0])),
    Case("average_precision", {}, lambda y, p: sk.average_precision_score(np.eye(3)[y], p), 3),
    Case("sensitivity", {}, lambda y, p: _youden(y, p)[0]),
    Case("specificity", {}, lambda y, p: _youden(y, p)[1]),
    Case("sensitivity", {"threshold": 0.3}, lambda y, p: sk.recall_score(y, p[:, 1] >= 0.3)),
    Case("specificity", {"threshold": 0.3}, lambda y, p: sk.recall_score(y == 0, p[:, 1] < 0.3)),
    Case("log_loss", {}, lambda y, p: sk.log_loss(y, p, labels=range(3)), 3),
    Case("perplexity", {}, lambda y, p: np.exp(sk.log_loss(y, p, labels=range(3))), 3),
    Case("brier", {}, lambda y, p: sk.brier_score_loss(y, p[:, 1])),
    Case("brier", {}, lambda y, p: sk.brier_score_loss(y, p, labels=range(3)), 3),
    Case("calibration_error", {}, lambda y, p: _ece(y, p), 3),
    Case("r2", {}, sk.r2_score, 0),
    Case("mse", {}, sk.mean_squared_error, 0),
    Case("rmse", {}, sk.root_mean_squared_error, 0),
    Case("mae", {}, sk.mean_absolute_error, 0),
    Case("mape", {}, sk.mean_absolute_percentage_error, 0),
    Case("quantile_loss", {}, sk.mean_pinball_loss, 0),
    Case("quantile_loss", {"quantile": 0.9}, lambda y, p: sk.mean_pinball_loss(y, p, alpha=0.9), 0),
)


def _ece(y: np.ndarray, p: np.ndarray) -> float:
    """Guo et al. 2017, eq. 3, bin by bin: scikit-learn has no such function."""
    confidence, right = p.max(1), p.argmax(1) == y
    total = 0.0
    for at in range(15):
        inside = (confidence > at / 15) & (confidence <= (at + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def data_of(
    classes: int, count: int = 400, outputs: int = 1, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """(answers, targets) that go together somewhat, with ties; of two classes 25 % are the second."""
    numbers = np.random.default_rng(seed)
    if not classes:
        targets = numbers.normal(5, 2, size=(count, outputs))
        answers = targets + numbers.normal(size=targets.shape)
        return torch.from_numpy(answers), torch.from_numpy(targets if outputs > 1 else targets[:, 0])
    labels = numbers.choice(classes, p=[0.75, 0.25] if classes == 2 else None, size=count)
    scores = numbers.normal(size=(count, classes)) + np.eye(classes)[labels]
    if classes == 2:
        scores = np.round(8 * scores) / 8  # whose differences are exact, so that ties stay ties
    return torch.from_numpy(scores), torch.from_numpy(labels)


def classes_of(targets: torch.Tensor, count: int) -> Classes:
    return Classes(CLASSES[:count], np.bincount(targets.numpy(), minlength=count))


def made(case: Case, targets: torch.Tensor) -> Measure:
    measure = MEASURES[case.name](**case.arguments)
    return measure.fit(classes_of(targets, case.classes)) if measure.fit is not None else measure


def predictions_of(measure: Measure, answers: torch.Tensor, targets: torch.Tensor) -> Predictions:
    """With the threshold that these very examples choose."""
    found = Predictions(answers, targets)
    if (rule := measure.threshold) is None:
        return found
    at = rule.choose(found.labels == rule.positive, found.probability(rule.positive))
    return Predictions(answers, targets, {rule.name: at})


def test_every_measure_is_checked() -> None:
    of_labels = {
        name for name, each in EXAMPLES.items() if each.targets == ("multilabel",)
    }  # tested with their losses
    assert {case.name for case in CASES} == set(MEASURES) - of_labels


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}{dict(case.arguments)}-{case.classes}")
def test_a_measure_is_what_scikit_learn_computes(case: Case) -> None:
    answers, targets = data_of(case.classes)
    measure = made(case, targets)
    found = predictions_of(measure, answers, targets)
    shares = torch.softmax(answers, dim=1).numpy() if case.classes else answers[:, 0].numpy()
    assert measure.of(found) == pytest.approx(case.of(targets.numpy(), shares), abs=1e-12)
    assert measure.ends[0] <= measure.of(found) <= measure.ends[1]
    name = f"generalisation/client_{measure.name}"
    assert higher_is_better(name) == (measure.better == "higher")
    assert range_of(name)[0] <= measure.ends[0] <= measure.ends[1] <= range_of(name)[1]
    assert higher_is_better(f"{name}_mean") == (measure.better == "higher")
    assert not higher_is_better(f"{name}_sd")


@pytest.mark.parametrize("case", [case for case in CASES if not case.classes], ids=lambda case: case.name)
def test_several_outputs_are_averaged_as_scikit_learn_does(case: Case) -> None:
    answers, targets = data_of(0, outputs=3)
    measure = made(case, targets)
    assert measure.of(Predictions(answers, targets)) == pytest.approx(
        case.of(targets.numpy(), answers.numpy()), abs=1e-12
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}{dict(case.arguments)}-{case.classes}")
def test_each_client_is_measured_on_its_own_examples(case: Case) -> None:
    answers, targets = data_of(case.classes)
    measure, sizes = made(case, targets), np.array([150, 0, 100, 149, 1])
    found = predictions_of(measure, answers, targets)
    values, ends = of_clients(measure, found, sizes), np.cumsum(sizes)
    assert np.isnan(values[1])
    for client in (0, 2, 3):
        rows = slice(ends[client] - sizes[client], ends[client])
        alone = Predictions(answers[rows], targets[rows], found.thresholds)
        assert values[client] == pytest.approx(measure.of(alone), abs=1e-12)


def test_probabilities_that_round_to_one_keep_their_order() -> None:
    answers, targets = torch.tensor([[0.0, 50.0], [0.0, 60.0], [0.0, 40.0]]), torch.tensor([0, 1, 0])
    area = MEASURES["auroc"]().fit(Classes(("no", "yes"), np.array([2, 1])))
    assert area.of(Predictions(answers, targets)) == 1.0


@pytest.mark.parametrize("name", ["auroc", "average_precision", "sensitivity", "specificity"])
def test_what_lacks_a_class_is_undefined_and_not_zero(name: str) -> None:
    measure = MEASURES[name]().fit(Classes(("no", "yes"), np.array([9, 1])))
    assert measure.needs
    only = torch.zeros(4, dtype=torch.int64) + (name == "specificity")
    found = Predictions(torch.randn(4, 2), only, {"youden": 0.5})
    assert np.isnan(measure.of(found))


def test_the_positive_class_is_the_rarer_one_of_two_and_must_be_stated_of_more() -> None:
    rare = Classes(("sick", "well"), np.array([6, 94]))
    assert MEASURES["average_precision"]().fit(rare).positive == 0
    assert MEASURES["average_precision"]().fit(rare._replace(counts=np.array([50, 50]))).positive == 1
    with pytest.raises(ValueError, match="there are 3 classes; state the one that it is about"):
        MEASURES["sensitivity"]().fit(Classes(CLASSES, np.array([1, 1, 1])))
    with pytest.raises(ValueError, match=r"auroc.positive: 'ill' is no class; allowed: 'sick', 'well'"):
        MEASURES["auroc"]("ill").fit(rare)


def test_a_threshold_is_chosen_on_other_examples_and_meets_there_what_is_asked() -> None:
    answers, targets = data_of(2)
    sure = MEASURES["specificity"](at_specificity=0.9).fit(classes_of(targets, 2))
    found = predictions_of(sure, answers, targets)
    assert 0.9 <= sure.of(found) < 0.93
    sensitive = MEASURES["sensitivity"](at_sensitivity=0.9).fit(classes_of(targets, 2))
    assert 0.9 <= sensitive.of(predictions_of(sensitive, answers, targets)) < 0.95
    (at,) = found.thresholds.values()
    others, theirs = data_of(2, seed=1)
    judged = sure.of(Predictions(others, theirs, found.thresholds))
    shares = torch.softmax(others, dim=1).numpy()[:, 1]
    assert judged == pytest.approx(sk.recall_score(theirs == 0, shares < at), abs=1e-12)


def test_a_specificity_that_is_met_exactly_is_chosen() -> None:
    # 100 negatives, 7 of them at or above 0.6, then the only positive that lies below all of them but 93
    shares = np.concatenate([np.full(7, 0.6), np.full(93, 0.2), [0.5]])
    answers = torch.from_numpy(np.stack([np.log(1 - shares), np.log(shares)], axis=1))
    targets = torch.tensor([0] * 100 + [1])
    for name, expected in (("sensitivity", 1.0), ("specificity", 0.93)):
        measure = MEASURES[name](at_specificity=0.93).fit(classes_of(targets, 2))
        found = predictions_of(measure, answers, targets)
        assert 0.2 < next(iter(found.thresholds.values())) < 0.5
        assert measure.of(found) == pytest.approx(expected, abs=1e-12)


def test_what_a_measure_of_order_needs_is_said_by_the_classes() -> None:
    two, three = Classes(("no", "yes"), np.array([9, 1])), Classes(CLASSES, np.array([1, 1, 1]))
    assert MEASURES["auroc"]().fit(two).needs == "examples of both classes"
    assert MEASURES["auroc"]().fit(three).needs == "examples of every class"
    assert MEASURES["auroc"](CLASSES[1]).fit(three).needs == f"examples of {CLASSES[1]!r} and of others"
    assert MEASURES["average_precision"]().fit(two).needs == "positive examples"
    assert MEASURES["average_precision"]().fit(three).needs == "examples of every class"


@pytest.mark.parametrize("name", ["clients", "new_clients", "high sd", "mean", "worst 10 percent", "gini"])
@pytest.mark.parametrize("measure", ["f1", "auroc", "sensitivity"])
def test_a_class_named_as_a_statistic_is_not_read_as_one(measure: str, name: str) -> None:
    classes = Classes(("rest", name), np.array([1, 1]))
    fitted = MEASURES[measure](name).fit(classes)
    for ending, statistic in (("", ""), ("_mean", "mean"), ("_clients", "clients")):
        found = stated(f"generalisation/client_{fitted.name}{ending}")
        assert found.statistic == statistic
        assert found.better == (None if ending == "_clients" else "higher")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("sensitivity", {"threshold": 0.5, "at_specificity": 0.9}, "state one of"),
        (
            "sensitivity",
            {"at_specificity": 1.0},
            "at_specificity: must be between 0 and 1, got 1",
        ),
        ("specificity", {"threshold": 0.0}, "threshold: must be between 0 and 1, got 0"),
        ("quantile_loss", {"quantile": 1.5}, "quantile must be between 0 and 1, got 1.5"),
    ],
)
def test_arguments_are_checked(name: str, arguments: Mapping[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MEASURES[name](**arguments)


def test_the_first_measure_is_the_main_one_and_the_usual_ones_are_still_measured() -> None:
    classes = Classes(("no", "yes"), np.array([9, 1]))
    scoring = scoring_of(CLASSIFICATION, [MEASURES["auroc"](), MEASURES["brier"]()], classes)
    assert (scoring.main.name, scoring.headline.name) == ("auroc", "auroc")
    assert [each.name for each in scoring.spread] == ["auroc", "brier"]
    assert [each.name for each in scoring.pooled] == ["auroc", "brier", "loss", "accuracy", "macro_f1"]
    with pytest.raises(ValueError, match="brier is asked for more than once"):
        scoring_of(CLASSIFICATION, [MEASURES["brier"]()] * 2, classes)
    with pytest.raises(ValueError, match="AUROC is a measure of classification, and this is regression"):
        scoring_of(REGRESSION, [MEASURES["auroc"]()])


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_study_that_asks_for_none_has_what_it_had(task: Any) -> None:
    scoring = scoring_of(task)
    assert (scoring.main.name, scoring.headline.name) == (task.main, task.headline)
    assert not scoring.stated


def test_sums_over_clients_come_to_the_measure_and_of_a_mean_to_its_sums() -> None:
    answers, targets = data_of(2)
    sizes, found = np.array([100, 60, 40, 120, 80]), Predictions(answers, targets)
    area = MEASURES["auroc"]().fit(classes_of(targets, 2))
    sums = client_sums(area, found, sizes)
    assert sums is not None
    assert sums.mean() == pytest.approx(area.of(found), abs=1e-12)
    # Without its closed form, accuracy by the jackknife is what its sums say.
    accuracy = MEASURES["accuracy"]()
    slow, fast = client_sums(accuracy._replace(mean=False), found, sizes), client_sums(accuracy, found, sizes)
    np.testing.assert_allclose(slow.sums, fast.sums, atol=1e-9)
    assert grouped_means(found.predicted == found.labels, sizes) == pytest.approx(fast.sums / sizes)
    alone = Predictions(answers, (torch.arange(400) < 100).long())  # one client has all positives
    assert client_sums(area, alone, sizes) is None


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("generalisation/test_auroc", "test AUROC"),
        ("generalisation/client_auroc_worst_10_percent", "client AUROC worst 10 percent"),
        ("generalisation/unseen_quantile_loss_0.9", "unseen quantile loss at 0.9"),
        ("generalisation/test_sensitivity_at_specificity_0.9", "test sensitivity at specificity 0.9"),
        ("generalisation/test_f1_may_be", "test F1 of may be"),
        ("generalisation/test_profit_price_3_higher_is_better", "test profit price 3"),
    ],
)
def test_names_of_measures_are_read_again(metric: str, label: str) -> None:
    assert metric_label(metric) == label


def test_names_with_arguments_and_of_own_functions_say_which_way_is_better() -> None:
    assert higher_is_better("generalisation/client_profit_higher_is_better_mean")
    assert not higher_is_better("generalisation/test_cost_lower_is_better")
    assert not higher_is_better("generalisation/test_quantile_loss_0.25")
    assert stated("generalisation/client_auroc_clients").statistic == "clients"
    assert stated("generalisation/test_nothing") is None
    assert {each.name for each in EXAMPLES.values()} >= {"auroc", "f1_CLASS", "quantile_loss_0.5"}


def test_gaps_are_of_the_main_measure_and_of_r2_in_mse_unless_it_was_asked_for() -> None:
    assert headline_of("generalisation/test_auroc", ()) == "auroc"
    assert headline_of("generalisation/test_r2", ()) == "mse"
    assert headline_of("generalisation/test_r2", ("generalisation/client_r2_mean",)) == "r2"


def test_a_function_of_ones_own_gets_arrays() -> None:
    answers, targets = data_of(3)
    mine = own_measure(
        lambda y, p: float(sk.matthews_corrcoef(y, p.argmax(1))), better="higher", targets="classification"
    )
    assert mine.of(Predictions(answers, targets)) == pytest.approx(
        sk.matthews_corrcoef(targets.numpy(), answers.numpy().argmax(1))
    )
    answers, targets = data_of(0)
    shapes = own_measure(lambda y, p: y.ndim + p.ndim, better="lower", targets="regression")
    assert shapes.of(Predictions(answers, targets)) == 2
    with pytest.raises(ValueError, match="better must be higher or lower, got 'more'"):
        own_measure(lambda y, p: 0.0, better="more", targets="regression")


def test_the_table_of_sites_names_the_class_whose_examples_it_counts() -> None:
    run = RunResult("s", "a", 0, "FINISHED", {}, (), "generalisation/test_auroc", positive_class="sick")
    assert "Positives are the examples of 'sick'." in _note([run], "generalisation/client_auroc", True)
    counted = replace(run, positive_class="", counted_class="well")
    assert "Positives are the examples of 'well'." in _note([counted], "generalisation/client_auroc", True)
