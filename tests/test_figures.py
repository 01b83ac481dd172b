"""What the figures show, read from their artists; that they are good to look at is for eyes."""

import io
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from federated.metrics.names import metric_label
from federated.report import Report, RunResult, arm_outcomes, learning_curves, partition_picture, png
from federated.report.figures import style
from federated.report.figures.arms.charts import curves_still
from federated.report.figures.clients.partition_picture import LABEL_COLOURS, _by_main_labels
from federated.report.figures.glyphs import drawable
from federated.report.figures.stills import png_of
from federated.report.figures.style import plain
from federated.report.figures.vega_looks import as_shape
from federated.report.findings.strokes import OKABE_ITO, strokes

ACCURACY, LOSS = "generalisation/test_accuracy", "train/loss"
UP = "communication/uplink_bytes_total"
NINE = [
    f"{who} · {how}"
    for who in ("iid", "dirichlet(alpha=1.0)", "dirichlet(alpha=0.1)")
    for how in ("none", "error_feedback(top_k(fraction=0.05))", "qsgd(bits=4)")
]


def overrides(arms: list[str]) -> dict[str, dict[str, str]]:
    """Arm -> one override for each part of its name."""
    return {arm: {f"axis {at}": part for at, part in enumerate(arm.split(" · "))} for arm in arms}


def run(arm: str = "iid", seed: int = 0, rounds: int = 4, mb: float = 1.0, **changes: Any) -> RunResult:
    """Accuracy 0.1 + 0.1 round + 0.01 seed at even rounds, training loss 1 / round, `mb` MB a round."""
    history: list[tuple[int, dict[str, float]]] = []
    for r in range(rounds + 1):
        history += [(r, {LOSS: 1 / r, UP: mb * r * 1e6})] if r else []
        history += [(r, {ACCURACY: 0.1 + 0.1 * r + 0.01 * seed})] if r % 2 == 0 else []
    of_arm = overrides([arm])[arm]
    fields: dict[str, Any] = {
        "status": "FINISHED",
        "parameters": {},
        "main_metric": ACCURACY,
        "overrides": of_arm,
    }
    return RunResult("s", arm, seed, **{**fields, "history": tuple(history), **changes})


def counts_of(num_clients: int, num_classes: int) -> np.ndarray:
    """Label counts [K, classes]; every seventh client holds nothing."""
    counts = np.random.default_rng(0).poisson(3.0, (num_clients, num_classes))
    counts[6::7] = 0
    return counts


def drawn(figure: Figure) -> np.ndarray:
    return np.asarray(imread(io.BytesIO(png(figure, dots_per_inch=50))))


def picture(spec: dict[str, Any]) -> np.ndarray:
    return np.asarray(imread(io.BytesIO(png_of(spec))))


def named(number: int) -> list[str]:
    return [str(i) for i in range(number)]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_bars_stack_the_label_counts_of_each_client() -> None:
    counts = counts_of(5, 3)
    figure = partition_picture(counts, counts.sum(axis=1), ["a", "b", "c", "d", "e"], ["cat", "dog", "$x$"])
    (panel,) = figure.axes
    assert len(panel.patches) == 3
    for label, bars in enumerate(panel.patches):
        values, _, baseline = bars.get_data()
        np.testing.assert_array_equal(values[::2] - baseline[::2], counts[:, label])
        np.testing.assert_array_equal(baseline[::2], counts[:, :label].sum(axis=1))
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["a", "b", "c", "d", "e"]
    assert legend_texts(figure) == [r"\$x\$", "dog", "cat"]
    assert drawn(figure).std() > 0


def test_a_heat_map_shows_the_shares_of_each_client_under_its_size() -> None:
    counts = counts_of(20, 30)
    figure = partition_picture(counts, counts.sum(axis=1), named(20), named(30))
    upper, lower = figure.axes[:2]
    np.testing.assert_array_equal(upper.patches[0].get_data()[0][::2], counts.sum(axis=1))
    shares = lower.images[0].get_array()
    assert shares is not None
    assert shares.shape == (30, 20)
    assert np.ma.getmaskarray(shares)[:, 6].all()
    np.testing.assert_allclose(shares[:, 0], counts[0] / counts[0].sum())
    assert [tick.get_text() for tick in lower.get_yticklabels()] == named(30)
    assert drawn(figure).std() > 0


def test_five_thousand_clients_are_sorted_and_counted() -> None:
    counts = counts_of(5_000, 10)
    figure = partition_picture(counts, counts.sum(axis=1), named(5_000), named(10))
    lower = figure.axes[1]
    shares = lower.images[0].get_array()
    assert shares is not None
    assert shares.shape == (10, 1_000)
    known = ~np.ma.getmaskarray(shares).any(axis=0)
    assert known.sum() == pytest.approx(1_000 * 6 / 7, abs=2)
    assert lower.get_xlabel().startswith("5,000 clients")
    assert "714 empty" in lower.get_xlabel()
    assert drawn(figure).std() > 0


def test_many_clients_are_grouped_by_main_label_then_by_the_second_with_empty_ones_last() -> None:
    counts = np.array([[0, 9, 1], [0, 0, 0], [5, 0, 1], [5, 1, 0], [0, 7, 0], [9, 1, 0]])
    assert _by_main_labels(counts).tolist() == [3, 5, 2, 0, 4, 1]
    many = counts_of(500, 10)
    ordered = many[_by_main_labels(many)]
    held = ordered.sum(axis=1) > 0
    assert (np.diff(ordered[held].argmax(axis=1)) >= 0).all()
    assert not ordered[held.sum() :].any()
    assert _by_main_labels(np.array([[2], [0], [1]])).tolist() == [0, 2, 1]


def test_a_hundred_classes_are_named_now_and_then() -> None:
    counts = counts_of(60, 100)
    lower = partition_picture(counts, counts.sum(axis=1), named(60), named(100)).axes[1]
    assert [tick.get_text() for tick in lower.get_yticklabels()] == named(100)[::3]


@pytest.mark.parametrize("num_clients", [1, 5, 50, 51, 5_000])
def test_regression_shows_sizes_alone(num_clients: int) -> None:
    sizes = np.arange(num_clients)
    figure = partition_picture(None, sizes, named(num_clients), None)
    (panel,) = figure.axes
    assert len(panel.patches) + len(panel.collections) == 1
    assert panel.dataLim.y1 == num_clients - 1
    assert drawn(figure).std() > 0


@pytest.mark.parametrize("num_classes", [2, 10, 11, 100])
@pytest.mark.parametrize("num_clients", [1, 50, 51])
def test_every_size_of_partition_is_drawn(num_clients: int, num_classes: int) -> None:
    counts = counts_of(num_clients, num_classes)
    figure = partition_picture(counts, counts.sum(axis=1), named(num_clients), named(num_classes))
    as_bars = num_clients <= 50 and num_classes <= len(LABEL_COLOURS)
    assert len(legend_texts(figure)) == (num_classes if as_bars else 0)
    assert drawn(figure).std() > 0


def test_learning_curves_hold_what_was_logged() -> None:
    by_round, by_uplink, loss = learning_curves(run(mb=2.0)).axes
    np.testing.assert_allclose(by_round.lines[0].get_xydata(), [[0, 0.1], [2, 0.3], [4, 0.5]])
    np.testing.assert_allclose(by_uplink.lines[0].get_xydata(), [[0, 0.1], [4, 0.3], [8, 0.5]])
    np.testing.assert_allclose(loss.lines[0].get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3], [4, 1 / 4]])
    assert [panel.get_ylabel() for panel in (by_round, by_uplink, loss)] == [
        "test accuracy",
        "test accuracy",
        "training loss",
    ]
    assert loss.get_yscale() == "linear"


def test_learning_curves_show_the_same_measure_on_other_held_out_sets() -> None:
    others = {"generalisation/unseen_accuracy": 0.2, "generalisation/test_loss": 1.0}
    by_round = learning_curves(run(history=((0, {ACCURACY: 0.1, **others}),))).axes[0]
    assert [line.get_label() for line in by_round.lines] == ["test accuracy", "unseen accuracy"]


def test_a_training_loss_of_many_magnitudes_has_a_logarithmic_axis() -> None:
    assert learning_curves(run(rounds=100)).axes[2].get_yscale() == "log"


def test_a_failed_run_says_so_and_an_empty_one_is_drawn() -> None:
    figure = learning_curves(run(arm="$iid", status="FAILED", history=()))
    assert figure.get_suptitle() == r"\$iid · seed 0 · FAILED"
    assert [text.get_text() for text in figure.axes[0].texts] == ["no round was logged"]
    assert drawn(figure).std() > 0


def still(results: list[RunResult]) -> dict[str, Any]:
    spec = curves_still(Report("s", results))
    assert spec is not None
    return spec


def panels(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for row in spec["vconcat"] for panel in row["hconcat"]]


def column(panel: dict[str, Any], name: str, arm: str = "iid") -> list[float]:
    return [row[name] for row in panel["data"]["values"] if row["arm"] == arm]


def marks(panel: dict[str, Any]) -> list[str]:
    return [layer["mark"]["type"] for layer in panel["layer"]]


def legend_of(spec: dict[str, Any]) -> list[str]:
    """The arms in the legend, which colours and markers share."""
    encodings = [layer["encoding"] for panel in panels(spec) for layer in panel["layer"]]
    domains = [
        each[name]["scale"]["domain"]
        for each in encodings
        for name in ("color", "shape")
        if "scale" in each.get(name, {})
    ]
    assert all(set(domain) <= set(domains[0]) for domain in domains)
    return list(domains[0])


def test_curves_are_the_mean_with_a_band_from_lowest_to_highest() -> None:
    by_round, by_uplink = panels(still([run(seed=seed) for seed in (0, 1, 5)]))
    np.testing.assert_allclose(column(by_round, "score"), np.array([0.1, 0.3, 0.5]) + 0.02)
    np.testing.assert_allclose(column(by_uplink, "MB up"), [0, 2, 4])
    assert (min(column(by_round, "low")), max(column(by_round, "high"))) == pytest.approx((0.1, 0.55))
    assert marks(by_round) == ["area", "line", "point"]
    assert by_round["layer"][0]["encoding"]["y"]["field"] == "low"


def test_more_than_twelve_arms_have_no_bands() -> None:
    assert "area" not in marks(panels(still([run(arm) for arm in named(13)]))[0])


def test_failed_seeds_are_left_out_of_the_mean() -> None:
    spec = still([run(seed=0), run(seed=5, status="FAILED"), run("skewed", status="FAILED")])
    np.testing.assert_allclose(column(panels(spec)[0], "score"), [0.1, 0.3, 0.5])
    assert legend_of(spec) == ["iid"]
    assert curves_still(Report("s", [run(status="FAILED")])) is None


def test_seeds_that_stop_early_end_the_mean() -> None:
    by_round = panels(still([run(seed=0, rounds=8), run(seed=1, rounds=4)]))[0]
    assert column(by_round, "round") == [0, 2, 4]


def test_nine_arms_have_nine_entries_in_one_legend() -> None:
    spec = still([run(arm, seed) for arm in NINE for seed in range(3)])
    assert legend_of(spec) == NINE
    assert picture(spec).std() > 0


@pytest.mark.parametrize(("thin", "scale"), [(1.0, None), (0.05, "log")])
def test_bytes_have_a_logarithmic_axis_where_arms_differ_a_lot(thin: float, scale: str | None) -> None:
    x = panels(still([run("none"), run("top_k", mb=thin)]))[1]["encoding"]["x"]
    assert x["scale"].get("type") == scale
    assert ("without the initial model" in x["title"]) == (scale == "log")


def test_a_poor_start_of_r2_is_cut_and_the_axis_says_so() -> None:
    values = ((0, {"generalisation/test_r2": -900.0}), (1, {"generalisation/test_r2": 0.9}))
    panel = panels(still([run(history=values, main_metric="generalisation/test_r2")]))[0]
    up = panel["layer"][0]["encoding"]["y"]
    assert up["scale"]["domainMin"] == -1
    assert up["title"] == "test R² (axis cut at −1)"
    assert all(layer["mark"]["clip"] for layer in panel["layer"])


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    history = tuple((r, {ACCURACY: value}) for r, value in enumerate([0.1, float("inf"), 0.3]))
    assert column(panels(still([run(history=history)]))[0], "score") == [0.1, None, 0.3]
    assert drawn(arm_outcomes([run(history=history[:2])])).std() > 0


def test_outcomes_have_a_dot_a_seed_and_a_bar_at_the_mean() -> None:
    (panel,) = arm_outcomes([run("a", 0), run("a", 4), run("b", 1), run("b", 2, status="FAILED")]).axes
    dots_a, mean_a, dots_b = panel.lines
    np.testing.assert_allclose(dots_a.get_xydata(), [[0.5, 0], [0.54, 0]])
    np.testing.assert_allclose(mean_a.get_xydata(), [[0.52, 0]])
    np.testing.assert_allclose(dots_b.get_xydata(), [[0.51, 1]])
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["a", "b (1 of 2 failed)"]


def test_arms_with_different_main_metrics_have_panels_of_their_own() -> None:
    r2 = "generalisation/test_r2"
    results = [run("digits"), run("diabetes", history=((0, {r2: 0.4}),), main_metric=r2)]
    titles = [panel["layer"][0]["encoding"]["y"]["title"] for panel in panels(still(results))]
    assert list(dict.fromkeys(titles)) == ["test accuracy", "test R²"]
    assert [len(panel.get_yticks()) for panel in arm_outcomes(results).axes] == [1, 1]


@pytest.mark.parametrize("num_arms", [0, 1, 30])
def test_few_and_many_arms_are_drawn(num_arms: int) -> None:
    results = [run(f"dirichlet(alpha={i}) · a · b", seed) for i in range(num_arms) for seed in range(2)]
    outcomes = arm_outcomes(results)
    assert len(outcomes.axes[0].lines) == 2 * num_arms
    if num_arms:
        assert len(legend_of(still(results))) == num_arms
    assert drawn(outcomes).size > 0


def test_an_arm_looks_the_same_in_all_figures() -> None:
    results = [run(arm) for arm in NINE]
    line, point = panels(still(results))[0]["layer"][1:3]
    outcomes = arm_outcomes(results).axes[0].lines
    assert line["encoding"]["color"]["scale"]["range"] == [each.get_color() for each in outcomes]
    assert point["encoding"]["shape"]["scale"]["range"] == [
        as_shape(str(each.get_marker())) for each in outcomes
    ]


@pytest.mark.parametrize("arms", [NINE, named(8), named(30), ["a · b", "c"], []])
def test_no_two_arms_look_alike(arms: list[str]) -> None:
    looks = strokes(overrides(arms))
    assert list(looks) == arms
    assert len(set(looks.values())) == len(arms)


def test_the_arms_of_two_axes_share_a_colour_along_one_and_a_line_along_the_other() -> None:
    looks = strokes(overrides(NINE))
    assert [looks[arm].colour for arm in NINE[::3]] == list(OKABE_ITO[:3])
    assert len({looks[arm].colour for arm in NINE[:3]}) == 1
    assert len({looks[arm].line for arm in NINE[::3]}) == 1


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("train/loss", "training loss"),
        ("generalisation/unseen_macro_f1", "unseen macro F1"),
        ("generalisation/test_r2", "test R²"),
        ("system/study_seconds", "study seconds"),
    ],
)
def test_metrics_are_named_in_words(metric: str, label: str) -> None:
    assert metric_label(metric) == label


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("hospital_number_12", "hosp…r_12"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("$x^2$", "\\$x^2\\$"),
        ("\\$x", "\\\\$x"),
        ("esc\x1b[0m", "esc\\x1b[0m"),
        ("é ü ß", "é ü ß"),
    ],
)
def test_names_are_drawn_as_they_are(name: str, shown: str) -> None:
    assert plain(name, 9 if "_" in name else 60) == shown


def test_letters_that_no_font_has_are_told_apart() -> None:
    nowhere = [chr(0xE000 + at) for at in (1, 2)]  # for private use: no font of text has them
    assert [drawable(f"a{one}") for one in nowhere] == ["a\\ue001", "a\\ue002"]
    assert drawable("naïve Ω ж") == "naïve Ω ж"


@pytest.mark.slow
def test_every_nasty_name_is_drawn_without_a_warning() -> None:
    names = [
        "联邦",
        "हिन्दी",
        "👩‍👩‍👧",
        "$\\frac{",
        "a\nb",
        "x" * 5000,
        "",
        "\x00\x1b[2J",
        "\u202eevil",
        "{x}",
        "%s",
    ]
    counts = np.arange(1, len(names) * len(names) + 1).reshape(len(names), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = png(partition_picture(counts[:, :10], counts.sum(axis=1), names, names[:10]))
        large = png(partition_picture(counts, counts.sum(axis=1), names, names))
        runs = [run(name or "-", seed) for name in names for seed in (0, 1)]
        figures = [png(arm_outcomes(runs)), png_of(still(runs)), png(learning_curves(runs[0]))]
    assert len({small, large, *figures}) == 5


def test_figures_are_drawn_in_threads_without_pyplot() -> None:
    pictures: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: pictures.append(png(learning_curves(run())))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pictures)) == 1
    assert len(pictures) == 3
    sources = Path(style.__file__).parent.glob("*.py")
    assert not [source.name for source in sources if "pyplot" in source.read_text(encoding="utf-8")]
