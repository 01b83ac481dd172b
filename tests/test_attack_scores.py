"""The figures of membership inference, and LiRA, against hand-worked cases, scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from federated.attacks import lira
from federated.attacks.matching import matched
from federated.attacks.scores import by_client, figures, rank_correlation, roc

MEMBERS = np.array([True, True, True, True, False, False, False, False])


def test_a_curve_worked_by_hand() -> None:
    scores = np.array([9.0, 7.0, 4.0, 1.0, 8.0, 3.0, 2.0, 0.0])
    curve = roc(scores, MEMBERS)
    # pairs won: 9 beats all four; 7 and 4 beat three; 1 beats one
    assert curve.auc == pytest.approx((4 + 3 + 3 + 1) / 16)
    assert curve.advantage == pytest.approx(3 / 4 - 1 / 4)
    assert curve.at(0.0) == pytest.approx(1 / 4)
    assert curve.at(0.3) == pytest.approx(3 / 4)
    assert curve.at(1.0) == 1


def test_ties_count_by_half_and_no_threshold_lies_between_them() -> None:
    curve = roc(np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]), MEMBERS)
    assert curve.auc == pytest.approx((4 * 2 + 4 * 2 / 2) / 16)
    assert curve.at(0.49) == 0
    assert curve.at(0.5) == 1


def test_a_curve_is_that_of_scikit_learn() -> None:
    numbers = np.random.default_rng(0)
    members = numbers.random(3_000) < 0.5
    scores = np.round(numbers.normal(size=3_000) + members, 2)
    curve = roc(scores, members)
    false, true, _ = roc_curve(members, scores)
    assert curve.auc == pytest.approx(roc_auc_score(members, scores))
    found = figures(curve, int((~members).sum()))
    assert found["tpr_at_fpr_01"] == pytest.approx(true[false <= 0.01].max())
    assert found["tpr_at_fpr_001"] == pytest.approx(true[false <= 0.001].max())


def test_a_rate_that_no_threshold_can_have_is_not_reported() -> None:
    curve = roc(np.arange(8.0), MEMBERS)
    assert set(figures(curve, 99)) == {"auc", "advantage"}
    assert set(figures(curve, 100)) == {"auc", "advantage", "tpr_at_fpr_01"}


def test_a_curve_needs_both() -> None:
    with pytest.raises(ValueError, match="members and non-members"):
        roc(np.arange(8.0), np.ones(8, bool))


def test_the_auc_of_each_client_is_among_its_own_examples() -> None:
    scores = np.array([9.0, 1.0, 4.0, 2.0, 8.0, 3.0, 5.0, 0.0])
    owners = np.array([0, 0, 2, 2, 0, 0, 2, 2])
    found = by_client(scores, MEMBERS, owners, 4, least=2)
    assert found[[0, 2]].tolist() == [0.5, 0.5]
    assert np.isnan(found[[1, 3]]).all()
    assert np.isnan(by_client(scores, MEMBERS, owners, 4, least=3)).all()


def test_the_rank_correlation_leaves_out_clients_without_a_value() -> None:
    one, other = np.array([1.0, 2.0, 3.0, np.nan, 9.0]), np.array([10.0, 30.0, 20.0, 5.0, np.nan])
    assert rank_correlation(one, other, least=3) == pytest.approx(0.5)
    assert rank_correlation(one, other, least=4) is None
    assert rank_correlation(np.ones(5), np.arange(5.0), least=3) is None


def test_the_confidence_is_the_log_odds_of_the_right_class() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [1_000.0, 0.0]])
    found = lira.confidence(logits, np.array([0, 0, 1]))
    assert found[:2] == pytest.approx([2.0, -1.0])
    assert np.isfinite(found[2])
    assert found[2] < -60
    three = np.log([[0.5, 0.3, 0.2]])
    assert lira.confidence(three, np.array([1])) == pytest.approx([np.log(0.3 / 0.7)])


OBSERVED = np.array([2.0, 0.0])
SHADOWS = np.array([[3.0, 5.0, 1.0, 0.0, 2.0, 1.0], [1.0, -1.0, 0.0, 4.0, 6.0, 2.0]])
TRAINED = np.array([[True, True, True, False, False, False], [False, True, False, True, False, True]])


def test_lira_is_the_ratio_of_two_normal_densities_about_medians() -> None:
    with_it = [norm.logpdf(2, 3, np.std([3, 5, 1])), norm.logpdf(0, 2, np.std([-1, 4, 2]))]
    without = [norm.logpdf(2, 1, np.std([0, 2, 1])), norm.logpdf(0, 1, np.std([1, 0, 6]))]
    found = lira.online(OBSERVED, SHADOWS, TRAINED, fixed=False)
    assert found == pytest.approx(np.subtract(with_it, without))


def test_lira_with_one_variance_pools_all_of_them() -> None:
    variances = [np.var(part) for part in ([3, 5, 1], [-1, 4, 2], [0, 2, 1], [1, 0, 6])]
    spread = np.sqrt(np.mean(variances))
    wanted = [norm.logpdf(2, 3, spread) - norm.logpdf(2, 1, spread)]
    wanted += [norm.logpdf(0, 2, spread) - norm.logpdf(0, 1, spread)]
    assert lira.online(OBSERVED, SHADOWS, TRAINED, fixed=True) == pytest.approx(wanted)


def test_offline_lira_knows_shadows_without_the_example_alone() -> None:
    wanted = [-norm.logsf(2, 1, np.std([0, 2, 1])), -norm.logsf(0, 1, np.std([1, 0, 6]))]
    found = lira.offline(OBSERVED, SHADOWS, TRAINED, fixed=False)
    assert found == pytest.approx(wanted)
    other = np.where(TRAINED, 77.0, SHADOWS)
    assert lira.offline(OBSERVED, other, TRAINED, fixed=False) == pytest.approx(wanted)


def test_images_are_matched_so_that_the_error_is_least() -> None:
    images = np.array([[[0.0, 0.0]], [[1.0, 1.0]], [[0.0, 1.0]]])
    found = matched(images, images[[2, 0, 1]] + 0.1, spread=1.0)
    assert found.order.tolist() == [1, 2, 0]
    assert found.squared == pytest.approx([0.01] * 3)
    assert found.psnr == pytest.approx([20.0] * 3)
    assert matched(images, images, spread=2.0).psnr == pytest.approx([120.0] * 3)
    assert matched(10 * images, 10 * images + 1, spread=10.0).psnr == pytest.approx([20.0] * 3)
