"""The contract of an algorithm and of a privacy mechanism, one row each."""

import numpy as np
import pytest
import torch

from federated.algorithms import ALGORITHMS, Heard, OfClients, OfClusters
from federated.config.run import RunConfig
from federated.foundation.randomness import NoiseSource
from federated.privacy import PRIVACY
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

ALGORITHM_ROWS = {
    "fedavg": [{}, {"server_learning_rate": 0.5}],
    "fedavgm": [{}, {"momentum": 0.5, "nesterov": True}],
    "fedadagrad": [{}, {"beta1": 0.5}],
    "fedadam": [{}, {"beta1": 0.0, "beta2": 0.0}, {"bias_correction": True}],
    "fedyogi": [{}, {"beta1": 0.0}],
    "fednova": [{}, {"mu": 0.5}],
    "feddyn": [{}, {"alpha": 0.5}],
    "mime_lite": [{}, {"momentum": 0.5}],
    "q_fedavg": [{}, {"q": 0.0}],
    "fedsgd": [{}, {"server_learning_rate": 0.5}],
    "fedlc": [{}, {"tau": 0.5}],
    "moon": [{}, {"mu": 5.0}],
    "scaffold": [{}, {"server_learning_rate": 0.5}, {"option": 1}],
    "fedper": [{}, {"personal": ["head"]}],
    "fedrep": [{}, {"head_steps": 3}],
    "lg_fedavg": [{}, {"shared": ["head"]}],
    "fedbabu": [{}, {"head": ["linear"]}],
    "fedbn": [{}, {"server_learning_rate": 0.5}],
    "fedavg_ft": [{}, {"tuning_steps": 2, "tuning_learning_rate": 0.5}],
    "ditto": [{}, {"lam": 0.1, "steps": 2}],
    "apfl": [{}, {"alpha": 0.0, "adaptive": False}],
    "pfedme": [{}, {"lam": 1.0, "inner_steps": 2, "eta": 0.1, "beta": 0.5}],
    "per_fedavg": [{}, {"alpha": 0.1}],
    "ifca": [{}, {"clusters": 1}, {"averaging": "gradients"}, {"server_learning_rate": 0.5}],
    "cfl": [{}, {"eps1": 100.0, "eps2": 0.0, "rounds_before": 0}],
    "fedprox": [{}, {"mu": 0.5}, {"mu": 1.0, "server_learning_rate": 0.5}, {"adaptive": True}],
    "sign_majority": [{"server_learning_rate": 0.01}],
}
PRIVACY_ROWS = {
    "none": [{}],
    "clip": [{"norm": 1.0}, {"norm": 1e-3}],
    "local_gaussian": [{"norm": 1.0, "noise_multiplier": 0.0}],
    "local_laplace": [{"norm": 1.0, "epsilon": 1e38}],
    "dp_ftrl": [{"norm": 1.0, "noise_multiplier": 1.0, "bands": 4}],
    "central_gaussian": [{"norm": 1.0, "noise_multiplier": 1.0}, {"norm": 1e-3, "noise_multiplier": 0.0}],
    "dp_sgd": [{"norm": 1.0}],
    "distributed_gaussian": [{"norm": 1.0, "noise_multiplier": 1.0}],
}
# Arguments that make an algorithm FedAvg; none do of one that counts votes.
NEUTRAL = {
    "fedavg": {},
    "fedlc": {"tau": 0.0},
    "moon": {"mu": 0.0},
    "fedbn": {},
    "fedavg_ft": {},
    "fedprox": {"mu": 0.0},
    "fedavgm": {"momentum": 0.0},
}
VOTES = {"sign_majority"}
OTHERWISE = {
    "feddyn",
    "fednova",
    "fedsgd",
    "mime_lite",
    "q_fedavg",
    "fedadagrad",
    "fedadam",
    "fedyogi",
    "scaffold",
    "fedper",
    "fedrep",
    "lg_fedavg",
    "fedbabu",
    "ditto",
    "apfl",
    "pfedme",
    "per_fedavg",
    "ifca",
    "cfl",
}  # no arguments make these FedAvg; their own tests say what they are


def heard(update: torch.Tensor, **sent: torch.Tensor) -> Heard:
    """What a server hears of a whole federation."""
    return Heard(update, sent, 1.0)


def of_clusters(told, algorithm, state):
    """The same of the first of several models, or of one client that is in a cluster."""
    models, update = algorithm.clusters.models(state), told.update
    if algorithm.clusters.assigned is not None:
        each = OfClients(
            np.zeros(1, np.int64), np.ones(1), update[None], algorithm.clusters.assigned(state, [0])
        )
        return told._replace(of_clients=each)
    first = np.eye(len(models))[0]
    sums = torch.from_numpy(first)[:, None] * update
    return told._replace(of_clusters=OfClusters(sums, first))


def test_every_registered_name_has_a_row():
    assert set(ALGORITHM_ROWS) == set(NEUTRAL) | VOTES | OTHERWISE == set(ALGORITHMS)
    assert set(PRIVACY_ROWS) == set(PRIVACY)


@pytest.mark.parametrize(("name", "arguments"), [(n, a) for n, rows in ALGORITHM_ROWS.items() for a in rows])
def test_algorithm_is_pure_and_keeps_shape(name, arguments):
    algorithm = ALGORITHMS[name](**arguments)
    parameters, mean_update = torch.randn(7), torch.randn(7)
    kept = parameters.clone(), mean_update.clone()
    state = algorithm.init(parameters)
    told = heard(mean_update, **{name: torch.ones(7) for name in algorithm.client.sends})
    if algorithm.clusters is not None:
        told = of_clusters(told, algorithm, state)
    before = {name: value.clone() for name, value in state.items()}
    after, first = algorithm.update(state, parameters, told)
    _, second = algorithm.update(state, parameters, told)
    assert after.keys() == state.keys()
    assert all(torch.equal(state[name], value) for name, value in before.items())
    assert torch.equal(first, second)
    assert first.shape == parameters.shape
    assert torch.equal(parameters, kept[0])
    assert torch.equal(mean_update, kept[1])


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_algorithm_is_fedavg_bit_for_bit(name):
    base = {
        "dataset": "digits",
        "model": "mlp([8])",
        "clients": 4,
        "rounds": 2,
        "partitioner": "dirichlet(0.3)",
        "engine": {"name": "loop"},  # the one that can run them all
    }
    after = []
    for algorithm in ({"name": name, **NEUTRAL[name]}, "fedavg"):
        setup = prepare(RunConfig(**base, algorithm=algorithm))
        after.append(train_rounds(initial_state(setup), setup, 2).parameters)
    assert torch.equal(*after)


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_algorithm_adds_the_mean_update(name):
    algorithm = ALGORITHMS[name](**NEUTRAL[name])
    parameters, mean_update = torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0])
    assert algorithm.update(algorithm.init(parameters), parameters, heard(mean_update))[1].tolist() == [
        1.5,
        1.0,
    ]


def test_server_learning_rate_scales_the_mean_update():
    algorithm = ALGORITHMS["fedavg"](server_learning_rate=0.5)
    assert algorithm.update({}, torch.tensor([1.0]), heard(torch.tensor([4.0])))[1].tolist() == [3.0]


@pytest.mark.parametrize("mu", [-1.0, float("nan"), float("inf")])
def test_bad_mu_is_refused(mu):
    with pytest.raises(ValueError, match="mu must be a finite number >= 0"):
        ALGORITHMS["fedprox"](mu=mu)


def test_majority_moves_one_step_and_stays_where_votes_are_even():
    """Three clients vote (+ + -), (- - -) and, with an abstention, (+ -)."""
    votes = torch.tensor([[1.0, -1, 1], [1, -1, -1], [-1, -1, 0]])
    algorithm = ALGORITHMS["sign_majority"](server_learning_rate=0.5)
    _, parameters = algorithm.update({}, torch.tensor([1.0, 1.0, 1.0]), heard(votes.mean(dim=0)))
    assert parameters.tolist() == [1.5, 0.5, 1.0]


@pytest.mark.parametrize("name", ["fedavg", "sign_majority"])
@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_bad_server_learning_rate_is_refused(name, rate):
    with pytest.raises(ValueError, match="server_learning_rate must be a finite number > 0"):
        ALGORITHMS[name](server_learning_rate=rate)


@pytest.mark.parametrize(("name", "arguments"), [(n, a) for n, rows in PRIVACY_ROWS.items() for a in rows])
def test_mechanism_is_pure_and_leaves_zero_alone(name, arguments):
    mechanism = PRIVACY[name](**arguments)
    if name == "none":
        assert mechanism.bound is mechanism.release is mechanism.guarantee is None
        return
    if name == "dp_sgd":  # inside local training: tests/test_by_example.py
        assert mechanism.bound is mechanism.release is None
        return
    deltas = torch.stack([torch.zeros(5), torch.ones(5)])
    bounded, clipped, _ = mechanism.bound({}, deltas, NoiseSource(0).of_clients(0, [0, 1]))
    assert torch.equal(deltas, torch.stack([torch.zeros(5), torch.ones(5)]))
    assert torch.allclose(bounded[0], torch.zeros(5), atol=1e-30)
    assert clipped.tolist()[0] is False


def test_clip_hand_worked():
    bounded, clipped, _ = PRIVACY["clip"](norm=5.0).bound(
        {}, torch.tensor([[3.0, 4.0], [6.0, 8.0], [0.3, 0.4]]), ()
    )
    assert torch.allclose(bounded, torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.3, 0.4]]))
    assert clipped.tolist() == [False, True, False]


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan")])
def test_bad_norm_is_refused(norm):
    with pytest.raises(ValueError, match="norm must be a finite number > 0"):
        PRIVACY["clip"](norm=norm)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta1": 1.0}, "beta1 must be a number from 0 to below 1, got 1.0"),
        ({"beta2": float("nan")}, "beta2 must be a number from 0 to below 1, got nan"),
        ({"tau": 0.0}, "tau must be a finite number > 0, got 0.0"),
    ],
)
def test_fedadam_refuses_numbers_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        ALGORITHMS["fedadam"](**arguments)
