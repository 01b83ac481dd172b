"""FedSGD, FedNova, FedDyn, MimeLite, q-FedAvg and adaptive FedProx on two quadratic clients, worked out by hand.

Losses a/2 (w - b)^2, a = (1, 2), b = (0, 3), steps of 0.1 down the whole gradient, 1 and 4 of them where nothing else
is said. The optimum of their mean is 2; where clients count by their 1 and 4 examples it is 8/3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federated.algorithms import ALGORITHMS, Heard, Start, Trained
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import sample_cohort
from federated.run.course import Course
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState
from federated.segments import train

A, B = (1.0, 2.0), (0.0, 3.0)
RATE = 0.1
HALVES = (0.5, 0.5)


def play(
    name: str,
    rounds: int,
    steps: tuple[int, int] = (1, 4),
    start: float = 0.0,
    rate: float = RATE,
    momentum: float = 0.0,
    weights: tuple[float, float] = HALVES,
    **arguments: Any,
) -> tuple[list[float], Mapping[str, torch.Tensor]]:
    """(the model after each round, the server's memory) of an algorithm, in 64 bits, by a loop of this test."""
    algorithm = ALGORITHMS[name](**arguments)
    client, x = algorithm.client, torch.tensor([start], dtype=torch.float64)
    state, found = algorithm.init(x), []
    own = {key: rows.double() for key, rows in client.init(2, 1).items()}
    for _ in range(rounds):
        terms = algorithm.terms(state, [0, 1], own)
        factors = np.ones(2) if terms.rate_factors is None else terms.rate_factors
        shift = torch.zeros(2, 1) if terms.correction is None else terms.correction.expand(2, 1)
        deltas, counted = torch.zeros(2, 1, dtype=torch.float64), np.zeros(2)
        for at, (a, b, count) in enumerate(zip(A, B, steps, strict=True)):
            w, buffer, weight = float(x), 0.0, 0.0
            for _ in range(count):
                gradient = a * (w - b) + terms.proximal * (w - float(x)) + float(shift[at])
                buffer, weight = momentum * buffer + gradient, momentum * weight + 1
                w, counted[at] = w - rate * factors[at] * buffer, counted[at] + weight
            deltas[at] = w - float(x)
        losses = torch.tensor([a / 2 * (float(x) - b) ** 2 for a, b in zip(A, B, strict=True)], dtype=x.dtype)
        gradients = torch.tensor([[a * (float(x) - b)] for a, b in zip(A, B, strict=True)], dtype=x.dtype)
        done = np.array(steps, float)
        trained = Trained(deltas, rate * factors, done, counted, Start(losses, gradients), deltas, x)
        if client.upload is not None:
            trained = trained._replace(read=client.upload(state, own, trained))
        own, sent = (own, {}) if client.finish is None else client.finish(state, own, trained)
        p = torch.tensor(weights, dtype=torch.float64)
        heard = Heard(p @ trained.read, {key: p @ rows for key, rows in sent.items()}, 1.0)
        state, x = algorithm.update(state, x, heard)
        found.append(float(x))
    return found, state


def approx(*numbers: float) -> Any:
    return pytest.approx(list(numbers), rel=1e-8, abs=1e-8)


def fixed_point(shares: tuple[float, float]) -> float:
    """Where moves of s_i (b_i - w) cancel."""
    return sum(s * b for s, b in zip(shares, B, strict=True)) / sum(shares)


def moved(pull: float = 0.0, rate: float = RATE, steps: tuple[int, int] = (1, 4)) -> tuple[float, float]:
    """s_i: the share of the way to b_i after the steps, with a proximal term of strength `pull`."""
    first, second = (
        a / (a + pull) * (1 - (1 - rate * (a + pull)) ** k) for a, k in zip(A, steps, strict=True)
    )
    return first, second


def test_the_loop_of_this_test_is_fedavg_s() -> None:
    """Of which the fixed point is biased, also with equal steps."""
    assert play("fedavg", 3)[0] == approx(0.8856, 1.46549088, 1.845203428)
    assert play("fedavg", 300)[0][-1] == pytest.approx(2.565469293, abs=1e-8)
    assert play("fedavg", 300, steps=(4, 4))[0][-1] == pytest.approx(1.895750829, abs=1e-8)
    assert play("fedprox", 300, mu=1.0)[0][-1] == pytest.approx(2.505440158, abs=1e-8)


def test_fednova_removes_the_bias_to_first_order_and_no_further() -> None:
    assert play("fednova", 1)[0] == approx(0.5535)
    limits = [play("fednova", int(40 / rate), rate=rate)[0][-1] for rate in (0.1, 0.01)]
    assert limits == pytest.approx([1.788368336, 1.979868036], abs=1e-8)


@pytest.mark.parametrize(("momentum", "counts"), [(0.0, (1.0, 4.0)), (0.9, (1.0, 9.049))])
def test_fednova_counts_steps_with_momentum_by_how_long_they_go_on(
    momentum: float, counts: tuple[float, float]
) -> None:
    """Round 1: client 1 has moved 0; client 2 as torch's SGD moves it."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=RATE, momentum=momentum)
    for _ in range(4):
        optimiser.zero_grad()
        (w - 3).square().sum().backward()
        optimiser.step()
    expected = sum(counts) / 2 * (float(w.detach()) / counts[1]) / 2
    assert play("fednova", 1, momentum=momentum)[0] == approx(expected)


def test_fednova_allows_for_the_pull_of_a_proximal_term() -> None:
    """Its steps count 1 and 1 + .9 + .81 + .729 = 3.439 with mu 1; their mean is of the steps, 2.5."""
    shares, counts = moved(pull=1.0), (1.0, 3.439)
    assert play("fednova", 1, mu=1.0)[0] == approx(2.5 * shares[1] * 3 / 3.439 / 2)
    limit = fixed_point((shares[0] / counts[0], shares[1] / counts[1]))
    assert play("fednova", 400, mu=1.0)[0][-1] == pytest.approx(limit, abs=1e-8)


def test_feddyn_by_hand_with_exact_local_minimisers() -> None:
    found, state = play("feddyn", 3, steps=(400, 400), alpha=0.5)
    assert found == approx(2.4, 2.0, 1.92)
    assert float(state["gradient"]) == pytest.approx(-0.08, abs=1e-8)


@pytest.mark.parametrize(("weights", "optimum"), [(HALVES, 2.0), ((0.25, 0.75), 18 / 7)])
def test_feddyn_s_limit_is_the_optimum_of_the_weights(weights: tuple[float, float], optimum: float) -> None:
    found, state = play("feddyn", 400, alpha=0.5, weights=weights)
    assert found[-1] == pytest.approx(optimum, abs=1e-8)
    assert float(state["gradient"]) == pytest.approx(0.0, abs=1e-8)


def test_mime_lite_by_hand_and_its_bias_that_is_left() -> None:
    found, state = play("mime_lite", 3, steps=(4, 4))
    assert found == approx(0.11644776, 0.331678118, 0.623202576)
    assert float(state["momentum"]) == pytest.approx(-0.747527835, abs=1e-8)
    assert play("mime_lite", 2000, steps=(4, 4))[0][-1] == pytest.approx(1.998997327, abs=1e-8)


@pytest.mark.parametrize(("q", "expected"), [(0.0, 1.15), (1.0, 1.25), (5.0, 1.133329603)])
def test_q_fedavg_by_hand(q: float, expected: float) -> None:
    """From 1 the losses are .5 and 4, and with q = 1 the bounds of the step 6 and 56 (times the rate, .6 and 5.6)."""
    assert play("q_fedavg", 1, steps=(1, 1), start=1.0, q=q)[0] == approx(expected)


def test_q_fedavg_minimises_powers_of_the_losses() -> None:
    """q = 1: the minimum of the sum of F^2 / 2, where F_1 F_1' + F_2 F_2' = 0."""
    assert play("q_fedavg", 400, steps=(1, 1), q=1.0)[0][-1] == pytest.approx(1.840535371, abs=1e-7)


def test_fedprox_raises_mu_when_the_loss_rises_and_lowers_it_after_some_falls() -> None:
    algorithm, zero = ALGORITHMS["fedprox"](mu=0.5, adaptive=True, falls=2), torch.zeros(1)
    state, found = algorithm.init(zero), []
    losses = (1.0, 2.0, 3.0, 2.5, 2.0, 1.5, 1.5, 1.0, 0.9)
    for loss in losses:
        state, _ = algorithm.update(state, zero, Heard(zero, {"loss": torch.tensor([loss])}, 1.0))
        found.append(float(state["mu"]))
    assert found == pytest.approx([0.5, 0.6, 0.7, 0.7, 0.6, 0.5, 0.5, 0.5, 0.4])


def test_mu_stays_between_zero_and_one() -> None:
    zero = torch.zeros(1)
    for mu, losses, end in ((1.0, (1.0, 2.0, 3.0), 1.0), (0.1, (3.0, 2.0, 1.0, 0.5), 0.0)):
        algorithm = ALGORITHMS["fedprox"](mu=mu, adaptive=True, falls=1)
        state = algorithm.init(zero)
        for loss in losses:
            state, _ = algorithm.update(state, zero, Heard(zero, {"loss": torch.tensor([loss])}, 1.0))
        assert float(state["mu"]) == pytest.approx(end, abs=1e-7)


def models(setup: Setup, rounds: int, start: float = 0.0) -> list[float]:
    """The model after each round of a run."""
    state, seen = replace(initial_state(setup), parameters=torch.tensor([start])), []
    for until in range(1, rounds + 1):
        state = train_rounds(state, setup, until)
        seen.append(float(state.parameters[0]))
    return seen


FOUR_STEPS = {"batch_size": None, "learning_rate": 0.1, "steps": 4}
MINIMISE = {"batch_size": None, "learning_rate": 0.1, "steps": 120}
ONE_STEP = {"batch_size": None, "learning_rate": 0.1, "steps": 1}


@pytest.mark.parametrize(
    ("algorithm", "changes", "start", "expected"),
    [
        ("fedsgd", {}, 0.0, [0.3, 0.555]),
        ("fednova", {}, 0.0, [0.5535]),
        ("feddyn(0.5)", {"local": MINIMISE}, 0.0, [2.4, 2.0, 1.92]),
        ("mime_lite", {"local": FOUR_STEPS}, 0.0, [0.11644776, 0.331678118, 0.623202576]),
        ("q_fedavg(0)", {"local": ONE_STEP}, 1.0, [1.15]),
        ("q_fedavg(1)", {"local": ONE_STEP}, 1.0, [1.25]),
        ("q_fedavg(5)", {"local": ONE_STEP}, 1.0, [1.133329603]),
    ],
)
def test_a_run_is_that_of_the_paper(
    algorithm: str,
    changes: dict[str, Any],
    start: float,
    expected: list[float],
    quadratics: Callable[..., Setup],
) -> None:
    found = models(quadratics(algorithm=algorithm, **changes), len(expected), start)
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("weighting", "optimum"), [("uniform", 2.0), ("examples", 8 / 3)])
def test_a_run_of_feddyn_ends_at_the_optimum_of_its_weights(
    weighting: str, optimum: float, quadratics: Callable[..., Setup]
) -> None:
    setup = quadratics(algorithm="feddyn(0.5)", cohort={"weighting": weighting}, rounds=150)
    assert models(setup, 150)[-1] == pytest.approx(optimum, abs=1e-4)


def test_feddyn_with_one_client_counts_it_for_half_of_the_federation(
    quadratics: Callable[..., Setup],
) -> None:
    """The trained model is 2.4, so h is -.5 x 2.4 / 2 and the model 2.4 + 1.2."""
    for seed in range(20):
        setup = quadratics(
            algorithm="feddyn(0.5)", cohort={"size": 1, "weighting": "uniform"}, seed=seed, local=MINIMISE
        )
        if sample_cohort(setup, 0).tolist() == [1]:
            break
    state = train_rounds(initial_state(setup), setup, 1)
    assert float(state.parameters[0]) == pytest.approx(3.6, abs=1e-5)
    assert float(state.server["algorithm"]["gradient"]) == pytest.approx(-0.6, abs=1e-5)


@pytest.mark.parametrize("uplink", ["none", "terngrad", "error_feedback(int8)"])
def test_feddyn_s_server_remembers_the_sum_of_its_clients_whatever_the_compression(
    uplink: str, quadratics: Callable[..., Setup]
) -> None:
    setup = quadratics(
        "three", algorithm="feddyn(0.5)", cohort={"size": 2}, rounds=9, compression={"uplink": uplink}
    )
    state = train_rounds(initial_state(setup), setup, 9)
    own = {client: float(kept["gradient"]) for client, kept in state.clients["algorithm"].items()}
    total = sum(count / 7 * own.get(client, 0.0) for client, count in enumerate((1, 4, 2)))
    assert float(state.server["algorithm"]["gradient"]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(
    ("algorithm", "local"),
    [
        ("fednova", FOUR_STEPS),
        ("q_fedavg(0)", {}),
        ("fedprox(mu=0, adaptive=true)", {}),
        ("fedsgd", ONE_STEP),
    ],
)
def test_where_the_arithmetic_is_fedavg_s_it_is_fedavg_bit_for_bit(
    algorithm: str, local: dict[str, Any], quadratics: Callable[..., Setup]
) -> None:
    """FedNova with four steps each: a division and a product by four lose nothing. Adaptive mu is 0 in two rounds."""
    local = {"batch_size": 1, "learning_rate": 0.1, **local}
    first, second = (
        train_rounds(initial_state(setup), setup, 2).parameters
        for setup in (quadratics("three", algorithm=name, local=local) for name in (algorithm, "fedavg"))
    )
    assert torch.equal(first, second)


PARTS = {
    "fedsgd": ({}, {}),
    "fednova": ({"steps": 4}, {}),
    "feddyn": ({}, {}),
    "mime_lite": ({"gradient": 4}, {"momentum": 4}),
    "q_fedavg": ({"step_bound": 4}, {}),
    "fedprox(adaptive=true)": ({"loss": 4}, {"mu": 4}),
    "scaffold(option=1)": ({"variate": 4}, {"variate": 4}),
}


@pytest.mark.parametrize("algorithm", PARTS)
def test_what_travels_beside_update_and_model_has_a_name_and_is_counted(
    algorithm: str, quadratics: Callable[..., Setup]
) -> None:
    setup = quadratics(algorithm=algorithm, rounds=1)
    (_, metrics), two_clients = train(Course(initial_state(setup)), setup, 1).history[0], 2
    for way, plain, more in zip(("uplink", "downlink"), ("update", "model"), PARTS[algorithm], strict=True):
        named = {f"communication/{way}/{part}_bytes": two_clients * size for part, size in more.items()}
        named |= {f"communication/{way}/{plain}_bytes": two_clients * 4}
        named |= {f"communication/{way}/metadata_bytes": two_clients * 8 * (1 + len(more))}
        assert {
            name: value for name, value in metrics.items() if name.startswith(f"communication/{way}/")
        } == named


@pytest.mark.parametrize("algorithm", [*PARTS, "fedadam(bias_correction=true)", "fedavgm"])
def test_shards_and_a_checkpoint_in_between_change_nothing(
    algorithm: str, quadratics: Callable[..., Setup], tmp_path: Path
) -> None:
    setup = quadratics("three", algorithm=algorithm, rounds=4, cohort={"size": 2})
    whole = train_rounds(initial_state(setup), setup, 4)
    cut = replace(setup, shard_size=1)
    save(Course(train_rounds(initial_state(cut), cut, 2)), tmp_path / "x", {})
    again = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, cut, 4)
    assert torch.equal(whole.parameters, again.parameters)
    assert memory(whole).keys() == memory(again).keys()
    assert all(torch.equal(value, memory(again)[name]) for name, value in memory(whole).items())


def memory(state: RunState) -> dict[str, torch.Tensor]:
    """All that server and clients remember of the algorithm."""
    own = state.clients.get("algorithm", {})
    found = {f"{client} {name}": value for client, kept in own.items() for name, value in kept.items()}
    return {**found, **state.server.get("algorithm", {})}


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fedprox", {"mu": 1.5, "adaptive": True}, "mu must be at most 1 where it adapts, got 1.5"),
        ("fedprox", {"adaptive": True, "falls": 0}, "falls must be at least 1 round, got 0"),
        ("fednova", {"mu": -1.0}, "mu must be a finite number >= 0"),
        ("feddyn", {"alpha": 0.0}, "alpha must be a finite number > 0"),
        ("mime_lite", {"momentum": 1.0}, "momentum must be a number from 0 to below 1"),
        ("q_fedavg", {"q": -1.0}, "q must be a finite number >= 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ALGORITHMS[name](**arguments)


def test_fednova_s_proximal_term_is_for_steps_without_momentum(quadratics: Callable[..., Setup]) -> None:
    local = {"momentum": 0.9, "learning_rate": 0.1}
    quadratics(algorithm="fednova", local=local)
    with pytest.raises(ValueError, match=r"algorithm: fednova\(mu=0.1\) with local.momentum: 0.9: its rule"):
        quadratics(algorithm="fednova(mu=0.1)", local=local)
