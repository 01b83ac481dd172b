"""Membership inference on federations: an overfit model is found out, a fresh one tells nothing, shadows are halves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from federated.attacks.leakage import leakage
from federated.attacks.membership import MembershipFound, membership, suspects_of
from federated.attacks.observed import (
    in_a_round_that_trains,
    mean_of,
    one_cohort,
    under_model,
    under_updates,
    without_traces,
)
from federated.attacks.shadows import shadows
from federated.compressors import COMPRESSORS
from federated.config.measuring.leakage import MembershipInference
from federated.config.run import RunConfig
from federated.datasets import DATASETS
from federated.evaluation.outputs import Outputs
from federated.examples.examples import Examples
from federated.foundation.errors import BadInput
from federated.metrics.dictionary import METRICS
from federated.rounds import STAGES, run_round, train_rounds
from federated.run.clients.cohort import heard_within, sample_cohort
from federated.run.preparing.attacks.halves import half_of
from federated.run.preparing.attacks.shadow_config import shadow_config
from federated.run.setup import Setup, initial_state, prepare, prepare_shadow
from federated.run.state import RunState
from federated.transports import TRANSPORTS
from tests.conftest import config_of
from tests.test_transports import integers, masked

EACH = 40


def noise() -> Examples:
    """500 examples of five clients, with labels that have nothing to do with the inputs."""
    numbers = np.random.default_rng(0)
    inputs = numbers.normal(size=(500, 20)).astype(np.float32)
    clients = np.repeat(np.arange(5), 100)
    times = pd.DataFrame({"t": np.arange(500.0)})
    return Examples("noise", inputs, numbers.integers(0, 4, 500), tuple("abcd"), clients, properties=times)


@pytest.fixture(scope="module", autouse=True)
def registered() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, "noise", lambda: noise)
        patch.setitem(TRANSPORTS, "masked", masked)
        patch.setitem(COMPRESSORS, "integers", integers)
        yield


def noisy(**changes: Any) -> RunConfig:
    base = {
        "dataset": "noise",
        "partitioner": "by_client",
        "holdout": {"client": 0.5},
        "model": "mlp(hidden=[64])",
        "local": {"epochs": 4, "batch_size": 10, "learning_rate": 0.2},
        "rounds": 12,
        "leakage": {"membership": {"shadows": 2}},
    }
    return RunConfig.model_validate(base | changes)


@pytest.fixture(scope="module")
def overfit() -> tuple[RunState, Setup, MembershipFound]:
    """Labels by chance can only be learnt by heart."""
    setup = prepare(noisy())
    state = train_rounds(initial_state(setup), setup, 12)
    return state, setup, membership(state, setup, MembershipInference(shadows=2))


def by_chance(examples: int) -> float:
    """Five standard errors of the AUC of so many members and as many others that nothing tells apart."""
    return float(5 * np.sqrt((2 * examples + 1) / (12 * examples**2)))


def test_what_was_learnt_by_heart_is_found_out(overfit: tuple[RunState, Setup, MembershipFound]) -> None:
    metrics = overfit[2].metrics
    for attack in ("loss", "lira", "lira_offline"):
        assert metrics[f"privacy/membership_{attack}_auc"] > 0.7
        assert metrics[f"privacy/update_membership_{attack}_auc"] > 0.7
    assert metrics["privacy/membership_loss_tpr_at_fpr_01"] > 0.05
    assert metrics["privacy/membership_shadows"] == 2
    assert metrics["privacy/update_membership_updates_in_one"] == 1
    assert set(metrics) <= set(METRICS)


def test_the_table_of_clients_joins_leaks_to_divergence(
    overfit: tuple[RunState, Setup, MembershipFound],
) -> None:
    _, setup, found = overfit
    assert found.clients["client"] == list(setup.federation.names)
    assert sum(found.clients["members"]) * 2 == found.metrics["privacy/membership_examples"]
    assert min(found.clients["membership_loss_auc"]) > 0.6
    assert len(found.clients["label_divergence_bits"]) == 5
    table = found.curve_table()
    assert table["false_positive_rate"][-1] == table["membership_loss"][-1] == 1.0
    assert found.metrics["privacy/membership_loss_tpr_at_fpr_01"] == table["membership_loss"][4]


def test_a_model_that_was_not_trained_tells_nothing(
    overfit: tuple[RunState, Setup, MembershipFound],
) -> None:
    setup = overfit[1]
    untrained = replace(initial_state(setup), round=1)  # as after a round in which all were heard
    found = membership(untrained, setup, MembershipInference(shadows=0, updates=False))
    wide = by_chance(int(found.metrics["privacy/membership_examples"]) // 2)
    assert found.metrics["privacy/membership_loss_auc"] == pytest.approx(0.5, abs=wide)
    assert set(found.curves) == {"membership_loss"}


def test_the_loss_is_that_of_torch(overfit: tuple[RunState, Setup, MembershipFound]) -> None:
    state, setup, found = overfit
    asked = suspects_of(setup, 2_000, np.arange(5))
    module = setup.model.independent_module(state.parameters)
    inputs, targets = (part[torch.from_numpy(asked.indices)] for part in (setup.inputs, setup.targets))
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(module(inputs), targets, reduction="none").numpy()
    better = losses[asked.members][:, None] < losses[~asked.members][None]
    assert found.metrics["privacy/membership_loss_auc"] == pytest.approx(better.mean(), abs=1e-6)


def test_suspects_are_as_many_of_each_client_from_both_of_its_parts(
    overfit: tuple[RunState, Setup, MembershipFound],
) -> None:
    setup = overfit[1]
    asked = suspects_of(setup, EACH, np.arange(5))
    assert asked.members.sum() == (~asked.members).sum() == EACH
    assert len(set(asked.indices.tolist())) == 2 * EACH
    for client in range(5):
        mine = asked.of(np.array([client]))
        assert mine.members.sum() == (~mine.members).sum()
        assert np.isin(mine.indices[mine.members], setup.federation.clients[client]).all()
        assert np.isin(mine.indices[~mine.members], setup.federation.own_held_out[client]).all()


def test_two_shadows_in_a_row_are_two_halves_of_every_client() -> None:
    federation = prepare(noisy()).federation
    one, other = (half_of(federation, 3, number) for number in range(2))
    again, next_pair = half_of(federation, 3, 0), half_of(federation, 3, 2)
    for client in range(5):
        held = {*federation.clients[client].tolist(), *federation.own_held_out[client].tolist()}
        halves = [set(half.clients[client].tolist()) for half in (one, other)]
        assert halves[0] | halves[1] == held
        assert not halves[0] & halves[1]
        assert abs(len(halves[0]) - len(halves[1])) <= 1
        assert np.array_equal(again.clients[client], one.clients[client])
        assert set(next_pair.clients[client].tolist()) not in halves
    assert not any(map(len, one.own_held_out))


def test_a_shadow_is_a_run_of_its_half() -> None:
    """As the run of a federation that was dealt that way: the same model to the bit."""
    setup = prepare(noisy(rounds=2, local={"steps": 2}, cohort={"size": 2}))
    indices = np.arange(500)
    begun: list[int] = []
    for number, shadow in enumerate(shadows(setup, 2, indices, 2, begun.append)):
        half = half_of(setup.federation, setup.config.seed, number)
        wanted = replace(
            prepare(shadow_config(setup.config, number)), federation=setup.federation
        ).initial_parameters
        assert torch.equal(shadow.setup.initial_parameters, wanted)
        assert shadow.state.round == 2
        assert np.array_equal(np.flatnonzero(shadow.held), np.sort(half.training))
        drawn = {client for done in range(2) for client in sample_cohort(shadow.setup, done).tolist()}
        heard = np.concatenate([half.clients[client] for client in drawn])
        assert np.array_equal(np.flatnonzero(shadow.trained), np.sort(heard))
        assert shadow.setup.config.seed != setup.config.seed
    assert begun == [0, 1]


def test_the_update_is_judged_by_the_model_with_which_its_client_ends() -> None:
    setup = prepare(config_of(holdout={"client": 0.5}, cohort={"size": 6}, clients=6))
    state = train_rounds(initial_state(setup), setup, 1)
    asked = suspects_of(setup, 60, setup.trainers.eligible)
    found = under_updates(state, setup, asked, np.arange(6))
    trained = setup.worker.train(state.parameters, list(range(6)), state.round).deltas
    for client in np.unique(asked.owners):
        mine = asked.owners == client
        wanted = Outputs(setup).of(state.parameters + trained[client], asked.indices[mine])
        assert torch.allclose(found[mine], wanted, atol=1e-5)


def test_of_a_sum_the_server_judges_the_mean_model_and_the_cohort_alone() -> None:
    changes = {"cohort": {"size": 3, "weighting": "uniform"}, "compression": {"uplink": "integers"}}
    setup = prepare(config_of(holdout={"client": 0.5}, transport="masked", **changes))
    state = train_rounds(initial_state(setup), setup, 1)
    asked = suspects_of(setup, 60, setup.trainers.eligible)
    cohort = one_cohort(setup, heard_within(setup, 1))
    found = under_updates(state, setup, asked.of(cohort), cohort)
    deltas = setup.worker.train(state.parameters, cohort.tolist(), state.round).deltas
    wanted = Outputs(setup).of(state.parameters + deltas.mean(dim=0), asked.of(cohort).indices)
    assert torch.allclose(found, wanted, atol=2e-3)
    whole = membership(state, setup, MembershipInference(shadows=0, examples=60))
    own = np.array(whole.clients["update_membership_loss_auc"], float)
    assert set(np.flatnonzero(np.isfinite(own))) <= set(cohort.tolist())
    assert len(cohort) == 3
    assert whole.metrics["privacy/update_membership_updates_in_one"] == 3


def test_nothing_of_the_run_changes() -> None:
    setup = prepare(config_of(holdout={"client": 0.3}, rounds=2, local={"steps": 2}))
    state = train_rounds(initial_state(setup), setup, 1)
    plain, _ = run_round(state, setup, STAGES)
    first = membership(state, setup, MembershipInference(shadows=2, examples=50)).metrics
    after, _ = run_round(state, setup, STAGES)
    assert torch.equal(plain.parameters, after.parameters)
    assert membership(state, setup, MembershipInference(shadows=2, examples=50)).metrics == first


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"holdout": {"client": 0.0}}, r"none; state holdout\.client \(now 0\.0\)"),
        (
            {"dataset": "linear", "model": "linear", "holdout": {"client": 0.5}},
            "LiRA.*regression; state shadows: 0",
        ),
        (
            {
                "holdout": {"client": 0.5, "by": "time(column='t', within='client')", "test": 0.1},
                "dataset": "noise",
                "partitioner": "by_client",
                "clients": 5,
            },
            r"holdout\.by: time.*would take the difference for membership",
        ),
        ({"algorithm": "fedper"}, "keeps a part of the model"),
        ({"algorithm": "ifca(clusters=2)"}, "a model for each cluster"),
    ],
)
def test_an_attack_without_an_object_is_refused(changes: dict[str, Any], why: str) -> None:
    base = {"holdout": {"client": 0.2}, "leakage": {"membership": True}}
    with pytest.raises(BadInput, match=why):
        prepare(config_of(**(base | changes)))


def test_numbers_have_a_loss_threshold() -> None:
    config = config_of(
        dataset="linear", model="linear", holdout={"client": 0.5}, leakage={"membership": {"shadows": 0}}
    )
    setup = prepare(config)
    state = replace(initial_state(setup), round=1)
    asked = suspects_of(setup, 50, heard_within(setup, 1))
    outputs = under_model(state, setup, asked)
    found = membership(state, setup, MembershipInference(shadows=0, examples=50, updates=False))
    errors = (outputs.reshape(-1) - setup.targets[torch.from_numpy(asked.indices)].reshape(-1)) ** 2
    better = errors[torch.from_numpy(asked.members)][:, None] < errors[torch.from_numpy(~asked.members)]
    assert found.metrics["privacy/membership_loss_auc"] == pytest.approx(float(better.double().mean()))


SECURE = {
    "transport": "secure_aggregation(clip=1, silent=0.15)",
    "cohort": {"size": 9, "weighting": "uniform"},
}


@pytest.mark.parametrize(("seed", "shadows"), [(2, 0), (0, 4)])
def test_no_drop_out_of_a_protocol_ends_a_measurement(seed: int, shadows: int) -> None:
    """With these seeds the protocol would fail in the round after the last, and in round 1 of a shadow."""
    options = {"membership": {"shadows": shadows, "examples": 50}}
    setup = prepare(
        config_of(
            clients=10,
            holdout={"client": 0.3},
            rounds=2,
            seed=seed,
            leakage=options,
            local={"steps": 1},
            **SECURE,
        )
    )
    found = leakage(replace(initial_state(setup), round=2), setup)
    assert found is not None
    assert found.failed == ()
    assert found.membership is not None
    assert found.metrics["privacy/membership_shadows"] == shadows


def test_an_attack_reads_the_sum_that_the_protocol_opens() -> None:
    setup = prepare(
        config_of(
            holdout={"client": 0.5},
            transport="secure_aggregation(clip=1)",
            cohort=SECURE["cohort"] | {"size": 4},
        )
    )
    state = initial_state(setup)
    cohort = sample_cohort(setup, 0)
    summed = mean_of(state, without_traces(setup), cohort)
    stepped = train_rounds(state, setup, 1).parameters - state.parameters
    assert torch.allclose(summed.to(stepped), stepped, atol=1e-5)
    assert stepped.abs().max() > 1e-3


def test_a_client_of_one_example_is_in_no_attacked_sum() -> None:
    """Half of its one example is none in one of two shadows."""
    numbers = np.random.default_rng(0)
    owners = np.concatenate([np.repeat(np.arange(4), 20), np.arange(4, 12)])
    inputs, labels = numbers.normal(size=(88, 5)).astype(np.float32), numbers.integers(0, 2, 88)
    DATASETS["one"] = lambda: lambda: Examples("one", inputs, labels, ("a", "b"), owners)
    try:
        config = noisy(
            dataset="one",
            model="logistic",
            holdout={"client": 0.3, "test": 0.05},
            transport="secure_aggregation(clip=1)",
            cohort={"weighting": "uniform"},
            local={"steps": 1},
            rounds=1,
        )
        setup = prepare(config)
    finally:
        del DATASETS["one"]
    assert (setup.federation.sizes == 1).any()
    found = membership(replace(initial_state(setup), round=1), setup, MembershipInference(shadows=2))
    assert {"update_membership_loss", "update_membership_lira"} <= set(found.curves)


def test_members_are_examples_of_clients_that_were_heard() -> None:
    setup = prepare(noisy(cohort={"size": 2}, rounds=1, leakage={"membership": {"shadows": 0}}))
    drawn = sample_cohort(setup, 0)
    assert np.array_equal(heard_within(setup, 1), drawn)
    found = membership(replace(initial_state(setup), round=1), setup, MembershipInference(shadows=0))
    assert set(np.flatnonzero(found.clients["members"])) == set(drawn.tolist())
    everybody = {client for done in range(12) for client in sample_cohort(setup, done).tolist()}
    assert set(heard_within(prepare(noisy(cohort={"size": 2})), 12)) == everybody
    with pytest.raises(BadInput, match="clients whose updates were heard"):
        membership(initial_state(setup), setup, MembershipInference(shadows=0))


def test_a_shadow_has_the_noise_that_was_found_for_the_run_and_promises_nothing() -> None:
    privacy = {"mechanism": "central_gaussian(norm=1)", "target_epsilon": 3, "delta": 0.05}
    cohort = {"size": 3, "weighting": "uniform"}
    setup = prepare(config_of(holdout={"client": 0.5}, privacy=privacy, cohort=cohort))
    assert setup.promise is not None
    shadow = prepare_shadow(setup, 0)
    assert shadow.promise is None
    (stated,) = [shadow.config.privacy.mechanism.arguments["noise_multiplier"]]
    assert stated == setup.promise.noise


def test_an_attack_that_fails_is_said_in_a_line_and_leaves_the_other() -> None:
    setup = prepare(
        config_of(
            holdout={"client": 0.5}, leakage={"membership": {"shadows": 2}, "inversion": {"iterations": 1}}
        )
    )
    broken = initial_state(setup)
    broken = replace(broken, round=1, parameters=torch.full_like(broken.parameters, torch.nan))
    found = leakage(broken, setup)
    assert found is not None
    assert found.membership is None
    assert found.inversion is not None
    assert found.failed == (
        "leakage.membership could not be measured: Diverged: leakage: a model's outputs on the examples about which is "
        "asked are not finite",
    )


@pytest.mark.parametrize("field", ["local", "server"])
def test_the_attacked_round_is_one_that_trains(field: str) -> None:
    """A cosine has come to zero in the round after the last, which would send nothing."""
    cosine = (
        {"server_schedule": "cosine"} if field == "server" else {"local": {"steps": 2, "schedule": "cosine"}}
    )
    setup = prepare(config_of(holdout={"client": 0.5}, rounds=3, **cosine))
    state = replace(initial_state(setup), round=3)
    assert in_a_round_that_trains(state, setup).round == 2
    assert in_a_round_that_trains(replace(state, round=1), setup).round == 1
    if field == "local":
        asked = suspects_of(setup, 20, setup.trainers.eligible)
        sent = under_updates(state, setup, asked, setup.trainers.eligible)
        assert not torch.allclose(sent, under_model(state, setup, asked), atol=1e-4)
    steady = prepare(config_of(holdout={"client": 0.5}, rounds=3))
    assert in_a_round_that_trains(state, steady) is state
