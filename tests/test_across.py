"""Arms over several data sets: ranks and tests as published, groups by hand, and a refusal where they are too few."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federated.report import Report, RunResult, page_html, png
from federated.report.across.methods import across
from federated.report.figures.studies.critical_difference import critical_difference
from federated.report.statistics.ranks_across import fewest_data_sets, ranked_methods

ACCURACY = "generalisation/test_accuracy"
# Demšar 2006, table 6: the AUC of C4.5 without and with tuning of m, of cf and of both, on 14 data sets.
METHODS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
TABLE_6 = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],  # equal as printed, with ranks 2 and 3
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def run(study: str, arm: str, score: float, seed: int = 0, **changes: Any) -> RunResult:
    """As `compare` of several studies has it, with the study in the arm's name."""
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {}, "main_metric": ACCURACY}
    history = ((1, {ACCURACY: score}),)
    return RunResult(study, f"{study}: {arm}", seed, **{**fields, "history": history, **changes})


def published(data_sets: int = 14) -> list[RunResult]:
    return [
        run(f"set-{at}", method, float(TABLE_6[at, column]))
        for at in range(data_sets)
        for column, method in enumerate(METHODS)
    ]


def test_mean_ranks_are_those_of_demsar() -> None:
    found = ranked_methods(TABLE_6)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    # His statistic, 9.28, is not corrected for ties, with which p is a little smaller.
    assert 0.015 < found.p < 0.0258


def test_pairs_are_wilcoxon_s_with_holm_s_correction() -> None:
    """By hand: 8 differences on one side have p = 2 / 2^8, and with the smallest on the other 4 / 2^8; times 3 of these
    the least is the largest."""
    steps = np.arange(1, 9)[:, None]
    scores = 0.5 - np.hstack([0.0 * steps, 0.01 * steps, 0.03 * steps])
    scores[0, 1] += 0.015
    found = ranked_methods(scores)
    assert found.pairs == pytest.approx({(0, 1): 6 / 256, (0, 2): 6 / 256, (1, 2): 6 / 256})
    assert found.groups == []
    assert found.ranks == pytest.approx([1.125, 1.875, 3.0])


def test_methods_that_are_not_told_apart_share_a_group_and_only_the_largest_is_kept() -> None:
    numbers = np.random.default_rng(0)
    even = 0.8 + 0.01 * numbers.standard_normal((12, 3))
    found = ranked_methods(np.hstack([even, even[:, :1] - 0.2, even[:, :1] - 0.4]))
    assert [sorted(group) for group in found.groups] == [[0, 1, 2]]
    same = ranked_methods(np.ones((9, 3)))
    assert (same.p, [sorted(group) for group in same.groups]) == (1.0, [[0, 1, 2]])
    assert same.ranks == pytest.approx([2, 2, 2])


@pytest.mark.parametrize(("methods", "fewest"), [(3, 7), (4, 8), (5, 9), (10, 11)])
def test_fewer_data_sets_could_tell_no_pair_apart(methods: int, fewest: int) -> None:
    assert fewest_data_sets(methods) == fewest
    clear = -np.tile(np.arange(methods), (fewest, 1)) * (1 + 0.01 * np.arange(fewest)[:, None])
    assert min(ranked_methods(clear).pairs.values()) < 0.05
    assert min(ranked_methods(clear[1:]).pairs.values()) >= 0.05


def test_studies_side_by_side_are_ranked_by_the_means_over_their_seeds() -> None:
    found = across([*published(), run("set-0", "C4.5", 0.763, seed=1), run("set-1", "other", 0.9)])
    assert found is not None
    assert found.methods == METHODS
    assert found.ranked is not None
    assert found.ranked.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.sentences[0] == (
        "Mean ranks by test accuracy over 14 data sets, 1 is best: C4.5+m+cf (1.96); C4.5+m (2.00); C4.5+cf (2.89); "
        "C4.5 (3.14)."
    )
    picture = critical_difference(found)
    assert picture is not None
    texts = [text.get_text() for text in picture.axes[0].texts]
    assert texts == ["C4.5+m+cf  1.96", "C4.5+m  2.00", "C4.5+cf  2.89", "C4.5  3.14"]
    assert png(picture, 40).startswith(b"\x89PNG")


def test_of_an_error_less_is_better() -> None:
    mse = "generalisation/test_mse"
    runs = [
        run(f"set-{at}", arm, 0, main_metric=mse, history=((1, {mse: value + at}),))
        for at in range(7)
        for arm, value in (("good", 0.1), ("fair", 0.2), ("poor", 0.5))
    ]
    found = across(runs)
    assert found is not None
    assert found.ranked is not None
    assert dict(zip(found.methods, found.ranked.ranks.tolist(), strict=True)) == {
        "good": 1,
        "fair": 2,
        "poor": 3,
    }
    assert found.scores.min() == pytest.approx(0.1)


def test_data_sets_on_an_axis_of_one_study_are_data_sets_too() -> None:
    runs = [
        RunResult(
            "s",
            f"{data} · {rule}",
            0,
            "FINISHED",
            {},
            ((1, {ACCURACY: 0.1 * at + step}),),
            ACCURACY,
            overrides={"dataset": data, "algorithm": rule},
        )
        for at, data in enumerate("abcdefg")
        for rule, step in (("fedavg", 0.03), ("fedprox", 0.02), ("scaffold", 0.01))
    ]
    found = across(runs)
    assert found is not None
    assert found.methods == ("fedavg", "fedprox", "scaffold")
    assert found.ranked is not None


def test_too_few_are_refused_in_plain_words() -> None:
    few = across(published(3))
    assert few is not None
    assert critical_difference(few) is None
    assert few.sentences == [
        "No critical differences over data sets: with 4 arms no pair could be told apart by fewer than 8 data sets, "
        "however clear the difference, and there are 3."
    ]
    two = across([each for each in published() if each.arm.endswith(METHODS[:2])])
    assert two is not None
    assert "3 arms or more" in two.why
    assert across(published(1)) is None
    assert across([run("one", "a", 0.1), run("other", "b", 0.2)]) is None
    assert across([]) is None


def test_the_page_says_why_there_is_no_picture() -> None:
    page = page_html(Report("sets", published(3), baseline=f"set-0: {METHODS[0]}"), {})
    assert "No critical differences over data sets" in page
