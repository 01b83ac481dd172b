"""The loop: a hand-written FedAvg as its oracle, bytes as payloads weigh, and what must not change results."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from federated import rounds
from federated.aggregators import weighted_sum
from federated.compressors import HEADER_BYTES
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.foundation.errors import Diverged
from federated.foundation.randomness import Purpose, generator
from federated.local_training.steps.batches import epoch_orders
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.clients.cohort import sample_cohort
from federated.run.course import Course
from federated.run.divergence import check_model
from federated.run.setup import initial_state, prepare
from federated.segments import train
from federated.wire.downlink import broadcast


def _config(**changes):
    base = {
        "dataset": "digits",
        "model": "mlp(hidden=[16])",
        "clients": 10,
        "cohort": {"size": 4},
        "partitioner": "dirichlet(0.5)",
        "local": {"epochs": 1, "batch_size": 16, "learning_rate": 0.1},
        "rounds": 6,
    }
    return RunConfig.model_validate({**base, **changes})


def _trained(config, until=None):
    course, setup = _measured(config, until)
    return course.state, setup


def _measured(config, until=None):
    setup = prepare(config)
    return train(Course(initial_state(setup)), setup, until or config.rounds), setup


def _without_times(history):
    return [
        (at, {k: v for k, v in metrics.items() if not k.startswith("system/")}) for at, metrics in history
    ]


def _plain_fedavg(config, setup):
    """The oracle: FedAvg as McMahan et al. write it, with nn.Module and torch.optim."""
    model = setup.model.independent_module().train()
    torch.nn.utils.vector_to_parameters(setup.initial_parameters.clone(), model.parameters())
    inputs, targets = setup.inputs.float() / 255, setup.targets
    for done in range(config.rounds):
        start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        weighted, examples = torch.zeros_like(start), 0
        for client in sample_cohort(setup, done):
            torch.nn.utils.vector_to_parameters(start.clone(), model.parameters())
            held = setup.federation.clients[client]
            optimiser = torch.optim.SGD(model.parameters(), lr=config.local.learning_rate)
            numbers = generator(config.seed, Purpose.BATCHES, done, int(client))
            for order in epoch_orders(numbers, held, 16, 1, None):
                for start_at in range(0, len(order), 16):
                    batch = torch.from_numpy(order[start_at : start_at + 16])
                    optimiser.zero_grad()
                    nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
                    optimiser.step()
            weighted += len(held) * torch.nn.utils.parameters_to_vector(model.parameters()).detach()
            examples += len(held)
        torch.nn.utils.vector_to_parameters(weighted / examples, model.parameters())
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def test_loop_is_federated_averaging():
    config = _config()
    state, setup = _trained(config)
    assert torch.allclose(state.parameters, _plain_fedavg(config, setup), rtol=0, atol=2e-6)


def test_two_runs_are_bit_identical():
    first, _ = _measured(_config(compression={"uplink": "qsgd(4)"}))
    second, _ = _measured(_config(compression={"uplink": "qsgd(4)"}))
    assert torch.equal(first.state.parameters, second.state.parameters)
    assert _without_times(first.history) == _without_times(second.history)


@pytest.mark.parametrize("uplink", ["none", "error_feedback(top_k(0.1))", "qsgd(4)"])
def test_saved_and_loaded_in_the_middle_is_bit_identical(tmp_path, uplink):
    config = _config(compression={"uplink": uplink})
    whole, _ = _measured(config)
    half, _ = _measured(config, until=3)
    save(half, tmp_path / "half.safetensors", {"run_key": config.run_key()})
    resumed = load(tmp_path / "half.safetensors", {"run_key": config.run_key()}, torch.device("cpu"))
    finished = train(resumed, prepare(config), config.rounds)
    assert torch.equal(finished.state.parameters, whole.state.parameters)
    assert _without_times(finished.history) == _without_times(whole.history)
    assert finished.state.uplink_bytes == whole.state.uplink_bytes


def test_the_weighted_sum_is_that_of_one_update_after_another():
    updates = torch.randn(13, 77, generator=torch.Generator().manual_seed(0))
    weights = np.random.default_rng(0).dirichlet(np.ones(13))
    expected = torch.zeros(77, dtype=torch.float64)
    for weight, update in zip(weights.tolist(), updates, strict=True):
        expected += weight * update.double()
    found = weighted_sum(weights, updates)
    assert found.dtype == torch.float64
    assert torch.allclose(found, expected, rtol=0, atol=1e-15)


def test_shard_size_changes_only_the_rounding_of_a_sum():
    config = _config(compression={"uplink": "error_feedback(top_k(0.1))"}, cohort={"size": 7})
    whole, setup = _trained(config)
    setup = replace(setup, shard_size=2)
    sharded = train_rounds(initial_state(setup), setup, config.rounds)
    assert torch.allclose(whole.parameters, sharded.parameters, rtol=0, atol=1e-6)
    assert whole.uplink_bytes == sharded.uplink_bytes
    assert whole.clients["uplink"].keys() == sharded.clients["uplink"].keys()


def test_arguments_are_not_changed():
    config = _config(compression={"uplink": "error_feedback(top_k(0.1))"})
    state, setup = _trained(config, until=2)
    parameters, clients = (
        state.parameters.clone(),
        {k: v["residual"].clone() for k, v in state.clients["uplink"].items()},
    )
    again = [train_rounds(state, setup, 4).parameters for _ in range(2)]
    assert torch.equal(again[0], again[1])
    assert torch.equal(state.parameters, parameters)
    assert state.clients["uplink"].keys() == clients.keys()
    assert all(
        torch.equal(state.clients["uplink"][client]["residual"], kept) for client, kept in clients.items()
    )


def test_float32_uplink_and_downlink_are_four_bytes_a_parameter_and_the_header():
    config = _config()
    course, setup = _measured(config)
    state = course.state
    expected = config.rounds * 4 * (4 * setup.initial_parameters.numel() + HEADER_BYTES)
    assert state.uplink_bytes == state.downlink_bytes == expected
    per_round = [metrics["communication/uplink_bytes"] for _, metrics in course.history]
    assert sum(per_round) == expected
    assert course.history[-1][1]["communication/uplink_bytes_total"] == expected


def test_ratios_compare_what_was_sent_with_32_bit_floats():
    course, setup = _measured(_config(compression={"downlink": "float16"}), until=1)
    plain = 4 * setup.initial_parameters.numel()
    assert course.history[0][1]["communication/uplink_ratio"] == plain / (plain + HEADER_BYTES)
    assert course.history[0][1]["communication/downlink_ratio"] == plain / (plain / 2 + HEADER_BYTES)


def test_counted_bytes_are_those_of_the_payloads():
    config = _config(compression={"uplink": "error_feedback(top_k(0.05))", "downlink": "float16"})
    setup = prepare(config)
    sent = []

    def encode(state, deltas, generators):
        payloads, state = original.encode(state, deltas, generators)
        sent.extend(payloads)
        return payloads, state

    original = setup.parts.uplink
    parts = setup.parts._replace(uplink=original._replace(encode=encode))
    watched = replace(setup, worker=replace(setup.worker, parts=parts))
    state = train_rounds(initial_state(watched), watched, config.rounds)
    assert len(sent) == config.rounds * 4
    assert state.uplink_bytes == sum(map(len, sent))
    assert state.downlink_bytes == config.rounds * 4 * (2 * state.parameters.numel() + HEADER_BYTES)


def test_clients_train_from_what_the_downlink_carried():
    half, setup = _trained(_config(compression={"downlink": "float16"}), until=1)
    whole, _ = _trained(_config(), until=1)
    decoded = broadcast(setup, initial_state(setup), [0]).model
    assert torch.equal(decoded, setup.initial_parameters.half().float())
    assert not torch.equal(half.parameters, whole.parameters)


def test_cohorts_are_drawn_without_replacement_anew_and_shared_by_arms():
    skewed, even = prepare(_config(partitioner="dirichlet(0.3)")), prepare(_config(partitioner="iid"))
    cohorts = [sample_cohort(even, done) for done in range(50)]
    for done, cohort in enumerate(cohorts):
        assert len(set(cohort.tolist())) == 4
        if len(skewed.trainers.eligible) == 10:
            assert np.array_equal(cohort, sample_cohort(skewed, done))
    assert len({tuple(cohort) for cohort in cohorts}) > 25
    times = np.bincount(np.concatenate(cohorts), minlength=10)
    assert times.min() > 8  # 20 expected of each; 8 is 3.5 standard deviations away
    assert times.max() < 32


def test_clients_without_examples_are_never_in_a_cohort():
    setup = prepare(_config(partitioner="dirichlet(0.01)", clients=50, cohort={"size": 50}))
    assert 0 < len(setup.trainers.eligible) < 50
    assert sample_cohort(setup, 0).tolist() == setup.trainers.eligible.tolist()


def test_weights_are_by_examples_or_uniform():
    setup = prepare(_config())
    cohort = sample_cohort(setup, 0)
    sizes = setup.federation.sizes[cohort]
    assert rounds.weights_of(cohort, setup) == pytest.approx(sizes / sizes.sum())
    uniform = prepare(_config(cohort={"size": 4, "weighting": "uniform"}))
    assert rounds.weights_of(cohort, uniform) == pytest.approx([0.25] * 4)


def test_clipping_bounds_what_a_round_can_move():
    config = _config(privacy="clip(norm=0.01)", cohort={"size": 4})
    setup = prepare(config)
    course = train(Course(initial_state(setup)), setup, 1)
    moved = course.state.parameters - setup.initial_parameters
    assert float(torch.linalg.vector_norm(moved)) <= 0.01 + 1e-6
    assert course.history[-1][1]["privacy/clipped_clients"] == 4


def test_divergence_names_the_round_and_keeps_the_history():
    setup = prepare(_config(local={"epochs": 1, "batch_size": 16, "learning_rate": 1e30}))
    with pytest.raises(Diverged, match=r"round [12]: the update of client") as caught:
        train(Course(initial_state(setup)), setup, 6)
    assert all(at >= 1 for at, _ in caught.value.history)


def test_linear_regression_finds_the_line():
    config = RunConfig.model_validate(
        {
            "dataset": "linear(size=1250)",
            "model": "linear",
            "clients": 10,
            "cohort": {"size": 5},
            "local": {"epochs": 10, "batch_size": 20, "learning_rate": 0.1},
            "rounds": 30,
        }
    )
    state, setup = _trained(config)
    slope, intercept = state.parameters.tolist()
    assert slope == pytest.approx(2.0, abs=0.05)
    assert intercept == pytest.approx(1.0, abs=0.05)
    assert evaluate(state, setup)["generalisation/test_mse"] == pytest.approx(0.01, abs=0.003)
    assert setup.federation.sizes.tolist() == [100] * 10


NORMALISED = """
from torch import nn

def make(input_shape, num_outputs, momentum=0.1):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, momentum=momentum), nn.Linear(64, num_outputs))
"""


def test_running_statistics_are_averaged_and_sent_as_plain_floats_whatever_the_compressor(own):
    model = own(NORMALISED) + ":make"
    config = _config(
        model=model,
        compression={"uplink": "qsgd(bits=2, bucket_size=4096, norm='l2')"},
        clients=4,
        partitioner="iid",
    )
    state, setup = _trained(config)
    trainable, whole = setup.model.num_trainable, state.parameters.numel()
    assert whole == trainable + 2 * 64
    assert (state.parameters[trainable + 64 :] > 0).all()  # variances
    plain = _config(model=model, clients=4, partitioner="iid")
    difference = _trained(plain)[0].uplink_bytes - state.uplink_bytes
    per_client = 4 * trainable - (4 + -(-2 * trainable // 8))  # float32 against one norm and 2 bits each
    assert difference == config.rounds * 4 * per_client


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_normalisation_passes_nothing_from_client_to_client(own, tmp_path, momentum):
    model = {"name": own(NORMALISED) + ":make", "momentum": momentum}
    config = _config(model=model, clients=4, partitioner="iid")
    setup = prepare(config)
    start = initial_state(setup).parameters
    forwards, backwards = setup.worker.train(start, [0, 1, 2], 0), setup.worker.train(start, [2, 1, 0], 0)
    assert torch.equal(forwards.deltas, backwards.deltas.flip(0))
    whole, _ = _trained(config)
    half, _ = _trained(config, until=3)
    save(Course(half), tmp_path / "half.safetensors", {})
    resumed = load(tmp_path / "half.safetensors", {}, torch.device("cpu"))
    assert torch.equal(
        train_rounds(resumed.state, prepare(config), config.rounds).parameters, whole.parameters
    )


def test_only_the_head_of_a_frozen_trunk_travels_and_the_trunk_stays_as_it_is(own):
    model = own(
        "from torch import nn\n"
        "def make(input_shape, num_outputs):\n"
        "    trunk = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8)).requires_grad_(False)\n"
        "    return nn.Sequential(trunk, nn.Linear(8, num_outputs))\n"
    )
    whole = {
        "cache_features": False
    }  # the setup's model is the whole one, and not its head on stored features
    config = _config(model=model + ":make", clients=4, partitioner="iid", engine=whole)
    state, setup = _trained(config)
    assert state.parameters.numel() == 8 * 10 + 10
    statistics = setup.model.module[0][2]
    assert torch.equal(statistics.running_mean, torch.zeros(8))
    assert int(statistics.num_batches_tracked) == 0


def test_nothing_writes_to_a_setup(own):
    """Training, evaluation, fine-tuning, and the detailed evaluation work on twins of the model."""
    model = own(
        "from torch import nn\n"
        "def make(input_shape, num_outputs):\n"
        "    layers = nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, num_outputs)\n"
        "    return nn.Sequential(*layers)\n"
    )
    options = {"holdout": {"client": 0.2}, "evaluation": {"personalisation": {}}, "partitioner": "iid"}
    config = _config(model=f"{model}:make", **options)
    setup = prepare(config)
    module, vector = setup.model.module, setup.model.vector.clone()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    state = train_rounds(initial_state(setup), setup, 1)
    evaluate(state, setup)
    generalisation(state, setup)
    assert torch.equal(setup.model.vector, vector)
    assert not torch.equal(state.parameters, vector)
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())
    assert [part.training for part in module.modules()] == modes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"local": {"learning_rate": 3e38}}, r"local\.learning_rate \(now 3e\+38\)"),
        (
            {"local": {"weight_decay": 1e5}},
            r"local\.weight_decay \(now 100000\) times local\.learning_rate \(now 0\.1\) must be below 2",
        ),
        (
            {"algorithm": "fedprox(1e5)", "local": {"steps": 99}},
            r"mu of algorithm fedprox \(now 100000\) times local",
        ),
        ({"algorithm": "fedavg(1e38)", "local": {"learning_rate": 100}}, "round [12]: .* is not finite"),
    ],
)
def test_numbers_that_are_far_too_large_end_a_run_with_the_field_that_is(changes, said):
    setup = prepare(_config(**changes))
    with pytest.raises(Diverged, match=said):
        train_rounds(initial_state(setup), setup, 2)


FAR = """
import numpy as np
from federated.algorithms import Algorithm, ClientHalf
from federated.algorithms.fedavg import fedavg
from federated.examples.examples import Examples

def targets():
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    return Examples("far", x, 1e5 * x[:, 0], None, client_ids=np.arange(60) % 3, test=np.arange(60) >= 50)

def telling(power: float = 1.0) -> Algorithm:
    finish = lambda state, own, trained: ({}, {"size": trained.deltas.square().sum(1, keepdim=True) * power})
    return fedavg()._replace(client=ClientHalf(finish=finish, sends=("size",)))
"""


@pytest.mark.parametrize(
    ("algorithm", "said"),
    [
        (
            "q_fedavg(5)",
            r"round 1: what client 0 sends by algorithm: q_fedavg\(q=5.0\), its update, is not finite; .* may help",
        ),
        (
            "{own}:telling(1e38)",
            r"round 1: what client 0 sends by algorithm: telling\(power=1e\+38\), its size, is not finite; .* may help",
        ),
    ],
)
def test_what_an_algorithm_makes_of_finite_updates_may_overflow_and_is_named(algorithm, said, own):
    made = own(FAR)
    changes = {"dataset": f"{made}:targets", "model": "linear", "partitioner": "by_client"}
    local = {"local": {"batch_size": 8, "learning_rate": 0.05}}
    stated = {"algorithm": algorithm.format(own=made), "rounds": 1, **local}
    setup = prepare(RunConfig.model_validate({**changes, **stated}))
    with pytest.raises(Diverged, match=said):
        train_rounds(initial_state(setup), setup, 1)


def test_a_servers_step_that_leaves_the_numbers_names_the_algorithm():
    setup = prepare(_config(algorithm="fedavg(1e38)"))
    start = initial_state(setup)
    state = replace(start, parameters=torch.full_like(start.parameters, 3.3e38))
    with pytest.raises(
        Diverged, match=r"round 3: the model is not finite after the server's step, algorithm: fedavg\("
    ):
        check_model(setup.config, 2, state.parameters * 2)
    check_model(setup.config, 2, state.parameters)  # whose sum is not finite, and they are


@pytest.mark.parametrize(
    "changes",
    [
        {"local": {"learning_rate": 1e-320}},
        {"privacy": "clip(1e-320)"},
        {"local": {"max_gradient_norm": 1e-320}},
        {"algorithm": "fedavg(1e-320)"},
        {"compression": {"uplink": "threshold(3e38)"}},
    ],
)
def test_numbers_too_small_to_do_anything_leave_the_model_as_it_is(changes):
    setup = prepare(_config(**changes))
    start = initial_state(setup)
    after = train_rounds(start, setup, 2).parameters
    assert torch.allclose(after, start.parameters, rtol=0, atol=1e-30)


def test_batches_larger_than_any_data_are_full_batches():
    after = []
    for size in (None, 2**63 - 1):
        setup = prepare(_config(local={"batch_size": size}, engine={"name": "loop"}))
        after.append(train_rounds(initial_state(setup), setup, 2).parameters)
    assert torch.equal(*after)


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({}, ["local.learning_rate (now 0.1)", "server_learning_rate of algorithm fedavg (now 1e+30)"]),
        ({"algorithm": "scaffold", "local": {"learning_rate": 1e30}}, ["local.learning_rate (now 1e+30)"]),
    ],
)
def test_what_diverges_names_the_rates_of_the_clients_and_of_the_server(changes, rates):
    setup = prepare(_config(**{"algorithm": "fedavg(1e30)", **changes}))
    with pytest.raises(Diverged) as caught:
        train_rounds(initial_state(setup), setup, 6)
    assert all(rate in str(caught.value) for rate in rates)
