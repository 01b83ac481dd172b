"""Centralised and local training: twins among federated runs, budgets by hand, nothing sent, resumed to the bit."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import accuracy_score, r2_score

from federated.algorithms.local_terms import LocalTerms
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.predicted import evaluated
from federated.federation.federation import partition_clients
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, generator
from federated.local_training.dense.recognise import linear_stack
from federated.local_training.dense.trainer import stacked_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.vmapped import vmapped_trainer
from federated.models.objective import model_inputs
from federated.participation import Population
from federated.participation.in_turn import in_turn
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.client_half import model_of
from federated.run.clients.cohort import sample_cohort
from federated.run.course import Course
from federated.run.preparing.budget import centralised_training, terms_in_turn
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments import train
from tests.conftest import config_of


def trained(**changes: object) -> tuple[RunState, Setup]:
    course, setup = measured(**changes)
    return course.state, setup


def measured(**changes: object) -> tuple[Course, Setup]:
    setup = prepare(config_of(**changes))
    return train(Course(initial_state(setup)), setup, setup.config.rounds), setup


def held(*sizes: int) -> list[np.ndarray]:
    """Clients that hold as many examples."""
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


LOCALS = [
    {"batch_size": 16, "learning_rate": 0.1, "epochs": 2},
    {"batch_size": None, "learning_rate": 0.1, "epochs": 3, "momentum": 0.9},
    {"batch_size": 100, "learning_rate": 0.1, "steps": 17, "schedule": "cosine", "weight_decay": 0.01},
]


@pytest.mark.parametrize("local", LOCALS, ids=["epochs", "full batches", "steps"])
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_centralised_training_is_fedavg_with_one_client_that_holds_everything(
    local: dict[str, object], engine: str
) -> None:
    changes = {"clients": 1, "cohort": {}, "local": local, "engine": {"name": engine}}
    together, _ = measured(**changes)
    centralised, _ = measured(**changes, training="centralised")
    assert torch.equal(centralised.state.parameters, together.state.parameters)
    losses = [[metrics["train/loss"] for _, metrics in each.history] for each in (together, centralised)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("local", LOCALS, ids=["epochs", "full batches", "steps"])
@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_local_training_of_one_client_is_a_federation_of_that_client_alone(
    local: dict[str, object], engine: str
) -> None:
    changes = {"clients": 1, "cohort": {}, "local": local, "engine": {"name": engine}}
    together, _ = trained(**changes)
    alone, setup = trained(**changes, training="local")
    assert torch.equal(model_of(alone, setup, 0), together.parameters)


def test_every_client_alone_is_a_federation_of_that_client() -> None:
    """Six clients that take turns, against the engine's loop over one client at a time, from its own model."""
    state, setup = trained(training="local", rounds=5)
    work = (setup.model, setup.worker.work.loss, setup.inputs, setup.targets, setup.federation.clients)
    train = loop_trainer(*work, setup.config.local, setup.config.rounds, setup.config.seed)
    for client in range(6):
        model = setup.initial_parameters
        for done in range(5):
            if client in sample_cohort(setup, done):
                model = model + train(model, [client], done).deltas[0]
        assert torch.equal(model, model_of(state, setup, client))


def test_shards_change_nothing_of_training_alone() -> None:
    whole, setup = trained(training="local")
    cut = replace(setup, shard_size=1)
    again = train_rounds(initial_state(cut), cut, cut.config.rounds)
    for client in range(6):
        assert torch.equal(model_of(whole, setup, client), model_of(again, cut, client))


@pytest.mark.parametrize("training", ["centralised", "local"])
def test_nothing_is_sent_and_clients_do_not_drift_from_a_server(training: str) -> None:
    course, _ = measured(training=training)
    assert (course.state.uplink_bytes, course.state.downlink_bytes) == (0, 0)
    _, metrics = course.history[-1]
    sent = {name: value for name, value in metrics.items() if name.startswith("communication/")}
    assert len(sent) == 4
    assert not any(sent.values())
    assert not {"train/gradient_diversity", "train/update_cosine_mean"} & metrics.keys()
    assert ("train/update_norm" in metrics) == (training == "centralised")


@pytest.mark.parametrize("training", ["centralised", "local"])
def test_resumed_in_the_middle_is_bit_identical(tmp_path: Path, training: str) -> None:
    whole, setup = measured(training=training)
    half = train(Course(initial_state(setup)), setup, 2)
    save(half, tmp_path / "half.safetensors", {})
    resumed = load(tmp_path / "half.safetensors", {}, torch.device("cpu"))
    finished = train(resumed, setup, setup.config.rounds)
    for client in range(len(setup.trainers.holders.indices)):
        assert torch.equal(model_of(whole.state, setup, client), model_of(finished.state, setup, client))
    assert [m["train/loss"] for _, m in whole.history] == [m["train/loss"] for _, m in finished.history]


def test_the_budget_of_centralised_training_worked_by_hand() -> None:
    def budget(clients: list[np.ndarray], cohort: int, **local: object) -> tuple[object, object]:
        made = centralised_training(config_of(local=local), clients, cohort)
        return made.steps, made.batch_size

    # 4 clients of 20, two a round, 3 epochs: 120 examples a round, which is 1.5 epochs of 80: 5 + 2.5 steps of 16
    assert budget(held(20, 20, 20, 20), 2, epochs=3, batch_size=16) == (5 + 2, 16)
    # 100 examples of 5: an empty client is nobody's expectation; two of four take part with 10 each, 20 in all
    assert budget(held(10, 10, 0, 10, 10), 2, batch_size=5) == (4, 5)
    # clients smaller than the batch: their batches are 10 and 30, one step each; 40 examples in 2 steps of 20
    assert budget(held(10, 30), 2, batch_size=32) == (2, 20)
    assert budget(held(10, 30), 2, batch_size=None) == (2, 20)
    # 3 steps of 4 over 10 examples are an epoch; so are 3 of 2 clients, one a round: 10 examples, 2.5 steps of 4
    assert budget(held(10, 10), 1, steps=3, batch_size=4) == (2, 4)
    # a range is worth its mean: 2 epochs of all
    assert budget(held(8, 8), 2, epochs=[1, 3], batch_size=8) == (4, 8)
    # less than a step is a step
    assert budget(held(*[2] * 100), 1, batch_size=32) == (1, 2)


def turns_of(clients: int, cohort: int, rounds: int) -> list[np.ndarray]:
    population = Population(clients, np.arange(clients), cohort, cohort / clients, rounds)
    draw, numbers = in_turn(reach_all=True).draw, partial(generator, 0, Purpose.COHORT)
    return [draw({}, done, population, numbers)[1].clients for done in range(rounds)]


@pytest.mark.parametrize(("rounds", "cohort"), [(30, 3), (7, 2), (4, 10), (11, 1)])
def test_turns_are_even_and_as_many_as_a_cohort(rounds: int, cohort: int) -> None:
    config = config_of(rounds=rounds, clients=10, cohort={"size": cohort})
    turns = turns_of(10, cohort, rounds)
    assert {len(turn) for turn in turns} == {cohort}
    counts = np.bincount(np.concatenate(turns), minlength=10)
    assert np.ptp(counts) <= 1
    assert all(len(set(turn.tolist())) == cohort for turn in turns)
    assert terms_in_turn(config, held(*[9] * 10), cohort, turns[0]).steps is None


def test_with_too_few_turns_everybody_has_a_shorter_one() -> None:
    config = config_of(rounds=4, clients=100, cohort={"size": 5}, local={"epochs": 10, "batch_size": 8})
    turns = turns_of(100, 5, 4)
    assert np.bincount(np.concatenate(turns)).tolist() == [1] * 100
    terms = terms_in_turn(config, held(*[16] * 99, 3), 5, [0, 99])
    assert terms.steps is not None
    assert terms.steps.tolist() == [4, 2]  # a fifth of 20 steps and of 10
    state, _ = trained(
        rounds=2, clients=8, cohort={"size": 1}, training="local", local={"epochs": 4, "batch_size": 16}
    )
    assert sorted(state.clients["own_model"]) == list(range(8))


@pytest.mark.parametrize("training", ["centralised", "local"])
def test_an_empty_client_stays_out(training: str) -> None:
    skewed = {"clients": 40, "partitioner": "dirichlet(0.02)", "cohort": {"size": 5}}
    state, setup = trained(**skewed, training=training)
    empty = np.flatnonzero(setup.federation.sizes == 0)
    assert len(empty)
    assert not {*empty.tolist()} & state.clients.get("own_model", {}).keys()
    assert "generalisation/test_accuracy" in evaluate(state, setup)


def test_models_of_their_own_are_evaluated_each_on_its_own_examples() -> None:
    state, setup = trained(training="local", holdout={"client": 0.2, "unseen_clients": 2}, clients=6)
    metrics = evaluate(state, setup)
    federation = setup.federation

    def predicted(client: int, indices: np.ndarray) -> np.ndarray:
        module = setup.model.independent_module(model_of(state, setup, client))
        with torch.no_grad():
            return module(model_inputs(setup.inputs[indices])).argmax(dim=1).numpy()

    truth = federation.examples.targets
    own = [accuracy_score(truth[mine], predicted(k, mine)) for k, mine in enumerate(federation.own_held_out)]
    assert metrics["generalisation/client_accuracy_mean"] == pytest.approx(np.mean(own))
    parts = {name: part for name, part, _ in evaluated(state, setup)}
    assert "unseen" not in parts
    assert parts["test"].sizes is not None
    windows = np.split(parts["test"].indices, np.cumsum(parts["test"].sizes)[:-1])
    tested = [accuracy_score(truth[part], predicted(k, part)) for k, part in enumerate(windows)]
    assert metrics["generalisation/test_accuracy"] == pytest.approx(np.mean(tested))
    assert metrics["generalisation/test_accuracy_sd"] == pytest.approx(np.std(tested, ddof=1))


def test_the_test_set_is_dealt_evenly_and_all_of_it_is_used() -> None:
    setup = prepare(config_of(training="local", clients=3))
    ((_, part, _),) = [each for each in evaluated(initial_state(setup), setup) if each[0] == "test"]
    assert part.sizes is not None
    assert part.sizes.tolist() == [120, 120, 120]
    assert sorted(part.indices.tolist()) == sorted(setup.federation.test.tolist())
    many = prepare(config_of(training="local", clients=20))
    ((_, part, _),) = [each for each in evaluated(initial_state(many), many) if each[0] == "test"]
    assert part.sizes is not None
    assert part.sizes.tolist() == [100] * 20
    times = np.unique(part.indices, return_counts=True)[1]
    assert (len(times), times.min(), times.max()) == (360, 5, 6)  # 2000 of 360
    assert all(len(set(window.tolist())) == 100 for window in np.split(part.indices, 20))


def test_r2_of_local_training_is_the_mean_over_clients_where_each_has_the_whole_test_set() -> None:
    content = {"dataset": "linear(size=500)", "model": "linear", "clients": 4, "training": "local"}
    setup = prepare(RunConfig.model_validate({**content, "rounds": 1, "holdout": {"test": 0.2}}))
    state = train_rounds(initial_state(setup), setup, 1)
    federation = setup.federation
    scores = []
    for client in range(4):
        module = setup.model.independent_module(model_of(state, setup, client))
        with torch.no_grad():
            outputs = module(setup.inputs[federation.test])
        scores.append(r2_score(setup.targets[federation.test], outputs))
    assert evaluate(state, setup)["generalisation/test_r2"] == pytest.approx(np.mean(scores), abs=1e-6)


@pytest.mark.parametrize("kind", ["loop", "stacked", "vmapped"])
@pytest.mark.parametrize(
    "local",
    [
        {"epochs": 2, "batch_size": 5, "learning_rate": 0.1},
        {"epochs": 1, "batch_size": 4, "learning_rate": 0.1, "momentum": 0.9, "max_gradient_norm": 0.5},
    ],
    ids=["plain", "momentum and bound"],
)
def test_engines_take_a_model_for_each_client(kind, local, local_work) -> None:  # type: ignore[no-untyped-def]
    """Against the loop, one client at a time, whose proximal term pulls to the client's own model too."""
    work = local_work("mlp", arguments={"hidden": [6]}, **local)
    layers = linear_stack(work)
    makers = {
        "loop": lambda: loop_trainer(*work),
        "stacked": lambda: side_by_side(work, lambda: stacked_trainer(work, layers), 1, 3),
        "vmapped": lambda: side_by_side(work, lambda: vmapped_trainer(work), 1, 4),
    }
    cohort, terms = [3, 5, 0, 1, 2, 4], LocalTerms(proximal=0.3)
    numbers = np.random.default_rng(5)
    models = work.model.vector + torch.from_numpy(numbers.standard_normal((6, work.model.vector.numel()))) / 5
    before, one = models.clone(), loop_trainer(*work)
    updates = makers[kind]()(models, cohort, 2, terms)
    assert torch.equal(models, before)
    for row, client in enumerate(cohort):
        expected = one(models[row], [client], 2, terms)
        assert torch.allclose(updates.deltas[row], expected.deltas[0], rtol=0, atol=1e-12)
        assert updates.losses[row] == pytest.approx(float(expected.losses[0]), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compression": {"uplink": "qsgd(4)"}}, "compression.uplink would have no effect"),
        ({"algorithm": "fedprox(0.1)", "privacy": "clip(1.0)"}, "algorithm, privacy would have no effect"),
        ({"network": "4g"}, "network would have no effect; leave it out, or write `anchors: true`"),
        (
            {"evaluation": {"personalisation": True}, "holdout": {"client": 0.2}},
            "its own model: leave evaluat",
        ),
        ({"training": "alone"}, "federated"),
    ],
)
def test_what_needs_a_server_is_refused_without_one(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config_of(**{"training": "local", **changes})


def test_more_models_than_there_is_room_for_are_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_disk = {"engine": {"client_memory_mb": 0}}
    room = "federated.run.preparing.client_memory"
    monkeypatch.setattr(f"{room}._free_bytes", lambda: 5_000)
    with pytest.raises(BadInput, match=r"training: local keeps a model for each of 6 clients, 0\.0 GB"):
        prepare(config_of(training="local", **on_disk))
    prepare(config_of(training="local"))
    prepare(config_of(training="centralised", **on_disk))
    for changes, who in (
        ({"algorithm": "scaffold"}, "algorithm: scaffold"),
        ({"compression": {"uplink": "error_feedback(sign)"}}, r"compression\.uplink: error_feedback"),
    ):
        with pytest.raises(BadInput, match=f"{who}.* keeps what it remembers for each of 6 clients"):
            prepare(config_of(**changes, **on_disk))
    monkeypatch.setattr(f"{room}._free_bytes", lambda: 20_000)
    prepare(config_of(algorithm="fedper", **on_disk))
    monkeypatch.setattr(f"{room}.machine_bytes", lambda: 20_000)
    with pytest.raises(
        BadInput, match="aggregator: median sees an update and a copy of it for each of 3 clients"
    ):
        prepare(config_of(aggregator="median"))


def test_both_have_the_data_of_the_federated_run() -> None:
    digests = {
        partition_clients(config_of(training=training, partitioner="dirichlet(0.3)")).partition_digest
        for training in ("federated", "centralised", "local")
    }
    assert len(digests) == 1
