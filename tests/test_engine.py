"""The engines against the one-client loop: same batches, same steps, to rounding."""

import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from federated.algorithms.local_terms import LocalTerms
from federated.config.run import Engine, LocalTraining, RunConfig
from federated.foundation.errors import BadInput
from federated.local_training import engine_probe as probe
from federated.local_training.dense.recognise import linear_stack
from federated.local_training.dense.trainer import stacked_trainer, turns
from federated.local_training.engine import local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.memory import shard_size, stack_size
from federated.local_training.steps.side_by_side import dealt, side_by_side
from federated.local_training.steps.work import LocalWork
from federated.local_training.vmapped import vmapped_trainer
from federated.losses import usual_loss
from federated.machine import cores
from federated.machine.torch_threads import torch_threads
from federated.metrics.tasks import TASKS
from federated.models import MODELS
from federated.models.flat_model import FlatModel

SIZES = (7, 1, 12, 5, 1, 30, 12, 2)
COHORT = [3, 5, 0, 1, 2, 7, 4, 6]


def _work(
    module, task="classification", dtype=torch.float64, shape=(4,), outputs=3, rounds=10, sizes=SIZES, **local
):
    numbers = np.random.default_rng(0)
    total = sum(sizes)
    x = torch.from_numpy(numbers.standard_normal((total, *shape))).to(dtype)
    y = torch.from_numpy(numbers.integers(outputs, size=total))
    if task == "regression":
        y = torch.from_numpy(numbers.standard_normal((total, outputs) if outputs > 1 else total)).to(dtype)
    clients = np.split(numbers.permutation(total), np.cumsum(sizes)[:-1])
    model = FlatModel(module.to(dtype))
    return LocalWork(model, usual_loss(TASKS[task]), x, y, clients, LocalTraining(**local), rounds, 3)


def _start(work):
    return (
        torch.randn(len(work.model.vector), generator=torch.Generator().manual_seed(1)).to(work.model.vector)
        / 4
    )


def _stacked(work, threads=1, clients_a_part=100, **options):
    layers = linear_stack(work)
    assert layers is not None
    return side_by_side(work, lambda: stacked_trainer(work, layers, **options), threads, clients_a_part)


def _assert_equal(updates, expected, atol):
    assert torch.equal(updates.client_ids, expected.client_ids)
    assert torch.equal(updates.num_examples, expected.num_examples)
    assert updates.deltas.dtype == expected.deltas.dtype
    assert float((updates.deltas - expected.deltas).abs().max()) <= atol
    assert torch.allclose(updates.losses, expected.losses, rtol=1e-5, atol=1e-6)
    assert float(expected.deltas.abs().max(dim=1).values.min()) > 1e-4  # something was learnt


LOCAL = {
    "plain": {"epochs": 2, "batch_size": 3, "learning_rate": 0.1},
    "one example a step": {"epochs": 1, "batch_size": 1, "learning_rate": 0.05},
    "batch wider than clients": {"epochs": 3, "batch_size": 100, "learning_rate": 0.1},
    "momentum": {"epochs": 2, "batch_size": 4, "learning_rate": 0.05, "momentum": 0.9},
    "weight decay": {"epochs": 2, "batch_size": 4, "learning_rate": 0.1, "weight_decay": 0.1},
    "both": {"epochs": 2, "batch_size": 5, "learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.1},
    "full batch": {"epochs": 3, "batch_size": None, "learning_rate": 0.2},
    "steps": {"steps": 9, "batch_size": 4, "learning_rate": 0.1},
    "full-batch steps": {"steps": 4, "batch_size": None, "learning_rate": 0.1, "momentum": 0.9},
    "schedule": {"epochs": 1, "batch_size": 4, "learning_rate": 0.3, "schedule": "exponential(0.8)"},
}

STACKS = {
    "logistic": (lambda: MODELS["logistic"]()((4,), 3), {}),
    "linear": (lambda: MODELS["linear"](bias=False)((4,), 3), {}),
    "mlp": (lambda: MODELS["mlp"](hidden=(6, 5))((4,), 3), {}),
    "wide": (lambda: MODELS["mlp"](hidden=(80,))((4,), 3), {}),
    "images": (lambda: MODELS["mlp"](hidden=(70, 5))((2, 3, 3), 3), {"shape": (2, 3, 3)}),
    "tanh": (
        lambda: nn.Sequential(nn.Linear(4, 6, bias=False), nn.Tanh(), nn.Sequential(nn.Linear(6, 3))),
        {},
    ),
    "activation last": (lambda: nn.Sequential(nn.Identity(), nn.Linear(4, 3), nn.ReLU()), {}),
    "regression": (lambda: MODELS["mlp"](hidden=(6,))((4,), 1), {"task": "regression", "outputs": 1}),
    "two targets": (lambda: MODELS["linear"]()((4,), 2), {"task": "regression", "outputs": 2}),
}


@pytest.mark.parametrize("local", LOCAL)
@pytest.mark.parametrize("stack", STACKS)
def test_stack_takes_the_steps_of_the_loop(stack, local):
    make, options = STACKS[stack]
    work = _work(make(), **options, **LOCAL[local])
    start = _start(work)
    _assert_equal(_stacked(work)(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2), 1e-12)


@pytest.mark.parametrize("local", LOCAL)
@pytest.mark.parametrize("stack", ["logistic", "mlp", "wide"])
def test_stack_is_the_loop_to_rounding_in_float32(stack, local):
    work = _work(STACKS[stack][0](), dtype=torch.float32, **LOCAL[local])
    start = _start(work)
    _assert_equal(_stacked(work)(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2), 2e-6)


@pytest.mark.parametrize("block", [1, 8, 40, 10_000])
@pytest.mark.parametrize("local", ["plain", "momentum"])
def test_the_length_of_a_block_changes_nothing(local, block):
    work = _work(STACKS["wide"][0](), **LOCAL[local])
    start = _start(work)
    _assert_equal(
        _stacked(work, block_examples=block)(start, COHORT, 0), loop_trainer(*work)(start, COHORT, 0), 1e-12
    )


@pytest.mark.parametrize("block", [8, 10_000])
@pytest.mark.parametrize("rows", [(), (len(COHORT),)], ids=["for all", "of each"])
@pytest.mark.parametrize("proximal", [0.0, 0.5, 6.0])
def test_a_wide_first_layer_takes_many_steps_of_a_correction_at_once(proximal, rows, block):
    # Steps of 0.1: with 6.0 they keep 0.4 of the weights, too little to add up over a block.
    work = _work(STACKS["wide"][0](), **LOCAL["plain"])
    start = _start(work)
    numbers = torch.randn(*rows, len(start), generator=torch.Generator().manual_seed(2)).to(start)
    terms = LocalTerms(proximal, numbers)
    expected = loop_trainer(*work)(start, COHORT, 2, terms)
    _assert_equal(_stacked(work, block_examples=block)(start, COHORT, 2, terms), expected, 1e-12)


@pytest.mark.parametrize("stack", ["mlp", "wide"])
def test_stack_is_bit_identical_from_run_to_run_and_in_any_order(stack):
    work = _work(STACKS[stack][0](), dtype=torch.float32, **LOCAL["both" if stack == "mlp" else "plain"])
    start = _start(work)
    train = _stacked(work)
    first, again, reverse = train(start, COHORT, 1), train(start, COHORT, 1), train(start, COHORT[::-1], 1)
    assert torch.equal(first.deltas, again.deltas)
    assert torch.equal(first.deltas, reverse.deltas.flip(0))
    assert torch.equal(first.losses, reverse.losses.flip(0))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shards_of_any_size_give_the_same(size):
    work = _work(STACKS["mlp"][0](), **LOCAL["plain"])
    start = _start(work)
    together = _stacked(work)(start, COHORT, 1).deltas
    cuts = [*range(0, len(COHORT), size), len(COHORT)]
    parts = [_stacked(work)(start, COHORT[low:high], 1).deltas for low, high in pairwise(cuts)]
    assert torch.allclose(torch.cat(parts), together, rtol=0, atol=1e-12)


def test_images_of_bytes_are_scaled():
    work = _work(
        MODELS["mlp"](hidden=(70,))((1, 4, 4), 3), dtype=torch.float32, shape=(1, 4, 4), batch_size=3
    )
    work = work._replace(inputs=torch.randint(256, work.inputs.shape, dtype=torch.uint8))
    start = _start(work)
    _assert_equal(_stacked(work)(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2), 2e-6)


def test_received_parameters_are_not_changed():
    work = _work(STACKS["mlp"][0](), **LOCAL["plain"])
    start = _start(work)
    kept = start.clone()
    _stacked(work)(start, COHORT, 0)
    assert torch.equal(start, kept)


def _frozen():
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    module[0].requires_grad_(False)
    return module


def _shared():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer)


def _hooked():
    module = nn.Sequential(nn.Linear(4, 3))
    module[0].register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(4, 8), nn.AlphaDropout(0.5), nn.Linear(8, 3)),
        nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Tanh(), nn.Linear(8, 3)),
        nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3)),
        nn.Linear(5, 3),
        nn.Bilinear(4, 4, 3),
        _frozen(),
        _shared(),
        _hooked(),
    ],
    ids=[
        "alpha dropout",
        "batch norm",
        "two activations",
        "gelu",
        "wrong width",
        "bilinear",
        "frozen",
        "shared",
        "hooked",
    ],
)
def test_what_is_no_plain_stack_is_left_to_others(module):
    assert linear_stack(_work(module)) is None


_CNN = (lambda: MODELS["cnn"]()((1, 28, 28), 3), (1, 28, 28))


@pytest.mark.parametrize("threads", [2, 3, 20])
@pytest.mark.parametrize("engine", ["stack", "vmap", "loop"])
def test_the_number_of_threads_changes_nothing(engine, threads):
    make, shape = _CNN if engine == "loop" else (STACKS["mlp"][0], (4,))
    work = _work(make(), shape=shape, dtype=torch.float32, **LOCAL["both"])
    engines = {
        "stack": lambda threads: _stacked(work, threads, 2),
        "vmap": lambda threads: side_by_side(work, lambda: vmapped_trainer(work), threads, 2),
        "loop": lambda threads: loop_trainer(*work, threads=threads),
    }
    alone = engines[engine](1)(_start(work), COHORT, 1)
    train = engines[engine](threads)
    for _ in range(3):
        _assert_equal(train(_start(work), COHORT, 1), alone, 0)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_taking_turns_changes_nothing(threads):
    work = _work(STACKS["wide"][0](), dtype=torch.float32, **LOCAL["plain"])
    alone = _stacked(work, 1, 1)(_start(work), COHORT, 1)
    _assert_equal(_stacked(work, threads, 1, turn=turns(threads))(_start(work), COHORT, 1), alone, 0)


@pytest.mark.parametrize("local", [{}, {"momentum": 0}, {"max_gradient_norm": 0.1}])
@pytest.mark.parametrize("stack", ["logistic", "wide"])
def test_nothing_is_left_in_memory_that_is_used_again(stack, local):
    work = _work(STACKS[stack][0](), **{**LOCAL["momentum"], **local})
    train, start = _stacked(work), _start(work)
    for cohort in (COHORT, COHORT[:2], COHORT[2:], COHORT):
        _assert_equal(train(start, cohort, 0), _stacked(work)(start, cohort, 0), 0)


def test_parts_of_a_cohort_are_trained_as_the_loop_does():
    work = _work(STACKS["mlp"][0](), **LOCAL["both"])
    updates = _stacked(work, 2, 2)(_start(work), COHORT, 1)
    _assert_equal(updates, loop_trainer(*work)(_start(work), COHORT, 1), 1e-12)


def test_an_error_in_a_thread_is_raised():
    work = _work(STACKS["mlp"][0](), **LOCAL["plain"])
    broken = work._replace(clients=[*work.clients[:-1], np.array([10_000])])
    with pytest.raises(IndexError):
        _stacked(broken, 2, 2)(_start(work), COHORT, 0)


def test_after_an_error_no_thread_begins_another_part():
    work, begun, failed = _work(STACKS["mlp"][0](), **LOCAL["plain"]), [], threading.Event()

    def train(received, clients, done, terms, slots):
        begun.append(clients)
        if len(begun) == 1:
            failed.set()
            raise ArithmeticError("the first part")
        assert failed.wait(timeout=90)
        time.sleep(0.1)  # until the other thread has left

    with pytest.raises(ArithmeticError, match="the first part"):
        side_by_side(work, lambda: train, 2, 1)(_start(work), COHORT, 0)
    assert len(begun) <= 2


def test_other_random_modules_are_the_same_however_many_threads_there_are():
    work = _work(_with_alpha_dropout(), **LOCAL["plain"])
    start = _start(work)
    state = torch.get_rng_state()
    together = loop_trainer(*work, threads=2)(start, COHORT, 1).deltas
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(together[4], loop_trainer(*work)(start, COHORT[4:5], 1).deltas[0])


def test_clients_are_dealt_out_evenly():
    assert dealt([5, 1, 4, 1, 1], range(5), 3) == [[0, 3], [2, 1, 4]]
    assert dealt([5], [7], 2) == [[0]]
    assert dealt([9, 1, 1, 1], range(4), 2) == [[0, 3], [1, 2]]  # no part is larger than was asked for


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 9), st.randoms())
def test_the_parts_of_a_cohort_do_not_depend_on_its_order(sizes, clients_a_part, random):
    cohort = list(range(len(sizes)))
    parts = [[cohort[at] for at in part] for part in dealt(sizes, cohort, clients_a_part)]
    assert sorted(client for part in parts for client in part) == cohort
    assert max(map(len, parts)) <= clients_a_part
    random.shuffle(cohort)
    shuffled = dealt([sizes[client] for client in cohort], cohort, clients_a_part)
    assert [[cohort[at] for at in part] for part in shuffled] == parts


def test_a_stack_fits_a_cache_and_takes_one_client_at_least():
    work = _work(MODELS["mlp"]()((4,), 3), sizes=(5,) * 4)
    # 16 MB; of a client eight bytes for each parameter, and for a block of five examples of four numbers
    assert stack_size(work) == 2**24 // (8 * (len(work.model.vector) + 20))
    assert stack_size(work._replace(inputs=torch.zeros(20, 10**7))) == 1


def test_a_run_has_its_share_of_the_cores_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(cores, "_usable_cores", lambda: 6)
    assert cores.threads_of(None) == 6
    monkeypatch.setattr(cores, "_runs_at_a_time", 1)
    cores.share_cores(4)
    assert cores.threads_of(None) == 1
    assert cores.threads_of(3) == 3


def _gelu():
    return nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3))


def _with_alpha_dropout():
    return nn.Sequential(nn.Linear(4, 8), nn.AlphaDropout(0.5), nn.Linear(8, 3))


@pytest.mark.parametrize("local", LOCAL)
def test_vmap_takes_the_steps_of_the_loop(local):
    work = _work(_gelu(), **LOCAL[local])
    start = _start(work)
    train = side_by_side(work, lambda: vmapped_trainer(work), 2, 3)
    _assert_equal(train(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_vmap_trains_a_cnn_as_the_loop_does(dtype):
    make, shape = _CNN
    work = _work(make(), shape=shape, dtype=dtype, **LOCAL["both"])
    start = _start(work) / 4
    train = local_trainer(work, Engine(name="vectorised"), COHORT)
    updates, expected = train(start, COHORT, 2), loop_trainer(*work)(start, COHORT, 2)
    _assert_equal(updates, expected, 1e-12 if dtype == torch.float64 else 2e-5)


@pytest.mark.parametrize(
    "make", [_with_alpha_dropout, lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))]
)
def test_vectorised_says_what_it_cannot_train(make):
    with pytest.raises(BadInput, match="engine: vectorised"):
        local_trainer(_work(make()), Engine(name="vectorised"), COHORT)


AUTO = {
    "dense": (STACKS["mlp"][0], (4,)),
    "alpha dropout": (_with_alpha_dropout, (4,)),
    "gelu": (_gelu, (4,)),
    "batch norm": (lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), (4,)),
    "cnn": _CNN,
}


@pytest.mark.parametrize("name", AUTO)
def test_auto_trains_every_model_as_the_loop_does(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    make, shape = AUTO[name]
    work = _work(make(), shape=shape, sizes=(6, 4, 12, 8), batch_size=2)
    start = _start(work) / 4
    updates = local_trainer(work, Engine(), [2, 0, 1, 3])(start, [2, 0, 1, 3], 0)
    _assert_equal(updates, loop_trainer(*work)(start, [2, 0, 1, 3], 0), 1e-12)


def test_the_outcome_of_a_probe_is_kept_and_logged(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    caplog.set_level("INFO")
    work = _work(_gelu(), **LOCAL["plain"])
    times = iter([1.0, 0.1])
    monkeypatch.setattr(probe, "_best_time", lambda *_: next(times))
    local_trainer(work, Engine(), COHORT)(_start(work), COHORT, 0)
    assert "engine: vmap (seconds in the probe" in caplog.text
    local_trainer(work, Engine(), COHORT)(_start(work), COHORT, 0)  # times has nothing more to give
    assert "engine: vmap (as measured before)" in caplog.text


def test_another_processor_is_probed_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr(probe, "_best_time", lambda *_: asked.append(1) or 1.0)
    for name in ("one", "one", "another"):
        monkeypatch.setattr(probe, "processor", lambda name=name: name)
        probe.faster(_work(_gelu()), {"loop": None, "vmap": None}, COHORT)
    assert len(asked) == 4  # two candidates on each of two processors


def test_a_close_race_is_left_to_the_loop_and_a_damaged_file_is_read_over(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path))
    (tmp_path / "engines.json").write_text("{")
    times = iter([1.0, 0.95])
    monkeypatch.setattr(probe, "_best_time", lambda *_: next(times))
    assert probe.faster(_work(_gelu()), {"loop": None, "vmap": None}, COHORT) == "loop"


def test_a_shard_keeps_to_its_budget():
    work = _work(MODELS["mlp"]()((4,), 3), sizes=(5,) * 4)
    parameters = len(work.model.vector)
    assert shard_size(work, Engine(memory_mb=64)) in range(
        64 * 2**20 // (8 * parameters) // 8, 64 * 2**20 // (8 * parameters)
    )
    assert shard_size(work._replace(inputs=torch.zeros(20, 10**7)), Engine(memory_mb=1)) == 1


def test_a_shard_has_no_more_than_what_is_near_or_a_few_clients():
    work = _work(MODELS["mlp"]()((4,), 3), sizes=(5,) * 4)
    assert shard_size(work, Engine(memory_mb=1000)) == shard_size(work, Engine(memory_mb=64))
    large = work._replace(inputs=torch.zeros(20, 10**6))  # 5 MB an example
    assert shard_size(large, Engine(memory_mb=100_000)) == 16
    assert shard_size(large, Engine(memory_mb=200)) < 16


def test_the_engine_is_not_in_the_key_of_a_run():
    base = {"dataset": "digits", "model": "mlp", "rounds": 1}
    plain = RunConfig.model_validate(base)
    other = RunConfig.model_validate({**base, "engine": {"name": "loop", "memory_mb": 64}})
    assert plain.run_key() == other.run_key()
    assert plain.arm_key() == other.arm_key()


@pytest.mark.slow
@pytest.mark.nightly
def test_long_runs_with_momentum_stay_close_in_float32():
    work = _work(
        STACKS["wide"][0](), dtype=torch.float32, steps=900, batch_size=4, learning_rate=0.02, momentum=0.9
    )
    start = _start(work)
    updates, expected = _stacked(work)(start, COHORT, 0), loop_trainer(*work)(start, COHORT, 0)
    scale = float(expected.deltas.abs().max())
    assert (
        float((updates.deltas - expected.deltas).abs().max()) < 1e-3 * scale
    )  # rounding, amplified by 900 steps


@pytest.mark.parametrize("clients_a_part", [1, 2, 20])
def test_threads_of_torch_are_as_before(clients_a_part):
    work = _work(STACKS["mlp"][0](), **LOCAL["plain"])
    before = torch.get_num_threads()
    with torch_threads(2):
        updates = _stacked(work, 3, clients_a_part)(_start(work), COHORT, 0)
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
    _assert_equal(updates, loop_trainer(*work)(_start(work), COHORT, 0), 1e-12)
