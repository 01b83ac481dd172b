"""Rules for low-rank adapters in whole rounds: against a loop over the clients' own weights, and what travels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.aggregators.lora.adapters import adapters_of
from federated.config.run import RunConfig
from federated.forecast.traffic.residuals import residual_bytes
from federated.foundation.errors import BadInput
from federated.local_training.engine import ENGINES
from federated.models.adapted.residual import put_beside, without_residuals
from federated.models.flat_model import FlatModel
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import sample_cohort, weights_of
from federated.run.clients.order import order_of
from federated.run.course import Course
from federated.run.memory import HELD, with_server
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.shards import train
from federated.wire.downlink import broadcast
from federated.wire.residuals import unpacked
from federated.wire.uplink import compress
from tests.conftest import ADAPTED

SCALE, ROUNDS = 1.5, 4
SHAPES = [(9, 64), (13, 9)]


pytestmark = pytest.mark.usefixtures("adapted_model")


def prepared(**changes: Any) -> Setup:
    content = {
        "dataset": "digits",
        "model": f"{ADAPTED}:adapted",
        "clients": 6,
        "cohort": {"size": 3},
        "rounds": ROUNDS,
        "partitioner": "dirichlet(0.5)",
        "local": {"steps": 3, "learning_rate": 0.2},
        "engine": {"name": "loop"},
    }
    return prepare(RunConfig.model_validate({**content, **changes}))


def weights_in(module: nn.Module) -> list[Tensor]:
    """The weights of both adapted layers, all that is added to them included, float64."""
    found = []
    for layer in (module[1], module[3]):
        base = layer.base_layer
        beside = 0 if isinstance(base, nn.Linear) else base.scale * base.residual.double()
        weight = (base if isinstance(base, nn.Linear) else base.base_layer).weight.double() + beside
        found.append((weight + SCALE * layer.lora_B.weight.double() @ layer.lora_A.weight.double()).detach())
    return found


def mean_weights(setup: Setup, state: RunState) -> list[Tensor]:
    """The weighted mean of the weights of the next cohort's models as the server reads them, by a loop over modules."""
    cohort = sample_cohort(setup, state.round)
    weights = weights_of(cohort, setup)
    order = order_of(state, broadcast(setup, state, cohort.tolist()).model, cohort, weights)
    read = compress(setup.worker, order, train(setup.worker, order)).decoded
    models = [setup.model.independent_module(state.parameters + each) for each in read]
    return [
        sum(float(weight) * each for weight, each in zip(weights, layers, strict=True))
        for layers in zip(*map(weights_in, models), strict=True)
    ]


def after(setup: Setup, rounds: int) -> RunState:
    return train_rounds(initial_state(setup), setup, rounds)


@pytest.mark.parametrize(
    ("aggregator", "changes"),
    [
        ("lora_residual", {}),
        ("lora_stack", {}),
        ("lora_residual", {"compression": {"uplink": "qsgd(8)", "downlink": "float16"}}),
        ("lora_residual", {"algorithm": "fedprox(0.1)", "privacy": "clip(0.1)"}),
    ],
)
def test_exact_rules_average_the_weights_of_the_clients_models(
    aggregator: str, changes: dict[str, Any]
) -> None:
    """Unequal clients, layers that are not square, in the first round and in a later one; of what was decoded."""
    setup = prepared(aggregator=aggregator, **changes)
    state, frozen = initial_state(setup), setup.model.module[1].base_layer.base_layer.weight.clone()
    assert [tuple(shape) for _, shape in setup.model.residuals] == SHAPES
    for _ in range(2):
        expected = mean_weights(setup, state)
        state = train_rounds(state, setup, state.round + 1)
        found = weights_in(setup.model.independent_module(state.parameters))
        for one, other in zip(found, expected, strict=True):
            assert float((one - other).norm() / other.norm()) < 1e-6
    assert torch.equal(setup.model.module[1].base_layer.base_layer.weight, frozen)


def test_the_error_of_the_mean_is_that_of_the_clients_models_and_zero_for_a_frozen_a() -> None:
    setup, measured = prepared(), list[float]()
    state = initial_state(setup)
    expected = mean_weights(setup, state)
    bases = [setup.model.module[at].base_layer.weight.double() for at in (1, 3)]
    after = train_rounds(
        state, setup, 1, measured=lambda _, found: measured.append(found["train/lora_error"])
    )
    naive = weights_in(setup.model.independent_module(after.parameters))
    error = sum(float((one - other).norm() ** 2) for one, other in zip(naive, expected, strict=True))
    whole = sum(float((each - base).norm() ** 2) for each, base in zip(expected, bases, strict=True))
    assert measured[0] == pytest.approx((error / whole) ** 0.5, rel=1e-4)
    assert measured[0] > 1e-3
    frozen = prepared(model=f"{ADAPTED}:adapted(frozen=A)")
    train_rounds(
        initial_state(frozen),
        frozen,
        1,
        measured=lambda _, found: measured.append(found["train/lora_error"]),
    )
    assert measured[1] == 0
    assert not any("lora_A" in name for name, _ in frozen.parts.travelling.layout)  # A never travels


def test_a_cut_keeps_the_best_of_the_mean_and_logs_what_is_lost() -> None:
    setup, measured = prepared(aggregator="lora_svd"), list[float]()
    state = initial_state(setup)
    bases = [setup.model.module[at].base_layer.weight.detach().double() for at in (1, 3)]
    wanted = [each - base for each, base in zip(mean_weights(setup, state), bases, strict=True)]
    after = train_rounds(
        state, setup, 1, measured=lambda _, found: measured.append(found["train/lora_discarded"])
    )
    found = weights_in(setup.model.independent_module(after.parameters))
    lost = 0.0
    for layer, base, whole in zip(found, bases, wanted, strict=True):
        left, values, right = torch.linalg.svd(whole)
        nearest = left[:, :2] @ torch.diag(values[:2]) @ right[:2]
        assert torch.allclose(layer - base, nearest, rtol=0, atol=1e-6)
        lost += float(values[2:].square().sum())
    assert measured[0] == pytest.approx(lost / sum(float(each.square().sum()) for each in wanted), rel=1e-3)


@pytest.mark.parametrize(
    ("aggregator", "expected"), [("lora_residual", {"replayed"}), ("lora_stack", {"replayed", "whole"})]
)
def test_every_client_has_the_servers_residuals_to_the_bit_whatever_rounds_it_missed(
    aggregator: str, expected: set[str]
) -> None:
    """Each client adds up what it is sent; cohorts of two of six miss rounds. The bytes are those foreseen."""
    setup = prepared(aggregator=aggregator, cohort={"size": 2}, rounds=7, model=f"{ADAPTED}:adapted(rank=1)")
    state, own, sent = initial_state(setup), dict[int, Tensor](), 0
    whole, ways = setup.model.num_residual, set[str]()
    for _ in range(7):
        cohort = sample_cohort(setup, state.round).tolist()
        for client, parcel in zip(cohort, broadcast(setup, state, cohort).parcels, strict=True):
            held = own.get(client, torch.zeros(whole))
            for payload in [payload for part, payload in parcel if part == "residual"]:
                sent += len(payload)
                if len(payload) == 8 + 4 * whole:
                    held = torch.frombuffer(bytearray(payload[8:]), dtype=torch.float32)
                    ways.add("whole")
                else:
                    held = held + torch.cat([each.flatten() for each in unpacked(payload, SHAPES)])
                    ways.add("replayed")
            assert torch.equal(held, state.parameters[setup.model.num_sendable :])
            own[client] = held
        state = train_rounds(state, setup, state.round + 1)
    assert ways == expected
    assert sent == residual_bytes(setup)


def test_residuals_are_in_the_ledger_of_the_downlink_alone() -> None:
    setup, measured = prepared(aggregator="lora_residual"), list[dict[str, float]]()
    train_rounds(initial_state(setup), setup, 2, measured=lambda _, found: measured.append(dict(found)))
    first, second = measured
    update = 4 * setup.model.num_trainable + 8
    assert first["communication/uplink_bytes"] == second["communication/uplink_bytes"] == 3 * update
    assert first["communication/downlink_bytes"] == 3 * update
    # Two clients of three beyond the mean, rank 2: four columns of 9 and rows of 64; of the smaller layer the matrix.
    payload = 4 * (1 + 4 * (9 + 64) + 1 + min(4 * (13 + 9), 13 * 9))
    extra = second["communication/downlink_bytes"] - 3 * update
    assert extra == second["communication/downlink/residual_bytes"] + extra % payload
    assert 3 * payload <= extra <= 3 * (4 * setup.model.num_residual + 8)


@pytest.mark.parametrize("aggregator", ["lora_residual", "lora_svd"])
def test_a_checkpoint_goes_on_to_the_bit(aggregator: str, tmp_path: Path) -> None:
    setup = prepared(aggregator=aggregator)
    save(Course(after(setup, 2)), tmp_path / "state", {})
    kept = load(tmp_path / "state", {}, torch.device("cpu")).state
    one, other = train_rounds(kept, setup, ROUNDS), after(setup, ROUNDS)
    assert torch.equal(one.parameters, other.parameters)
    assert one.downlink_bytes == other.downlink_bytes


@pytest.mark.parametrize("aggregator", ["mean", "lora_residual", "lora_svd", "lora_stack"])
def test_shards_change_nothing_but_rounding(aggregator: str) -> None:
    setup, found = prepared(aggregator=aggregator, cohort={"size": 5}), []
    for size in (5, 2):
        cut = replace(setup, shard_size=size)
        module = cut.model.independent_module(after(cut, 2).parameters)
        found.append(torch.cat([each.flatten() for each in weights_in(module)]))
    assert torch.allclose(found[0], found[1], rtol=0, atol=1e-6)


def test_one_client_leaves_no_residual_and_trains_as_with_the_mean() -> None:
    alone = {"clients": 1, "partitioner": "iid", "cohort": {"size": 1}}
    one, other = (after(prepared(**alone, aggregator=each), 2) for each in ("mean", "lora_residual"))
    assert not other.parameters[len(one.parameters) :].any()
    assert torch.allclose(one.parameters, other.parameters[: len(one.parameters)], rtol=0, atol=1e-6)


def test_a_merged_module_answers_as_the_one_with_residuals() -> None:
    setup = prepared(aggregator="lora_residual")
    module = setup.model.independent_module(after(setup, 2).parameters)
    inputs = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    before, base = module(inputs), module[1].base_layer.base_layer.weight.clone()
    merged = without_residuals(module)
    assert not any("residual" in name for name in merged.state_dict())
    assert torch.allclose(merged(inputs), before, rtol=0, atol=1e-5)
    assert not torch.equal(merged[1].base_layer.weight, base)


def test_nobody_hears_residuals_of_rounds_in_which_nobody_was_heard() -> None:
    setup = prepared(aggregator="lora_residual")
    state = after(setup, 1)
    told = broadcast(setup, state, [0, 1])
    again = replace(state, server=with_server(state.server, HELD, told.held))
    assert all(part != "residual" for parcel in broadcast(setup, again, [0, 1]).parcels for part, _ in parcel)
    assert any(part == "residual" for parcel in broadcast(setup, again, [2]).parcels for part, _ in parcel)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "logistic"}, "aggregator: lora_svd is for low-rank adapters, and the model has none"),
        ({"model": f"{ADAPTED}:adapted(frozen=A)"}, "the mean is exact already"),
    ],
)
def test_a_rule_without_both_factors_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        prepared(aggregator="lora_svd", **changes)


def test_engines_that_stack_vectors_leave_matrices_beside_frozen_weights_to_the_loop() -> None:
    """They would decay them; clients move none of them, whatever the engine that is asked for."""
    setup = prepared(
        aggregator="lora_residual", engine={"name": "auto"}, local={"steps": 2, "weight_decay": 0.1}
    )
    for name in ("folded", "vmap"):
        with pytest.raises(ValueError, match="beside frozen weights"):
            ENGINES[name](setup.worker.work, 1)
    state = after(setup, 2)
    cohort = sample_cohort(setup, 2)
    order = order_of(state, state.parameters, cohort, weights_of(cohort, setup))
    assert not train(setup.worker, order).deltas[:, setup.model.num_sendable :].any()
    assert state.parameters[setup.model.num_sendable :].any()


def test_factors_are_found_by_name_whatever_stands_between_them() -> None:
    layout = [
        ("q.lora_A.default.weight", (2, 5)),
        ("head.weight", (3, 4)),
        ("q.lora_B.default.weight", (7, 2)),
        ("c.lora_A.default.weight", (2, 3, 3, 3)),
        ("c.lora_B.default.weight", (6, 2, 1, 1)),
        ("v.lora_B.default.weight", (7, 2)),
    ]
    query, kernel = adapters_of(layout, {name for name, _ in layout})
    vector = torch.arange(10 + 12 + 14 + 54 + 12 + 14).float()
    b, a = query.factors(vector)
    assert torch.equal(a, vector[:10].view(2, 5))
    assert torch.equal(b, vector[22:36].view(7, 2))
    assert [tuple(each.shape) for each in kernel.factors(vector[None])] == [(1, 6, 2), (1, 2, 27)]
    assert np.isclose(float(kernel.factors(vector)[1][1, 0]), 36 + 27)


class PapersOwn(nn.Module):
    """x A B, as a paper writes it: A [k, r] and B [r, d], with the names and all else of peft's layers or without."""

    def __init__(self, size: int, out: int, *, like_peft: bool, modules: bool) -> None:
        super().__init__()
        base, a, b = (
            nn.Linear(size, out),
            nn.Parameter(torch.randn(size, 2)),
            nn.Parameter(torch.randn(2, out)),
        )
        self.lora_A, self.lora_B = (
            nn.ParameterDict({"default": each}) if modules else each for each in (a, b)
        )
        if like_peft:
            self.base_layer, self.scaling = base, {"default": 1.0}
        else:
            self.base = base


@pytest.mark.parametrize("like_peft", [True, False])
@pytest.mark.parametrize("modules", [True, False])
@pytest.mark.parametrize("out", [5, 6])
def test_own_parameters_of_these_names_are_no_factors(out: int, modules: bool, like_peft: bool) -> None:
    own = nn.Sequential(PapersOwn(6, out, like_peft=like_peft, modules=modules), nn.Linear(out, 2))
    model = FlatModel(put_beside(own))
    assert model.factors == frozenset()
    assert model.residuals == ()
    assert adapters_of(model.layout, model.factors) == ()


def test_a_study_with_own_parameters_of_these_names_runs_as_any_other() -> None:
    setup = prepared(model=f"{ADAPTED}:papers_own", clients=2, cohort={"size": 2}, local={"steps": 1})
    found: list[dict[str, Any]] = []
    state = train_rounds(initial_state(setup), setup, 1, measured=lambda _, metrics: found.append(metrics))
    assert not setup.parts.adapters
    assert state.round == 1
    assert "train/lora_error" not in found[-1]
    with pytest.raises(BadInput, match=r"the model has none of the form of peft's"):
        prepared(model=f"{ADAPTED}:papers_own", aggregator="lora_svd")


def test_the_error_is_not_zero_where_a_trained_factor_stays_at_its_client() -> None:
    """As in FedSA-LoRA: the mean of A alone is no mean of the clients' products, which the server does not have."""
    setup = prepared(algorithm={"name": "fedper", "personal": ["*.lora_B*"]})
    found: list[dict[str, Any]] = []
    train_rounds(initial_state(setup), setup, 1, measured=lambda _, metrics: found.append(metrics))
    moving = {name for name, _ in setup.parts.travelling.layout if "lora_" in name}
    assert moving
    assert all("lora_A" in name for name in moving)
    assert "train/lora_error" not in found[-1]
