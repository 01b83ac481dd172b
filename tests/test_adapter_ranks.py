"""Clients with adapters of different ranks: what they have, train, send and receive, and the mean of their models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from federated.aggregators.lora.ranks import Ranks, present, shortened_layout
from federated.config.run import RunConfig
from federated.extension_points.kinds import TRAINED_PART
from federated.forecast.payloads import downlink_payload, uplink_payload
from federated.forecast.traffic.residuals import residual_bytes
from federated.foundation.errors import BadInput
from federated.local_training.engine import ENGINES
from federated.rounds import train_rounds
from federated.run.clients.cohort import sample_cohort, weights_of
from federated.run.clients.order import order_of
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.shards import train
from federated.trained.merged import merged
from federated.trials.ranks import ranks_among, ranks_in, stated_ranks
from federated.wire.downlink import broadcast
from federated.wire.uplink import compress
from tests.conftest import ADAPTED
from tests.test_adapters import weights_in

STATED = [1, 2, 4]
NUMBERS = {rank: rank * (64 + 9) + rank * (9 + 13) + 13 * 10 + 10 for rank in STATED}
"""Of A and B of both layers, [r, 64], [9, r], [r, 9] and [13, r], and of the head."""


pytestmark = pytest.mark.usefixtures("adapted_model")


def prepared(**changes: Any) -> Setup:
    """Six clients of ranks 1, 2, 4 in turn."""
    content = {
        "dataset": "digits",
        "model": f"{ADAPTED}:adapted(rank=4)",
        "clients": 6,
        "cohort": {"size": 4},
        "rounds": 3,
        "partitioner": "dirichlet(0.5)",
        "local": {"steps": 3, "learning_rate": 0.05, "optimiser": "adamw", "weight_decay": 0.1},
        "engine": {"name": "loop"},
    }
    setup = prepare(RunConfig.model_validate({**content, **changes}))
    ranks = ranks_among(setup.config, setup.parts, setup.model, STATED, 6)
    return replace(setup, worker=replace(setup.worker, parts=setup.parts._replace(ranks=ranks)))


def own_models(setup: Setup, state: RunState) -> tuple[list[int], Tensor]:
    """(the next cohort, what each of it has after its training, [c, P])."""
    cohort = sample_cohort(setup, state.round)
    order = order_of(state, state.parameters, cohort, weights_of(cohort, setup))
    ranks = setup.parts.ranks
    assert ranks is not None
    begun = ranks.cut(state.parameters.expand(len(cohort), -1), cohort.tolist())
    return cohort.tolist(), begun + train(setup.worker, order).deltas


def rank_of(client: int) -> int:
    return STATED[client % 3]


def test_a_client_has_the_first_rows_of_a_and_columns_of_b() -> None:
    layout = [("q.lora_A.weight", (3, 2)), ("q.lora_B.weight", (2, 3)), ("head", (2,))]
    factors = {"q.lora_A.weight", "q.lora_B.weight"}
    assert present(layout, factors, 2).int().tolist() == [1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1]
    assert shortened_layout(layout, factors, 2) == (
        ("q.lora_A.weight", (2, 2)),
        ("q.lora_B.weight", (2, 2)),
        ("head", (2,)),
    )


def test_rows_beyond_a_clients_rank_are_zero_and_never_train() -> None:
    """With AdamW and weight decay; so padding changes no function, as the scale is that of all ranks."""
    setup = prepared()
    cohort, models = own_models(setup, initial_state(setup))
    for client, model in zip(cohort, models, strict=True):
        rank = rank_of(client)
        for adapter in setup.parts.adapters:
            b, a = adapter.factors(model)
            assert not a[rank:].any()
            assert not b[:, rank:].any()
            assert a[:rank].all()
            assert b[:, :rank].all()


@pytest.mark.parametrize("aggregator", ["lora_residual", "lora_stack"])
def test_exact_rules_average_the_products_of_all_ranks(aggregator: str) -> None:
    setup = prepared(aggregator=aggregator)
    state = initial_state(setup)
    for _ in range(2):
        cohort, models = own_models(setup, state)
        weights = weights_of(torch.tensor(cohort).numpy(), setup)
        each = [weights_in(setup.model.independent_module(model)) for model in models]
        expected = [
            sum(float(w) * one for w, one in zip(weights, layer, strict=True))
            for layer in zip(*each, strict=True)
        ]
        state = train_rounds(state, setup, state.round + 1)
        found = weights_in(setup.model.independent_module(state.parameters))
        for one, other in zip(found, expected, strict=True):
            assert float((one - other).norm() / other.norm()) < 1e-6


def test_the_mean_is_of_models_padded_with_zeros() -> None:
    setup = prepared()
    state = initial_state(setup)
    cohort, models = own_models(setup, state)
    weights = torch.from_numpy(weights_of(torch.tensor(cohort).numpy(), setup)).float()
    after = train_rounds(state, setup, 1).parameters
    assert torch.allclose(after, weights @ models, rtol=0, atol=1e-6)


@pytest.mark.parametrize("uplink", ["none", "float16", "qsgd(8)"])
def test_each_client_sends_and_receives_as_much_as_it_has(uplink: str) -> None:
    setup = prepared(compression={"uplink": uplink})
    state, measured = initial_state(setup), list[dict[str, float]]()
    cohort = sample_cohort(setup, 0).tolist()
    order = order_of(state, state.parameters, cohort, weights_of(torch.tensor(cohort).numpy(), setup))
    updates = train(setup.worker, order)
    received = compress(setup.worker, order, updates)
    sizes = {rank_of(client): len_ for client, len_ in zip(cohort, received.traffic["update"], strict=True)}
    if uplink != "qsgd(8)":
        assert sizes == {rank: NUMBERS[rank] * (4 if uplink == "none" else 2) for rank in sizes}
    assert sizes[1] < sizes[4]
    lossy = {"none": 0, "float16": 1e-2, "qsgd(8)": 0.5}[uplink]
    assert float((received.decoded - updates.deltas).norm()) <= lossy * float(updates.deltas.norm())
    train_rounds(state, setup, 1, measured=lambda _, found: measured.append(dict(found)))
    assert measured[0]["communication/downlink_bytes"] == sum(
        4 * NUMBERS[rank_of(each)] + 8 for each in cohort
    )


def test_what_is_sent_is_foreseen() -> None:
    setup, measured = prepared(), list[dict[str, float]]()
    train_rounds(initial_state(setup), setup, 3, measured=lambda _, found: measured.append(dict(found)))
    rows, models = setup.initial_parameters[None], [setup.initial_parameters] * 2
    for payload, way in (
        (uplink_payload(setup, rows, [], {}), "uplink"),
        (downlink_payload(setup, models), "downlink"),
    ):
        assert payload.exact
        assert payload.expected * 12 == pytest.approx(
            sum(each[f"communication/{way}_bytes"] for each in measured)
        )


@pytest.mark.parametrize("aggregator", ["lora_residual", "lora_stack"])
def test_residuals_of_several_ranks_are_foreseen(aggregator: str) -> None:
    setup, sent = prepared(aggregator=aggregator, rounds=4, cohort={"size": 3}), list[float]()
    state = initial_state(setup)
    for _ in range(4):
        cohort = sample_cohort(setup, state.round).tolist()
        parcels = broadcast(setup, state, cohort).parcels
        sent += [len(payload) for parcel in parcels for part, payload in parcel if part == "residual"]
        state = train_rounds(state, setup, state.round + 1)
    assert sum(sent) == residual_bytes(setup) > 0


def test_shards_change_nothing_but_rounding() -> None:
    found = [
        train_rounds(initial_state(cut), cut, 2).parameters
        for cut in (prepared(), replace(prepared(), shard_size=2))
    ]
    assert torch.allclose(*found, rtol=0, atol=1e-6)


def test_clients_in_one_pass_have_their_ranks_too() -> None:
    """The engine that puts many clients through the frozen layers at once, against the loop."""
    setup = prepared()
    folded = replace(setup, worker=replace(setup.worker, train=ENGINES["folded"](setup.worker.work, 1)))
    models = [own_models(each, initial_state(each))[1] for each in (setup, folded)]
    assert torch.allclose(*models, rtol=0, atol=1e-5)
    assert torch.equal(models[0] == 0, models[1] == 0)


def test_one_rank_in_a_list_of_equal_ones_is_as_without() -> None:
    setup = prepared()
    ranks = ranks_among(setup.config, setup.parts, setup.model, [4], 6)
    assert isinstance(ranks, Ranks)
    assert not len(ranks.each[0].absent)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": f"{ADAPTED}:adapted(rank=4, frozen=A)"}, "a frozen factor"),
        ({"aggregator": "median"}, "aggregator: median"),
        (
            {"privacy": "central_gaussian(1, 1)", "cohort": {"size": 4, "weighting": "uniform"}},
            "privacy: central_gaussian",
        ),
        ({"algorithm": "ditto"}, "algorithm: ditto"),
        ({"algorithm": "mime_lite", "local": {"steps": 3}}, "algorithm: mime_lite"),
        ({"compression": {"downlink": "difference(qsgd(8))"}}, "compression.downlink: difference"),
        ({"compression": {"uplink": "error_feedback(top_k(0.1))"}}, "compression.uplink: error_feedback"),
        (
            {"evaluation": {"personalisation": {"epochs": 1}}, "holdout": {"client": 0.2}},
            "evaluation.personalisation and leakage",
        ),
    ],
)
def test_what_does_not_go_with_several_ranks_is_refused_with_the_reason(
    changes: dict[str, Any], why: str
) -> None:
    setup = prepared(**changes)
    stated = TRAINED_PART.bind("lora(rank=[1, 2, 4])")
    config = setup.config.model_copy(update={"trained": stated})
    assert stated_ranks(config) == (1, 2, 4)
    with pytest.raises(BadInput, match=f"clients of different ranks do not go with {why}"):
        ranks_in(config, setup.parts, setup.model, 6)
    alone = config.model_copy(update={"training": "centralised"})
    assert ranks_in(alone, setup.parts, setup.model, 1) is None


@pytest.mark.slow  # imports peft
def test_a_study_states_the_ranks_of_its_clients() -> None:
    """Of six clients in turn; the mean of all products is exact, and each sends what it has."""
    pytest.importorskip("peft")
    content = {
        "dataset": "digits",
        "model": "mlp(hidden=[9, 13])",
        "trained": "lora(rank=[1, 2, 4])",
        "clients": 6,
        "partitioner": "dirichlet(0.5)",
        "aggregator": "lora_residual",
        "rounds": 2,
        "local": {"steps": 3},
    }
    setup, measured = prepare(RunConfig.model_validate(content)), list[dict[str, float]]()
    state = train_rounds(
        initial_state(setup), setup, 1, measured=lambda _, found: measured.append(dict(found))
    )
    assert measured[0]["communication/uplink_bytes"] == 2 * sum(4 * NUMBERS[rank] + 8 for rank in STATED)
    cohort, models = own_models(setup, state)
    weights = weights_of(torch.tensor(cohort).numpy(), setup)
    state = train_rounds(state, setup, 2)
    inputs = setup.inputs[:50].flatten(1).float()

    def first_layer(model: Tensor) -> Tensor:
        """What the first adapted layer makes of inputs: it is linear in its weight."""
        module = setup.model.independent_module(model)
        layer = next(each for each in module.modules() if hasattr(each, "lora_A"))
        with torch.no_grad():
            found: Tensor = layer(inputs).double()
        return found

    expected = sum(float(weight) * first_layer(model) for weight, model in zip(weights, models, strict=True))
    assert torch.allclose(
        first_layer(state.parameters), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
    )
    module = setup.model.independent_module(state.parameters)
    given = inputs.view(50, *setup.inputs.shape[1:])
    with torch.no_grad():
        before = module(given)
        plain, _ = merged(module)
        assert torch.allclose(plain(given), before, rtol=0, atol=1e-5)
    assert not [name for name in plain.state_dict() if "lora" in name or "residual" in name]
    keys = {
        RunConfig.model_validate({**content, "trained": each}).run_key()
        for each in ("lora(4)", content["trained"])
    }
    assert len(keys) == 2
