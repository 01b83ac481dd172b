"""What is read off a federation: digests, fingerprints, tables; and that it is computed once."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from federated.config.run import RunConfig
from federated.federation import dealing, loading
from federated.federation import federation as federations
from federated.federation.federation import partition_clients
from federated.federation.fingerprint import client_table, fingerprint_of, heterogeneity_metrics, label_table
from tests.test_federation import DIGITS, LINEAR, OwnModule, made, parts


def clear_caches() -> None:
    loading._load.cache_clear()
    federations._partition_clients.cache_clear()
    dealing.dealt.cache_clear()


def test_a_second_call_is_quick_and_gives_what_a_fresh_one_would() -> None:
    first = made(DIGITS, partitioner="dirichlet(0.3)", holdout={"client": 0.2, "unseen_clients": 1})
    again = made(
        DIGITS,
        partitioner="dirichlet(0.3)",
        holdout={"client": 0.2, "unseen_clients": 1},
        local={"epochs": 3},
    )
    assert again is first
    clear_caches()
    fresh = made(DIGITS, partitioner="dirichlet(0.3)", holdout={"client": 0.2, "unseen_clients": 1})
    assert fresh is not first
    assert parts(fresh).keys() == parts(first).keys()
    assert all(np.array_equal(parts(fresh)[name], indices) for name, indices in parts(first).items())
    assert (fresh.names, fresh.partition_digest, fresh.data_digest) == (
        first.names,
        first.partition_digest,
        first.data_digest,
    )


def test_the_partition_digest_tells_every_two_different_federations_apart() -> None:
    holdouts: tuple[dict[str, Any], ...] = ({}, {"client": 0.2}, {"unseen_clients": 1}, {"test": 0.3})
    digests = [
        made(LINEAR, clients=clients, seed=seed, holdout=holdout).partition_digest
        for clients, seed, holdout in itertools.product((5, 6), (0, 1), holdouts)
    ]
    assert len(set(digests)) == len(digests) == 16
    assert made(LINEAR, clients=5).partition_digest == digests[0]


def test_the_partition_digest_covers_every_part() -> None:
    federation = made(LINEAR, holdout={"client": 0.3, "unseen_clients": 2})
    for part in ("clients", "own_held_out", "unseen"):
        turned = tuple(indices[::-1] for indices in getattr(federation, part))
        assert replace(federation, **{part: turned}).partition_digest != federation.partition_digest
    assert replace(federation, test=federation.test[1:]).partition_digest != federation.partition_digest
    assert replace(federation).partition_digest == federation.partition_digest


def test_the_data_digest_is_of_the_data_and_not_of_who_holds_it() -> None:
    assert made(LINEAR).data_digest == made(LINEAR, seed=3, clients=2).data_digest
    assert made(LINEAR).data_digest != made(LINEAR, dataset="linear(size=90, data_seed=1)").data_digest


def test_heterogeneity_is_that_of_the_training_examples_of_the_participants(own: OwnModule) -> None:
    """Clients of 6 'a', of 6 'b' and of nothing."""
    module = own(
        "import numpy as np\n"
        "def load():\n"
        "    test = np.arange(26) >= 24\n"
        "    return {'inputs': np.zeros((26, 1)), 'targets': ['a', 'b'] * 13, 'test': test}\n"
        "def halves(pool, num_clients, generator):\n"
        "    return [range(0, 12, 2), range(1, 12, 2), []]\n"
    )
    base = {**DIGITS, "dataset": f"{module}:load", "partitioner": f"{module}:halves", "clients": 3}
    federation = made(base)
    assert federation.sizes.tolist() == [6, 6, 0]
    counts = federation.label_counts()
    assert counts is not None
    assert counts.tolist() == [[6, 0], [0, 6], [0, 0]]
    expected = {
        "clients": 3,
        "empty_clients": 1,
        "smallest_client_examples": 0,
        "largest_client_examples": 6,
        "largest_share": 1 / 2,
        "size_gini": 1 / 3,
        "size_variation": np.sqrt(1 / 2),
        "moved_examples": 0,
        "left_out_examples": 12,
        "label_jensen_shannon_bits_mean": 1.5 - 0.75 * np.log2(3),
        "label_total_variation_max": 1 / 2,
        "label_hellinger_weighted_mean": np.sqrt(1 - np.sqrt(1 / 2)),
        "label_pairwise_hellinger_mean": 1,
        "label_entropy_bits_mean": 0,
        "effective_classes_mean": 1,
        "feature_wasserstein_mean": 0,
    }
    metrics = heterogeneity_metrics(federation)
    assert {name: metrics[f"heterogeneity/{name}"] for name in expected} == pytest.approx(expected)


def test_the_labels_of_a_regression_are_tenths_of_its_training_targets() -> None:
    federation = made(LINEAR)
    assert federation.label_counts() is None
    counts, names = label_table(federation)
    assert counts.shape == (len(federation.clients), len(names) or 10)
    assert np.ptp(counts.sum(axis=0)) <= 1
    metrics = heterogeneity_metrics(federation)
    assert metrics["heterogeneity/size_gini"] == pytest.approx(0)
    assert metrics["heterogeneity/label_wasserstein_mean"] > 0


def test_arms_with_the_same_partition_share_its_fingerprint_whatever_the_run_is() -> None:
    one, other = made(DIGITS), made({**DIGITS, "rounds": 7, "model": "mlp(hidden=[8])"})
    assert fingerprint_of(one) is fingerprint_of(other)
    assert fingerprint_of(one) is not fingerprint_of(made({**DIGITS, "seed": 9}))


def test_the_table_of_clients_says_how_unlike_each_is_and_nothing_of_an_empty_one(own: OwnModule) -> None:
    module = own("def p(pool, num_clients, generator): return [range(0, 50), range(50, pool.size), []]\n")
    table = client_table(made({**DIGITS, "partitioner": f"{module}:p", "clients": 3}))
    assert {len(column) for column in table.values()} == {3}
    assert table["label_hellinger"][0] > table["label_hellinger"][1] > 0
    assert (table["label_hellinger"][2], table["feature_wasserstein"][2]) == (None, None)
    assert sum(table[f"class {digit}"][0] for digit in range(10)) == table["training_examples"][0] == 50


def test_tensors_on_the_cpu_are_the_examples_themselves() -> None:
    federation = made(DIGITS)
    inputs, targets = federation.tensors(torch.device("cpu"))
    assert inputs.data_ptr() == federation.examples.inputs.ctypes.data
    assert torch.equal(targets, torch.from_numpy(federation.examples.targets))


def test_a_file_that_changed_is_loaded_anew(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, inputs=np.zeros((20, 3), np.float32), targets=np.arange(20) % 2)
    config = RunConfig.model_validate(
        {"dataset": {"name": "arrays", "path": path}, "model": "logistic", "clients": 2, "rounds": 1}
    )
    first = partition_clients(config)
    assert partition_clients(config) is first
    np.savez(path, inputs=np.ones((24, 3), np.float32), targets=np.arange(24) % 2)
    second = partition_clients(config)
    assert len(second.examples.targets) == 24
    assert second.data_digest != first.data_digest


def test_no_partition_is_solved_twice_however_many_a_study_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study asks for all of them in the same order several times, of which a small cache would keep none."""
    clear_caches()
    solved, dealt = [], dealing._dealt

    def counted(*arguments: Any) -> Any:
        solved.append(arguments[-1])
        return dealt(*arguments)

    monkeypatch.setattr(dealing, "_dealt", counted)
    first = [made(DIGITS, partitioner="dirichlet(0.3)", seed=seed).partition_digest for seed in range(20)]
    again = [made(DIGITS, partitioner="dirichlet(0.3)", seed=seed).partition_digest for seed in range(20)]
    assert first == again
    assert solved == [*range(20)]
