"""dp_sgd in a study: what goes with it, who is counted for how many steps, and what it guarantees."""

from __future__ import annotations

import re
from typing import Any

import dp_accounting as dp
import numpy as np
import pytest
import torch

from federated.algorithms import ALGORITHMS
from federated.config.run import RunConfig
from federated.extension_points.clashes.by_example import OF_SINGLE_EXAMPLES
from federated.forecast.privacy_warnings import of_privacy
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.participation import SamplingLaw
from federated.privacy import PRIVACY, LocalSteps, Participated
from federated.privacy.accounting import spent
from federated.privacy.accounting.by_client import epsilons_by_client
from federated.privacy.dp_sgd import _event
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import sample_cohort
from federated.run.clients.promised import promise_table
from federated.run.course import Course
from federated.run.preparing.local_steps import StepsSoFar
from federated.run.setup import Setup, initial_state, prepare

pytestmark = pytest.mark.usefixtures("home")

CONTENT: dict[str, Any] = {
    "dataset": "digits",
    "model": "logistic",
    "clients": 10,
    "cohort": {"size": 4},
    "rounds": 6,
    "local": {"batch_size": 30, "epochs": 2},
    "privacy": "dp_sgd(norm=0.5, noise_multiplier=1.5)",
}

REFUSED = {
    "fedprox(adaptive=true)": "at the received model",
    "scaffold(option=1)": "at the received model",
    "mime_lite": "at the received model",
    "q_fedavg": "at the received model",
    "ifca(2)": "suits its examples",
    "fedlc": "classes of all examples",
    "moon": "its own, in which",
    "apfl": "its own, in which",
    "pfedme": "its own, in which",
    "per_fedavg": "its own, in which",
    "ditto": "a second model",
}
ACCEPTED = {
    "fedavg", "fedsgd", "fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi", "scaffold", "fednova", "feddyn",
    "fedper", "fedrep", "lg_fedavg", "fedbabu", "fedbn", "fedavg_ft", "cfl", "sign_majority",
}  # fmt: skip


def _config(**stated: Any) -> RunConfig:
    return RunConfig.model_validate({**CONTENT, **stated})


@pytest.mark.parametrize("algorithm", REFUSED)
def test_algorithms_that_tell_more_than_private_steps_are_refused(algorithm: str) -> None:
    with pytest.raises(ValueError, match=re.escape(REFUSED[algorithm])) as raised:
        _config(algorithm=algorithm)
    assert "privacy: dp_sgd(norm=0.5, noise_multiplier=1.5) with algorithm: " in str(raised.value)
    _config(algorithm=algorithm, privacy="none")


def test_every_other_algorithm_is_accepted() -> None:
    assert {name.partition("(")[0] for name in REFUSED} | ACCEPTED == set(ALGORITHMS)
    for name in ACCEPTED - {"sign_majority"}:
        _config(algorithm=name)
    _config(algorithm="sign_majority(0.1)", compression={"uplink": "sign(scale=one)"})


def test_a_bound_on_batches_is_refused_and_every_row_of_the_table_is_met() -> None:
    with pytest.raises(
        ValueError, match=r"with local.max_gradient_norm: 1.0: .*leave local.max_gradient_norm out"
    ):
        _config(local={"max_gradient_norm": 1})
    with pytest.raises(
        ValueError, match=r"with loss: cross_entropy.*one example changes the gradients of the others"
    ):
        _config(loss="cross_entropy(class_weights=balanced_by_client)")
    with pytest.raises(ValueError, match=r"with loss: bce.*one example changes the gradients of the others"):
        _config(loss="bce(positive_weights=balanced)")
    _config(loss={"name": "cross_entropy", "class_weights": [1, 2, 1, 1, 1, 1, 1, 1, 1, 1]})
    assert len(OF_SINGLE_EXAMPLES) == len({*REFUSED.values()}) + 2


NORMALISED = """
from torch import nn
def flat(input_shape, num_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8),
                         nn.Linear(8, num_outputs))
def tracked(input_shape, num_outputs):
    return nn.Sequential(nn.InstanceNorm2d(1, track_running_stats=True), nn.Flatten(), nn.Linear(64, num_outputs))
def groups(input_shape, num_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.GroupNorm(2, 8), nn.Linear(8, num_outputs))
"""


@pytest.mark.parametrize("name", ["flat", "tracked"])
def test_a_model_that_normalises_by_the_batch_is_refused(name: str, own: Any) -> None:
    model = f"{own(NORMALISED)}:{name}"
    with pytest.raises(
        BadInput,
        match=r"the batch normalisation in model: .* makes it depend on those beside it; use another",
    ):
        prepare(_config(model=model))
    prepare(_config(model=model, privacy="none"))
    with pytest.raises(
        BadInput, match="the batch normalisation in model"
    ):  # and not a batch of one, which is no cure
        prepare(_config(model=model, local={"batch_size": 1, "steps": 1}))


def test_one_that_normalises_within_examples_trains(own: Any) -> None:
    setup = prepare(_config(model=f"{own(NORMALISED)}:groups", rounds=1))
    before = initial_state(setup)
    assert not torch.equal(train_rounds(before, setup, 1).parameters, before.parameters)


def test_the_vectorised_engine_says_why_it_cannot(own: Any) -> None:
    with pytest.raises(
        BadInput, match=r"engine: vectorised: Poisson batches differ in size .*; use auto or loop"
    ):
        prepare(_config(model=f"{own(NORMALISED)}:groups", engine={"name": "vectorised"}))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["scaffold", "fedrep", "fedadam"])
def test_a_resumed_run_and_one_in_small_shards_are_the_same(algorithm: str, tmp_path: Any) -> None:
    options = {"momentum": 0.5} if algorithm == "scaffold" else {}
    stated = {"algorithm": algorithm, "model": "mlp", "local": {**CONTENT["local"], "epochs": 1, **options}}
    setup = prepare(_config(**stated, rounds=3))
    whole = train_rounds(initial_state(setup), setup, 3)
    save(Course(train_rounds(initial_state(setup), setup, 1)), tmp_path / "half", {})
    half = load(tmp_path / "half", {}, torch.device("cpu")).state
    resumed = train_rounds(half, setup, 3)
    assert torch.equal(whole.parameters, resumed.parameters)
    loop = prepare(_config(**stated, rounds=3, engine={"name": "loop", "memory_mb": 1}))
    in_loop = train_rounds(initial_state(loop), loop, 3)
    assert torch.allclose(whole.parameters, in_loop.parameters, rtol=0, atol=1e-4)


def _steps_so_far(setup: Setup) -> StepsSoFar:
    parts, start = setup.parts, setup.initial_parameters[: setup.model.num_trainable]
    return StepsSoFar(setup.config, setup.trainers, parts.participation, parts.algorithm, start)


@pytest.mark.parametrize(
    ("stated", "shares", "a_round"),
    [
        ({}, 30 / 144, 2 * 5),
        ({"local": {"batch_size": 30, "steps": [2, 7]}}, 30 / 144, 7),
        ({"local": {"batch_size": None}}, 1.0, 1),
        ({"algorithm": "fedsgd"}, 1.0, 1),
        ({"model": "mlp", "algorithm": "fedrep(head_epochs=3)"}, 30 / 144, 2 * 5 + 3 * 5),
        ({"model": "mlp", "algorithm": "fedrep(head_steps=4)"}, 30 / 144, 2 * 5 + 4),
    ],
)
def test_clients_are_counted_for_the_rounds_in_which_they_were_heard(
    stated: dict[str, Any], shares: float, a_round: int
) -> None:
    setup = prepare(_config(**stated))
    sizes = setup.federation.sizes
    assert sizes[0] == 144
    so_far = _steps_so_far(setup)
    before, after, again = so_far(4), so_far(6), _steps_so_far(setup)(6)
    assert after.turns.tolist() == again.turns.tolist()
    heard = np.zeros(10, np.int64)
    state = initial_state(setup)
    for done in range(6):
        heard[sample_cohort(setup, done)] += 1
        if done == 3:
            assert before.turns.tolist() == heard.tolist()
    assert state.round == 0
    assert after.turns.tolist() == heard.tolist()
    assert after.shares[0] == pytest.approx(shares)
    assert after.steps.tolist() == (a_round * heard).tolist()


def _participated(shares: list[float], steps: list[int]) -> Participated:
    local = LocalSteps(np.array(shares), np.array(steps), np.ones(len(steps), np.int64))
    sizes = np.ones(len(steps), np.int64)
    return Participated(SamplingLaw.FIXED_SIZE, 1, 3, 3.0, 1, 1, 1, sizes, local_steps=local)


def test_of_clients_with_other_shares_and_steps_none_that_may_be_worst_is_left_out() -> None:
    guarantee = PRIVACY["dp_sgd"](norm=1.0, noise_multiplier=2.0).guarantee
    assert guarantee is not None
    events = guarantee(_participated([0.1, 0.2, 0.1, 0.05, 0.2], [90, 40, 70, 80, 50]))
    found = [(event.event.sampling_probability, event.count) for event in events]
    assert found == [(0.2, 50), (0.1, 90)]
    assert {event.event.event.noise_multiplier for event in events} == {2.0}
    assert guarantee(_participated([0.1], [0])) == (dp.NoOpDpEvent(),)


def test_without_noise_nothing_is_guaranteed_and_the_norm_may_be_infinite() -> None:
    assert PRIVACY["dp_sgd"](norm=float("inf"), noise_multiplier=0.0).guarantee is None
    with pytest.raises(ValueError, match="norm must be a finite number"):
        PRIVACY["dp_sgd"](norm=float("inf"), noise_multiplier=0.1)
    with pytest.raises(ValueError, match="noise_multiplier must be a finite number >= 0"):
        PRIVACY["dp_sgd"](norm=1.0, noise_multiplier=-1.0)
    assert PRIVACY["dp_sgd"](norm=1.0, noise_multiplier=1.0).unit == "example"


MORE = """
import numpy as np
from federated.algorithms import ALGORITHMS
from federated.algorithms.local_terms import LocalTerms
def often():
    def update(state, parameters, heard):
        return {"round": state["round"] + 1}, parameters + heard.update
    def terms(state, clients, own):
        return LocalTerms(steps=np.full(len(clients), 10 + int(state["round"])))
    plain = ALGORITHMS["fedavg"]()
    return plain._replace(init=lambda p: {"round": p.new_zeros(1)}, update=update, terms=terms)
"""


def test_an_algorithm_may_not_take_more_steps_later_than_are_counted(own: Any) -> None:
    setup = prepare(_config(algorithm=f"{own(MORE)}:often"))
    after = train_rounds(initial_state(setup), setup, 1)
    with pytest.raises(
        OwnCodeFailed, match="for 11 steps in a round, and the privacy mechanism counts with 10"
    ):
        train_rounds(after, setup, 2)


def _pairs(z: float, *pairs: tuple[float, int]) -> tuple[dp.DpEvent, ...]:
    made = PRIVACY["dp_sgd"](norm=1.0, noise_multiplier=z).guarantee
    assert made is not None
    shares, steps = zip(*pairs, strict=True)
    return made(_participated(list(shares), list(steps)))


def test_epsilon_is_that_of_the_worst_client() -> None:
    """1.828244 of dp_accounting 0.6.0 for a share of .01 and 1,000 steps; also beside clients with fewer of either."""
    alone = spent(_pairs(1.0, (0.01, 1000)), 1e-5)
    assert alone.epsilon == pytest.approx(1.828244, rel=1e-4)
    assert alone.accountant == "PLD"
    assert spent(_pairs(1.0, (0.01, 1000), (0.02, 10), (0.005, 1200)), 1e-5) == alone
    more = spent(_pairs(1.0, (0.01, 1000), (0.05, 200)), 1e-5)
    assert more.epsilon == pytest.approx(4.765920, rel=1e-4)  # of the second one
    assert spent((), 1e-5).epsilon == spent((dp.NoOpDpEvent(),), 1e-5).epsilon == 0


@pytest.mark.slow
@pytest.mark.parametrize(("z", "share", "steps"), [(1.0, 0.01, 1000), (1.0, 0.05, 200), (2.0, 0.2, 110)])
def test_epsilon_agrees_with_the_accountants_of_opacus(z: float, share: float, steps: int) -> None:
    from opacus.accountants import create_accountant

    found = spent(_pairs(z, (share, steps)), 1e-5).epsilon
    theirs = {}
    for name in ("prv", "rdp"):
        accountant = create_accountant(name)
        accountant.history = [(z, share, steps)]
        theirs[name] = accountant.get_epsilon(1e-5)
    assert found < theirs["prv"] < 1.01 * found  # the upper end of its estimate, at an error of 0.01
    assert found < theirs["rdp"] < 1.2 * found


@pytest.mark.slow
def test_a_study_states_epsilon_or_the_noise_and_is_told_the_other() -> None:
    """With whole batches each turn is a Gaussian mechanism, so k of them have a closed form."""
    setup = prepare(
        _config(local={"batch_size": None}, privacy={"mechanism": "dp_sgd(norm=0.5)", "target_epsilon": 5.0})
    )
    promise, steps = setup.promise, _steps_so_far(setup)(6)
    assert promise is not None
    assert promise.noise is not None
    assert setup.worker.work.per_example == (0.5, promise.noise, False)
    assert 4.99 <= promise.spent(6).epsilon <= 5.0
    exact = dp.get_epsilon_gaussian(promise.noise / steps.turns.max() ** 0.5, promise.delta)
    assert promise.spent(6).epsilon == pytest.approx(exact, rel=1e-6)
    assert promise.delta == pytest.approx(1437**-1.1)
    ratio = promise.noise * len(setup.initial_parameters) ** 0.5 / 144
    assert (
        f"the noise in a local step of the median client is {ratio:.3g} times as long" in promise.sentence()
    )
    words = promise.words()
    assert words["unit"] == "one example of one client replaced by one that contributes nothing"
    assert (
        f"takes at most {steps.steps.max()} steps in at most {steps.turns.max()} of 6 rounds"
        in words["sampling"]
    )
    secure = prepare(_config(privacy={"mechanism": "dp_sgd(0.5, 1)", "secure": True}))
    assert secure.worker.work.per_example == (0.5, 1.0, True)


def test_what_is_of_whole_clients_is_refused_beside_it() -> None:
    with pytest.raises(ValueError, match="protects single examples of one"):
        _config(privacy={"mechanism": "dp_sgd(0.5, 1)", "canaries": 20})
    with pytest.raises(BadInput, match="has its noise in the steps of each client"):
        prepare(
            _config(privacy={"mechanism": "dp_sgd(0.5, 1)", "extrapolate": {"clients": 100, "cohort": 40}})
        )


def test_of_clients_of_several_sizes_the_median_is_told_too_and_a_small_one_that_is_much_worse() -> None:
    """With whole batches at the small one and half of the examples at the others."""
    sizes = [10, *[200] * 5]
    setup = prepare(
        _config(
            clients=6,
            partitioner={"name": "sizes", "law": sizes},
            cohort={"size": 6},
            rounds=4,
            local={"batch_size": 50, "steps": 1},
        )
    )
    promise = setup.promise
    assert promise is not None
    found = promise.metrics(4)
    assert found["privacy/epsilon"] == pytest.approx(dp.get_epsilon_gaussian(1.5 / 4**0.5, promise.delta))
    accountant = dp.pld.PLDAccountant()
    accountant.compose(_event(1.5, 0.25, 4))
    assert found["privacy/epsilon_median_client"] == pytest.approx(
        accountant.get_epsilon(promise.delta), rel=0.01
    )
    table = promise_table(setup, 4)
    at = np.argsort(table["training_examples"])
    assert np.array(table["training_examples"])[at].tolist() == sizes
    assert np.array(table["share_of_a_batch"])[at].tolist() == [1.0, *[0.25] * 5]
    assert (table["rounds_heard"], table["steps"]) == ([4] * 6, [4] * 6)
    epsilons = np.array(table["epsilon"])[at]
    assert epsilons[0] == found["privacy/epsilon"]
    assert epsilons[1:] == pytest.approx([accountant.get_epsilon(promise.delta)] * 5, rel=0.01)
    assert promise_table(prepare(_config(privacy="none")), 4) == {}
    (warning,) = of_privacy(setup)
    assert "is of the worst client, with 10 examples, each in a local step with probability 1;" in warning
    assert list(of_privacy(prepare(_config(cohort={"size": 10}, local={"batch_size": None})))) == []


def test_epsilons_of_many_unlike_clients_are_rounded_up_and_never_above_the_worst() -> None:
    """Of Gaussian mechanisms, whose epsilon has a closed form: each client's own is no larger than what is told."""
    shares, steps = np.linspace(0.1, 1, 40), np.arange(40, 0, -1)

    def event_of(one: LocalSteps) -> dp.DpEvent:
        return dp.GaussianDpEvent(8 / float(one.shares[0] * one.steps[0] ** 0.5))

    exact = np.array(
        [dp.get_epsilon_gaussian(8 / (s * k**0.5), 1e-5) for s, k in zip(shares, steps, strict=True)]
    )
    found = epsilons_by_client(LocalSteps(shares, steps, steps), event_of, 1e-5, exact.max())
    assert (found >= exact - 1e-9).all()
    assert (found <= exact.max()).all()
    assert np.median(found / exact) < 1.1
    few = LocalSteps(shares[::8], steps[::8], steps[::8])
    assert epsilons_by_client(few, event_of, 1e-5, exact.max()) == pytest.approx(exact[::8])
    none = LocalSteps(shares[:1], np.zeros(1, np.int64), np.zeros(1, np.int64))
    assert epsilons_by_client(none, event_of, 1e-5, 1.0).tolist() == [0.0]


OWN = """
from federated.privacy import PRIVACY, PerExample, Privacy
def tighter(norm: float = 0.5) -> Privacy:
    made = PRIVACY["dp_sgd"](norm=norm / 2, noise_multiplier=3.0)
    return Privacy(guarantee=made.guarantee, unit="example", per_example=made.per_example)
def wrong() -> Privacy:
    return Privacy(unit="example", per_example=(1.0, 1.0))
"""


def test_a_mechanism_of_ones_own_states_private_steps(own: Any) -> None:
    name = own(OWN)
    setup = prepare(_config(privacy=f"{name}:tighter(norm=0.8)", rounds=1))
    assert setup.worker.work.per_example == (0.4, 3.0, False)
    same = prepare(_config(privacy="dp_sgd(norm=0.4, noise_multiplier=3)", rounds=1))
    assert setup.promise is not None
    assert same.promise is not None
    assert setup.promise.spent(1) == same.promise.spent(1)
    after, expected = (train_rounds(initial_state(each), each, 1).parameters for each in (setup, same))
    assert torch.equal(after, expected)
    with pytest.raises(OwnCodeFailed, match=r"per_example must be PerExample\(norm, noise_multiplier\), got"):
        prepare(_config(privacy=f"{name}:wrong"))
