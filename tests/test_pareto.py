"""The Pareto front over score and bytes, worked by hand."""

from dataclasses import replace

import pytest

from federated.report import ArmSummary, RunResult, Spread
from federated.report.costs.front import pareto, problems_of

ACCURACY, MSE = "generalisation/test_accuracy", "generalisation/test_mse"


def summary(arm: str, score: float | None, megabytes: float | None, metric: str = ACCURACY) -> ArmSummary:
    def certain(value: float | None) -> Spread:
        return Spread(value, 1e-6, 5)

    half = None if megabytes is None else megabytes / 2
    return ArmSummary(
        arm, 1, 0, metric, certain(score), certain(half), certain(half), certain(9), secondary={}
    )


def test_an_arm_that_another_beats_in_one_and_equals_in_the_other_is_dominated() -> None:
    arms = [
        summary("cheap", 0.8, 1),
        summary("good", 0.9, 8),
        summary("dear", 0.9, 9),
        summary("bad", 0.7, 1),
    ]
    assert pareto(arms) == {
        "cheap": "front",
        "good": "front",
        "dear": "dominated in the mean",
        "bad": "dominated",
    }


def test_equal_arms_do_not_dominate_each_other() -> None:
    assert set(pareto([summary("a", 0.9, 2), summary("b", 0.9, 2)]).values()) == {"front"}


def test_the_knee_is_farthest_above_the_line_between_the_ends() -> None:
    # log2 of MB 0, 1, 2, 4 of 4; scores 0, 0.5, 0.9, 1 of 1: above the line by 0, 0.25, 0.4, 0
    arms = [summary("a", 0.0, 1), summary("b", 0.5, 2), summary("c", 0.9, 4), summary("d", 1.0, 16)]
    assert pareto(arms) == {"a": "front", "b": "front", "c": "knee", "d": "front"}


def test_a_front_that_bends_the_other_way_or_has_two_arms_has_no_knee() -> None:
    assert "knee" not in pareto([summary("a", 0.0, 1), summary("b", 1.0, 2)]).values()
    assert "knee" not in pareto([summary("a", 0.0, 1), summary("b", 0.1, 2), summary("c", 1.0, 4)]).values()


def test_epsilon_and_the_worst_clients_keep_an_arm_on_the_front_and_move_the_knee() -> None:
    worst, epsilon = "generalisation/client_accuracy_worst_10_percent", "privacy/epsilon"

    def arm(name: str, score: float, megabytes: float, **others: float) -> ArmSummary:
        secondary = {
            {"worst": worst, "epsilon": epsilon}[key]: Spread(v, 1e-6, 5) for key, v in others.items()
        }
        return replace(summary(name, score, megabytes), secondary=secondary)

    fair, dear = arm("fair", 0.8, 2, worst=0.7), arm("plain", 0.9, 2, worst=0.5)
    assert pareto([fair, dear]) == {"fair": "front", "plain": "front"}
    assert pareto([replace(fair, secondary={}), replace(dear, secondary={})])["fair"] == "dominated"
    private = [arm("private", 0.7, 2, epsilon=1.0), arm("open", 0.9, 2), arm("leaky", 0.7, 2, epsilon=8.0)]
    assert pareto(private) == {"private": "front", "open": "front", "leaky": "dominated in the mean"}
    # short of the best in score, log2 of MB, epsilon: (1, 0, 1), (0.5, 0.5, 0), (0.1, 0.75, 1), (0, 1, 1): 2, 1, 1.85
    # and 2, but the second is the best in epsilon, an end itself
    arms = [arm("a", 0.0, 1), arm("b", 0.5, 4, epsilon=1.0), arm("c", 0.9, 8), arm("d", 1.0, 16)]
    assert "knee" not in pareto(arms).values()
    # epsilon 1, 2, 3, 5: (1, 0, 0), (0.1, 0.5, 0.25), (0.05, 0.75, 0.5), (0, 1, 1): 1, 0.85, 1.3, 2
    numbers = zip("abcd", (0.0, 0.9, 0.95, 1.0), (1, 4, 8, 16), (1.0, 2.0, 3.0, 5.0), strict=True)
    places = pareto([arm(n, score, mb, epsilon=e) for n, score, mb, e in numbers])
    assert places == {"a": "front", "b": "knee", "c": "front", "d": "front"}


def test_epsilons_of_clients_and_of_single_examples_are_not_compared() -> None:
    def arm(name: str, epsilon: float) -> ArmSummary:
        return replace(summary(name, 0.8, 2), secondary={"privacy/epsilon": Spread(epsilon, 1e-6, 5)})

    arms = [arm("examples", 1.0), arm("clients", 3.0), arm("clients too", 4.0)]
    client = "one client added or removed"
    units = {
        "examples": "one example of one client added or removed",
        "clients": client,
        "clients too": client,
    }
    assert pareto(arms) == {
        "examples": "front",
        "clients": "dominated in the mean",
        "clients too": "dominated in the mean",
    }
    assert pareto(arms, units=units) == {
        "examples": "front",
        "clients": "front",
        "clients too": "dominated in the mean",
    }


def test_for_an_error_less_is_better_and_metrics_are_not_mixed() -> None:
    arms = [summary("a", 3.0, 1, MSE), summary("b", 2.0, 1, MSE), summary("c", 0.1, 5)]
    assert pareto(arms) == {"a": "dominated", "b": "front", "c": "front"}


@pytest.mark.parametrize(("score", "megabytes"), [(None, 1.0), (0.9, None), (float("nan"), 1.0)])
def test_arms_without_numbers_have_no_place(score: float | None, megabytes: float | None) -> None:
    assert pareto([summary("a", score, megabytes), summary("b", 0.5, 1.0)]) == {"b": "front"}


def test_arms_with_other_data_in_other_hands_do_not_dominate() -> None:
    def run(arm: str, **parameters: object) -> RunResult:
        return RunResult("s", arm, 0, "FINISHED", parameters, (), ACCURACY)

    problems = problems_of(
        [
            run("even", partitioner="iid", rounds=3),
            run("skewed", partitioner="dirichlet", rounds=3),
            run("short", partitioner="dirichlet", rounds=1),
        ]
    )
    arms = [summary("even", 0.9, 1), summary("skewed", 0.5, 2), summary("short", 0.4, 2)]
    assert pareto(arms, problems) == {"even": "front", "skewed": "front", "short": "dominated"}


def test_dominated_claims_no_more_than_the_intervals_show() -> None:
    """Half an interval of four seeds is 3.182446 * sd / 2: 0.0493 for 0.031, 0.0509 for 0.032; means differ by 0.1."""

    def places(sd: float | None, count: int, **changes: float) -> dict[str, str]:
        good, bad = summary("good", 0.9, 1), summary("bad", 0.8, changes.get("megabytes", 2.0))
        return dict(pareto([replace(each, score=Spread(each.score.mean, sd, count)) for each in (good, bad)]))

    assert places(0.031, 4) == {"good": "front", "bad": "dominated"}
    assert places(0.032, 4) == {"good": "front", "bad": "dominated in the mean"}
    assert places(None, 1)["bad"] == "dominated in the mean"  # one seed shows nothing
    assert places(0.0, 4)["bad"] == "dominated in the mean"  # nor do seeds without spread
    assert places(0.032, 4, megabytes=0.5)["bad"] == "front"


def test_uncertain_worst_clients_leave_it_open_who_dominates() -> None:
    worst = "generalisation/client_accuracy_worst_10_percent"

    def arm(name: str, score: float, tail: float, sd: float) -> ArmSummary:
        return replace(summary(name, score, 2), secondary={worst: Spread(tail, sd, 5)})

    assert pareto([arm("a", 0.9, 0.7, 0.001), arm("b", 0.8, 0.6, 0.001)])["b"] == "dominated"
    unknown = replace(summary("b", 0.8, 2), secondary={})
    assert pareto([arm("a", 0.9, 0.7, 0.001), unknown])["b"] == "dominated"
    assert pareto([arm("a", 0.9, 0.7, 0.2), arm("b", 0.8, 0.6, 0.2)])["b"] == "dominated in the mean"
