"""The contract of an aggregator, one row each, and the median against NumPy and a hand-worked case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from federated.aggregators import AGGREGATORS
from federated.config.run import RunConfig
from federated.foundation.errors import readable
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

ROWS = {"mean": [{}], "median": [{}], "lora_svd": [{}], "lora_residual": [{}], "lora_stack": [{}]}
CONTENT = {
    "dataset": "digits",
    "model": "logistic",
    "clients": 5,
    "rounds": 2,
    "partitioner": "dirichlet(0.5)",
    "engine": {"name": "loop"},
}


def test_every_registered_name_has_a_row() -> None:
    assert set(ROWS) == set(AGGREGATORS)


@pytest.mark.parametrize(("name", "arguments"), [(n, a) for n, rows in ROWS.items() for a in rows])
def test_a_rule_is_pure_keeps_equal_updates_and_adds_up_where_it_says_so(
    name: str, arguments: dict[str, object]
) -> None:
    rule = AGGREGATORS[name](**arguments)
    numbers = torch.Generator().manual_seed(3)
    updates, weights = torch.randn(4, 6, generator=numbers), np.array([0.1, 0.2, 0.3, 0.4])
    before = updates.clone()
    found = rule.reduce(weights, updates)
    assert found.shape == (6,)
    assert torch.equal(updates, before)
    assert torch.equal(found, rule.reduce(weights, updates))
    alike = rule.reduce(weights, updates[:1].expand(4, -1).contiguous())
    assert torch.allclose(alike.float(), updates[0])
    parts = rule.reduce(weights[:2], updates[:2]) + rule.reduce(weights[2:], updates[2:])
    assert torch.allclose(parts, found) is rule.linear


@pytest.mark.parametrize(
    ("values", "middle"),
    [([0, 1, 2.5, 3, 100], 2.5), ([0, 1, 3, 100], 2.0), ([7], 7.0), ([-1e30, 1, 1e30], 1.0)],
)
def test_the_median_by_hand(values: list[float], middle: float) -> None:
    updates = torch.tensor(values, dtype=torch.float32)[:, None]
    weights = np.arange(1, len(values) + 1) / sum(range(len(values) + 1))  # which do not count
    assert AGGREGATORS["median"]().reduce(weights, updates).tolist() == [middle]


def trained(**changes: object) -> Tensor:
    setup = prepare(RunConfig.model_validate({**CONTENT, **changes}))
    return train_rounds(initial_state(setup), setup, 2).parameters


def test_shards_change_no_median() -> None:
    setup = prepare(RunConfig.model_validate({**CONTENT, "aggregator": "median"}))
    whole = train_rounds(initial_state(setup), setup, 2)
    cut = replace(setup, shard_size=2)
    assert torch.equal(whole.parameters, train_rounds(initial_state(cut), cut, 2).parameters)
    assert not torch.equal(whole.parameters, trained())


def test_one_client_is_its_own_median_and_mean() -> None:
    alone = {"clients": 1, "partitioner": "iid"}
    assert torch.allclose(trained(**alone), trained(**alone, aggregator="median"), rtol=0, atol=1e-7)


def test_the_mean_leaves_the_keys_of_runs_as_they_were_and_the_median_does_not() -> None:
    stated, default, other = (
        RunConfig.model_validate({**CONTENT, **changes}).run_key()
        for changes in ({"aggregator": "mean"}, {}, {"aggregator": "median"})
    )
    assert stated == default != other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"algorithm": "sign_majority(0.01)", "compression": {"uplink": "sign(scale=one)"}},
            "votes are counted by their sum",
        ),
        ({"training": "local"}, "aggregator would have no effect"),
    ],
)
def test_what_does_not_go_with_a_median_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r"median|no effect") as raised:
        RunConfig.model_validate({**CONTENT, "aggregator": "median", **changes})
    assert message in readable(raised.value)
