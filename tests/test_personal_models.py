"""Models of the clients' own beside the global one: Ditto by hand and by torch, and what evaluations say of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.evaluation.predicted import evaluated
from federated.forecast.warnings import cautions
from federated.foundation.errors import BadInput
from federated.models.objective import model_inputs
from federated.report.figures.clients.personalisation_picture import personalisation_picture
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.client_half import model_of
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments import train

CONTENT = {
    "dataset": "digits",
    "model": "mlp(hidden=[8])",
    "clients": 4,
    "partitioner": "dirichlet(0.3)",
    "holdout": {"client": 0.2},
    "local": {"batch_size": 16, "learning_rate": 0.1},
    "rounds": 2,
    "engine": {"name": "loop"},
}


def trained(**changes: object) -> tuple[RunState, Setup]:
    setup = prepare(RunConfig.model_validate({**CONTENT, **changes}))
    return train_rounds(initial_state(setup), setup, setup.config.rounds), setup


@pytest.fixture(scope="module")
def ditto() -> tuple[RunState, Setup]:
    return trained(algorithm="ditto", holdout={"client": 0.2, "unseen_clients": 1})


def test_two_quadratics_by_hand(quadratics: Callable[..., Setup]) -> None:
    """Client 2 holds a = 2, b = 3 and takes four steps: v <- v - 0.1 (2 (v - 3) + (v - received)), from 0 on."""
    setup = quadratics(algorithm="ditto(lam=1)")
    state = train_rounds(initial_state(setup), setup, 3)
    v = 0.0
    for received in (0.0, 0.8856, 1.46549088):
        for _ in range(4):
            v -= 0.1 * (2 * (v - 3) + (v - received))
    kept = state.clients["algorithm"]
    assert float(kept[1]["personal"]) == pytest.approx(v, abs=1e-6)
    w = 0.0  # client 1: a = 1, b = 0, one step
    for received in (0.0, 0.8856, 1.46549088):
        w -= 0.1 * (w + (w - received))
    assert float(kept[0]["personal"]) == pytest.approx(w, abs=1e-6)
    assert float(state.parameters) == pytest.approx(1.845203428, abs=1e-6)


@pytest.mark.slow
@pytest.mark.nightly
def test_many_steps_end_at_the_minimiser(quadratics: Callable[..., Setup]) -> None:
    """(a b + lam w) / (a + lam) with the global model at 2.565469293, FedAvg's fixed point."""
    setup = quadratics(algorithm="ditto(lam=1, steps=60)", rounds=60)
    state = train_rounds(initial_state(setup), setup, 60)
    kept = [float(state.clients["algorithm"][client]["personal"]) for client in (0, 1)]
    assert kept == pytest.approx([2.565469293 / 2, (6 + 2.565469293) / 3], abs=1e-5)


@pytest.mark.parametrize("engine", ["loop", "auto"])
def test_the_global_path_is_fedavgs_and_without_lam_each_client_trains_alone(engine: str) -> None:
    """Bit for bit, at all clients of every round."""
    local = {"batch_size": 16, "learning_rate": 0.1, "momentum": 0.5, "schedule": "cosine"}
    same = {"local": local, "engine": {"name": engine}}
    (ours, setup), (plain, _) = trained(algorithm="ditto(lam=0)", **same), trained(**same)
    alone, locally = trained(training="local", **same)
    assert torch.equal(ours.parameters, plain.parameters)
    assert (ours.uplink_bytes, ours.downlink_bytes) == (plain.uplink_bytes, plain.downlink_bytes)
    for client in range(4):
        assert torch.equal(model_of(ours, setup, client), model_of(alone, locally, client))


def by_torch(setup: Setup, lam: float, rounds: int) -> list[Tensor]:
    """Personal models after rounds of torch.optim.SGD on all of a client's examples, two steps each."""

    def run(module: nn.Module, client: int, anchor: Tensor | None) -> Tensor:
        held = torch.from_numpy(setup.trainers.holders.indices[client])
        inputs, targets = model_inputs(setup.inputs[held]), setup.targets[held]
        optimiser = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        for _ in range(2):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(module(inputs), targets)
            flat = torch.cat([p.reshape(-1) for p in module.parameters()])
            (loss if anchor is None else loss + lam / 2 * (flat - anchor).square().sum()).backward()
            optimiser.step()
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])

    weights = setup.federation.sizes / setup.federation.sizes.sum()
    served, own = setup.initial_parameters.clone(), [setup.initial_parameters.clone() for _ in weights]
    for _ in range(rounds):
        make = setup.model.independent_module
        ends = [run(make(served).train(), client, None) for client in range(len(own))]
        own = [run(make(model).train(), client, served) for client, model in enumerate(own)]
        served = served + sum(
            float(weight) * (end - served) for weight, end in zip(weights, ends, strict=True)
        )
    return own


def test_personal_models_are_those_of_a_loop_of_torch() -> None:
    local = {"batch_size": None, "steps": 2, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    state, setup = trained(algorithm="ditto(lam=0.5)", local=local)
    for client, expected in enumerate(by_torch(setup, 0.5, 2)):
        assert torch.allclose(model_of(state, setup, client), expected, rtol=0, atol=1e-5)


def test_a_checkpoint_in_between_changes_no_bit(tmp_path: Path) -> None:
    whole, setup = trained(algorithm="ditto", cohort={"size": 2}, rounds=3)
    save(train(Course(initial_state(setup)), setup, 1), tmp_path / "x", {})
    again = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, setup, 3)
    assert torch.equal(whole.parameters, again.parameters)
    assert whole.clients["algorithm"].keys() == again.clients["algorithm"].keys()
    for client in range(4):
        assert torch.equal(model_of(whole, setup, client), model_of(again, setup, client))


def test_who_has_not_taken_part_answers_with_the_received_model() -> None:
    state, setup = trained(algorithm="ditto", cohort={"size": 1}, rounds=1)
    (drawn,) = state.clients["algorithm"]
    for client in range(4):
        assert torch.equal(model_of(state, setup, client), state.parameters) == (client != drawn)


@pytest.mark.parametrize("algorithm", ["ditto", "apfl", "per_fedavg(alpha=0.5)"])
def test_gain_and_losers_are_of_the_clients_that_have_a_model_of_their_own(algorithm: str) -> None:
    """One of four took part; in per_fedavg all of them take a step. Before the first round nobody has one of ditto."""
    local = {"batch_size": 16, "learning_rate": 0.5}
    state, setup = trained(algorithm=algorithm, cohort={"size": 1}, rounds=1, local=local)
    everywhere = algorithm.startswith("per_fedavg")
    clients = list(range(4)) if everywhere else list(state.clients["algorithm"])
    assert len(clients) == (4 if everywhere else 1)
    found, table = evaluate(state, setup), generalisation(state, setup).clients
    assert found["generalisation/personalisation_clients"] == len(clients)
    own, before = (np.array(table[name], float) for name in ("accuracy", "global_accuracy"))
    gains = (own - before)[clients]
    assert found["generalisation/personalisation_gain"] == pytest.approx(gains.mean())
    assert found["generalisation/personalisation_losers"] == pytest.approx((gains < 0).mean())
    assert [at for at, gain in enumerate(table["personalisation_gain"]) if gain is not None] == clients
    assert found["generalisation/global_accuracy_mean"] == pytest.approx(before.mean())
    fresh = evaluate(initial_state(setup), setup)
    assert fresh["generalisation/personalisation_clients"] == (4 if everywhere else 0)
    assert ("generalisation/personalisation_gain" in fresh) == everywhere
    assert "generalisation/global_accuracy_mean" in fresh


def accuracy(setup: Setup, model: Tensor, held: np.ndarray) -> float:
    at = torch.from_numpy(held)
    with torch.inference_mode():
        outputs = setup.model.independent_module(model)(model_inputs(setup.inputs[at]))
    return float((outputs.argmax(dim=1) == setup.targets[at]).double().mean())


def test_both_models_are_measured_on_each_clients_own_examples(ditto: tuple[RunState, Setup]) -> None:
    state, setup = ditto
    found, helds = evaluate(state, setup), setup.federation.own_held_out
    own = np.array([accuracy(setup, model_of(state, setup, at), held) for at, held in enumerate(helds)])
    everybody = np.array([accuracy(setup, state.parameters, held) for held in helds])
    of = {name.removeprefix("generalisation/"): value for name, value in found.items()}
    assert of["client_accuracy_mean"] == of["personalised_accuracy_mean"] == pytest.approx(own.mean())
    assert of["global_accuracy_mean"] == pytest.approx(everybody.mean())
    sizes = np.array([len(held) for held in helds])
    assert of["global_accuracy"] == pytest.approx(everybody @ sizes / sizes.sum())
    assert of["global_test_accuracy"] == pytest.approx(
        accuracy(setup, state.parameters, setup.federation.test)
    )
    assert of["global_test_accuracy"] != of["test_accuracy"]
    assert of["personalisation_gain"] == pytest.approx((own - everybody).mean())
    assert of["personalisation_losers"] == pytest.approx((own < everybody).mean())
    assert of["personalisation_gainers"] == pytest.approx((own > everybody).mean())


@pytest.mark.parametrize("algorithm", ["ditto", "apfl"])
def test_of_sequences_both_are_measured_by_positions(algorithm: str, tmp_path: Path) -> None:
    """Positions of padding count for neither model, nor in what is pooled."""
    numbers = np.random.default_rng(0)
    tokens, lengths = numbers.integers(1, 6, size=(40, 4)), numbers.integers(1, 5, size=40)
    tags = np.where(np.arange(4) < lengths[:, None], tokens % 3, -1)
    np.savez(tmp_path / "tags.npz", inputs=tokens, targets=tags, client_ids=np.repeat(["a", "b"], 20))
    state, setup = trained(
        dataset={"name": "arrays", "path": str(tmp_path / "tags.npz"), "padding": -1},
        model="lstm(embedding=3, hidden=4, layers=1, vocabulary=6)",
        partitioner="by_client",
        clients=None,
        algorithm=algorithm,
    )
    right, counted = 0, 0
    for held in setup.federation.own_held_out:
        with torch.inference_mode():
            outputs = setup.model.independent_module(state.parameters)(model_inputs(setup.inputs[held]))
        real = tags[held] >= 0
        right += int((outputs.argmax(dim=-1).numpy()[real] == tags[held][real]).sum())
        counted += int(real.sum())
    assert evaluate(state, setup)["generalisation/global_accuracy"] == pytest.approx(right / counted)
    assert generalisation(state, setup).personalised is not None


def test_unseen_clients_have_the_global_model(ditto: tuple[RunState, Setup]) -> None:
    state, setup = ditto
    (held,) = setup.federation.unseen
    found = evaluate(state, setup)
    assert found["generalisation/unseen_accuracy"] == pytest.approx(accuracy(setup, state.parameters, held))
    watched = {"metric": "generalisation/unseen_accuracy", "patience": 2}
    prepare(
        setup.config.model_copy(update={"stop": RunConfig.model_validate({**CONTENT, "stop": watched}).stop})
    )


@pytest.mark.parametrize("algorithm", ["ditto", "per_fedavg(alpha=0.5)"])
def test_the_participation_gap_is_that_of_one_model_on_both_sides(algorithm: str) -> None:
    """The global model's accuracy on all held-out examples, minus that on unseen clients, with its interval."""
    state, setup = trained(
        algorithm=algorithm,
        clients=12,
        partitioner="dirichlet(1.0)",
        holdout={"client": 0.3, "unseen_clients": 5},
        local={"batch_size": 16, "learning_rate": 0.5},
    )
    inside, outside = (
        accuracy(setup, state.parameters, np.concatenate(helds))
        for helds in (setup.federation.own_held_out, setup.federation.unseen)
    )
    found, ends = evaluate(state, setup), generalisation(state, setup).metrics
    assert found["generalisation/client_accuracy"] != pytest.approx(inside)  # else both rules are one
    assert found["generalisation/participation_gap"] == pytest.approx(inside - outside)
    low, high = (ends[f"generalisation/participation_gap_{end}"] for end in ("low", "high"))
    assert (low + high) / 2 == pytest.approx(inside - outside, abs=0.25 * (high - low))
    assert found["generalisation/out_of_sample_gap"] == pytest.approx(
        found["generalisation/training_accuracy"] - found["generalisation/client_accuracy"]
    )


def test_the_end_has_a_row_for_each_client_and_a_picture(ditto: tuple[RunState, Setup]) -> None:
    state, setup = ditto
    found = generalisation(state, setup)
    table = found.clients
    gains = np.array(table["accuracy"][:4], float) - np.array(table["global_accuracy"][:4], float)
    assert np.array(table["personalisation_gain"][:4], float) == pytest.approx(gains)
    assert table["takes_part"] == [True, True, True, True, False]
    assert table["personalisation_gain"][4] is None
    figure = personalisation_picture(found)
    assert figure is not None
    assert "own model" in figure.axes[0].get_ylabel()


def test_every_set_has_examples_of_the_clients_that_answer(ditto: tuple[RunState, Setup]) -> None:
    state, setup = ditto
    names = [name for name, _, _ in evaluated(state, setup)]
    assert set(names) == {"test", "client", "unseen", "training"}


def test_what_would_have_to_be_remembered_besides_is_refused(own: Callable[[str], str]) -> None:
    name = own(
        "from torch import nn\ndef normalised(input_shape, num_outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, num_outputs))\n"
    )
    with pytest.raises(BadInput, match=r"algorithm: ditto.*: the model has running statistics, in 1"):
        trained(algorithm="ditto", model=f"{name}:normalised")


@pytest.mark.parametrize("algorithm", ["ditto", "apfl", "pfedme(lam=1)", "moon"])
def test_statistics_of_a_frozen_layer_never_change_and_are_no_reason_to_refuse(
    algorithm: str, own: Callable[[str], str]
) -> None:
    name = own(
        "from torch import nn\ndef frozen(input_shape, num_outputs):\n"
        "    normalised = nn.BatchNorm1d(64)\n"
        "    normalised.requires_grad_(False)\n"
        "    return nn.Sequential(nn.Flatten(), normalised, nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, num_outputs))\n"
    )
    state, setup = trained(algorithm=algorithm, model=f"{name}:frozen", rounds=1)
    assert setup.model.statistics == ()
    assert not torch.equal(state.parameters, setup.initial_parameters)


def test_without_examples_of_the_clients_a_forecast_says_what_stays_open() -> None:
    def warned(**changes: object) -> bool:
        setup = prepare(RunConfig.model_validate({**CONTENT, **changes}))
        return any(sentence.startswith("holdout.client is 0, so whether") for sentence in cautions(setup))

    for algorithm in ("ditto", "per_fedavg", "fedper"):
        assert warned(algorithm=algorithm, holdout={})
        assert not warned(algorithm=algorithm)
    assert not warned(holdout={})
    assert warned(training="local", holdout={})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"algorithm": "fedper"}, True),
        ({"algorithm": "lg_fedavg"}, True),
        ({"algorithm": "fedper", "evaluation": {"unseen_fit": {"examples": 4, "steps": 2}}}, False),
        ({"algorithm": "fedbn"}, False),  # nothing stays of a model without batch normalisation
        ({"algorithm": "ditto"}, False),
        ({"algorithm": "fedavg"}, False),
        ({"algorithm": "fedper", "holdout": {"client": 0.2}}, False),
    ],
)
def test_a_forecast_says_where_clients_that_never_take_part_have_no_model(
    changes: dict[str, object], expected: bool
) -> None:
    content = {**CONTENT, "holdout": {"client": 0.2, "unseen_clients": 1}, **changes}
    said = [
        each for each in cautions(prepare(RunConfig.model_validate(content))) if "has no model for" in each
    ]
    assert len(said) == expected


def test_arguments_and_fine_tuning_after_the_fact_are_refused() -> None:
    with pytest.raises(ValueError, match="lam"):
        trained(algorithm="ditto(lam=-1)")
    with pytest.raises(ValueError, match="steps must be at least 1"):
        trained(algorithm="ditto(steps=0)")
    with pytest.raises(ValueError, match=r"ditto.*leave evaluation\.personalisation out"):
        trained(algorithm="ditto", evaluation={"personalisation": True})
