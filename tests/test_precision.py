"""Local training with products in bfloat16."""

import pytest
import torch
from torch import nn

from federated.config.run import Engine, RunConfig
from federated.foundation.randomness import Purpose, generator
from federated.local_training.engine import local_trainer
from federated.local_training.loop import loop_trainer
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.side_by_side import side_by_side
from federated.local_training.vmapped import vmapped_trainer
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

COHORT = [3, 5, 0, 1, 2, 4]
MODELS = {
    "mlp": ("mlp", (4,)),
    "cnn": ("cnn", (1, 16, 16)),
    "dropout": (nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, 3)), (4,)),
}
ENGINES = {
    "loop": lambda work: loop_trainer(*work),
    "vmap": lambda work: side_by_side(work, lambda: vmapped_trainer(work), 1, 2),
    "vectorised": lambda work: local_trainer(work, Engine(name="vectorised"), COHORT),
}


def _work(local_work, name, precision, **local):
    model, shape = MODELS[name]
    return local_work(
        model, dtype=torch.float32, shape=shape, precision=precision, **{"batch_size": 4, **local}
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("engine", ENGINES)
def test_bfloat16_is_float32_to_coarse_rounding(engine, name, local_work):
    exact, coarse = (
        ENGINES[engine](work)(work.model.vector, COHORT, 1)
        for work in (_work(local_work, name, precision) for precision in ("float32", "bfloat16"))
    )
    scale = torch.linalg.vector_norm(exact.deltas)
    distance = torch.linalg.vector_norm(coarse.deltas - exact.deltas) / scale
    assert coarse.deltas.dtype == torch.float32
    assert 1e-5 < distance < 0.3
    assert torch.allclose(coarse.losses, exact.losses, rtol=0.05)


@pytest.mark.parametrize(("engine", "bound"), [("loop", 1e-5), ("vmap", 0.1), ("vectorised", 0.1)])
def test_one_step_is_torch_autocast(engine, bound, local_work):
    """To the order of sums, which in bfloat16 is a few hundredths: vmap's is its own."""
    work = _work(local_work, "mlp", "bfloat16", batch_size=None, learning_rate=0.2)
    module, held = work.model.independent_module(), work.clients[5]
    batch = torch.from_numpy(held[generator(work.seed, Purpose.BATCHES, 0, 5).permutation(len(held))])
    with torch.autocast("cpu", torch.bfloat16):
        outputs = module(work.inputs[batch])
    assert outputs.dtype == torch.bfloat16
    loss = nn.functional.cross_entropy(outputs.float(), work.targets[batch])
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, module.parameters())])
    moved = ENGINES[engine](work)(work.model.vector, [5], 0).deltas[0]
    distance = torch.linalg.vector_norm(moved + 0.2 * gradient)
    assert distance < bound * torch.linalg.vector_norm(0.2 * gradient)


def test_outputs_keep_the_type_of_the_parameters(local_work):
    work = _work(local_work, "mlp", "bfloat16")
    seen = []
    work.model.module[-1].register_forward_hook(lambda module, inputs, outputs: seen.append(outputs.dtype))
    assert in_precision(work, work.model.module)(work.inputs).dtype == torch.float32
    assert seen == [torch.bfloat16]


def test_a_run_in_bfloat16_learns_and_is_the_same_again():
    runs = []
    for precision in ("bfloat16", "bfloat16", "float32"):
        config = RunConfig(
            dataset="digits",
            model="mlp([16])",
            clients=4,
            rounds=2,
            engine={"name": "loop", "precision": precision},
        )
        setup = prepare(config)
        runs.append(train_rounds(initial_state(setup), setup, 2).parameters)
    assert torch.equal(runs[0], runs[1])
    assert 0 < float((runs[0] - runs[2]).abs().max()) < 0.05
