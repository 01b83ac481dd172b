"""Algorithms by what is shared, on a network with batch normalisation, against plain loops of torch.optim."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.compressors.compressor import HEADER_BYTES
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.forecast.warnings import cautions
from federated.forecast.workload import round_batches
from federated.foundation.errors import BadInput
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.client_half import model_of
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import train

NETWORKS = """
from torch import nn
def normalised(input_shape, num_outputs):
    body = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32, 4), nn.BatchNorm1d(4, affine=False), nn.ReLU(),
    )
    head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, num_outputs))
    net = nn.Sequential()
    net.add_module("body", body)
    net.add_module("head", head)
    return net
def with_idle(input_shape, num_outputs):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, num_outputs))
    net[1].register_parameter("idle", nn.Parameter(net[1].bias.detach().clone()))
    return net
def tied(input_shape, num_outputs):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, num_outputs), nn.Linear(num_outputs, num_outputs))
    net.append(nn.Linear(num_outputs, num_outputs))
    net[3].weight = net[2].weight
    return net
"""
CLIENTS, ROUNDS, STEPS, RATE, MOMENTUM, DECAY, BOUND = 3, 2, 2, 0.1, 0.5, 0.1, 0.5
HEAD = ("head.",)
LAST = ("head.2.",)
NORMS = ("body.1.", "body.6.", "head.1.")


class Rule(NamedTuple):
    """phases: (what moves begins with one of these, or does not, how many steps). stays, fixed: beginnings of names."""

    stays: tuple[str, ...]
    phases: tuple[tuple[tuple[str, ...], bool, int], ...] = ((("",), True, STEPS),)
    elsewhere: bool = False
    fixed: tuple[str, ...] = ()


RULES = {
    "fedbn": Rule(NORMS),
    "fedper": Rule(LAST),
    "fedper(personal=['head'])": Rule(HEAD),
    "fedper(personal=['*.1.*', linear])": Rule(("body.1.", "head.1.", "body.5.", "head.0.", "head.2.")),
    "lg_fedavg(shared=['head'])": Rule(HEAD, elsewhere=True),
    "lg_fedavg": Rule(LAST, elsewhere=True),
    "fedrep(personal=['head'], head_steps=3)": Rule(HEAD, ((HEAD, True, 3), (HEAD, False, STEPS))),
    "fedrep(personal=[head], head_epochs=2)": Rule(HEAD, ((HEAD, True, 2), (HEAD, False, STEPS))),
    "fedbabu": Rule((), ((LAST, False, STEPS),), fixed=LAST),
    "fedbabu(head=['head.*'])": Rule((), ((HEAD, False, STEPS),), fixed=HEAD),
}


@pytest.fixture
def run(own: Callable[[str], str]) -> Callable[..., Setup]:
    module = own(NETWORKS)

    def prepared(algorithm: str, model: str = "normalised", **changes: Any) -> Setup:
        content = {
            "dataset": "digits",
            "model": f"{module}:{model}" if model in NETWORKS else model,
            "clients": CLIENTS,
            "partitioner": "dirichlet(0.5)",
            "algorithm": algorithm,
            "local": {
                "batch_size": None,
                "steps": STEPS,
                "learning_rate": RATE,
                "momentum": MOMENTUM,
                "weight_decay": DECAY,
                "max_gradient_norm": BOUND,
            },
            "rounds": ROUNDS,
            "holdout": {"client": 0.2},
            "engine": {"name": "loop"},
            **changes,
        }
        return prepare(RunConfig.model_validate(content))

    return prepared


def stays(rule: Rule, name: str) -> bool:
    return name.startswith(rule.stays) is not rule.elsewhere if rule.stays else False


def by_torch(setup: Setup, rule: Rule) -> list[dict[str, Tensor]]:
    """Each client's model after the rounds; what does not stay is the mean by examples, running statistics too."""
    server = setup.model.independent_module()
    clients = [copy.deepcopy(server) for _ in range(CLIENTS)]
    weights = [float(weight) for weight in setup.federation.sizes / setup.federation.sizes.sum()]
    floats = [name for name, value in server.state_dict().items() if value.is_floating_point()]
    kept = [name for name in floats if stays(rule, name)]
    for _ in range(ROUNDS):
        start = {name: value.clone() for name, value in server.state_dict().items()}
        for client, module in enumerate(clients):
            mine = {name: module.state_dict()[name].clone() for name in kept}
            module.load_state_dict({**start, **mine})
            for beginnings, inside, steps in rule.phases:
                moving = {
                    name: parameter
                    for name, parameter in module.named_parameters()
                    if name.startswith(beginnings) is inside
                }
                steps_of_torch(setup, module.train(), moving, client, steps)
        averaged: dict[str, Any] = {
            name: sum(
                weight * module.state_dict()[name] for weight, module in zip(weights, clients, strict=True)
            )
            for name in floats
            if name not in kept
        }
        server.load_state_dict({**start, **averaged})
    shared = {name: value for name, value in server.state_dict().items() if name not in kept}
    return [{**shared, **{name: module.state_dict()[name] for name in kept}} for module in clients]


def steps_of_torch(
    setup: Setup, module: nn.Module, moving: dict[str, nn.Parameter], client: int, steps: int
) -> None:
    """Full-batch steps of some parameters, the others without a gradient."""
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in moving)
    held = torch.from_numpy(setup.trainers.holders.indices[client])
    inputs, targets = model_inputs(setup.inputs[held]), setup.targets[held]
    optimiser = torch.optim.SGD(moving.values(), RATE, MOMENTUM, weight_decay=DECAY)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(inputs), targets).backward()
        nn.utils.clip_grad_norm_(moving.values(), BOUND)
        optimiser.step()


@pytest.mark.parametrize("algorithm", RULES)
def test_models_bytes_and_memory_are_those_of_a_loop_of_torch(
    algorithm: str, run: Callable[..., Setup]
) -> None:
    setup, rule = run(algorithm), RULES[algorithm]
    state = train_rounds(initial_state(setup), setup, ROUNDS)
    names = [name for name, _ in (*setup.model.layout, *setup.model.statistics)]
    for client, expected in enumerate(by_torch(setup, rule)):
        flat = torch.cat([expected[name].reshape(-1) for name in names])
        assert torch.allclose(model_of(state, setup, client), flat, rtol=0, atol=2e-5)
    first = setup.model.independent_module().state_dict()
    kept = sum(first[name].numel() for name in names if stays(rule, name))
    unsent = kept + sum(
        value.numel()
        for name, value in first.items()
        if rule.fixed and name.startswith(rule.fixed) and name in dict(setup.model.layout)
    )
    sent = sum(first[name].numel() for name in names) - unsent
    running = any(not stays(rule, name) for name, _ in setup.model.statistics)
    each = CLIENTS * ROUNDS
    assert state.uplink_bytes == each * (4 * sent + HEADER_BYTES * (1 + running))
    assert state.downlink_bytes == each * (4 * sent + HEADER_BYTES)
    own = state.clients.get("own_model", {})
    assert [int(rows["parameters"].numel()) for rows in own.values()] == [kept] * (CLIENTS if kept else 0)
    assert setup.own_models is bool(kept or rule.fixed)


@pytest.mark.parametrize("algorithm", ["fedbn", "fedper(personal=['1.idle'])"])
def test_where_nothing_that_matters_stays_it_is_fedavg_bit_for_bit(
    algorithm: str, run: Callable[..., Setup]
) -> None:
    """FedBN without batch normalisation, and FedPer with everything shared that the outputs depend on."""
    after = []
    for name in (algorithm, "fedavg"):
        setup = run(name, "with_idle")
        after.append(train_rounds(initial_state(setup), setup, ROUNDS).parameters)
        idle = torch.cat([torch.full(shape, at == "1.idle").reshape(-1) for at, shape in setup.model.layout])
    assert torch.equal(*(parameters[~idle] for parameters in after))


def test_fedbn_without_batch_normalisation_says_so(run: Callable[..., Setup]) -> None:
    assert any("the rule is that of fedavg" in sentence for sentence in cautions(run("fedbn", "mlp([4])")))
    assert not [sentence for sentence in cautions(run("fedbn")) if "fedbn" in sentence]
    assert not run("fedbn", "mlp([4])").own_models


def test_a_frozen_part_is_what_it_was_to_the_bit(run: Callable[..., Setup]) -> None:
    setup = run("fedbabu", local={"batch_size": 16, "epochs": 1, "learning_rate": RATE, "optimiser": "adamw"})
    state = train_rounds(initial_state(setup), setup, ROUNDS)
    before, after = (of_layout(setup, each) for each in (setup.initial_parameters, state.parameters))
    for (name, _), first, now in zip(setup.model.layout, before, after, strict=True):
        assert torch.equal(first, now) is name.startswith(LAST)


def of_layout(setup: Setup, vector: Tensor) -> tuple[Tensor, ...]:
    sizes = [parameter.numel() for parameter in setup.model.trainable]
    return torch.split(vector[: setup.model.num_trainable], sizes)


@pytest.mark.parametrize(("algorithm", "steps"), [("fedbabu", 0), ("fedbabu", 3), ("fedavg_ft", 3)])
def test_the_global_model_is_evaluated_beside_each_clients_fine_tuned_one(
    algorithm: str, steps: int, run: Callable[..., Setup]
) -> None:
    """Head and body of the global model after plain steps of torch.optim on all of a client's training examples."""
    setup = run(f"{algorithm}(tuning_steps={steps})")
    state = train_rounds(initial_state(setup), setup, ROUNDS)
    right: dict[str, list[list[bool]]] = {"client": [], "global": []}
    for client, held in enumerate(setup.federation.own_held_out):
        module = setup.model.independent_module(state.parameters)
        right["global"].append(hits(setup, module, held))
        steps_of_torch(setup, module.train(), dict(module.named_parameters()), client, steps)
        right["client"].append(hits(setup, module.eval(), held))
    found = evaluate(state, setup)
    for name, each in right.items():
        assert found[f"generalisation/{name}_accuracy"] == pytest.approx(
            np.mean(np.concatenate(each)), abs=0.005
        )
    means = {name: np.mean([np.mean(own) for own in each]) for name, each in right.items()}
    gain = means["client"] - means["global"]
    assert found["generalisation/personalisation_gain"] == pytest.approx(gain, abs=0.005)


def hits(setup: Setup, module: nn.Module, held: np.ndarray) -> list[bool]:
    at = torch.from_numpy(held)
    with torch.inference_mode():
        answers = module(model_inputs(setup.inputs[at])).argmax(dim=1)
    found: list[bool] = (answers == setup.targets[at]).tolist()
    return found


@pytest.mark.parametrize(
    "algorithm", ["fedbn", "fedrep", "lg_fedavg", "fedbabu", "fedper(personal=['head'])"]
)
def test_shards_and_a_checkpoint_in_between_change_nothing(
    algorithm: str, run: Callable[..., Setup], tmp_path: Path
) -> None:
    lossy = {"uplink": "error_feedback(top_k(0.5))", "downlink": "difference(qsgd(4))"}
    setup = replace(run(algorithm, rounds=3, cohort={"size": 2}, compression=lossy), shard_size=1)
    whole = train_rounds(initial_state(setup), setup, 3)
    save(train(Course(initial_state(setup)), setup, 2), tmp_path / "x", {})
    again = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, setup, 3)
    assert torch.equal(whole.parameters, again.parameters)
    for client in range(CLIENTS):
        assert torch.equal(model_of(whole, setup, client), model_of(again, setup, client))


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        (
            "fedper(personal=['neck'])",
            "personal: the model has no layer 'neck'; its parameters: .*kinds of layers: ",
        ),
        ("fedper(personal=[layer_norm])", "personal: the model has no layer of the kind layer_norm"),
        ("fedper(personal=['*'])", "is the whole model, so nothing would be learnt together"),
        ("lg_fedavg(shared=['*'])", "shared: .*is the whole model, so nothing would stay"),
        ("lg_fedavg(shared=['*.running_mean'])", "shared: .*there is no parameter among these"),
        ("fedbabu(head=['*'])", "head: .*is the whole model, so nothing would be trained"),
        ("fedbabu(head=[])", r"head: \[\] names no layer"),
        ("fedrep(personal=['*.running_var'])", "personal: .*there is no parameter among these"),
    ],
)
def test_what_does_not_suit_the_model_is_refused(
    algorithm: str, message: str, run: Callable[..., Setup]
) -> None:
    with pytest.raises(BadInput, match=message):
        run(algorithm)


@pytest.mark.parametrize("algorithm", ["fedper", "fedrep", "lg_fedavg", "fedbabu"])
def test_a_last_layer_that_shares_its_weight_with_another_is_not_cut_in_two(
    algorithm: str, own: Callable[[str], str]
) -> None:
    """Its bias alone would stay, or travel, without a word."""
    base = {"dataset": "digits", "model": f"{own(NETWORKS)}:tied", "clients": 2, "rounds": 1}
    with pytest.raises(
        BadInput, match=r"3\.weight of the last layer, 3, is a parameter of another layer too"
    ):
        prepare(RunConfig.model_validate({**base, "algorithm": algorithm}))


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("fedrep(head_epochs=0)", "head_epochs must be at least 1, got 0"),
        ("fedrep(head_steps=-1)", "head_steps must be at least 1, got -1"),
        ("fedrep(head_epochs=2, head_steps=2)", "both stated"),
        ("fedbabu(tuning_epochs=0)", "tuning_epochs must be at least 1, got 0"),
        ("fedbabu(tuning_epochs=1, tuning_steps=1)", "both stated"),
        ("fedavg_ft(tuning_learning_rate=0)", "tuning_learning_rate must be a finite number > 0, got 0"),
    ],
)
def test_lengths_of_the_head_s_phase(algorithm: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig.model_validate(
            {"dataset": "digits", "model": "logistic", "rounds": 1, "algorithm": algorithm}
        )


@pytest.mark.parametrize(
    ("algorithm", "batches"),
    [
        ("fedavg", 3 * 5),
        ("fedbabu", 3 * 5),
        ("fedrep(head_steps=4)", 3 * 9),
        ("fedrep(head_epochs=2)", 3 * 7),
    ],
)
def test_the_forecast_counts_the_steps_of_every_phase(
    algorithm: str, batches: int, run: Callable[..., Setup]
) -> None:
    """Full batches of clients that each have all of theirs in one."""
    setup = run(algorithm, "mlp([4])", local={"batch_size": None, "steps": 5})
    assert round_batches(setup) == batches
