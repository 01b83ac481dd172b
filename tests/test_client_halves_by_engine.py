"""Algorithms whose clients do more than step, by every engine: the loop, stacked dense, stacked convolution, vmap."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from federated.config.run import RunConfig
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

MODELS = """
from torch import nn
def convolution(input_shape, num_outputs):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, num_outputs)
    )
def vmapped(input_shape, num_outputs):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, num_outputs)
    )
"""
LOCAL = (
    {"epochs": [1, 3], "learning_rate": 0.05},
    {
        "steps": [1, 6],
        "learning_rate": 0.05,
        "momentum": 0.9,
        "max_gradient_norm": 0.5,
        "weight_decay": 0.01,
        "schedule": "cosine",
    },
)


@pytest.mark.parametrize("local", LOCAL, ids=["epochs", "steps"])
@pytest.mark.parametrize("algorithm", ["scaffold", "fedper"])
@pytest.mark.parametrize("model", ["mlp(hidden=[8])", "convolution", "vmapped"])
def test_all_engines_and_threads_train_and_remember_what_the_loop_does(
    model: str, algorithm: str, local: dict[str, object], own: Callable[[str], str]
) -> None:
    module = own(MODELS)

    def everything(engine: str, threads: int) -> Tensor:
        content = {
            "dataset": "digits",
            "model": model if "(" in model else f"{module}:{model}",
            "algorithm": algorithm,
            "clients": 6,
            "partitioner": "dirichlet(0.3)",
            "cohort": {"size": 4},
            "compression": {
                "uplink": "error_feedback(top_k(0.5))",
                "uplink_beside": "none",
                "downlink": "difference(qsgd(8))",
            },
            "local": local,
            "rounds": 3,
            "engine": {"name": engine},
            "orchestration": {"threads": threads},
        }
        setup = prepare(RunConfig.model_validate(content))
        state = train_rounds(initial_state(setup), setup, 3)
        owner = {"scaffold": "algorithm", "fedper": "own_model"}[algorithm]
        own_rows = [rows for _, rows in sorted(state.clients[owner].items())]
        return torch.cat([state.parameters, *(value for rows in own_rows for value in rows.values())])

    slow = everything("loop", 1)
    assert torch.equal(everything("loop", 2), slow)
    assert torch.allclose(everything("vectorised", 1), slow, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "algorithm",
    [
        "scaffold(option=1)",
        "fednova(mu=0.1)",
        "feddyn(0.1)",
        "mime_lite",
        "q_fedavg",
        "fedsgd",
        "fedrep(head_epochs=2)",
        "fedbabu",
        "ditto",
    ],
)
@pytest.mark.parametrize("model", ["mlp(hidden=[8])", "vmapped"])
def test_so_do_the_others(model: str, algorithm: str, own: Callable[[str], str]) -> None:
    module = own(MODELS)

    def everything(engine: str) -> Tensor:
        content = {
            "dataset": "digits",
            "model": model if "(" in model else f"{module}:{model}",
            "algorithm": algorithm,
            "clients": 6,
            "partitioner": "dirichlet(0.3)",
            "cohort": {"size": 4},
            "local": {"steps": [1, 6], "learning_rate": 0.05, "weight_decay": 0.01},
            "rounds": 2,
            "engine": {"name": engine},
        }
        setup = prepare(RunConfig.model_validate(content))
        state = train_rounds(initial_state(setup), setup, 2)
        owned = (state.clients.get(owner, {}) for owner in ("algorithm", "own_model"))
        own_rows = [rows for each in owned for _, rows in sorted(each.items())]
        kept = [state.server.get("algorithm", {}), *own_rows]
        return torch.cat([state.parameters, *(value for rows in kept for value in rows.values())])

    assert torch.allclose(everything("vectorised"), everything("loop"), rtol=0, atol=2e-5)
