"""How much clients train in a round: epochs or steps, one number for all or a range."""

import pytest
import torch
from pydantic import ValidationError

from federated.config.run import Engine, LocalTraining
from federated.local_training.engine import local_trainer
from federated.local_training.steps.batches import length_of, longest

COHORT = [3, 5, 0, 1, 2, 4]


def _drawn(amount, clients=200, done=0, seed=1):
    local = LocalTraining(**amount)
    return [length_of(local, seed, done, client, None) for client in range(clients)]


@pytest.mark.parametrize("name", ["epochs", "steps"])
def test_a_range_is_drawn_for_each_client_and_round(name):
    drawn = [getattr(length, name) for length in _drawn({name: [2, 5]})]
    assert set(drawn) == {2, 3, 4, 5}
    assert abs(sum(drawn) / len(drawn) - 3.5) < 5 * (15 / 12 / len(drawn)) ** 0.5  # uniform on four values
    assert drawn == [getattr(length, name) for length in _drawn({name: [2, 5]})]
    assert drawn != [getattr(length, name) for length in _drawn({name: [2, 5]}, done=1)]
    assert drawn != [getattr(length, name) for length in _drawn({name: [2, 5]}, seed=2)]


def test_a_range_of_one_number_is_that_number(local_work):
    for name in ("epochs", "steps"):
        assert _drawn({name: [3, 3]}) == _drawn({name: 3})
    assert longest(LocalTraining(epochs=[2, 6])).num_steps(10, 4) == 18
    assert longest(LocalTraining(steps=[2, 6])).num_steps(10, 4) == 6


@pytest.mark.parametrize("amount", [{"epochs": [1, 4]}, {"steps": [1, 9]}])
def test_a_client_trains_as_if_its_draw_were_stated(amount, local_work):
    work = local_work("mlp", **amount, batch_size=4)
    updates = local_trainer(work, Engine(), COHORT)(work.model.vector, COHORT, 3)
    for row, client in enumerate(COHORT):
        length = length_of(work.local, work.seed, 3, client, None)
        stated = {"epochs": length.epochs} if length.steps is None else {"steps": length.steps}
        alone = work._replace(local=LocalTraining(**stated, batch_size=4))
        expected = local_trainer(alone, Engine(name="loop"), [client])(work.model.vector, [client], 3)
        assert torch.allclose(updates.deltas[row], expected.deltas[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", [3, 2], [0, 2], [1, 2, 3], [], [1.0, 2.0]])
def test_what_is_no_amount_is_refused_once_and_by_name(value):
    with pytest.raises(ValidationError) as raised:
        LocalTraining(epochs=value)
    (error,) = raised.value.errors()
    assert error["loc"] == ("epochs",)
    assert f"whole number >= 1, or a range [low, high] of them, got {value!r}" in error["msg"]


def test_a_truth_is_no_amount():
    with pytest.raises(ValidationError, match="must be a number, got true"):
        LocalTraining(epochs=True)


def test_a_range_of_both_is_refused():
    with pytest.raises(ValidationError, match="state epochs or steps, not both"):
        LocalTraining(epochs=[1, 2], steps=[3, 4])
