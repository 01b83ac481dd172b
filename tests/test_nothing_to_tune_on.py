"""Clients with held-out but no training examples: they answer with the global model, and nothing waits for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.personalisation import personalised
from federated.local_training.steps.batches import epoch_orders
from federated.models.objective import model_inputs
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState


def trained(folder: Path, **changes: object) -> tuple[RunState, Setup]:
    """Three clients of 10, 0 and 15 training and 10, 30 and 5 held-out examples, after a round."""
    numbers = np.random.default_rng(0)
    inputs = numbers.normal(size=(90, 4)).astype(np.float32)
    inputs[:, 0] = np.repeat([2, 1, 0, 1, 2, 1, 0], [10, 10, 10, 30, 10, 5, 15])  # 2: tested, 1: held out
    np.savez(
        folder / "sites.npz",
        inputs=inputs,
        targets=numbers.integers(0, 2, 90),
        client_ids=np.repeat(["a", "b", "c"], 30),
    )
    content = {
        "dataset": {"name": "arrays", "path": str(folder / "sites.npz")},
        "model": "mlp(hidden=[4])",
        "partitioner": "by_client",
        "clients": None,
        "holdout": {"by": {"name": "column", "column": "0", "test": ["2"], "client": ["1"]}},
        "local": {"batch_size": 8, "learning_rate": 0.5},
        "rounds": 1,
    }
    setup = prepare(RunConfig.model_validate({**content, **changes}))
    assert setup.federation.sizes.tolist() == [10, 0, 15]
    assert [len(held) for held in setup.federation.own_held_out] == [10, 30, 5]
    return train_rounds(initial_state(setup), setup, 1), setup


def accuracies(state: RunState, setup: Setup) -> np.ndarray:
    """Of the global model, by client."""
    module = setup.model.independent_module(state.parameters).eval()
    with torch.inference_mode():
        right = [
            module(model_inputs(setup.inputs[held])).argmax(dim=1) == setup.targets[held]
            for held in map(torch.from_numpy, setup.federation.own_held_out)
        ]
    return np.array([float(each.double().mean()) for each in right])


@pytest.mark.parametrize("engine", ["loop", "auto"])
@pytest.mark.parametrize("tuning", [{"steps": 3}, {"epochs": 2}])
@pytest.mark.parametrize("most", [1, 2, 8])
def test_fine_tuning_leaves_them_with_the_global_model(
    tuning: dict[str, int], engine: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, setup = trained(
        tmp_path, evaluation={"personalisation": {**tuning, "learning_rate": 5}}, engine={"name": engine}
    )
    monkeypatch.setattr("federated.evaluation.tuning.shard_size", lambda *_: most)
    found, everybody = personalised(state, setup), accuracies(state, setup)
    assert found.before == pytest.approx(everybody)
    assert found.after[1] == pytest.approx(everybody[1])
    assert (found.after[[0, 2]] != everybody[[0, 2]]).any()
    assert np.isfinite(found.gains).tolist() == [True, False, True]  # b has no model of its own


def test_a_client_of_per_fedavg_without_training_examples_takes_no_step(tmp_path: Path) -> None:
    state, setup = trained(tmp_path, algorithm="per_fedavg(alpha=5)")
    found, everybody = evaluate(state, setup), accuracies(state, setup)
    assert found["generalisation/global_accuracy"] == pytest.approx(everybody @ [10, 30, 5] / 45)
    own = found["generalisation/client_accuracy"]
    assert own != pytest.approx(everybody @ [10, 30, 5] / 45)


def test_batches_of_nothing_are_refused_and_not_waited_for() -> None:
    for length in ((1, None), (1, 3)):
        with pytest.raises(ValueError, match="a client without training examples has no batches"):
            next(epoch_orders(np.random.default_rng(0), np.empty(0, np.int64), 8, *length))
