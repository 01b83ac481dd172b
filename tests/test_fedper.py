"""FedPer against a slow loop of torch.optim, what travels, and what clients are evaluated with."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.algorithms.local_terms import LocalTerms
from federated.compressors.compressor import HEADER_BYTES
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.foundation.errors import BadInput
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.client_half import model_of
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import train

CONTENT = {
    "dataset": "digits",
    "model": "mlp(hidden=[8])",
    "clients": 3,
    "partitioner": "dirichlet(0.5)",
    "algorithm": "fedper",
    "holdout": {"client": 0.2},
    "local": {"batch_size": None, "steps": 2, "learning_rate": 0.1},
    "rounds": 3,
    "engine": {"name": "loop"},
}


def setup_of(**changes: object) -> Setup:
    return prepare(RunConfig.model_validate({**CONTENT, **changes}))


def by_torch(setup: Setup, rounds: int) -> tuple[Tensor, list[Tensor]]:
    """(body, heads) after rounds of torch.optim.SGD, averaged by examples."""
    first = setup.model.independent_module()
    heads = [copy.deepcopy([*first.parameters()][-2:]) for _ in range(3)]
    body = [p.detach().clone() for p in [*first.parameters()][:-2]]
    weights = torch.from_numpy(setup.federation.sizes / setup.federation.sizes.sum())
    for _ in range(rounds):
        bodies = []
        for client in range(3):
            module = copy.deepcopy(first).train()
            for parameter, value in zip(module.parameters(), [*body, *heads[client]], strict=True):
                parameter.data = value.detach().clone()
            held = torch.from_numpy(setup.trainers.holders.indices[client])
            inputs, targets = model_inputs(setup.inputs[held]), setup.targets[held]
            optimiser = torch.optim.SGD(module.parameters(), lr=0.1)
            for _ in range(2):
                optimiser.zero_grad()
                nn.functional.cross_entropy(module(inputs), targets).backward()
                optimiser.step()
            trained = [p.detach() for p in module.parameters()]
            heads[client] = [nn.Parameter(value) for value in trained[-2:]]
            bodies.append(trained[:-2])
        body = [
            sum(float(weight) * parts[at] for weight, parts in zip(weights, bodies, strict=True))
            for at in range(len(body))
        ]
    flat = torch.cat([part.reshape(-1) for part in body])
    return flat, [torch.cat([part.detach().reshape(-1) for part in head]) for head in heads]


def test_bodies_and_heads_are_those_of_a_loop_of_torch() -> None:
    setup = setup_of()
    body, heads = by_torch(setup, 3)
    state = train_rounds(initial_state(setup), setup, 3)
    size = 8 * 10 + 10
    assert torch.allclose(state.parameters[:-size], body, rtol=0, atol=1e-5)
    for client in range(3):
        model = model_of(state, setup, client)
        assert torch.equal(model[:-size], state.parameters[:-size])
        assert torch.allclose(model[-size:], heads[client], rtol=0, atol=1e-5)
    assert torch.equal(
        state.parameters[-size:], setup.initial_parameters[-size:]
    )  # the server has never seen one


def test_the_head_is_neither_sent_nor_counted() -> None:
    state = train_rounds(initial_state(setup_of()), setup_of(), 1)
    body = 64 * 8 + 8
    assert state.uplink_bytes == state.downlink_bytes == 3 * (4 * body + HEADER_BYTES)


@pytest.mark.parametrize("uplink", ["error_feedback(top_k(0.1))", "low_rank(1)", "layer_wise(qsgd(4))"])
@pytest.mark.parametrize("downlink", ["none", "difference(qsgd(4))"])
def test_compressors_see_what_travels_alone(uplink: str, downlink: str) -> None:
    setup = setup_of(compression={"uplink": uplink, "downlink": downlink})
    state = train_rounds(initial_state(setup), setup, 2)
    size = 8 * 10 + 10
    assert torch.equal(state.parameters[-size:], setup.initial_parameters[-size:])
    assert not torch.equal(state.parameters[:-size], setup.initial_parameters[:-size])


def test_every_client_is_evaluated_with_its_own_model() -> None:
    setup = setup_of()
    state = train_rounds(initial_state(setup), setup, 3)
    right = []
    for client, held in enumerate(setup.federation.own_held_out):
        model = setup.model.independent_module(model_of(state, setup, client))
        at = torch.from_numpy(held)
        with torch.inference_mode():
            outputs = model(model_inputs(setup.inputs[at]))
        right += (outputs.argmax(dim=1) == setup.targets[at]).tolist()
    assert evaluate(state, setup)["generalisation/client_accuracy"] == pytest.approx(np.mean(right))


def test_unseen_clients_have_no_model_and_no_metric() -> None:
    changes = {"clients": 3, "holdout": {"client": 0.2, "unseen_clients": 1}}
    setup = setup_of(**changes)
    assert not [name for name in evaluate(initial_state(setup), setup) if "unseen" in name]
    with pytest.raises(BadInput, match=r"stop.metric: 'generalisation/unseen_accuracy' is not measured here"):
        setup_of(**changes, stop={"metric": "generalisation/unseen_accuracy", "patience": 2})


def test_shards_and_a_checkpoint_in_between_change_nothing(tmp_path: Path) -> None:
    setup = setup_of()
    whole = train_rounds(initial_state(setup), setup, 3)
    cut = replace(setup, shard_size=2)
    save(train(Course(initial_state(cut)), cut, 2), tmp_path / "x", {})
    again = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, cut, 3)
    assert torch.allclose(whole.parameters, again.parameters, rtol=0, atol=1e-7)
    for client in range(3):
        ours, theirs = (model_of(state, setup, client) for state in (whole, again))
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-7)


def test_a_client_that_has_not_taken_part_has_the_body_and_the_initial_head() -> None:
    setup = setup_of(cohort={"size": 1})
    state = train_rounds(initial_state(setup), setup, 1)
    (trained,), size = state.clients["own_model"], 8 * 10 + 10
    for client in {0, 1, 2} - {trained}:
        model = model_of(state, setup, client)
        assert torch.equal(model[:-size], state.parameters[:-size])
        assert torch.equal(model[-size:], setup.initial_parameters[-size:])


def test_drift_and_distortion_are_of_what_travels() -> None:
    """Of two clients after one step from the same model, by hand, without the last 90 numbers, the head."""
    changes = {"clients": 2, "partitioner": "iid", "compression": {"downlink": "float16"}, "rounds": 1}
    setup = setup_of(**changes)
    state = initial_state(setup)
    model = state.parameters.clone()
    model[:-90] = model[:-90].half().float()
    bodies = setup.worker.train(model, [0, 1], 0, LocalTerms()).deltas[:, :-90].double()
    (_, metrics) = train(Course(state), setup, 1).history[-1]
    mean = bodies.norm(dim=1).mean()
    assert metrics["train/client_update_norm_mean"] == pytest.approx(float(mean), rel=1e-5)
    cosine = torch.nn.functional.cosine_similarity(bodies[0], bodies[1], dim=0)
    assert metrics["train/update_cosine_mean"] == pytest.approx(float(cosine), abs=1e-5)
    sent = state.parameters[:-90].double()
    error = (model[:-90].double() - sent).square().sum() / sent.square().sum()
    assert metrics["communication/downlink_nmse"] == pytest.approx(float(error), rel=1e-3)


@pytest.mark.cuda
@pytest.mark.parametrize("downlink", ["none", "difference(qsgd(4))"])
def test_on_cuda_bodies_and_heads_are_those_of_the_cpu(downlink: str) -> None:
    ours, theirs = (setup_of(device=device, compression={"downlink": downlink}) for device in ("cuda", "cpu"))
    there, here = (train_rounds(initial_state(setup), setup, 2) for setup in (ours, theirs))
    for client in range(3):
        model = model_of(there, ours, client)
        assert model.is_cuda
        assert torch.allclose(model.cpu(), model_of(here, theirs, client), rtol=0, atol=1e-4)


def test_layers_are_named_as_in_named_parameters() -> None:
    names = [name for name, _ in setup_of().model.layout]
    first = names[0].rpartition(".")[0]
    setup = setup_of(algorithm={"name": "fedper", "personal": [first]})
    assert [name for name, _ in setup.parts.travelling.layout] == names[2:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": {"name": "fedper", "personal": ["head"]}}, "personal: the model has no layer 'head'"),
        ({"algorithm": {"name": "fedper", "personal": []}}, r"personal: \[\] names no layer"),
        ({"model": "logistic"}, "is the whole model, so nothing would be learnt together"),
    ],
)
def test_what_leaves_nothing_to_share_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        setup_of(**changes)


def test_a_model_of_its_own_is_not_fine_tuned_once_more() -> None:
    with pytest.raises(ValueError, match=r"leave evaluation\.personalisation out"):
        setup_of(evaluation={"personalisation": {"epochs": 1}})
