"""The dictionary of metrics: one entry a name, and the table of mlflow/README.md is what it says."""

from collections import Counter
from pathlib import Path

import pytest

from federated.metrics.dictionary import EVERY_ROUND, METRICS, OF_A_RUN, OF_A_STUDY, metric_of, table
from federated.metrics.dictionary.metric import higher
from federated.metrics.names import higher_is_better, metric_names
from federated.metrics.scoring import scoring_of
from federated.metrics.tasks import TASKS

README = Path(__file__).parents[1] / "mlflow" / "README.md"


def test_the_tables_of_the_readme_are_those_of_the_dictionary():
    text = README.read_text(encoding="utf-8")
    for rows in (OF_A_RUN, OF_A_STUDY):
        assert table(rows) in text, f"put this into mlflow/README.md:\n{table(rows)}"


def test_every_name_stands_once():
    counts = Counter(name for row in (*OF_A_RUN, *OF_A_STUDY) for names in row.names for name in names.names)
    assert {name for name, count in counts.items() if count > 1} == set()


def test_alternatives_in_braces_are_names():
    assert higher("a/{x,y}_b{,_low}").names == ("a/x_b", "a/x_b_low", "a/y_b", "a/y_b_low")
    assert higher("a/b").names == ("a/b",)


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("privacy/epsilon", False),
        ("communication/uplink_bytes_total", False),
        ("communication/uplink_ratio", True),
        ("system/run_seconds", False),
        ("generalisation/personalisation_losers", False),
        ("generalisation/personalisation_gainers", True),
    ],
)
def test_prices_and_shares_have_the_direction_that_a_person_expects(metric, better):
    assert higher_is_better(metric) is better


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("heterogeneity/clients", "neither way is better"),
        ("generalisation/test_luck", "no such metric"),
    ],
)
def test_a_metric_without_a_direction_is_not_ranked_upside_down(metric, why):
    with pytest.raises(ValueError, match=why):
        higher_is_better(metric)


def test_whatever_a_stop_rule_can_watch_has_a_direction():
    sizes = {"test": 9, "client": 5, "unseen": 5}
    for task in TASKS.values():
        assert {METRICS[name].better for name in metric_names(scoring_of(task), sizes)} <= {"higher", "lower"}


def test_a_report_reads_every_round_of_its_curves_alone():
    assert len(EVERY_ROUND) < 10  # each costs a query a run
    assert {"train/loss", "generalisation/test_accuracy"} <= EVERY_ROUND


@pytest.mark.parametrize(
    "name", ["communication/uplink/step_bound_bytes", "communication/downlink/of_mine_bytes"]
)
def test_what_an_algorithm_sends_beside_the_update_is_a_metric_by_its_name(name: str) -> None:
    found = metric_of(name)
    assert found is not None
    assert found.better == "lower"
    assert not higher_is_better(name)
    assert metric_of("communication/sideways/of_mine_bytes") is None
