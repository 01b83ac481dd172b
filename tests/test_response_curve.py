"""The response curve, and which runs have the same partition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federated.report import RunResult, png, response_curve, same_partition
from federated.report.findings.results import shared_partitions

ACCURACY = "generalisation/test_accuracy"
HELLINGER = "heterogeneity/label_hellinger_weighted_mean"


def run(value: float, seed: int = 0, by: str = "dirichlet", score: float = 0.9, **changes: Any) -> RunResult:
    """Measures 0.01 more than the aim with every seed; the band is 0.05 to 0.07."""
    start = {HELLINGER: value + 0.01 * seed, f"{HELLINGER}_null_low": 0.05, f"{HELLINGER}_null_high": 0.07}
    fields: dict[str, Any] = {
        "arm": f"{by} · heterogeneity={value}",
        "status": "FINISHED",
        "parameters": {"partitioner": "target_heterogeneity", "partitioner.by": by, "seed": str(seed)},
        "history": ((0, {**start, ACCURACY: 0.1}), (3, {ACCURACY: score})),
        "main_metric": ACCURACY,
    }
    return RunResult(study="s", seed=seed, **{**fields, **changes})


def lines(results: list[RunResult]) -> dict[str, list[list[float]]]:
    """The line of each curve, by its label."""
    figure = response_curve(results)
    assert figure is not None
    drawn = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    return {str(k): np.asarray(v).round(6).tolist() for k, v in drawn.items() if not str(k).startswith("_")}


def test_arms_are_points_at_what_was_measured_joined_by_partitioner() -> None:
    results = [run(v, s, by, 0.9 - v) for v in (0.4, 0.1) for s in (0, 1) for by in ("dirichlet", "shards")]
    curve = [[0.105, 0.8], [0.405, 0.5]]
    assert lines(results) == {"dirichlet": curve, "shards": curve}


def test_other_settings_make_curves_of_their_own() -> None:
    def named(value: float, uplink: str) -> RunResult:
        made = run(value, arm=f"{value} {uplink}")
        return RunResult(**{**vars(made), "parameters": {**made.parameters, "compression.uplink": uplink}})

    drawn = lines([named(value, uplink) for value in (0.1, 0.4) for uplink in ("none", "qsgd")])
    assert list(drawn) == ["dirichlet · uplink=none", "dirichlet · uplink=qsgd"]


def test_what_a_guarantee_says_of_each_seed_makes_no_curves() -> None:
    def private(value: float, seed: int) -> RunResult:
        made = run(value, seed)
        told = {"privacy.sampling": f"each of {100 - seed} clients", "privacy.at_delta": str(0.01 + seed)}
        return RunResult(**{**vars(made), "parameters": {**made.parameters, **told}})

    assert list(lines([private(value, seed) for value in (0.1, 0.4) for seed in (0, 1)])) == ["dirichlet"]


def test_the_parameter_that_sets_the_skew_makes_no_curve_and_others_do() -> None:
    def plain(value: float, **arguments: str) -> RunResult:
        stated = {f"partitioner.{name}": text for name, text in arguments.items()}
        parameters = {"partitioner": "dirichlet", "partitioner.alpha": str(1 - value), **stated}
        return run(value, arm=f"{value} {arguments}", parameters=parameters)

    drawn = lines([plain(v, balance=b) for v in (0.1, 0.4) for b in ("True", "False")])
    assert list(drawn) == ["dirichlet · balance=True", "dirichlet · balance=False"]
    assert list(lines([plain(0.1), plain(0.4)])) == ["dirichlet"]


def test_arguments_that_come_with_a_choice_are_not_named_again() -> None:
    def sent(value: float, uplink: str, **arguments: str) -> RunResult:
        stated = {f"compression.uplink.{name}": text for name, text in arguments.items()}
        made = run(value, arm=f"{value} {uplink} {arguments}")
        return RunResult(
            **{**vars(made), "parameters": {**made.parameters, "compression.uplink": uplink, **stated}}
        )

    plain = [sent(value, "none") for value in (0.1, 0.4)]
    four = [sent(value, "qsgd", bits="4", norm="max") for value in (0.1, 0.4)]
    eight = [sent(value, "qsgd", bits="8", norm="max") for value in (0.1, 0.4)]
    assert list(lines(plain + four)) == ["dirichlet · uplink=none", "dirichlet · uplink=qsgd"]
    assert list(lines(four + eight)) == ["dirichlet · bits=4", "dirichlet · bits=8"]
    assert list(lines(plain + four + eight)) == [
        "dirichlet · uplink=none",
        "dirichlet · uplink=qsgd · bits=4",
        "dirichlet · uplink=qsgd · bits=8",
    ]


def test_the_null_band_is_marked() -> None:
    figure = response_curve([run(0.1), run(0.4)])
    assert figure is not None
    (panel,) = figure.axes
    (band,) = panel.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.05, 0.07))
    assert panel.get_xlabel() == "measured heterogeneity: label Hellinger, weighted mean"
    assert panel.get_ylabel() == "final test accuracy"
    assert png(figure, 50).startswith(b"\x89PNG")


def test_the_measure_that_is_aimed_with_lies_along_x() -> None:
    gini = {"partitioner": "target_heterogeneity", "partitioner.measure": "size_gini"}
    results = [
        run(v, parameters=gini, history=((0, {"heterogeneity/size_gini": v, ACCURACY: 0.5}),))
        for v in (0.1, 0.4)
    ]
    figure = response_curve(results)
    assert figure is not None
    assert figure.axes[0].get_xlabel() == "measured heterogeneity: Gini coefficient of sizes"
    assert not figure.axes[0].patches


@pytest.mark.parametrize(
    "results",
    [
        [],
        [run(0.4)],
        [run(0.40), run(0.41)],
        [run(0.1), run(0.4, status="FAILED")],
        [run(0.1), run(0.4, history=())],
    ],
    ids=["none", "one arm", "within chance", "failed", "nothing measured"],
)
def test_arms_that_hardly_differ_have_no_curve(results: list[RunResult]) -> None:
    assert response_curve(results) is None


def test_only_equal_and_known_digests_are_the_same_partition() -> None:
    one, same, other = run(0.1, partition="d:p"), run(0.2, partition="d:p"), run(0.1, partition="d:q")
    assert same_partition(one, same)
    assert not same_partition(one, other)
    assert not same_partition(run(0.1), run(0.1))


def test_the_report_says_whether_arms_share_their_partition() -> None:
    shared = [run(v, s, partition=f"d:{s}") for v in (0.1, 0.2) for s in (0, 1)]
    assert (
        shared_partitions(shared)
        == "Arms with the same seed have the same partition of the data among the clients."
    )
    differing = [*shared, run(0.3, 1, partition="d:9")]
    assert shared_partitions(differing).startswith(
        "Arms with the same seed have up to 2 different partitions"
    )
    assert shared_partitions([run(0.1), run(0.2)]) == ""
    assert shared_partitions(shared[:1]) == ""
