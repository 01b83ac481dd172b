"""Every engine against the one-client loop, for every registered model and every local option."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from federated.algorithms.local_terms import LocalTerms
from federated.config.run import Engine, RunConfig
from federated.local_training.convolution.recognise import convolution_stack
from federated.local_training.convolution.trainer import im2col_trainer
from federated.local_training.engine import local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.vmapped import vmapped_trainer
from federated.models import MODELS
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

COHORT = [3, 5, 0, 1, 2, 4]

MODEL_ROWS = {
    "linear": {"task": "regression"},
    "logistic": {},
    "mlp": {"arguments": {"hidden": (70, 9)}},
    "cnn": {"shape": (1, 16, 16), "sizes": (7, 1, 12, 5, 1, 9)},
}

# Options of local training, and terms of an algorithm.
OPTION_ROWS = {
    "plain": ({}, {}),
    "momentum and weight decay": ({"momentum": 0.9, "weight_decay": 0.1}, {}),
    "schedule": ({"schedule": "cosine"}, {}),
    "ranges": ({"epochs": [1, 4], "momentum": 0.5}, {}),
    "clipped": ({"max_gradient_norm": 0.5}, {}),
    "clipped with momentum": ({"max_gradient_norm": 0.5, "momentum": 0.9}, {}),
    "proximal": ({}, {"proximal": 0.3}),
    "corrected": ({"momentum": 0.5}, {"correction": True}),
    "rates": ({}, {"rate_factors": np.array([1.0, 0.5, 2.0, 0.1, 1.5, 3.0])}),
    "steps": ({}, {"steps": np.array([1, 9, 4, 2, 9, 3])}),
    "everything": (
        {"max_gradient_norm": 0.5, "momentum": 0.5, "weight_decay": 0.1, "steps": [2, 7]},
        {"proximal": 0.3, "correction": True, "rate_factors": np.linspace(0.5, 1.5, 6)},
    ),
}

ENGINES = {
    "vectorised": lambda work, threads: local_trainer(work, Engine(name="vectorised"), COHORT, threads),
    "vmap": lambda work, threads: side_by_side(work, lambda: vmapped_trainer(work), threads, 2),
    "loop": lambda work, threads: loop_trainer(*work, threads=threads),
}


ELSEWHERE = {
    "mcmahan_cnn": "layers of the kinds of `cnn`, and too many weights for these tables",
    "lstm": "tests/test_sequences.py, as its inputs are tokens",
    "transformer": "tests/test_language_models.py, as its inputs are tokens",
    "huggingface": "tests/test_huggingface.py, as its inputs are tokens",
}


def test_every_registered_model_has_a_row():
    assert {*MODEL_ROWS, *ELSEWHERE} == set(MODELS)


@pytest.fixture(autouse=True)
def _one_thread():
    """Two threads in products this small wait for each other more than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _case(local_work, model, options, dtype=torch.float64):
    local, terms = OPTION_ROWS[options]
    work = local_work(
        model, dtype=dtype, **MODEL_ROWS[model], **{"batch_size": 4, "learning_rate": 0.05, **local}
    )
    if "correction" in terms:
        numbers = np.random.default_rng(5).standard_normal((len(COHORT), work.model.num_trainable)) / 50
        terms = {**terms, "correction": torch.from_numpy(numbers).to(dtype)}
    return work, LocalTerms(**terms)


def _distance(updates, expected):
    """The largest difference, as a share of the largest number; losses are close in any case."""
    assert torch.allclose(updates.losses, expected.losses, rtol=1e-3, atol=1e-6)
    return float((updates.deltas - expected.deltas).abs().max() / expected.deltas.abs().max())


@pytest.mark.parametrize("options", OPTION_ROWS)
@pytest.mark.parametrize("model", MODEL_ROWS)
@pytest.mark.parametrize("engine", ["vectorised", pytest.param("vmap", marks=pytest.mark.slow)])
def test_engine_takes_the_steps_of_the_loop(engine, model, options, local_work):
    if engine == "vmap" and model == "cnn":
        pytest.skip("vectorised is vmap for this model")
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        work, terms = _case(local_work, model, options, dtype)
        expected = loop_trainer(*work)(work.model.vector, COHORT, 2, terms)
        assert float(expected.deltas.abs().max(dim=1).values.min()) > 1e-4  # everybody learnt something
        updates = ENGINES[engine](work, 1)(work.model.vector, COHORT, 2, terms)
        assert updates.deltas.dtype == dtype
        assert _distance(updates, expected) < bound


@pytest.mark.parametrize("options", OPTION_ROWS)
def test_im2col_takes_the_steps_of_the_loop(options, local_work):
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        work, terms = _case(local_work, "cnn", options, dtype)
        stack = convolution_stack(work)
        assert stack is not None
        expected = loop_trainer(*work)(work.model.vector, COHORT, 2, terms)
        train = side_by_side(work, lambda work=work, stack=stack: im2col_trainer(work, stack), 1, 1)
        assert _distance(train(work.model.vector, COHORT, 2, terms), expected) < bound


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", ["clipped", "everything"])
def test_neither_shards_nor_threads_nor_order_matter(engine, options, local_work):
    work, terms = _case(local_work, "mlp", options)
    start = work.model.vector.clone()
    together = ENGINES[engine](work, 1)(start, COHORT, 1, terms)
    for threads in (2, 3, 7):
        assert _distance(ENGINES[engine](work, threads)(start, COHORT, 1, terms), together) < 1e-12
    for size in (1, 2, 4):
        train = ENGINES[engine](work, 1)
        cuts = pairwise([*range(0, len(COHORT), size), len(COHORT)])
        parts = [train(start, COHORT[low:high], 1, terms.of(range(low, high))).deltas for low, high in cuts]
        assert torch.allclose(torch.cat(parts), together.deltas, rtol=0, atol=1e-12)
    backwards = ENGINES[engine](work, 1)(start, COHORT[::-1], 1, terms.of(range(len(COHORT))[::-1]))
    assert torch.equal(backwards.deltas.flip(0), together.deltas)


@pytest.mark.parametrize("engine", ENGINES)
def test_float32_is_bit_identical_from_run_to_run(engine, local_work):
    work, terms = _case(local_work, "mlp", "everything", torch.float32)
    for threads in (1, 2):
        first, again = (ENGINES[engine](work, threads)(work.model.vector, COHORT, 1, terms) for _ in range(2))
        assert torch.equal(first.deltas, again.deltas)
        assert torch.equal(first.losses, again.losses)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("options", ["clipped with momentum", "momentum and weight decay"])
def test_long_runs_in_float32_stay_as_close_to_float64_as_the_loop(options, local_work):
    """Hundreds of steps with momentum amplify rounding: to a thousandth or more, whoever takes them."""
    local = {**OPTION_ROWS[options][0], "steps": 900, "batch_size": 4, "learning_rate": 0.02}
    exact, rounded = (
        local_work("mlp", dtype=dtype, arguments={"hidden": (80,)}, **local)
        for dtype in (torch.float64, torch.float32)
    )
    expected = loop_trainer(*exact)(exact.model.vector, COHORT, 0)
    start = exact.model.vector.float()
    by_loop = _distance(loop_trainer(*rounded)(start, COHORT, 0), expected)
    by_stack = _distance(ENGINES["vectorised"](rounded, 1)(start, COHORT, 0), expected)
    assert 1e-6 < by_loop < 0.05
    assert by_stack < 10 * by_loop


RUN = {
    "dataset": "digits",
    "model": "mlp([70])",
    "clients": 6,
    "partitioner": "dirichlet(0.3)",
    "rounds": 2,
    "algorithm": "fedprox(0.1)",
    "local": {"epochs": [1, 3], "max_gradient_norm": 1.0, "momentum": 0.5},
}


def _trained(**engine):
    setup = prepare(RunConfig(**RUN, **engine))
    return train_rounds(initial_state(setup), setup, 2).parameters


def test_a_run_is_the_same_by_any_engine_and_shard():
    expected = _trained(engine={"name": "loop"})
    assert torch.equal(_trained(engine={"name": "loop"}), expected)
    for other in ({"engine": {"memory_mb": 1}}, {"engine": {}}, {"orchestration": {"threads": 2}}):
        assert torch.allclose(_trained(**other), expected, rtol=0, atol=2e-6)


@pytest.mark.cuda
@pytest.mark.parametrize("options", OPTION_ROWS)
@pytest.mark.parametrize("model", MODEL_ROWS)
def test_engines_on_cuda_take_the_steps_of_the_loop_on_the_cpu(model, options, local_work):
    work, terms = _case(local_work, model, options)
    expected = loop_trainer(*work)(work.model.vector, COHORT, 2, terms)
    there = work._replace(
        model=type(work.model)(work.model.module.cuda()),
        inputs=work.inputs.cuda(),
        targets=work.targets.cuda(),
    )
    if terms.correction is not None:
        terms = LocalTerms(terms.proximal, terms.correction.cuda(), terms.rate_factors, terms.steps)
    for name in ("loop", "vectorised"):
        train = local_trainer(there, Engine(name=name), COHORT)
        updates = train(there.model.vector.clone(), COHORT, 2, terms)
        assert updates.deltas.is_cuda
        assert _distance(updates._replace(deltas=updates.deltas.cpu()), expected) < 1e-11
