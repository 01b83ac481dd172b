"""IFCA and CFL: quadratics by hand, hand-made updates, and what a run sends, remembers and is evaluated with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from federated.algorithms import ALGORITHMS, Heard, Holdings, OfClients, OfClusters
from federated.algorithms.clusters.bipartition import across, bipartition, cosines, largest_gamma
from federated.compressors.compressor import HEADER_BYTES
from federated.config.run import RunConfig
from federated.evaluation.clusters import agreement, cluster_table
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.forecast.payloads import downlink_bytes
from federated.forecast.probe import probe
from federated.foundation.errors import BadInput
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.clusters import current_clusters, models_in
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import train

CONTENT: dict[str, Any] = {
    "dataset": "digits",
    "model": "mlp(hidden=[8])",
    "clients": 6,
    "partitioner": "rotation(angles=[0, 180])",
    "holdout": {"client": 0.2},
    "local": {"batch_size": 16, "learning_rate": 0.1},
    "rounds": 4,
}
SPLITS = "cfl(eps1=9, eps2=0, rounds_before=1)"


def setup_of(**changes: object) -> Setup:
    return prepare(RunConfig.model_validate({**CONTENT, **changes}))


# -- two groups of quadratic clients

SOURCE = """
import numpy as np
from torch import nn
from data_partitioners import Partition
from federated.examples.examples import Examples

def load():
    \"\"\"Every client's loss is (w - b)^2, b = 0, 0, 10, 10; the last two examples are the central test set.\"\"\"
    y = np.array([0, 0, 10, 10, 0, 0, 10, 10, 0, 10], np.float32)
    return Examples("groups", np.ones((10, 1), np.float32), y, None, test=np.arange(10) > 7)

def two_groups(pool, num_clients, generator):
    held = tuple(np.array([client, client + 4]) for client in range(4))
    return Partition(held, tuple("abcd"), groups=np.array([0, 0, 1, 1]))

def model(input_shape, num_outputs):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.uniform_(layer.weight, 0, 10)
    return layer
"""


@pytest.fixture
def groups(own: Callable[[str], str]) -> Callable[..., Setup]:
    """Steps of 1/4 down the whole gradient 2 (w - b), each of which halves the distance to b."""
    name = own(SOURCE)

    def make(**changes: object) -> Setup:
        content: dict[str, Any] = {
            "dataset": f"{name}:load",
            "model": f"{name}:model",
            "partitioner": f"{name}:two_groups",
            "clients": 4,
            "local": {"batch_size": None, "learning_rate": 0.25},
            "rounds": 3,
            "seed": 1,
        }
        return prepare(RunConfig.model_validate(content | changes))

    return make


@pytest.mark.parametrize("engine", ["loop", "vectorised"])
def test_two_models_go_to_the_optima_of_two_groups_by_halves(
    groups: Callable[..., Setup], engine: str
) -> None:
    setup = groups(algorithm="ifca(2)", engine={"name": engine})
    start = initial_state(setup)
    first, second = (float(model) for model in models_in(start, setup))
    assert first == float(setup.initial_parameters)
    assert (first < 5) != (second < 5)  # one on each side, so that each group has a model of its own
    state = train_rounds(start, setup, 3)
    ends = [0.0 if begin < 5 else 10.0 for begin in (first, second)]
    halves = [end + (begin - end) / 8 for begin, end in zip((first, second), ends, strict=True)]
    assert models_in(state, setup)[:, 0].tolist() == pytest.approx(halves, rel=1e-5)
    low = int(np.argmin(ends))
    assert current_clusters(state, setup).tolist() == [low, low, 1 - low, 1 - low]
    metrics = evaluate(state, setup)
    assert metrics["train/cluster_agreement"] == 1
    assert (metrics["train/clusters"], metrics["train/smallest_cluster"]) == (2, 2)
    assert float(state.parameters) == pytest.approx(np.mean(halves), rel=1e-5)


def test_one_model_for_both_groups_goes_between_them(groups: Callable[..., Setup]) -> None:
    state = train_rounds(initial_state(setup := groups(algorithm="fedavg", rounds=40)), setup, 40)
    assert float(state.parameters) == pytest.approx(5, abs=1e-4)


def test_averaging_gradients_divides_by_the_whole_cohort(groups: Callable[..., Setup]) -> None:
    """Half of the clients are in each cluster, so a step goes half as far: a quarter of the distance."""
    setup = groups(algorithm="ifca(2, averaging=gradients)")
    start = initial_state(setup)
    first, second = (float(model) for model in models_in(start, setup))
    after = models_in(train_rounds(start, setup, 1), setup)[:, 0].tolist()
    ends = [0.0 if begin < 5 else 10.0 for begin in (first, second)]
    expected = [begin + (end - begin) / 4 for begin, end in zip((first, second), ends, strict=True)]
    assert after == pytest.approx(expected, rel=1e-5)


def test_a_stationary_cluster_is_split_and_both_halves_reach_their_optimum(
    groups: Callable[..., Setup],
) -> None:
    """Near 5, moves are about (-2.5, -2.5, 2.5, 2.5): their mean is short, each is long, their cosines are 1 and -1."""
    setup = groups(algorithm="cfl(eps1=0.01, eps2=1, rounds_before=0)", rounds=30)
    begin = initial_state(setup)
    state, split = begin, 0
    distance = abs(float(begin.parameters) - 5)
    while not len(state.server["algorithm"]["tree"]):
        state, split = train_rounds(state, setup, state.round + 1), split + 1
    # The mean move is half of what is left to 5: below 0.01 in the first round that begins within 0.02 of it.
    assert split > 1
    assert distance / 2 ** (split - 1) < 0.02 <= distance / 2 ** (split - 2)
    assert state.server["algorithm"]["tree"].tolist() == [[split, 0, 1]]
    assert current_clusters(state, setup).tolist() == [0, 0, 1, 1]
    assert (
        evaluate(state, setup)["train/cluster_changes"] == 0.5
    )  # those of the new cluster trained in the old one
    state = train_rounds(state, setup, 30)
    assert models_in(state, setup)[:, 0].tolist() == pytest.approx([0, 10], abs=1e-3)
    assert evaluate(state, setup)["train/cluster_agreement"] == 1


# -- CFL's split, by hand

UPDATES = np.array([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.2], [-0.9, 0.0], [-1.0, -0.1]], np.float32)


def cfl_after(updates: np.ndarray = UPDATES, weights: list[float] | None = None, **arguments: Any) -> Any:
    """(the server's state, the global model) after one round of an algorithm that starts at (0, 0)."""
    made = ALGORITHMS["cfl"](**{"eps1": 0.5, "eps2": 0.9, "rounds_before": 0, **arguments})
    assert made.fit is not None
    count = len(updates)
    algorithm = made.fit(Holdings((), None, torch.nn.Identity(), num_clients=count))
    state = algorithm.init(torch.zeros(updates.shape[1]))
    shares = np.full(count, 1 / count) if weights is None else np.array(weights)
    rows = torch.from_numpy(updates)
    each = OfClients(np.arange(count), shares, rows, np.zeros(count, np.int64))
    return algorithm.update(state, torch.zeros(updates.shape[1]), Heard(rows[0], {}, 1.0, None, each))


def test_clients_that_pull_apart_are_split_and_go_on_with_their_own_means() -> None:
    state, between = cfl_after()
    assert state["cluster_of"].tolist() == [0, 0, 1, 1, 1]
    assert state["tree"].tolist() == [[1, 0, 1]]
    assert torch.allclose(state["models"], torch.tensor([[1.0, 0.0], [-2.9 / 3, 0.1 / 3]]), atol=1e-6)
    assert torch.allclose(between, torch.tensor([-0.9 / 5, 0.1 / 5]), atol=1e-6)


def test_means_are_by_weight_within_the_clusters() -> None:
    state, _ = cfl_after(weights=[0.3, 0.1, 0.2, 0.2, 0.2])
    assert state["models"][0].tolist() == pytest.approx([1.0, 0.05], abs=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"eps1": 0.17},  # the mean update has a norm of .181
        {"eps2": 1.02},  # and the longest one of sqrt(1.04) = 1.0198
        {"rounds_before": 1},
        {"smallest": 6},
        {"gamma": 1.0},  # the largest cosine across is that of clients 0 and 2, -.956, hence a bound of .989
    ],
)
def test_what_keeps_a_cluster_together(arguments: dict[str, Any]) -> None:
    state, _ = cfl_after(**arguments)
    assert state["models"].tolist() == [pytest.approx([-0.9 / 5, 0.1 / 5], abs=1e-6)]
    assert len(cfl_after(gamma=0.98)[0]["models"]) == 2


def test_the_bound_of_the_noise_by_hand() -> None:
    similarities = cosines(UPDATES)
    first, second = bipartition(similarities)
    by_hand = (-1 + 0.02) / np.sqrt(1.01 * 1.04)
    assert across(similarities, first, second) == pytest.approx(by_hand, abs=1e-6)
    assert largest_gamma(across(similarities, first, second)) == pytest.approx(np.sqrt((1 - by_hand) / 2))


@pytest.mark.parametrize("seed", range(8))
def test_no_other_bipartition_has_a_smaller_similarity_across(seed: int) -> None:
    similarities = cosines(np.random.default_rng(seed).standard_normal((6, 3)))
    first, second = bipartition(similarities)
    assert sorted([*first, *second]) == list(range(6))
    every = [
        (np.array(half), np.setdiff1d(np.arange(6), half))
        for size in (1, 2, 3)
        for half in itertools.combinations(range(6), size)
    ]
    assert across(similarities, first, second) == min(across(similarities, *pair) for pair in every)


def test_updates_that_are_all_alike_or_zero_are_still_two_groups() -> None:
    for updates in (np.ones((4, 2)), np.zeros((4, 2))):
        first, second = bipartition(cosines(updates))
        assert (0 in first, len(first) + len(second), min(len(first), len(second)) > 0) == (True, 4, True)


# -- IFCA's server


def ifca_after(**arguments: Any) -> tuple[Tensor, Tensor]:
    algorithm = ALGORITHMS["ifca"](clusters=3, **arguments)
    state = {"models": torch.tensor([[0.0], [10.0], [20.0]])}
    of_clusters = OfClusters(torch.tensor([[0.5], [-1.5], [0.0]]).double(), np.array([0.25, 0.75, 0.0]))
    heard = Heard(torch.tensor([-1.0]), {}, 1.0, of_clusters)
    after, between = algorithm.update(state, torch.zeros(1), heard)
    return after["models"][:, 0], between


def test_each_model_moves_by_the_mean_of_its_clients_and_one_without_any_stays() -> None:
    models, between = ifca_after()
    assert models.tolist() == [2.0, 8.0, 20.0]
    assert float(between) == 0.25 * 2 + 0.75 * 8
    assert ifca_after(server_learning_rate=0.5)[0].tolist() == [1.0, 9.0, 20.0]
    assert ifca_after(averaging="gradients")[0].tolist() == [0.5, 8.5, 20.0]


# -- one cluster is FedAvg


@pytest.mark.parametrize(
    ("algorithm", "engine", "shard"),
    [
        ("ifca(1)", "loop", None),
        ("ifca(1)", "vectorised", 2),
        ("cfl(rounds_before=99)", "loop", None),
        ("cfl(rounds_before=99)", "vectorised", None),
    ],
)
def test_one_cluster_is_fedavg_bit_for_bit(algorithm: str, engine: str, shard: int | None) -> None:
    after = []
    for name in (algorithm, "fedavg"):
        setup = setup_of(algorithm=name, engine={"name": engine}, partitioner="dirichlet(0.5)", rounds=2)
        setup = replace(setup, shard_size=shard or setup.shard_size)
        after.append(train_rounds(initial_state(setup), setup, 2).parameters)
    assert torch.equal(*after)


# -- runs


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ifca(2)", SPLITS])
def test_engines_shards_and_a_checkpoint_in_between_change_nothing(algorithm: str, tmp_path: Path) -> None:
    def everything(setup: Setup, half: bool = False) -> list[Tensor]:
        start = Course(initial_state(setup))
        if half:
            save(train(start, setup, 2), tmp_path / "x", {})
            start = load(tmp_path / "x", {}, torch.device("cpu"))
        state = train(start, setup, 4).state
        server = [value for _, value in sorted(state.server["algorithm"].items())]
        return [state.parameters, *server, *(rows["cluster"] for rows in state.clients["cluster"].values())]

    setup = setup_of(algorithm=algorithm, engine={"name": "loop"})
    whole = everything(setup)
    assert all(torch.equal(*pair) for pair in zip(whole, everything(setup, half=True), strict=True))
    for other in (
        replace(setup, shard_size=2),
        setup_of(algorithm=algorithm, engine={"name": "vectorised"}),
        setup_of(algorithm=algorithm, engine={"name": "loop"}, orchestration={"threads": 2}),
    ):
        for ours, theirs in zip(whole, everything(other), strict=True):
            assert torch.allclose(ours.double(), theirs.double(), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("algorithm", "models", "told"), [("ifca(3)", 3, 4 + HEADER_BYTES), (SPLITS, 1, 0)])
def test_what_travels_is_counted_and_foreseen(algorithm: str, models: int, told: int) -> None:
    """Every model to each client that chooses, and its number back; else one model each way."""
    setup = setup_of(algorithm=algorithm, compression={"uplink": "qsgd(4)", "downlink": "float16"})
    size = setup.model.vector.numel()
    course = train(Course(initial_state(setup)), setup, 4)
    assert course.state.downlink_bytes == 4 * 6 * models * (2 * size + HEADER_BYTES)
    probed = probe(setup, 0.0)
    assert probed.uplink.exact
    assert probed.uplink.expected * 4 * 6 == course.state.uplink_bytes
    assert downlink_bytes(setup, probed.downlink).expected == course.state.downlink_bytes
    plain = setup_of(algorithm="fedavg", compression={"uplink": "qsgd(4)"})
    assert course.state.uplink_bytes == train(Course(initial_state(plain)), plain, 4).state.uplink_bytes + (
        4 * 6 * told
    )
    assert (course.history[-1][1].get("communication/uplink/cluster_bytes", 0) > 0) is bool(told)


def test_each_client_is_evaluated_with_the_model_that_suits_its_training_examples() -> None:
    setup = setup_of(algorithm="ifca(2)", holdout={"client": 0.2, "unseen_clients": 1})
    state = train_rounds(initial_state(setup), setup, 4)
    right, chosen = [], []
    for held, own in zip(setup.federation.clients, setup.federation.own_held_out, strict=True):
        losses, answers = [], []
        for model in models_in(state, setup):
            module = setup.model.independent_module(model).eval()
            with torch.inference_mode():
                at = torch.from_numpy(held)
                outputs = module(model_inputs(setup.inputs[at]))
                losses.append(float(torch.nn.functional.cross_entropy(outputs, setup.targets[at])))
                at = torch.from_numpy(own)
                answers.append(module(model_inputs(setup.inputs[at])).argmax(dim=1) == setup.targets[at])
        chosen.append(int(np.argmin(losses)))
        right += answers[chosen[-1]].tolist()
    metrics = evaluate(state, setup)
    assert metrics["generalisation/client_accuracy"] == pytest.approx(np.mean(right))
    assert current_clusters(state, setup).tolist() == chosen
    assert not [name for name in metrics if "unseen" in name]
    found = generalisation(state, setup).clients
    assert found["cluster"] == chosen
    assert found["group"] == setup.federation.groups.tolist()
    assert cluster_table(state, setup)["client"] == list(setup.federation.names)


def test_agreement_by_hand() -> None:
    """Of six pairs each partition joins two, and they share one: (1 - 2/3) / (2 - 2/3) = 1/4, for sizes 2 1 1."""
    assert agreement(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2])) == 1
    assert agreement(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == pytest.approx(-0.5)
    assert agreement(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])) == pytest.approx(4 / 7)


def test_the_changes_are_against_the_cluster_of_the_last_turn() -> None:
    setup = setup_of(algorithm="ifca(2)")
    state = train_rounds(initial_state(setup), setup, 4)
    assert "train/cluster_changes" not in evaluate(initial_state(setup), setup)
    moved = {client: {"cluster": 1 - kept["cluster"]} for client, kept in state.clients["cluster"].items()}
    now, before = evaluate(state, setup)["train/cluster_changes"], replace(state, clients={"cluster": moved})
    assert evaluate(before, setup)["train/cluster_changes"] == 1 - now


def test_iid_clients_have_no_groups_to_agree_with() -> None:
    setup = setup_of(algorithm="ifca(2)", partitioner="iid", rounds=1)
    metrics = evaluate(initial_state(setup), setup)
    assert "train/cluster_agreement" not in metrics
    assert metrics["train/clusters"] >= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "ifca(7)"}, "clusters: 7 models are more than the 6 clients"),
        ({"algorithm": "ifca(2)", "model": "logistic"}, "state spread, such as spread=0.1"),
        ({"algorithm": SPLITS, "cohort": {"size": 3}}, "all 6 clients in every round, and 3 take part"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        setup_of(**changes)


def test_models_with_one_beginning_are_spread() -> None:
    setup = setup_of(algorithm="ifca(clusters=3, spread=0.1)", model="logistic")
    models = models_in(initial_state(setup), setup)
    assert torch.equal(models[0], setup.initial_parameters)
    assert models[1:].std(dim=1).tolist() == pytest.approx([0.1, 0.1], rel=0.1)
    assert not torch.equal(models[1], models[2])


@pytest.mark.parametrize("algorithm", ["ifca(2)", SPLITS])
def test_running_statistics_are_refused(algorithm: str, own: Callable[[str], str]) -> None:
    source = """
from torch import nn
def model(input_shape, num_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, num_outputs))
"""
    with pytest.raises(BadInput, match="has running statistics, in 2"):
        setup_of(algorithm=algorithm, model=f"{own(source)}:model")
