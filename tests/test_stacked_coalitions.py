"""Coalitions as rows of one matrix: the same models as each trained alone, and who is left to the round as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from federated.coalitions import training
from federated.coalitions.setups import alone, coalition_setups
from federated.coalitions.stacked import is_plain, train_stacked
from federated.coalitions.training import coalition_scores
from federated.config.run import RunConfig
from federated.foundation.errors import Diverged
from federated.rounds import train_rounds
from federated.run.preparing.training.coalitions import coalition_config
from federated.run.setup import initial_state, prepare

SITES = ["Oslo", "Rome", "Ulm"]
COALITIONS = [["Rome"], ["Oslo", "Ulm"], ["Rome", "Ulm"]]
ROUNDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sites of different sizes, as arrays and as a table whose preprocessing is learnt."""
    found = tmp_path_factory.mktemp("sites")
    numbers = np.random.default_rng(0).normal(size=(70, 3)).astype(np.float32)
    sites = np.array(SITES)[np.minimum(np.arange(70) % 5, 2)]
    targets = (numbers.sum(axis=1) > 0).astype(int)
    np.savez(found / "sites.npz", inputs=numbers, targets=targets, client_ids=sites)
    colours = np.where(sites == "Ulm", "blue", np.where(numbers[:, 0] > 0, "red", "green"))
    rows = [
        f"{x:.3f},{z:.3f},{colour},{site},{'ny'[y]}"
        for (x, z, _), colour, site, y in zip(numbers, colours, sites, targets, strict=True)
    ]
    (found / "sites.csv").write_text("\n".join(["x,z,colour,site,y", *rows]), encoding="utf-8")
    plain = [",".join(np.delete(row.split(","), 2)) for row in ["x,z,colour,site,y", *rows]]
    (found / "numbers.csv").write_text("\n".join(plain), encoding="utf-8")
    return found


def config(folder: Path, **changes: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "dataset": {"name": "arrays", "path": str(folder / "sites.npz")},
            "partitioner": "by_client",
            "model": "logistic",
            "rounds": ROUNDS,
            "local": {"epochs": 2, "batch_size": 4, "learning_rate": 0.1},
            "holdout": {"client": 0.3},
            "coalitions": {"names": SITES},
            **changes,
        }
    )


def table(folder: Path, name: str) -> dict[str, Any]:
    return {"name": "table", "path": str(folder / name), "target": "y", "client": "site"}


PLAIN: dict[str, dict[str, Any]] = {
    "averaging": {},
    "sites alike, one of two": {"cohort": {"size": 2, "weighting": "uniform"}},
    "rounds without anybody": {"cohort": {"fraction": 0.3, "sampling": "poisson"}},
    "lost clients": {"cohort": {"sampling": "unreliable(inner=uniform, share=0.5)"}},
    "terms of the steps": {"algorithm": "fedprox(mu=0.3)", "local": {"momentum": 0.5, "epochs": [1, 3]}},
    "a server that remembers": {"algorithm": "fedadam", "server_schedule": "cosine"},
    "random codecs": {"compression": {"uplink": "qsgd(bits=4)", "downlink": "float16"}},
    "another aggregator": {"aggregator": "median", "model": "mlp(hidden=[3])"},
}


@pytest.mark.parametrize("case", PLAIN)
def test_each_has_the_model_that_it_has_alone(case: str, folder: Path) -> None:
    setup = alone(prepare(config(folder, **PLAIN[case])))
    assert is_plain(setup)
    setup_of = coalition_setups(setup)
    configs = [coalition_config(setup.config, members) for members in COALITIONS]
    setups = [made for each in configs if (made := setup_of(each)) is not None]
    states = train_stacked(setups, ROUNDS)
    assert len(states) == len(COALITIONS)
    for each, state in zip(configs, states, strict=True):
        other = prepare(each)
        expected = train_rounds(initial_state(other), other, ROUNDS)
        assert state.round == expected.round
        torch.testing.assert_close(state.parameters, expected.parameters, rtol=0, atol=2e-6)
        owners = {"algorithm", "participation"}
        assert state.server.keys() & owners == expected.server.keys() & owners
    assert len({tuple(state.parameters.tolist()) for state in states}) > 1


def test_what_is_learnt_from_who_takes_part_is_learnt_by_each(folder: Path) -> None:
    """The means of numbers are of the coalition's own examples; where a colour is unknown, the model is another."""
    setup = alone(prepare(config(folder, dataset=table(folder, "numbers.csv"))))
    made = coalition_setups(setup)(coalition_config(setup.config, ["Rome"]))
    assert made is not None
    other = prepare(coalition_config(setup.config, ["Rome"]))
    assert torch.equal(made.inputs, other.inputs)
    assert not torch.equal(made.inputs, setup.inputs)
    (state,) = train_stacked([made], ROUNDS)
    expected = train_rounds(initial_state(other), other, ROUNDS)
    torch.testing.assert_close(state.parameters, expected.parameters, rtol=0, atol=2e-6)
    coloured = alone(prepare(config(folder, dataset=table(folder, "sites.csv"))))
    assert coalition_setups(coloured)(coalition_config(coloured.config, ["Rome"])) is None
    for changes in ({"loss": "cross_entropy(class_weights=balanced)"}, {"algorithm": "fedlc"}):
        learnt = prepare(config(folder, **changes))
        assert coalition_setups(learnt)(coalition_config(learnt.config, ["Rome"])) is None


NOT_PLAIN: dict[str, dict[str, Any]] = {
    "clients that remember": {"algorithm": "scaffold"},
    "layers that stay": {"algorithm": "fedper", "model": "mlp(hidden=[3])"},
    "several models": {"algorithm": "ifca(clusters=2, spread=0.1)"},
    "codec with memory": {"compression": {"uplink": "error_feedback(top_k(fraction=0.5))"}},
    "differences": {"compression": {"downlink": "difference(qsgd(bits=8))"}},
    "bounded updates": {"privacy": "clip(norm=1)"},
    "a protocol": {"transport": "secure_aggregation(clip=1)"},
    "no server": {"training": "local"},
}


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_what_else_a_round_has_is_left_to_the_round(case: str, folder: Path) -> None:
    assert not is_plain(prepare(config(folder, coalitions=None, **NOT_PLAIN[case])))


def test_scores_are_the_same_in_one_matrix_and_apart(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in several matrices, and where some cannot be in one."""
    setup = prepare(config(folder, dataset=table(folder, "sites.csv")))
    state = train_rounds(initial_state(setup), setup, ROUNDS)
    monkeypatch.setattr(training, "pays", lambda ask, runs: False)
    apart = coalition_scores(state, setup)
    monkeypatch.setattr(training, "pays", lambda ask, runs: True)
    monkeypatch.setattr("federated.coalitions.stacked._MOST_RUNS", 2)
    done = list[int]()
    together = coalition_scores(state, setup, lambda trained, of: done.append(trained))
    assert apart is not None
    assert together is not None
    assert done == [1, 2, 3, 4, 5, 6]
    assert list(apart.scores) == list(together.scores)
    for coalition, scores in apart.scores.items():
        np.testing.assert_allclose(together.scores[coalition], scores, atol=1e-9)


def test_a_coalition_that_diverges_ends_all_and_names_its_round(folder: Path) -> None:
    setup = alone(prepare(config(folder, local={"learning_rate": 1e38}, model="mlp(hidden=[3])")))
    made = coalition_setups(setup)(coalition_config(setup.config, ["Rome"]))
    assert made is not None
    with pytest.raises(Diverged, match="round 2: the update of client Rome is not finite"):
        train_stacked([made], ROUNDS)
