"""The figures of communication, read from their artists; that they are good to look at is for eyes."""

import io
import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from federated.report import Report, RunResult, png
from federated.report.costs.to_target import to_target
from federated.report.figures.arms.cost_curves import cost_curves
from federated.report.figures.arms.costs import bytes_and_time, rate_and_distortion
from federated.report.figures.arms.figures import FIGURES
from federated.report.figures.arms.rate_distortion import rate_distortion
from federated.report.figures.legends import Facet, facets, keys
from federated.report.findings.strokes import GREY, strokes

ACCURACY = "generalisation/test_accuracy"
UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
RATIO, SECONDS = "communication/uplink_ratio", "system/simulated_seconds_total"


def run(
    arm: str = "iid · none", seed: int = 0, ratio: float = 1.0, clocked: bool = True, **changes: Any
) -> RunResult:
    """Two rounds: accuracy 0.1, 0.3, 0.5 (+ 0.1 seed); 8 MB down and 8 / ratio MB up, 60 s a round."""
    history: list[tuple[int, dict[str, float]]] = [(0, {ACCURACY: 0.1 + 0.1 * seed})]
    for number in (1, 2):
        sent = {UP: 8e6 * number / ratio, DOWN: 8e6 * number, RATIO: ratio}
        time = {SECONDS: 60.0 * number} if clocked else {}
        history.append((number, {**sent, **time, ACCURACY: 0.1 + 0.2 * number + 0.1 * seed}))
    parts = arm.split(" · ")
    uplink = parts[-1]
    axes = ["partitioner", "compression.uplink"] if len(parts) == 2 else map(str, range(len(parts)))
    fields: dict[str, Any] = {
        "status": "FINISHED",
        "parameters": {"compression.uplink": uplink},
        "main_metric": ACCURACY,
        "overrides": dict(zip(axes, parts, strict=True)),
    }
    return RunResult("s", arm, seed, **{**fields, "history": tuple(history), **changes})


def study(*partitioners: str, **changes: Any) -> list[RunResult]:
    """Two compressors on each partitioner, two seeds."""
    ways = {"none": 1.0, "qsgd(bits=4)": 8.0}
    return [
        run(f"{partitioner} · {way}", seed, ratio, **changes)
        for partitioner in partitioners
        for way, ratio in ways.items()
        for seed in (0, 1)
    ]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def test_curves_run_over_the_bytes_of_both_ways_and_over_simulated_time():
    figure = cost_curves([run(), run(seed=1), run(seed=2, status="FAILED")])
    by_bytes, by_time = figure.axes
    (line,), (timed,) = by_bytes.get_lines(), by_time.get_lines()
    np.testing.assert_allclose(line.get_xdata(), [16, 32])
    np.testing.assert_allclose(line.get_ydata(), [0.35, 0.55])
    np.testing.assert_allclose(timed.get_xdata(), [1, 2])
    assert by_time.get_xlabel().startswith("simulated time, min (log")
    assert [panel.get_xscale() for panel in figure.axes] == ["log", "log"]
    (band,) = by_bytes.collections
    ends = band.get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((0.3, 0.6))


def test_without_a_network_there_is_no_panel_of_time():
    (panel,) = cost_curves([run(clocked=False)]).axes
    assert panel.get_xlabel().startswith("cumulative MB, up and down")


def test_the_scatter_has_a_point_for_every_seed_and_one_for_their_mean():
    figure = rate_distortion(study("iid"))
    (panel,) = figure.axes
    seeds, mean, *_ = panel.get_lines()
    np.testing.assert_allclose(np.transpose(seeds.get_data()), [(1, 0.5), (1, 0.6)])
    np.testing.assert_allclose(np.transpose(mean.get_data()), [(1, 0.55)])
    assert [float(line.get_xdata()[0]) for line in panel.get_lines()] == pytest.approx([1, 1, 8, 8])
    assert panel.get_xscale() == "log"


def test_the_ratio_of_a_run_is_that_of_its_sums():
    """40 bytes as floats in each round, of which 40 and then 10 are sent: 80 over 50."""
    assert run(history=((1, {RATIO: 1.0}), (2, {RATIO: 4.0}))).uplink_ratio == pytest.approx(80 / 50)
    assert run(history=()).uplink_ratio is None


def test_arms_of_two_axes_have_a_panel_for_each_value_of_the_one_that_is_not_compression():
    groups = facets(study("iid", "dirichlet(alpha=0.1)"))
    assert [group.title for group in groups] == ["iid", "dirichlet(alpha=0.1)"]
    assert list(groups[0].labels.values()) == ["none", "qsgd(bits=4)"]
    figure = rate_distortion(study("iid", "dirichlet(alpha=0.1)"))
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["iid", "dirichlet(alpha=0.1)"]
    assert legend(figure) == ["none", "qsgd(bits=4)"]


def test_it_does_not_matter_which_axis_comes_first():
    turned = [
        run(f"{way} · {who}", ratio=ratio, overrides={"compression.uplink": way, "partitioner": who})
        for way, ratio in (("none", 1), ("float16", 2))
        for who in ("iid", "skewed")
    ]
    assert [group.title for group in facets(turned)] == ["iid", "skewed"]


@pytest.mark.parametrize("arms", [["a", "b"], ["a · b · c", "a · b · d"], [f"{i} · x" for i in range(5)]])
def test_other_arms_share_a_panel(arms: list[str]):
    (group,) = facets([run(arm) for arm in arms])
    assert list(group.labels) == list(group.labels.values()) == arms


def test_main_metrics_have_panels_of_their_own():
    groups = facets([run("a"), run("b", main_metric="generalisation/test_r2")])
    assert [group.runs[0].main_metric for group in groups] == [ACCURACY, "generalisation/test_r2"]


@pytest.mark.parametrize(
    ("results", "titles"),
    [
        ([], []),
        ([run(clocked=False)], []),
        ([run()], ["Bytes and time"]),
        (study("iid", clocked=False), ["Bytes and time", "Rate and distortion"]),
        ([run("a", ratio=8.0, clocked=False), run("b", ratio=8.01, clocked=False)], []),
        (
            [run("a", status="FAILED"), run("b", ratio=8.0, status="FAILED")],
            ["Bytes and time", "Rate and distortion"],
        ),
    ],
)
def test_figures_that_would_tell_nothing_are_left_out(results: list[RunResult], titles: list[str]):
    report = Report("s", results)
    drawn = {title: FIGURES[title](report) for title in ("Bytes and time", "Rate and distortion")}
    figures = {title: figure for title, figure in drawn.items() if figure is not None}
    assert list(figures) == titles
    for figure in figures.values():
        assert io.BytesIO(png(figure, 40)).read(8) == b"\x89PNG\r\n\x1a\n"


def test_a_legend_names_what_looks_the_same_in_all_facets_and_else_every_arm():
    arms = ["iid · none", "iid · qsgd(bits=4)", "skewed · none", "skewed · qsgd(bits=4)"]
    groups = [
        Facet(title, [], {f"{title} · {way}": way for way in ("none", "qsgd(bits=4)")})
        for title in ("iid", "skewed")
    ]
    looks = strokes({arm: dict(enumerate(arm.split(" · "))) for arm in arms})
    named = keys(groups, looks)
    assert list(named) == ["none", "qsgd(bits=4)"]
    assert {look.colour for look in named.values()} == {GREY}  # the two facets have a colour each
    mixed = dict(zip(arms, strokes({arm: {} for arm in "abcd"}).values(), strict=True))
    assert keys(groups, mixed) == mixed


def fine_tuned(*axes: str, **changes: Any) -> list[RunResult]:
    """Three trained parts, which weigh 1, 4 and 100, with two values on each other axis."""
    values = {
        "partitioner": ("iid", "dirichlet(alpha=0.1)"),
        "compression.uplink": ("none", "qsgd(bits=4)"),
        "privacy": ("none", "clip(norm=1)"),
        "trained": ("trained=head", "trained=lora(rank=4)", "trained=full"),
    }
    weights = {"trained=head": 100.0, "trained=lora(rank=4)": 25.0, "trained=full": 1.0}
    return [
        run(
            " · ".join(chosen),
            ratio=weights[(stated := dict(zip(axes, chosen, strict=True)))["trained"]],
            overrides=stated,
            parameters=stated,
            **changes,
        )
        for chosen in itertools.product(*(values[axis] for axis in axes))
    ]


@pytest.mark.parametrize("axes", [("trained", "partitioner"), ("partitioner", "trained")])
def test_trained_parts_are_compared_within_a_panel_over_their_bytes(axes: tuple[str, str]) -> None:
    groups = facets(fine_tuned(*axes))
    assert [group.title for group in groups] == ["iid", "dirichlet(alpha=0.1)"]
    assert [[*group.labels.values()] for group in groups] == [
        ["trained=head", "trained=lora(rank=4)", "trained=full"]
    ] * 2
    figure = cost_curves(fine_tuned(*axes, clocked=False))
    ends = [[float(line.get_xdata()[-1]) for line in panel.get_lines()] for panel in figure.axes]
    assert ends == [[16 + 16 / 100, 16 + 16 / 25, 32]] * 2
    assert set(legend(figure)) == {"trained=head", "trained=lora(rank=4)", "trained=full"}


def test_of_many_axes_those_that_say_what_travels_have_the_colours_within_a_panel() -> None:
    results = fine_tuned("trained", "partitioner", "compression.uplink", "privacy")
    groups = facets(results)
    assert [group.title for group in groups] == [
        f"{partitioner} · {privacy}"
        for partitioner in ("iid", "dirichlet(alpha=0.1)")
        for privacy in ("none", "clip(norm=1)")
    ]
    assert list(groups[0].labels.values())[:3] == [
        "trained=head · none",
        "trained=head · qsgd(bits=4)",
        "trained=lora(rank=4) · none",
    ]
    looks = strokes({each.arm: each.overrides for each in results})
    assert len(set(looks.values())) == len(looks) == 24
    for group in groups:
        assert len({looks[arm].colour for arm in group.labels}) == 6
        assert len({looks[arm].marker for arm in group.labels}) == 1
    assert legend(cost_curves(results)) == list(groups[0].labels.values())


def test_two_axes_of_what_travels_share_one_panel() -> None:
    (group,) = facets(fine_tuned("trained", "compression.uplink"))
    assert group.title == ""
    assert len(group.labels) == 6


def test_a_ratio_to_floats_of_different_parts_is_not_drawn() -> None:
    results = fine_tuned("trained", "partitioner")
    assert rate_and_distortion(results) is None
    assert bytes_and_time(results) is not None
    alike = [each for each in results if each.parameters["trained"] == "trained=head"]
    assert rate_and_distortion([*alike, run("iid · none", parameters=alike[0].parameters)]) is not None


def test_trained_parts_are_rivals_for_a_target() -> None:
    rows = to_target(fine_tuned("trained", "partitioner"))
    assert {row.target.origin for row in rows} == {
        "95 % of the best final score among the arms that differ only in compression, network or the part that is "
        "trained"
    }
    assert [row.uplink_mb.mean for row in rows] == [
        pytest.approx(16 / ratio) for ratio in (100, 100, 25, 25, 1, 1)
    ]
