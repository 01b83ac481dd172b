"""Measures per client, gaps and calibration: hand-worked cases, scikit-learn, and coverage by simulation."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
)

from federated.evaluation.final import Generalisation
from federated.federation.count_columns import check_label_table, count_columns
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, generator
from federated.metrics.by_client import (
    distribution,
    gini,
    grouped_r2,
)
from federated.metrics.calibration import (
    Confusion,
    Reliability,
    class_accuracy,
    confusion,
    macro_f1,
    reliability,
)
from federated.metrics.client_intervals import ClientSums
from federated.metrics.gaps import out_of_sample_gap, participation_gap
from federated.metrics.measures import Predictions
from federated.metrics.scoring import of_clients
from federated.metrics.tasks import CLASSIFICATION, REGRESSION
from federated.report.figures.clients.client_pictures import class_picture

SIZES = np.array([3, 0, 40, 1, 16])
NUMBERS = generator(0, Purpose.EVALUATION)


def scores(count: int = 60, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    draws = generator(1, Purpose.EVALUATION)
    return torch.from_numpy(draws.standard_normal((count, classes))), torch.from_numpy(
        draws.integers(classes, size=count)
    )


def by_client(values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, np.cumsum(SIZES)[:-1])


def test_grouping_gives_what_scikit_learn_gives_client_by_client() -> None:
    outputs, targets = scores()
    found = Predictions(outputs, targets)
    accuracy, loss = (of_clients(CLASSIFICATION.measure(name), found, SIZES) for name in ("accuracy", "loss"))
    parts = zip(by_client(outputs.numpy()), by_client(targets.numpy()), strict=True)
    for at, (mine, true) in enumerate(parts):
        if not len(true):
            assert np.isnan(accuracy[at])
            continue
        assert accuracy[at] == pytest.approx(accuracy_score(true, mine.argmax(axis=1)))
        assert loss[at] == pytest.approx(
            log_loss(true, torch.softmax(torch.from_numpy(mine), 1), labels=range(4))
        )


def test_regression_is_grouped_as_scikit_learn_measures_it() -> None:
    outputs, _ = scores(classes=2)
    targets = outputs + scores(classes=2)[0].flip(0)
    found = Predictions(outputs, targets)
    mae, r2 = (of_clients(REGRESSION.measure(name), found, SIZES) for name in ("mae", "r2"))
    parts = zip(by_client(outputs.numpy()), by_client(targets.numpy()), strict=True)
    for at, (mine, true) in enumerate(parts):
        if len(true):
            assert mae[at] == pytest.approx(mean_absolute_error(true, mine))
        if len(true) > 1:
            assert r2[at] == pytest.approx(r2_score(true, mine))
    assert np.isnan(r2[[1, 3]]).all()


def test_r2_of_a_client_whose_targets_are_all_the_same_is_scikit_learns() -> None:
    true, met, missed = np.ones((2, 1)), np.ones((2, 1)), np.zeros((2, 1))
    both = grouped_r2(np.concatenate([met, missed]), np.concatenate([true, true]), np.array([2, 2]))
    assert both.tolist() == [r2_score(true, met), r2_score(true, missed)] == [1.0, 0.0]


def test_r2_of_equal_targets_is_0_where_their_mean_is_rounded_and_spoils_no_mean_over_clients() -> None:
    true = np.array([[0.1]] * 10 + [[0.1]] * 10 + [[1.0], [2.0]])
    mine = np.array([[0.3]] * 10 + [[0.1]] * 10 + [[1.0], [2.0]])
    assert sum([0.1] * 10) / 10 != 0.1
    assert grouped_r2(mine, true, np.array([10, 0, 10, 2, 0])).tolist()[::2] == pytest.approx(
        [0.0, 1.0, np.nan], nan_ok=True
    )
    assert grouped_r2(mine, true, np.array([10, 10, 2])).mean() == pytest.approx(2 / 3)
    tiny = np.array([[0.0], [1e-200]])  # they differ, though the squares of what they differ by are 0
    assert np.isfinite(grouped_r2(tiny, tiny, np.array([2]))).all()


def test_gini_worked_by_hand() -> None:
    # pairs (ordered) of 1, 2, 3 differ by 1 + 2 + 1 twice: 8 / 9 mean difference, over twice the mean of 2
    assert gini(np.array([1.0, 3.0, 2.0])) == pytest.approx(8 / 9 / 4)
    assert gini(np.array([0.5, 0.5])) == gini(np.zeros(3)) == 0.0
    assert gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(3 / 4)


def test_the_distribution_worked_by_hand() -> None:
    values = np.array(
        [0.9, np.nan, 0.5, 0.7, 0.6, 0.8, 1.0, 0.4, 0.3, 0.2, 0.1, 0.0]
    )  # 11 clients: two are a tenth
    measured = distribution(values, higher_is_better=True)
    assert measured["worst_10_percent"] == pytest.approx(0.05)
    assert measured["best_10_percent"] == pytest.approx(0.95)
    assert measured["mean"] == measured["median"] == pytest.approx(0.5)
    assert measured["sd"] == pytest.approx(np.sqrt(0.11))  # 2 (1 + 4 + 9 + 16 + 25) / 100 over 10
    errors = distribution(values, higher_is_better=False)
    assert (errors["worst_10_percent"], errors["best_10_percent"]) == (
        pytest.approx(0.95),
        pytest.approx(0.05),
    )
    assert distribution(np.array([0.4]), higher_is_better=True)["sd"] == 0.0
    assert distribution(np.array([np.nan]), higher_is_better=True) == {}


def test_gaps_worked_by_hand() -> None:
    training = ClientSums(np.array([9.0, 4.0]), np.array([10, 10]))  # 13 of 20
    held_out = ClientSums(np.array([3.0, 1.0]), np.array([4, 4]))  # 4 of 8
    unseen = ClientSums(np.array([1.0, 1.0, 0.0]), np.array([2, 5, 3]))  # 2 of 10
    assert out_of_sample_gap(training, held_out, 1, NUMBERS).value == pytest.approx(0.15)
    assert participation_gap(held_out, unseen, 1, NUMBERS).value == pytest.approx(0.3)
    assert participation_gap(held_out, unseen, -1, NUMBERS).value == pytest.approx(-0.3)


def test_calibration_worked_by_hand() -> None:
    # confidences 0.9, 0.9, 0.6, 0.6 of two classes; right, wrong, right, right; two bins hold them
    confident = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]).log()
    table = reliability(confident, torch.tensor([0, 1, 0, 0]))
    assert table.shares.tolist() == [0.5, 0.5]
    assert table.confidence.tolist() == pytest.approx([0.6, 0.9])
    assert table.accuracy.tolist() == [1.0, 0.5]
    assert table.error == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_reliability_has_the_bins_of_scikit_learn() -> None:
    outputs, targets = scores(500)
    table = reliability(outputs, targets)
    top = torch.softmax(outputs, 1).max(dim=1)
    right = (top.indices == targets).numpy()
    accuracy, confidence = calibration_curve(right, top.values.numpy(), n_bins=15)
    assert table.accuracy == pytest.approx(accuracy)
    assert table.confidence == pytest.approx(confidence)


def test_confusion_is_that_of_scikit_learn() -> None:
    outputs, targets = scores()
    counts = confusion(outputs, targets)
    assert (counts.table() == confusion_matrix(targets, outputs.argmax(1))).all()
    assert (counts.totals == np.bincount(targets, minlength=4)).all()
    assert (counts.predicted == np.bincount(outputs.argmax(1), minlength=4)).all()
    assert class_accuracy(counts) == pytest.approx(
        [accuracy_score(targets[targets == c], outputs[targets == c].argmax(1)) for c in range(4)]
    )
    assert macro_f1(counts) == pytest.approx(f1_score(targets, outputs.argmax(1), average="macro"))
    few = targets.clamp(max=1)  # classes that are predicted and never right, and none of the last
    outputs[:, 3] = -9.0
    expected = f1_score(few, outputs.argmax(1), average="macro", zero_division=0)
    assert macro_f1(confusion(outputs, few)) == pytest.approx(expected)
    one = np.array([1])
    assert class_accuracy(Confusion(one, one, one, 2))[1] == 1
    assert np.isnan(class_accuracy(Confusion(one, one, one, 2))[0])


def test_a_confusion_of_many_classes_needs_no_square_of_them() -> None:
    """As a table it had 40 GB, and its picture more."""
    classes = 70_000
    actual = np.array([0, 0, 3, classes - 1])
    taken_for = np.array([0, 3, 3, 0])
    found = Confusion(actual, taken_for, np.array([2, 1, 4, 1]), classes)
    # by hand: class 0 is right in 2 of (3 actual + 3 taken), 3 in 4 of (4 + 5), the last in 0 of (1 + 0)
    assert macro_f1(found) == pytest.approx((4 / 6 + 8 / 9 + 0) / 3)
    assert class_accuracy(found)[[0, 3, classes - 1]] == pytest.approx([2 / 3, 1, 0])
    names = tuple(f"c{at}" for at in range(classes))
    table = Generalisation(CLASSIFICATION, {}, {}, names, found, None).classes_table()
    assert set(table) == {"class", "test_examples", "accuracy", "taken for"}
    assert [table["taken for"][at] for at in (0, 1, classes - 1)] == ['{"c0": 2, "c3": 1}', "{}", '{"c0": 1}']
    assert table["test_examples"][:4] == [3, 0, 0, 4]
    picture = class_picture(
        Generalisation(CLASSIFICATION, {}, {}, names, found, Reliability(*[np.array([1.0])] * 3))
    )
    assert picture is not None
    assert not picture.axes[0].images


def test_counts_are_a_column_for_each_label_or_those_that_are_not_zero() -> None:
    rows, labels, counts = np.array([0, 1, 1]), np.array([1, 0, 1]), np.array([5, 7, 9])
    assert count_columns("class", rows, labels, counts, 3, ["a", "b"]) == {
        "class a": [0, 7, 0],
        "class b": [5, 9, 0],
    }
    many = [f"c{at}" for at in range(1_000_001)]
    assert count_columns("class", rows, labels, counts, 3, many) == {
        "class": ['{"c1": 5}', '{"c0": 7, "c1": 9}', "{}"]
    }


def test_too_many_clients_times_classes_are_refused_before_their_table_is_made() -> None:
    check_label_table(200_000, 100)
    check_label_table(1_000_000, 0)  # a regression has none
    with pytest.raises(
        BadInput, match="clients: 100,000 clients x 10,000 classes are a table of 1,000,000,000 counts"
    ):
        check_label_table(100_000, 10_000)
