"""Server optimisers against sequences worked out by hand, and against torch.optim where it has the same rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from federated.algorithms import ADDED_LATER, ALGORITHMS, Heard
from federated.config.run import RunConfig
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state

UPDATES = (1.0, -0.5, 1.0)
TAU = 1e-3


def steps(name: str, updates: torch.Tensor, **arguments: Any) -> list[list[float]]:
    """The parameters after each of the mean updates [n, T], from zero."""
    algorithm = ALGORITHMS[name](**arguments)
    parameters, found = torch.zeros_like(updates[0]), []
    state = algorithm.init(parameters)
    for update in updates:
        state, parameters = algorithm.update(state, parameters, Heard(update, {}, 1.0))
        found.append(parameters.tolist())
    return found


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("fedavgm", {}, [1.0, 1.4, 2.76]),
        ("fedavgm", {"nesterov": True}, [1.9, 1.76, 3.984]),
        ("fedavgm", {"server_learning_rate": 0.5, "momentum": 0.0}, [0.5, 0.25, 0.75]),
        ("fedadagrad", {}, [0.09990005, 0.055218673, 0.12184091]),
        ("fedadam", {}, [0.099005049, 0.134605005, 0.225117971]),
        ("fedadam", {"bias_correction": True}, [0.0999000999, 0.1265362995, 0.1844172109]),
        ("fedadam", {"beta1": 0.0, "beta2": 0.0, "tau": 1e-12}, [0.1, 0.0, 0.1]),  # the sign's step
        ("fedyogi", {}, [0.099005, 0.134463519, 0.224527756]),
    ],
)
def test_mean_updates_of_one_minus_a_half_and_one(
    name: str, arguments: dict[str, Any], expected: list[float]
) -> None:
    found = steps(name, torch.tensor(UPDATES, dtype=torch.float64)[:, None], **arguments)
    assert [each[0] for each in found] == pytest.approx(expected, rel=1e-7, abs=1e-12)


def sgd(**options: Any) -> Callable[[list[torch.Tensor]], torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=0.3, momentum=0.8, **options)


OF_TORCH: dict[str, tuple[str, dict[str, Any], Callable[[list[torch.Tensor]], torch.optim.Optimizer]]] = {
    "momentum": ("fedavgm", {"momentum": 0.8}, sgd()),
    "Nesterov": ("fedavgm", {"momentum": 0.8, "nesterov": True}, sgd(nesterov=True)),
    "Adagrad": (
        "fedadagrad",
        {},
        lambda p: torch.optim.Adagrad(p, lr=0.3, initial_accumulator_value=TAU**2, eps=TAU),
    ),
    "Adam": (
        "fedadam",
        {"bias_correction": True},
        lambda p: torch.optim.Adam(p, lr=0.3, betas=(0.9, 0.99), eps=TAU),
    ),
}


@pytest.mark.parametrize("rule", OF_TORCH)
def test_a_rule_that_torch_has_is_torch_s(rule: str) -> None:
    """Twenty updates of very unequal size, some of them far below tau. Torch descends, so a gradient is -update."""
    name, arguments, make = OF_TORCH[rule]
    numbers = torch.Generator().manual_seed(3)
    updates = torch.randn(20, 5, generator=numbers, dtype=torch.float64) * torch.tensor([1, 1e-4, 1e4, 0, 1])
    parameter = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimiser = make([parameter])
    for update, found in zip(
        updates, steps(name, updates, server_learning_rate=0.3, **arguments), strict=True
    ):
        parameter.grad = -update
        optimiser.step()
        assert found == pytest.approx(parameter.tolist(), rel=1e-12, abs=1e-15)


def test_yogi_s_squares_fall_slower_than_adam_s_after_a_large_update() -> None:
    """v after updates 1 and 0: Adam .99 x v; Yogi keeps v, as it moves by a share of the new square, which is zero."""
    for name, kept in (("fedadam", 0.99), ("fedyogi", 1.0)):
        algorithm, parameters = ALGORITHMS[name](), torch.zeros(1, dtype=torch.float64)
        first, _ = algorithm.update(algorithm.init(parameters), parameters, Heard(parameters + 1, {}, 1.0))
        second, _ = algorithm.update(first, parameters, Heard(parameters, {}, 1.0))
        assert float(second["square"]) == pytest.approx(kept * float(first["square"]), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fedadam", {"beta1": 1.0}, "beta1 must be a number from 0 to below 1, got 1.0"),
        ("fedadam", {"beta2": float("nan")}, "beta2 must be a number from 0 to below 1, got nan"),
        ("fedyogi", {"beta2": -0.1}, "beta2 must be a number from 0 to below 1, got -0.1"),
        ("fedadagrad", {"beta1": 1.5}, "beta1 must be a number from 0 to below 1, got 1.5"),
        ("fedavgm", {"momentum": 1.0}, "momentum must be a number from 0 to below 1, got 1.0"),
        ("fedavgm", {"momentum": 0.0, "nesterov": True}, "nesterov needs a momentum above 0"),
        ("fedadagrad", {"tau": 0.0}, "tau must be a finite number > 0, got 0.0"),
        ("fedyogi", {"server_learning_rate": 0.0}, "server_learning_rate must be a finite number > 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ALGORITHMS[name](**arguments)


def test_arguments_that_came_later_leave_the_key_of_a_run_as_it_was() -> None:
    """The key of `algorithm: fedadam` is of before it had `bias_correction`."""

    def key(algorithm: str) -> str:
        content = {"dataset": "digits", "model": "logistic", "rounds": 1, "algorithm": algorithm}
        return RunConfig.model_validate(content).run_key()

    assert key("fedadam") == key("fedadam(bias_correction=false)") == "6c9e6732e5f9"
    assert key("fedadam(bias_correction=true)") != key("fedadam")
    for name, later in ADDED_LATER.items():
        content = {"dataset": "digits", "model": "logistic", "rounds": 1, "algorithm": name}
        arguments = RunConfig.model_validate(content).algorithm.arguments
        assert later == {argument: arguments[argument] for argument in later}


def models(setup: Setup, rounds: int) -> list[float]:
    """The model after each round."""
    state, seen = initial_state(setup), []
    for until in range(1, rounds + 1):
        state = train_rounds(state, setup, until)
        seen.append(float(state.parameters[0]))
    return seen


def test_a_schedule_of_the_server_by_hand(quadratics: Callable[..., Setup]) -> None:
    """The mean update at x is .8856 - .3452 x; it counts whole, then half, then a quarter."""
    expected, x = [], 0.0
    for factor in (1.0, 0.5, 0.25):
        x += factor * (0.8856 - 0.3452 * x)
        expected.append(x)
    found = models(quadratics(algorithm="fedavg", server_schedule="exponential(0.5)"), 3)
    assert found == pytest.approx(expected, abs=1e-5)


def test_with_momentum_it_is_torch_s_optimiser_with_torch_s_schedule(
    quadratics: Callable[..., Setup],
) -> None:
    w = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=0.3, momentum=0.5)
    schedule, expected = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 6), []
    for _ in range(6):
        w.grad = -(0.8856 - 0.3452 * w.detach())
        optimiser.step()
        schedule.step()
        expected.append(float(w.detach()))
    found = models(quadratics(algorithm="fedavgm(0.3, 0.5)", server_schedule="cosine", rounds=6), 6)
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_constant_schedule_is_none_bit_for_bit(quadratics: Callable[..., Setup]) -> None:
    plain, stated = (
        quadratics(algorithm="fedadam"),
        quadratics(algorithm="fedadam", server_schedule="exponential(1.0)"),
    )
    assert models(plain, 3) == models(stated, 3)
    assert plain.config.run_key() != stated.config.run_key()
    assert (
        plain.config.run_key() == quadratics(algorithm="fedadam", server_schedule="constant").config.run_key()
    )
