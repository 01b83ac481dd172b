"""Clients that never take part fit what others keep to themselves, against a plain loop of torch.optim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.evaluation.unseen import fitting_examples
from federated.forecast.warnings import cautions
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState

FIT = {"examples": 12, "steps": 5, "learning_rate": 0.2}
NETWORK = """
from torch import nn
def normalised(input_shape, num_outputs):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, num_outputs)
    )
"""
KEPT = {"fedper": ("4.",), "fedrep": ("4.",), "fedbn": ("2.",), "lg_fedavg": ("1.", "2."), "fedbabu": ("4.",)}


def trained(own: Callable[[str], str], **changes: Any) -> tuple[RunState, Setup]:
    content = {
        "dataset": "digits",
        "model": f"{own(NETWORK)}:normalised",
        "clients": 5,
        "holdout": {"client": 0.2, "unseen_clients": 2},
        "local": {"batch_size": 32, "learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.01},
        "evaluation": {"unseen_fit": FIT},
        "rounds": 1,
        "engine": {"name": "loop"},
        **changes,
    }
    setup = prepare(RunConfig.model_validate(content))
    return train_rounds(initial_state(setup), setup, 1), setup


def by_torch(state: RunState, setup: Setup, held: np.ndarray, kept: tuple[str, ...]) -> nn.Module:
    """The global model whose kept layers a client fitted to these examples; the others are as they were."""
    module = setup.model.independent_module(state.parameters).train()
    first = {name: value.clone() for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.startswith(kept))
    moving = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(moving, 0.2, 0.5, weight_decay=0.01)
    at = torch.from_numpy(held)
    for _ in range(5):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(model_inputs(setup.inputs[at])), setup.targets[at]).backward()
        optimiser.step()
    still = {name: value for name, value in first.items() if not name.startswith(kept)}
    module.load_state_dict({**module.state_dict(), **still})
    return module.eval()


def right(setup: Setup, module: nn.Module, held: np.ndarray) -> Tensor:
    at = torch.from_numpy(held)
    with torch.inference_mode():
        return module(model_inputs(setup.inputs[at])).argmax(dim=1) == setup.targets[at]


@pytest.mark.parametrize("algorithm", KEPT)
def test_they_fit_what_is_kept_to_a_few_examples_and_are_judged_by_the_others(
    algorithm: str, own: Callable[[str], str]
) -> None:
    state, setup = trained(own, algorithm=algorithm)
    fitted = fitting_examples(setup.federation, setup.config.evaluation.unseen_fit, setup.config.seed)
    assert [len(each) for each in fitted] == [12, 12]
    hits = []
    for held, few in zip(setup.federation.unseen, fitted, strict=True):
        assert set(few) < set(held)
        module = by_torch(state, setup, few, KEPT[algorithm])
        hits.append(right(setup, module, np.setdiff1d(held, few)).double())
    found = evaluate(state, setup)
    assert found["generalisation/unseen_accuracy"] == pytest.approx(float(torch.cat(hits).mean()), abs=0.01)
    worst = min(float(each.mean()) for each in hits)
    assert found["generalisation/unseen_accuracy_mean"] == pytest.approx(
        float(np.mean([float(each.mean()) for each in hits])), abs=0.01
    )
    table = generalisation(state, setup).clients
    assert table["takes_part"] == [True] * 5 + [False] * 2
    assert min(table["accuracy"][5:]) == pytest.approx(worst, abs=0.01)


def test_every_arm_is_judged_by_the_same_examples(own: Callable[[str], str]) -> None:
    """The global model of FedAvg is not fitted, and answers for those that are left."""
    state, setup = trained(own, algorithm="fedavg")
    fitted = fitting_examples(setup.federation, setup.config.evaluation.unseen_fit, setup.config.seed)
    rest = np.concatenate(
        [np.setdiff1d(held, few) for held, few in zip(setup.federation.unseen, fitted, strict=True)]
    )
    expected = right(setup, setup.model.independent_module(state.parameters), rest).double().mean()
    assert evaluate(state, setup)["generalisation/unseen_accuracy"] == pytest.approx(float(expected))


def test_without_it_they_have_no_model_and_no_number_is_another(own: Callable[[str], str]) -> None:
    state, setup = trained(own, algorithm="fedper", evaluation={})
    assert not [name for name in evaluate(state, setup) if "unseen" in name]
    (_, fits), plain = trained(own, algorithm="fedper"), setup
    assert plain.config.run_key() != fits.config.run_key()
    assert "unseen_fit" not in plain.config.model_dump_json(exclude_none=True)


def test_a_client_with_few_examples_keeps_half_of_them_to_be_judged_by(own: Callable[[str], str]) -> None:
    fit = {"evaluation": {"unseen_fit": {"examples": 10_000}}}
    _, setup = trained(own, algorithm="fedper", **fit)
    fitted = fitting_examples(setup.federation, setup.config.evaluation.unseen_fit, setup.config.seed)
    assert [len(each) for each in fitted] == [len(held) // 2 for held in setup.federation.unseen]


def test_where_there_are_none_a_warning_says_so(own: Callable[[str], str]) -> None:
    _, setup = trained(own, algorithm="fedper", holdout={"client": 0.2})
    assert any("evaluation.unseen_fit has no effect" in sentence for sentence in cautions(setup))


def test_a_single_example_is_too_few(own: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        trained(own, evaluation={"unseen_fit": {"examples": 1}})
