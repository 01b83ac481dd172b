"""Looks at fixed numbers of seeds: shares that add up, rates of studies that follow the advice, and the advice."""

from collections.abc import Callable

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from federated.report import RunResult
from federated.report.findings.verdicts import compare_paired
from federated.report.statistics.paired import RATE
from federated.report.statistics.two_arms import PairedScores, UnpairedScores, judged, more_seeds
from federated.report.text.phrases import looks_text, seeds_needed, verdict_text
from federated.study.comparison import Comparison
from federated.study.looks import Looks

DELTA = 0.01
STUDIES = 300
BOUND = RATE + 3 * np.sqrt(RATE * (1 - RATE) / STUDIES)
ACCURACY = "generalisation/test_accuracy"


def test_no_way_of_adding_seeds_takes_more_than_the_whole_error_rate() -> None:
    looks = Looks()
    reached = sorted({look for count in range(3, 100_000) if (look := looks.at(count)) is not None})
    assert reached[:8] == [3, 5, 10, 20, 30, 50, 100, 200]
    assert 0.99 < sum(looks.share(look) for look in reached) <= 1
    assert sum(Looks((5, 9, 12)).share(look) for look in (5, 9, 12)) == pytest.approx(1)


def test_a_look_takes_the_first_seeds_at_its_share() -> None:
    """scipy's paired test of the first five of seven differences, times four."""
    differences = np.array([0.02, 0.03, 0.01, 0.025, 0.018, -0.5, 0.5])
    found = judged(PairedScores(differences), DELTA, Looks())
    assert found.seeds == 5
    assert found.p == pytest.approx(4 * stats.ttest_1samp(differences[:5], 0).pvalue)
    once = judged(PairedScores(differences), DELTA, Looks((7,)))
    assert (once.seeds, once.p) == (7, pytest.approx(stats.ttest_1samp(differences, 0).pvalue))
    assert judged(PairedScores(differences[:2]), DELTA, Looks()).p == 1.0


LAWS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda numbers, shape: numbers.standard_normal(shape),
    "skewed": lambda numbers, shape: numbers.exponential(size=shape),
    "heavy-tailed": lambda numbers, shape: numbers.standard_t(3, shape),
    "few examples": lambda numbers, shape: numbers.binomial(60, 0.9, shape) / 60 / 0.0387,
}
"""Of an arm's scores, in units of about one deviation; arms share nothing, which is as noisy as a difference gets."""


def followed(differences: np.ndarray, delta: float, least: int, comparisons: int = 1) -> tuple[str, int]:
    """(verdict, seeds) of a study that starts with `least` and adds what is advised, to the end."""
    count, looks = least, Looks()
    while True:
        seen = PairedScores(differences[:count])
        found = judged(seen, delta, looks)
        if found.same_p * comparisons < RATE:
            return "no difference", count
        if found.p * comparisons < RATE:
            return "differs", count
        more = more_seeds(seen, delta, comparisons, looks)
        if more is None or count + more > len(differences):
            return "inconclusive", count
        count += more


@pytest.mark.slow
@pytest.mark.parametrize(
    "law", ["skewed", *(pytest.param(law, marks=pytest.mark.nightly) for law in LAWS if law != "skewed")]
)
@pytest.mark.parametrize("effect", [0.0, DELTA], ids=["no difference", "a difference of delta"])
@pytest.mark.nightly
def test_who_follows_the_advice_to_the_end_is_misled_in_5_percent_of_studies_at_most(
    law: str, effect: float
) -> None:
    numbers = np.random.default_rng(len(law))
    wrong = "differs" if effect == 0 else "no difference"
    misled = 0
    for _ in range(STUDIES):
        mine, theirs = LAWS[law](numbers, (2, 100))
        misled += followed(effect + 0.01 * (mine - theirs), DELTA, 3)[0] == wrong
    assert misled / STUDIES < BOUND


@pytest.mark.slow
@pytest.mark.nightly
def test_one_seed_at_a_time_misleads_no_more_often() -> None:
    differences = np.random.default_rng(4).standard_normal((STUDIES, 20))
    looks = Looks()

    def ever(row: np.ndarray, by_looks: bool) -> bool:
        every = (PairedScores(row[:count]) for count in range(3, 21))
        return any((judged(seen, 1e-3, looks).p if by_looks else seen.p) < RATE for seen in every)

    assert np.mean([ever(row, True) for row in differences[:200]]) < RATE + 3 * np.sqrt(
        RATE * (1 - RATE) / 200
    )
    assert np.mean([ever(row, False) for row in differences[200:300]]) > 0.1  # what happens without


@pytest.mark.slow
@pytest.mark.parametrize("comparisons", [1, 8])
@pytest.mark.parametrize(("effect", "deviation"), [(0.0, 0.01), (0.005, 0.01), (0.02, 0.02), (0.03, 0.02)])
@pytest.mark.parametrize("least", [3, 5])
@pytest.mark.nightly
def test_the_advice_decides_in_at_least_half_of_the_cases(
    comparisons: int, effect: float, deviation: float, least: int
) -> None:
    numbers, looks, decided = np.random.default_rng(least), Looks(), []
    for _ in range(120):
        differences = effect + deviation * numbers.standard_normal(200)
        seen = PairedScores(differences[:least])
        found = judged(seen, DELTA, looks)
        if min(found.p, found.same_p) * comparisons < RATE:
            continue
        more = more_seeds(seen, DELTA, comparisons, looks)
        if more is None:
            continue
        then = judged(PairedScores(differences[: least + more]), DELTA, looks)
        assert then.seeds == least + more
        decided.append(min(then.p, then.same_p) * comparisons < RATE)
    assert len(decided) > 30
    assert np.mean(decided) >= 0.5


@pytest.mark.slow
@pytest.mark.nightly
def test_the_advice_of_arms_that_share_no_seeds_decides_in_at_least_half_of_the_cases() -> None:
    numbers, looks, decided = np.random.default_rng(7), Looks(), []
    for _ in range(80):
        mine = 0.02 + 0.02 * numbers.standard_normal(200)
        theirs = 0.005 * numbers.standard_normal(200)
        seen = UnpairedScores(mine[:5], theirs[:7])
        more = more_seeds(seen, DELTA, 3, looks)
        if more is None:
            continue
        then = judged(UnpairedScores(mine[: 5 + more], theirs[: 7 + more]), DELTA, looks)
        decided.append(min(then.p, then.same_p) * 3 < RATE)
    assert len(decided) > 30
    assert np.mean(decided) >= 0.5


def test_a_larger_family_and_more_noise_need_more_seeds() -> None:
    few = PairedScores(np.array([0.01, 0.02, 0.06]))
    alone, among, noisy = (
        more_seeds(seen, 0.001, family, Looks())
        for seen, family in ((few, 1), (few, 8), (PairedScores(few.differences * [1, 1, 10]), 1))
    )
    assert alone is not None
    assert among is not None
    assert alone < among
    assert noisy is None or noisy > alone
    assert (
        more_seeds(PairedScores(np.array([0.1])), DELTA, 1, Looks()) == 4
    )  # to five: at three little is decided
    assert more_seeds(PairedScores(np.array([-1.0, 0.0, 1.0, 0.1, -0.2])), 1e-6, 8, Looks()) is None
    assert more_seeds(few, 0.001, 1, Looks((3,))) is None  # its only look has been taken


def test_where_all_seeds_agree_the_seeds_needed_are_those_of_the_exact_tests() -> None:
    # 8 comparisons at 5 %: 8 / 2^n < 0.05 from n = 8 on; of a difference larger than delta 16 / 2^n, from n = 9 on
    assert more_seeds(PairedScores(np.zeros(3)), DELTA, 8, Looks()) == 5
    assert more_seeds(PairedScores(np.full(3, 0.3)), DELTA, 8, Looks()) == 6
    # 1 / 2^5 and 2 / C(8, 4): they may be looked at after every seed, as they err at one count only
    assert judged(PairedScores(np.zeros(5)), DELTA, Looks()).same_p == pytest.approx(1 / 32)
    alike = UnpairedScores(np.full(4, 0.9), np.full(4, 0.8))
    assert judged(alike, DELTA, Looks()).p == pytest.approx(2 / 70)


@pytest.mark.slow
@pytest.mark.nightly
def test_counting_seeds_after_each_of_them_keeps_the_rate() -> None:
    """Differences that are one of two values with even odds, the null at which the sign test is exact."""
    numbers, looks = np.random.default_rng(9), Looks()
    misled = 0
    for _ in range(STUDIES):
        differences = numbers.choice([-0.02, 0.02], 30)
        misled += any(judged(PairedScores(differences[:n]), DELTA, looks).p < RATE for n in range(3, 31))
    assert misled / STUDIES < BOUND


def test_a_verdict_has_the_direction_of_the_seeds_it_was_taken_from() -> None:
    scores = np.array([0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96])
    shift = np.array([0.05, 0.051, 0.052, 0.049, 0.05, -0.3, -0.3])
    results = [
        RunResult("s", name, seed, "FINISHED", {}, ((1, {ACCURACY: score}),), ACCURACY)
        for name, values in (("plain", scores), ("other", scores + shift))
        for seed, score in enumerate(values.tolist())
    ]
    (pair,) = compare_paired(results)
    assert pair.estimate is not None
    assert (pair.estimate < 0, pair.judged, pair.count, pair.verdict) == (True, 5, 7, "better")


def test_a_plan_of_looks_is_checked_and_its_price_is_said() -> None:
    assert Comparison(looks=(5, 10)).looks == (5, 10)
    for wrong in ((2,), (5, 5), (10, 5)):
        with pytest.raises(ValidationError, match="must rise, from 3 or more"):
            Comparison(looks=wrong)
    results = [
        RunResult("s", name, seed, "FINISHED", {}, ((1, {ACCURACY: 0.9 + shift * seed / 100}),), ACCURACY)
        for name, shift in (("plain", 1), ("other", -2))
        for seed in range(10)
    ]
    said = looks_text(compare_paired(results), Looks())
    # t of 9 degrees of freedom: 3.111 at 1.25 %, 2.262 at 5 %
    assert "with 10 seeds a difference must be 1.4 times" in said
    assert "1.9 times the seeds" in said
    assert "cost" not in looks_text(compare_paired(results, looks=Looks((10,))), Looks((10,)))


@pytest.mark.parametrize(
    ("shifts", "looks", "verdict", "sentence"),
    [
        (
            [0.05] * 6,
            (10,),
            "inconclusive; 4 more seeds would probably decide; same difference with every seed",
            "4 more seeds would probably decide.",
        ),
        (
            [0.05, 0.051, 0.052] * 4,
            (300,),
            "inconclusive; the next verdict is taken at 300 seeds",
            "The next verdict is taken at 300 seeds.",
        ),
        (
            [0.02, -0.01] * 5,
            (10,),
            "inconclusive; comparison.looks plans no further verdict",
            "comparison.looks plans no further verdict.",
        ),
        (
            [0.05, -0.049] * 5,
            (10, 12),
            "inconclusive; probably still inconclusive with 12 seeds",
            "Probably still inconclusive with 12 seeds.",
        ),
    ],
)
def test_with_a_plan_of_ones_own_its_next_look_is_said(
    shifts: list[float], looks: tuple[int, ...], verdict: str, sentence: str
) -> None:
    results = [
        RunResult("s", name, seed, "FINISHED", {}, ((1, {ACCURACY: 0.8 + shift}),), ACCURACY)
        for name, values in (("plain", [0.0] * len(shifts)), ("other", shifts))
        for seed, shift in enumerate(values)
    ]
    pairs = compare_paired(results, looks=Looks(looks))
    assert verdict_text(pairs[0]) == verdict
    assert seeds_needed(pairs) == sentence
