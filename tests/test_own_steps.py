"""APFL, pFedMe and Per-FedAvg: steps on quadratics by hand, rounds by torch, what the loop makes of their steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.algorithms import ALGORITHMS, Tuning
from federated.algorithms.local_terms import Contrast, LocalTerms, Phase
from federated.algorithms.own_steps import OwnSteps, Walk
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.outputs import Outputs
from federated.evaluation.tuning import own_outputs, tuned_outputs
from federated.foundation.errors import Diverged, OwnCodeFailed
from federated.foundation.randomness import Purpose, generator
from federated.local_training.steps.batches import epoch_orders
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.client_half import model_of
from federated.run.course import Course
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments import train

CONTENT: dict[str, Any] = {
    "dataset": "digits",
    "model": "mlp(hidden=[4])",
    "clients": 3,
    "partitioner": "dirichlet(0.3)",
    "holdout": {"client": 0.2},
    "local": {"batch_size": None, "steps": 3, "learning_rate": 0.1, "weight_decay": 0.01},
    "rounds": 2,
}
THREE = ("apfl", "pfedme(lam=2, inner_steps=3, eta=0.2, beta=0.5)", "per_fedavg(alpha=0.05)")


def trained(**changes: object) -> tuple[RunState, Setup]:
    setup = prepare(RunConfig.model_validate({**CONTENT, **changes}))
    return train_rounds(initial_state(setup), setup, setup.config.rounds), setup


def steps_of(
    name: str,
    a: float,
    b: float,
    w: float,
    batches: int = 1,
    own: dict[str, float] | None = None,
    **arguments: Any,
) -> tuple[float, dict[str, float]]:
    """(the model, what is remembered) after the steps of a client at a rate of 0.1.

    Its loss on the batches 0, 1, 2, ... is a/2 (w - b - batch)^2, so that it matters which batch a gradient is of.
    """
    algorithm = ALGORITHMS[name](**arguments)
    rows = {key: rows.double() for key, rows in algorithm.client.init(1, 1).items()}
    rows |= {key: torch.tensor([[value]], dtype=torch.float64) for key, value in (own or {}).items()}
    steps = algorithm.terms({}, [0], rows).own_steps
    assert steps is not None
    start = torch.tensor([w], dtype=torch.float64)
    one = {key: value[0] for key, value in rows.items()}
    after, kept = steps.take(
        Walk(start, one, 0.1, iter(range(batches)), lambda at, batch: a * (at - b - batch))
    )
    assert float(start) == w
    return float(after), {key: float(value) for key, value in kept.items()}


def test_a_step_of_apfl_by_hand() -> None:
    """alpha .5, v 1, w 2: the mixture is 1.5; v - .1 x .5 x 1.5, alpha + .1 x 1.5, and w - .1 x 2 as FedAvg's."""
    w, kept = steps_of("apfl", 1, 0, 2, own={"personal": 1.0})
    assert (w, kept["personal"], kept["alpha"]) == pytest.approx((1.8, 0.925, 0.65))
    _, kept = steps_of("apfl", 1, 0, 2, own={"personal": 1.0}, adaptive=False)
    assert kept["alpha"] == 0.5
    for a, b, v in ((1, 0, -2.0), (2, 3, 4.0)):  # where the mixture is b, nothing pulls at v or alpha
        _, kept = steps_of("apfl", a, b, 2, own={"personal": v})
        assert (kept["personal"], kept["alpha"]) == (v, 0.5)
    # the second batch: w 1.8 - .1 x .8, and v by .1 x .65 of the slope at .65 v + .35 w; alpha moves in the first alone
    w, kept = steps_of("apfl", 1, 0, 2, batches=2, own={"personal": 1.0})
    assert (w, kept["personal"], kept["alpha"]) == pytest.approx((1.72, 0.90996875, 0.65))
    _, kept = steps_of("apfl", 100, 0, 2, own={"personal": 1.0})
    assert kept["alpha"] == 1.0


def test_a_step_of_pfedme_by_hand() -> None:
    """theta near the minimisers (a b + lam w) / (a + lam) at w = 2, 1 and 8/3, and w goes eta lam of the way there."""
    for a, b, theta in ((1, 0, 1.0), (2, 3, 8 / 3)):
        w, kept = steps_of("pfedme", a, b, 2, lam=1.0, inner_steps=200, eta=0.25)
        assert kept["personal"] == pytest.approx(theta)
        assert w == pytest.approx(2 - 0.25 * (2 - theta))
    _, kept = steps_of("pfedme", 1, 0, 2, lam=1.0, inner_steps=2, eta=0.25)
    assert kept["personal"] == pytest.approx(2 - 0.1 * 2 - 0.1 * (1.8 + (1.8 - 2)))
    # both inner steps are on one batch: theta 1.8, 1.64 on the first, w 1.91; theta 1.603, 1.5734 on the second
    w, kept = steps_of("pfedme", 1, 0, 2, batches=2, lam=1.0, inner_steps=2, eta=0.25)
    assert (w, kept["personal"]) == pytest.approx((1.82585, 1.5734))


def test_a_step_of_per_fedavg_by_hand() -> None:
    """w - .1 grad(w - alpha grad(w)), the inner gradient of one batch and the outer of the next; the last of an odd
    number is both. From 0: ahead to .6 on the first batch, whose minimum is 3, and .1 x 2 x 3.4 on the second."""
    once, _ = steps_of("per_fedavg", 2, 3, 0, batches=2, alpha=0.1)
    assert once == pytest.approx(0.68)
    twice, _ = steps_of("per_fedavg", 2, 3, 0, batches=3, alpha=0.1)
    assert twice == pytest.approx(0.68 + 0.1 * 2 * (5 - 1.544))
    alone, _ = steps_of("per_fedavg", 2, 3, 0, alpha=0.1)
    assert alone == pytest.approx(0.1 * 2 * 0.8 * 3)


def test_the_global_fixed_point_of_pfedme_is_that_of_the_envelopes(quadratics: Callable[..., Setup]) -> None:
    """12/7 with lam = 1, where inner steps are exact: b weighted by a lam / (a + lam)."""
    setup = quadratics(
        algorithm="pfedme(lam=1, inner_steps=60, eta=0.01)",
        local={"steps": 1, "learning_rate": 0.3},
        rounds=1,
    )
    state = initial_state(setup)
    for w, sign in ((12 / 7, 0.0), (0.0, 1.0), (3.0, -1.0)):
        here = RunState(round=0, parameters=torch.full_like(state.parameters, w))
        moved = float(train_rounds(here, setup, 1).parameters) - w
        assert np.sign(round(moved, 5)) == sign


def batches_of(setup: Setup, done: int, client: int) -> list[np.ndarray]:
    """The examples of the three batches of a client's round."""
    held, size = setup.trainers.holders.indices[client], setup.config.local.batch_size
    numbers = generator(setup.config.seed, Purpose.BATCHES, done, client)
    orders = epoch_orders(numbers, held, size, 1, 3)
    size = size or len(held)
    return [order[at : at + size] for order in orders for at in range(0, len(order), size)]


def by_torch(setup: Setup, name: str) -> list[Tensor]:
    """Personal models after two rounds, three batches each."""
    count = len(setup.federation.sizes)
    weights = (setup.federation.sizes / setup.federation.sizes.sum()).tolist()
    x, own = setup.initial_parameters.clone(), [setup.initial_parameters.clone() for _ in range(count)]
    shares = [0.5] * count
    for done in range(2):
        ends = []
        for client in range(count):
            batches = batches_of(setup, done, client)

            def slope(at: Tensor, batch: np.ndarray) -> Tensor:
                module, held = setup.model.independent_module(at).train(), torch.from_numpy(batch)
                outputs = module(model_inputs(setup.inputs[held]))
                nn.functional.cross_entropy(outputs, setup.targets[held]).backward()
                return torch.cat(
                    [p.grad.reshape(-1) + 0.01 * p.detach().reshape(-1) for p in module.parameters()]
                )

            w, v, share = x, own[client], shares[client]
            if name == "apfl":
                for step, batch in enumerate(batches):
                    mixed = slope(share * v + (1 - share) * w, batch)
                    turn = float((v - w) @ mixed)
                    w, v = w - 0.1 * slope(w, batch), v - 0.1 * share * mixed
                    share = min(max(share - 0.1 * turn, 0.0), 1.0) if step == 0 else share
            elif name == "pfedme":
                v = w
                for batch in batches:
                    for _ in range(3):
                        v = v - 0.1 * (slope(v, batch) + 2 * (v - w))
                    w = w - 0.2 * 2 * (w - v)
            else:
                for inner, outer in ((0, 1), (2, 2)):  # two batches, and an only one
                    w = w - 0.1 * slope(w - 0.05 * slope(w, batches[inner]), batches[outer])
            own[client], shares[client] = v, share
            ends.append(w)
        mean = sum(weight * end for weight, end in zip(weights, ends, strict=True))
        x = 0.5 * x + 0.5 * mean if name == "pfedme" else mean
    if name == "apfl":
        return [share * v + (1 - share) * x for share, v in zip(shares, own, strict=True)]
    return [x] * count if name == "per_fedavg" else own


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("algorithm", THREE)
def test_models_are_those_of_a_loop_of_torch_by_any_number_of_threads_and_after_a_checkpoint(
    algorithm: str, size: int | None, tmp_path: Path
) -> None:
    local = {**CONTENT["local"], "batch_size": size}
    state, setup = trained(algorithm=algorithm, local=local, orchestration={"threads": 1})
    for client, expected in enumerate(by_torch(setup, algorithm.partition("(")[0])):
        assert torch.allclose(model_of(state, setup, client), expected, rtol=0, atol=1e-5)
    threaded = prepare(
        setup.config.model_copy(
            update={"orchestration": setup.config.orchestration.model_copy(update={"threads": 2})}
        )
    )
    save(train(Course(initial_state(threaded)), threaded, 1), tmp_path / "x", {})
    again = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, threaded, 2)
    assert torch.equal(again.parameters, state.parameters)
    for client in range(3):
        assert torch.equal(model_of(again, threaded, client), model_of(state, setup, client))


def test_the_global_path_of_apfl_is_fedavgs_and_a_share_of_nothing_is_the_global_model() -> None:
    """Bit for bit, with batches, a bound on gradients and weight decay."""
    local = {
        "batch_size": 8,
        "epochs": [1, 2],
        "learning_rate": 0.1,
        "weight_decay": 0.01,
        "max_gradient_norm": 0.5,
    }
    same = {"local": local, "engine": {"name": "loop"}}
    ours, setup = trained(algorithm="apfl(alpha=0, adaptive=false)", **same)
    plain, _ = trained(**same)
    assert torch.equal(ours.parameters, plain.parameters)
    assert torch.equal(model_of(ours, setup, 0), ours.parameters)
    assert evaluate(ours, setup)["generalisation/personalisation_losers"] == 0


@pytest.mark.slow
def test_a_client_of_per_fedavg_answers_after_a_step_on_its_own_examples() -> None:
    """That of `evaluation.personalisation` with one step, and by hand for the first client."""
    state, setup = trained(algorithm="per_fedavg(alpha=0.05)")
    sizes = np.array([len(held) for held in setup.federation.own_held_out])
    indices = np.concatenate(setup.federation.own_held_out)
    answers = own_outputs(state, setup, Outputs(setup), indices, sizes)
    assert torch.equal(
        answers, tuned_outputs(state, setup, Tuning(steps=1, learning_rate=0.05), indices, sizes)
    )
    module, held = setup.model.independent_module(state.parameters), setup.federation.clients[0]
    optimiser = torch.optim.SGD(module.parameters(), lr=0.05, weight_decay=0.01)
    nn.functional.cross_entropy(module(model_inputs(setup.inputs[held])), setup.targets[held]).backward()
    optimiser.step()
    with torch.inference_mode():
        by_hand = module.eval()(model_inputs(setup.inputs[indices[: sizes[0]]]))
    assert torch.allclose(answers[: sizes[0]], by_hand, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("algorithm", "message"),
    [
        ("apfl(alpha=2)", "alpha must be between 0 and 1"),
        ("pfedme(lam=10, eta=0.2)", "eta times lam must be at most 1"),
        ("pfedme(inner_steps=0)", "inner_steps must be at least 1"),
        ("per_fedavg(alpha=0)", "alpha must be"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(algorithm: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunConfig.model_validate({**CONTENT, "algorithm": algorithm})


OWN = """
import torch
from federated.algorithms import Algorithm, ClientHalf, Need
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.own_steps import OwnSteps
def take(walk):
    w = walk.start
    for batch in walk.batches:
        w = w - walk.rate * walk.gradient(w, batch)
    return {returned}
def mine():
    return fedavg()._replace(
        terms=lambda state, clients, own: LocalTerms(own_steps=OwnSteps(take, own)),
        needs=frozenset({{Need.LOOP, Need.OWN_STEPS}}),
    )
"""


def test_steps_of_ones_own_are_run_and_held_to_their_promises(own: Callable[[str], str]) -> None:
    local = {"batch_size": 8, "epochs": 1, "learning_rate": 0.1}
    ours, _ = trained(algorithm=f"{own(OWN.format(returned='w, {}'))}:mine", local=local)
    plain, _ = trained(local=local, engine={"name": "loop"})
    assert torch.allclose(ours.parameters, plain.parameters, rtol=0, atol=1e-6)
    for returned, message in (
        ("w", r"must return \(model"),
        ("w[:3], {}", "return a model"),
        ("w, {'v': w}", "in own"),
    ):
        with pytest.raises(OwnCodeFailed, match=f"own_steps .*{message}"):
            trained(algorithm=f"{own(OWN.format(returned=returned))}:mine", local=local)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("proximal", 0.5),
        ("correction", torch.zeros(3)),
        ("rate_factors", np.ones(1)),
        ("offsets", torch.zeros(1, 2)),
        ("contrast", Contrast(1.0, 0.5, torch.zeros(1, 3), np.ones(1, bool))),
        ("phases", (Phase(torch.ones(3, dtype=torch.bool)),)),
        ("anchor", torch.zeros(3)),
    ],
)
def test_terms_that_steps_of_ones_own_would_drop_are_refused(field: str, value: object) -> None:
    steps = OwnSteps(lambda walk: (walk.start, {}), {})
    with pytest.raises(ValueError, match=f"own_steps .* go with steps alone; leave {field} out"):
        LocalTerms(own_steps=steps, **{field: value})
    LocalTerms(own_steps=steps, steps=np.ones(1, np.int64))


@pytest.mark.slow
def test_pfedme_warns_and_says_why_where_theta_goes_past_w() -> None:
    """From lam times the rate of 2 on, with the lam of the default, 15; w^2/2 diverges by hand at .14, not at .1."""
    for rate, warned in ((0.13, False), (0.14, True)):
        content = {**CONTENT, "algorithm": "pfedme", "local": {"learning_rate": rate}}
        notes = prepare(RunConfig.model_validate(content)).notes
        assert any("lam 15 times local.learning_rate 0.14 is not below 2" in note for note in notes) == warned
    with pytest.raises(
        Diverged, match=r"lam of algorithm pfedme \(now 15\) times local\.learning_rate .* below 2"
    ):
        trained(algorithm="pfedme", local={"learning_rate": 0.5, "epochs": 30}, rounds=3)
