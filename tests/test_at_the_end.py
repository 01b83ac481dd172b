"""The end of a run in detail: evaluated sets, the table of clients, gaps that agree with the metrics, pictures."""

import numpy as np
import pytest
from scipy.stats import entropy

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import divergences, generalisation
from federated.evaluation.sets import evaluated_sets
from federated.metrics.names import higher_is_better, metric_names
from federated.metrics.scoring import scoring_of
from federated.metrics.tasks import CLASSIFICATION
from federated.report.figures.clients.client_pictures import class_picture, client_picture
from federated.run.setup import Setup, initial_state, prepare

BASE = {
    "dataset": "digits",
    "model": "logistic",
    "clients": 12,
    "rounds": 1,
    "partitioner": "dirichlet(alpha=0.3)",
    "holdout": {"client": 0.2, "unseen_clients": 3},
}
REGRESSION = {**BASE, "dataset": "linear(size=500)", "model": "linear", "partitioner": "iid"}


def setup_of(content: dict[str, object]) -> Setup:
    return prepare(RunConfig.model_validate(content))


@pytest.fixture(scope="module")
def digits() -> Setup:
    return setup_of(BASE)


def test_the_training_sample_is_training_examples_client_by_client_and_drawn_by_the_seed(
    digits: Setup,
) -> None:
    federation = digits.federation
    sample = evaluated_sets(federation, 200, seed=0)["training"]
    assert sample.sizes is not None
    assert (len(sample.indices), len(np.unique(sample.indices)), sample.sizes.sum()) == (200, 200, 200)
    for held, mine in zip(
        federation.clients, np.split(sample.indices, np.cumsum(sample.sizes)[:-1]), strict=True
    ):
        assert np.isin(mine, held).all()
    again, other = (evaluated_sets(federation, 200, seed)["training"].indices for seed in (0, 1))
    assert (again == sample.indices).all()
    assert (other != sample.indices).any()
    everything = evaluated_sets(federation, 10**6, 0)["training"]
    assert (everything.indices == federation.training).all()
    assert everything.sizes is not None
    assert (everything.sizes == federation.sizes).all()


@pytest.mark.parametrize("content", [BASE, REGRESSION], ids=["classification", "regression"])
def test_gaps_and_distribution_agree_with_pooled_metrics_and_the_table(content: dict[str, object]) -> None:
    setup = setup_of(content)
    state, task = initial_state(setup), setup.federation.examples.task
    name = "accuracy" if task == CLASSIFICATION else "mse"
    sign = 1 if task == CLASSIFICATION else -1
    measured = {
        metric.removeprefix("generalisation/"): value for metric, value in evaluate(state, setup).items()
    }
    training, client, unseen = (measured[f"{part}_{name}"] for part in ("training", "client", "unseen"))
    assert measured["out_of_sample_gap"] == pytest.approx(sign * (training - client))
    assert measured["participation_gap"] == pytest.approx(sign * (client - unseen))
    found = generalisation(state, setup)
    taking_part = np.array(found.clients["takes_part"])
    values, sizes = (np.array(found.clients[column]) for column in (name, "held_out_examples"))
    for part, group in (("client", taking_part), ("unseen", ~taking_part)):
        assert np.average(values[group], weights=sizes[group]) == pytest.approx(measured[f"{part}_{name}"])
        assert values[group].mean() == pytest.approx(measured[f"{part}_{name}_mean"])
    low, high = (found.metrics[f"generalisation/out_of_sample_gap_{end}"] for end in ("low", "high"))
    assert low <= measured["out_of_sample_gap"] <= high
    assert "generalisation/participation_gap_low" not in found.metrics  # three unseen clients are too few


def test_the_table_has_a_row_for_every_client(digits: Setup) -> None:
    table = generalisation(initial_state(digits), digits).clients
    assert {len(column) for column in table.values()} == {15}
    assert table["client"][:2] == list(digits.federation.names[:2])
    assert table["client"][-3:] == list(digits.federation.unseen_names)
    assert sorted(map(int, table["client"])) == list(range(15))  # each client of the partition, by its name
    assert sum(table["training_examples"]) == len(digits.federation.training)


def test_divergence_of_each_client_is_two_kullback_leibler_divergences_to_the_middle() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    held = (np.array([0, 1]), np.array([], np.int64), np.arange(6))
    found = divergences(held, np.arange(6), labels.__getitem__, 3)
    mine, pool = np.array([1.0, 0, 0]), np.full(3, 1 / 3)
    middle = (mine + pool) / 2
    assert found[0] == pytest.approx((entropy(mine, middle, base=2) + entropy(pool, middle, base=2)) / 2)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(0, abs=1e-9)


def test_the_table_of_classes_counts_the_test_set(digits: Setup) -> None:
    found = generalisation(initial_state(digits), digits)
    table = found.classes_table()
    assert sum(table["test_examples"]) == len(digits.federation.test)
    # zero weights: all outputs are equal, the first class is taken for all
    assert table["accuracy"] == [1.0] + [0.0] * 9
    assert table["taken for 0"] == table["test_examples"]
    assert found.metrics["generalisation/test_calibration_error"] == pytest.approx(
        abs(table["test_examples"][0] / len(digits.federation.test) - 0.1), abs=1e-6
    )
    regression = setup_of(REGRESSION)
    assert generalisation(initial_state(regression), regression).classes_table() == {}


def test_pictures_are_there_where_there_is_something_to_show(digits: Setup) -> None:
    found = generalisation(initial_state(digits), digits)
    figure = client_picture(found)
    assert figure is not None
    strip, scatter = figure.axes
    assert [text.get_text() for text in strip.get_xticklabels()] == ["takes part", "never took part"]
    assert [len(dots.get_offsets()) for dots in scatter.collections] == [12, 3]
    assert class_picture(found) is not None
    plain = setup_of({**BASE, "holdout": {}})
    without = generalisation(initial_state(plain), plain)
    assert without.clients == {}
    assert client_picture(without) is None
    regression = setup_of(REGRESSION)
    assert class_picture(generalisation(initial_state(regression), regression)) is None


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("client_accuracy_worst_10_percent", True),
        ("client_accuracy_gini", False),
        ("client_accuracy_sd", False),
        ("client_mse_best_10_percent", False),
        ("participation_gap", False),
        ("test_calibration_error", False),
        ("test_macro_f1", True),
        ("training_loss", False),
        ("unseen_r2", True),
    ],
)
def test_which_way_is_better(metric: str, better: bool) -> None:
    assert higher_is_better(f"generalisation/{metric}") == better


def test_without_held_out_clients_there_are_no_gaps_to_watch() -> None:
    assert not [
        name for name in metric_names(scoring_of(CLASSIFICATION), {"test": 9}) if name.endswith("gap")
    ]
    both = metric_names(scoring_of(CLASSIFICATION), {"test": 9, "client": 5, "unseen": 5})
    assert {"generalisation/out_of_sample_gap", "generalisation/participation_gap"} <= {*both}
