"""Promises of arms as the registry compares them: epsilon, delta and unit."""

from __future__ import annotations

import pytest

from federated.privacy.accounting import unit_in_words
from federated.report.costs.promises import (
    Promise,
    about_registered,
    epsilon_alone,
    promise_of,
    promise_sentences,
    weaker,
    within_epsilon,
)
from federated.report.findings.results import RunResult

ACCURACY = "generalisation/test_accuracy"
CLIENT, EXAMPLE, UPDATE = (unit_in_words(unit) for unit in ("client", "example", "update"))


def run(
    arm: str, accuracy: float, epsilon: float | None, delta: float | None, unit: str = CLIENT, seed: int = 0
) -> RunResult:
    metrics = {ACCURACY: accuracy}
    metrics |= {} if epsilon is None else {"privacy/epsilon": epsilon}
    metrics |= {} if delta is None else {"privacy/delta": delta}
    parameters = {} if epsilon is None else {"privacy.unit": unit}
    return RunResult("s", arm, seed, "FINISHED", parameters, ((4, metrics),), ACCURACY)


def test_an_arm_promises_the_largest_epsilon_and_delta_of_its_seeds() -> None:
    runs = [run("a", 0.9, 1.0, 1e-5), run("a", 0.9, 0.5, 1e-4, seed=1)]
    assert promise_of(runs) == Promise(1.0, 1e-4, CLIENT)
    assert promise_of([*runs, run("a", 0.9, 1.0, None, seed=2)]).delta is None  # not known of all


def test_the_same_epsilon_at_a_larger_delta_is_a_weaker_promise() -> None:
    strict, loose = Promise(1.0, 1e-9, CLIENT), Promise(1.0, 0.2, CLIENT)
    said = "promises epsilon 1.00 only at delta 0.2, where that promises epsilon 1.00 at delta 1e-09"
    assert weaker(loose, strict) == said
    assert weaker(strict, loose) == ""
    assert weaker(strict, strict) == ""
    assert weaker(Promise(0.5, 0.2, CLIENT), strict).startswith("promises epsilon 0.50 only at delta 0.2, ")
    assert weaker(Promise(1.5, 1e-12, CLIENT), strict) == (
        "promises only epsilon 1.50 at delta 1e-12, where that promises epsilon 1.00 at delta 1e-09"
    )
    assert weaker(Promise(1.0, 1e-9, EXAMPLE), strict).startswith("promises something else (one example")


def test_a_delta_that_is_not_known_leaves_epsilon_to_compare_and_that_is_said() -> None:
    old, new = Promise(3.0, None, CLIENT), Promise(3.0, 0.2, CLIENT)
    alone = "promises are compared by epsilon alone, as a delta was not logged"
    for mine, theirs in ((old, new), (new, old)):
        assert weaker(mine, theirs) == ""
        assert epsilon_alone(mine, theirs) == alone
    assert epsilon_alone(new, new) == ""
    assert epsilon_alone(Promise(None), old) == ""
    assert weaker(Promise(8.0, 1e-5, CLIENT), old) == (
        f"promises only epsilon 8.00 at delta 1e-05, where that promises epsilon 3.00; {alone}"
    )


def test_two_runs_of_one_wanted_epsilon_promise_the_same() -> None:
    """Within 0.1 % below the 4 that both want: at ten rounds, at thirty, and as far apart as can be."""
    for mine, theirs in ((3.997996, 3.997990), (4.0, 3.996)):
        assert weaker(Promise(mine, 1e-4, CLIENT), Promise(theirs, 1e-4, CLIENT)) == ""
    assert weaker(Promise(4.0, 1e-4, CLIENT), Promise(3.98, 1e-4, CLIENT)) != ""  # 0.5 % apart


@pytest.mark.parametrize(
    ("mine", "theirs", "shown"),
    [
        (1.004, 1.001, ("1.004", "1.001")),
        (0.0144, 0.014, ("0.0144", "0.014")),
        (0.004, 0.003, ("0.004", "0.003")),
        (150.4, 150.0, ("150.4", "150")),
        (4.1, 4.0, ("4.10", "4.00")),
    ],
)
def test_what_is_said_to_be_larger_is_shown_to_be(mine: float, theirs: float, shown: tuple[str, str]) -> None:
    assert weaker(Promise(mine, 1e-5, CLIENT), Promise(theirs, 1e-5, CLIENT)) == (
        f"promises only epsilon {shown[0]} at delta 1e-05, where that promises epsilon {shown[1]} at delta 1e-05"
    )


def test_a_limit_of_epsilon_takes_arms_that_promise_it_to_clients_before_those_of_examples() -> None:
    client, update = run("client", 0.8, 1.0, 1e-5), run("update", 0.7, 1.9, 1e-5, UPDATE)
    example, weak = run("example", 0.99, 1.5, 1e-5, EXAMPLE), run("weak", 0.9, 3.0, 1e-5)
    assert within_epsilon([example, client, update, weak], 2) == [client, update]
    assert within_epsilon([example, weak], 2) == [example]
    assert within_epsilon([weak], 2) == []
    assert within_epsilon([run("unknown", 0.9, 1.0, 1e-5, ""), client], 2) == [client]


def test_what_is_registered_for_a_limit_is_said_with_its_delta_and_unit() -> None:
    results = [
        run("client", 0.8, 1.0, 0.2),
        run("example", 0.99, 1.5, 1e-5, EXAMPLE),
        run("open", 1, None, None),
    ]
    assert about_registered(results, "client", 2.0) == (
        f"Its arm, client, promises epsilon 1.00 at delta 0.2 ({CLIENT})"
    )
    assert about_registered(results, "example", 2.0) == (
        f"Its arm, example, promises epsilon 1.50 at delta 1e-05 ({EXAMPLE}); "
        "no arm is known to promise so much to a client as a whole"
    )
    assert about_registered(results, "client", None) == ""
    assert about_registered(results, "open", None).startswith("Its arm, open, trains without privacy; ")
    old = [run("old", 0.8, 1.0, None)]
    assert "epsilon 1.00 at a delta that was not logged" in about_registered(old, "old", 2.0)
    (said,) = promise_sentences(results)
    assert "client, test accuracy 0.800 (epsilon 1.00 at delta 0.2)" in said
