"""SCAFFOLD and FedPer of a model with batch normalisation against a slow loop over torch's own modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from federated.config.run import RunConfig
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.clients.client_half import model_of
from federated.run.setup import Setup, initial_state, prepare

MODEL = """
from torch import nn
def normalised(input_shape, num_outputs):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64, num_outputs),
    )
"""
CLIENTS, RATE, STEPS, ROUNDS = 3, 0.1, 2, 3
HEAD = ("5.weight", "5.bias")


def by_torch(setup: Setup, scaffold: bool) -> list[dict[str, torch.Tensor]]:
    """Each client's model after the rounds: what travels is the mean by examples, running statistics too."""
    server = setup.model.independent_module()
    clients = [copy.deepcopy(server) for _ in range(CLIENTS)]
    weights = [float(weight) for weight in setup.federation.sizes / setup.federation.sizes.sum()]
    mean: dict[str, Any] = {name: torch.zeros_like(p) for name, p in server.named_parameters()}
    own = [dict(mean) for _ in range(CLIENTS)]
    stays = () if scaffold else HEAD
    for _ in range(ROUNDS):
        start = copy.deepcopy(server.state_dict())
        changes = []
        for client, module in enumerate(clients):
            module.load_state_dict({**start, **{name: module.state_dict()[name].clone() for name in stays}})
            train(setup, module.train(), client, {name: mean[name] - own[client][name] for name in mean})
            if scaffold:
                after = {
                    name: own[client][name] - mean[name] + (start[name] - p.detach()) / (RATE * STEPS)
                    for name, p in module.named_parameters()
                }
                changes.append({name: after[name] - own[client][name] for name in mean})
                own[client] = after
        for weight, change in zip(weights if scaffold else [], changes, strict=True):
            mean = {name: mean[name] + weight * change[name] for name in mean}
        shared = [name for name, value in start.items() if name not in stays and value.is_floating_point()]
        states = [module.state_dict() for module in clients]
        averaged: dict[str, Any] = {
            name: sum(weight * state[name] for weight, state in zip(weights, states, strict=True))
            for name in shared
        }
        server.load_state_dict({**start, **averaged})
    return [
        {**server.state_dict(), **{name: module.state_dict()[name] for name in stays}} for module in clients
    ]


def train(setup: Setup, module: nn.Module, client: int, correction: dict[str, torch.Tensor]) -> None:
    held = torch.from_numpy(setup.trainers.holders.indices[client])
    inputs, targets = model_inputs(setup.inputs[held]), setup.targets[held]
    for _ in range(STEPS):
        module.zero_grad()
        nn.functional.cross_entropy(module(inputs), targets).backward()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                assert parameter.grad is not None
                parameter -= RATE * (parameter.grad + correction[name])


@pytest.mark.parametrize("algorithm", ["scaffold", "fedper"])
def test_with_batch_normalisation_they_are_those_of_a_loop_of_torch(
    algorithm: str, own: Callable[[str], str]
) -> None:
    content = {
        "dataset": "digits",
        "model": f"{own(MODEL)}:normalised",
        "clients": CLIENTS,
        "partitioner": "dirichlet(0.5)",
        "algorithm": algorithm,
        "local": {"batch_size": None, "steps": STEPS, "learning_rate": RATE},
        "rounds": ROUNDS,
        "engine": {"name": "loop"},
    }
    setup = prepare(RunConfig.model_validate(content))
    state = train_rounds(initial_state(setup), setup, ROUNDS)
    names = [name for name, _ in setup.model.module.named_parameters()]
    names += [name for name, value in setup.model.module.named_buffers() if value.is_floating_point()]
    for client, expected in enumerate(by_torch(setup, algorithm == "scaffold")):
        flat = torch.cat([expected[name].reshape(-1) for name in names])
        assert torch.allclose(model_of(state, setup, client), flat, rtol=0, atol=1e-5)
