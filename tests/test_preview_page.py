"""The fingerprint as a table and the page of pictures, from 5 clients to 5,000."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from matplotlib.image import imread

from data_partitioners.heterogeneity import Fingerprint, joined, label_fingerprint, size_fingerprint
from federated.report import PreviewedPartition, divergence_picture, fingerprint_table, png, preview_html


def fingerprint(clients: int, classes: int = 10) -> tuple[Fingerprint, np.ndarray]:
    numbers = np.random.default_rng(0)
    counts = numbers.poisson(numbers.gamma(0.3, 20, (clients, classes)))
    counts[0] = 0
    sizes = counts.sum(axis=1)
    return joined(size_fingerprint(sizes), label_fingerprint(counts, numbers)), sizes


@pytest.mark.parametrize("clients", [5, 60, 5_000])
def test_divergences_are_drawn_as_shares_against_chance(clients: int) -> None:
    made, sizes = fingerprint(clients)
    left, right = divergence_picture(made, sizes).axes
    chance, found = right.patches
    assert chance.get_data()[0].sum() == pytest.approx(1)
    assert found.get_data()[0].sum() == pytest.approx(1)
    assert left.patches[0].get_data()[0].tolist() == sorted(sizes.tolist(), reverse=True)
    picture = imread(io.BytesIO(png(divergence_picture(made, sizes), 50)))
    assert np.asarray(picture).std() > 0


def test_side_by_side_sizes_have_one_axis() -> None:
    made, sizes = fingerprint(5)
    assert divergence_picture(made, sizes, 10_000).axes[0].get_ylim()[1] == pytest.approx(10_500)


@pytest.mark.parametrize("clients", [5, 11, 20, 36, 210])
def test_clients_are_counted_in_whole_numbers(clients: int) -> None:
    """Ticks at 2.5 and 7.5 would be written 2 and 8."""
    made, sizes = fingerprint(clients)
    left = divergence_picture(made, sizes).axes[0]
    assert all(float(tick).is_integer() for tick in left.get_xticks())


def test_sizes_alone_have_no_divergences() -> None:
    figure = divergence_picture(size_fingerprint(np.array([3, 4])), np.array([3, 4]))
    assert [text.get_text() for text in figure.axes[1].texts] == ["no labels"]


def test_the_table_has_each_value_beside_its_band_and_a_star_outside_it() -> None:
    pure = joined(
        size_fingerprint(np.full(4, 50)),
        label_fingerprint(50 * np.eye(4, dtype=int), np.random.default_rng(0)),
    )
    table = fingerprint_table([pure, size_fingerprint(np.array([1, 3]))])
    rows = {name: cells for name, *cells in table}
    assert rows["clients"] == ["4", "2"]
    assert rows["Gini coefficient of sizes"] == ["0", "0.250"]
    mean, nothing = rows["label Hellinger, weighted mean"]
    assert re.fullmatch(r"0\.707\* \[0\.0\d\d, 0\.\d\d\d\]", mean)
    assert nothing == "–"
    assert rows["effective classes, mean"][0].startswith("1.000*")


def test_the_page_holds_everything_and_escapes_it() -> None:
    made, _ = fingerprint(5)
    evil = "<script>alert(1)</script>"
    partitions = [
        PreviewedPartition(evil, evil, made, {evil: b"png"}),
        PreviewedPartition("iid", "", made, {}),
    ]
    page = preview_html(evil, evil, 3, partitions, promises=[f"privacy: epsilon 2 {evil}"])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5
    assert page.count("data:image/png;base64,") == 1
    assert "default-src 'none'" in page
    assert "Partitions of seed 3" in page
    assert "<p>privacy: epsilon 2 &lt;script&gt;" in page
    assert "label Hellinger, weighted mean" in page
