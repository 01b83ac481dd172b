"""The benchmarks measure the same work for everybody, and add it up right. Nothing is timed here."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks import (
    algorithms,
    canaries,
    codecs,
    learning_rates,
    mcmahan_cnn,
    ours,
    partitioning,
    plain,
    private_steps,
)
from benchmarks.codecs_in_rounds import share_of_rounds
from benchmarks.end_to_end import _timed
from benchmarks.memory import family, peak_rss_mb
from benchmarks.orchestration import per_round_ms
from benchmarks.peer import PEERS, PeerFailedError, requirements
from benchmarks.report import Measured, as_json, table
from benchmarks.rivals import FEDSTUDY, _one_more
from benchmarks.statistics import Result, Timing, ratio
from benchmarks.work import save, work_of
from benchmarks.workloads import WORKLOADS
from federated.algorithms import ALGORITHMS
from federated.compressors import COMPRESSORS
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.foundation.randomness import Purpose, generator
from federated.run.setup import prepare


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A workload cut down to clients that train in no time, on random data."""

    def make(name, **changes):
        monkeypatch.setattr("benchmarks.data.TRAINING", 400)
        monkeypatch.setattr("benchmarks.data.TEST", 50)
        cut = {"clients": 8, "cohort": {"size": 3}, **changes}
        return prepare(replace(WORKLOADS[name], training=400).config(tmp_path, 3, **cut))

    return make


def timings(*passes):
    return tuple(Timing(rounds, accuracy) for rounds, accuracy in passes)


def test_the_first_round_is_warm_up_and_the_median_is_taken():
    assert Timing([9.0, 1.0, 2.0, 30.0], 0.5).seconds == 2.0
    assert Timing([9.0], 0.5).seconds == 9.0


def test_medians_and_spread_over_passes():
    result = Result("W1", "x", timings(([0, 1.0], 0.5), ([0, 4.0], 0.7), ([0, 2.0], 0.6)))
    assert (result.seconds, result.accuracy, result.spread) == (2.0, 0.6, 4.0)


def test_the_ratio_is_taken_within_passes():
    # The machine was ten times slower in the second pass: the ratio of the medians would be 15 / 10.
    mine = Result("W1", FEDSTUDY, timings(([0, 1.0], 0), ([0, 10.0], 0), ([0, 12.0], 0)))
    theirs = Result("W1", "x", timings(([0, 3.0], 0), ([0, 30.0], 0), ([0, 15.0], 0)))
    assert ratio(mine, theirs) == 3.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W4"])
def test_the_plain_loop_does_the_same_work(small, name):
    setup = small(name)
    work = work_of(setup)
    state, seconds = ours.train(setup)
    module, plain_seconds = plain.train(work, threads=1)
    assert len(seconds) == len(plain_seconds) == len(work.cohorts) == 3
    trained = torch.cat([p.detach().reshape(-1) for p in module.parameters()])
    assert not torch.equal(trained, setup.initial_parameters)
    torch.testing.assert_close(trained, state.parameters, rtol=1e-4, atol=1e-5)
    measured = evaluate(state, setup)["generalisation/test_accuracy"]
    assert plain.accuracy(module, work) == pytest.approx(measured, abs=0.021)  # one image of 50


def test_random_data_is_said_and_has_the_size_that_was_asked_for(small):
    setup = small("W3")
    assert setup.federation.examples.source == "random"
    assert setup.federation.sizes.tolist() == [50] * 8


def test_training_examples_repeat_where_more_are_asked_for_than_there_are(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.data.TRAINING", 40)
    monkeypatch.setattr("benchmarks.data.TEST", 10)
    setup = prepare(replace(WORKLOADS["W3"], training=100).config(tmp_path, 1, clients=5, cohort={"size": 2}))
    inputs = setup.federation.examples.inputs
    assert len(inputs) == 110
    assert np.array_equal(inputs[:20], inputs[80:100])
    assert setup.federation.test.tolist() == list(range(100, 110))


def test_peers_are_handed_the_same_work(small, tmp_path):
    setup = small("W1")
    work = work_of(setup)
    save(work, tmp_path / "work.npz", "mlp")
    read = np.load(tmp_path / "work.npz")
    clients = np.split(read["clients"], np.cumsum(read["sizes"])[:-1])
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(work.clients, clients, strict=True))
    assert read["cohorts"].shape == (3, 3)
    assert read["parameters/1.weight"].shape == (200, 784)
    assert read["local"].tolist() == [10, 0.05, 0]


def test_json_holds_machine_ratios_and_failures():
    results = [
        Result("W1", FEDSTUDY, timings(([2.0, 1.0], 0.5))),
        Result("W1", "plain", timings(([2.0, 3.0], 0.5))),
        Result("W1", "flower", failure="not installed: no network", version="flwr==1"),
    ]
    written = json.loads(json.dumps(as_json(Measured({"cpu": "abacus"}, "Fashion-MNIST", results))))
    assert written["machine"] == {"cpu": "abacus"}
    assert [entry.get("times_fedstudy") for entry in written["results"]] == [1.0, 3.0, None]
    assert written["results"][1]["passes"] == [{"round_seconds": [2.0, 3.0], "accuracy": 0.5}]
    assert written["results"][2]["failure"] == "not installed: no network"
    assert table(results, "Fashion-MNIST").row_count == 3


def test_a_peer_that_fails_is_reported():
    def fails():
        raise PeerFailedError("exit code 1")

    failed = _one_more(Result("W1", "flower", timings(([1.0], 0.5))), fails)
    assert (failed.failure, failed.timings) == ("exit code 1", ())


@pytest.mark.parametrize("name", PEERS)
def test_peers_are_pinned_and_torch_is_the_build_without_cuda(name):
    lines = requirements(name).read_text(encoding="utf-8").split()
    assert all("==" in line for line in lines)
    assert not [line for line in lines if line.startswith("torch") and line != "torch==2.13.0"]


def test_what_a_run_costs_once_drops_out_of_the_cost_of_a_round():
    short = {"rounds": 20, "added_seconds": 2.1}
    long = {"rounds": 220, "added_seconds": 3.1}
    assert per_round_ms(short, long) == pytest.approx(5.0)


def test_only_calls_of_the_engine_are_counted_as_its_time(monkeypatch):
    ticks = iter([1.0, 4.0, 10.0, 11.5])
    monkeypatch.setattr("benchmarks.end_to_end.time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    spent = [0.0]
    double = _timed(lambda value: 2 * value, spent)
    assert (double(3), double(4), spent) == (6, 8, [4.5])


def test_peak_memory_is_of_this_process_alone():
    code = "from benchmarks.memory import peak_rss_mb; print(peak_rss_mb())"
    held = np.ones(25_000_000)  # 200 MB, which a child must not report as its own
    found = float(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    if not found:
        pytest.skip("this system does not tell")
    assert found < held.nbytes / 2**20 < peak_rss_mb()


def test_a_process_is_of_its_own_family():
    assert family(os.getpid())[0] == os.getpid()


def test_the_partitioning_benchmark_hands_everything_out_with_every_partitioner() -> None:
    measured = partitioning.measure(examples=3000, clients=40)
    assert [row.partitioner for row in measured] == [name for name, *_ in partitioning.partitioners()]
    pool = partitioning.pool_of(3000, 40)
    for _, partitioner, counts_clients in partitioning.partitioners():
        partition = partitioner(pool, None if counts_clients else 40, generator(0, Purpose.PARTITION))
        assert partition.sizes.sum() == 3000
    shown = Console(record=True, width=100)
    shown.print(partitioning.table(measured, 3000, 40))
    assert "3,000 examples of 10 classes to 40 clients" in shown.export_text()


def test_every_compressor_is_measured_but_the_one_that_is_what_it_is_made_around():
    words = {word for text in codecs.CODECS for word in re.findall(r"\w+", text)}
    assert set(COMPRESSORS) - words == {"difference"}


def test_what_compression_takes_of_a_round_is_what_the_rounds_say(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.data.TRAINING", 400)
    monkeypatch.setattr("benchmarks.data.TEST", 50)
    monkeypatch.setitem(
        WORKLOADS,
        "W3",
        replace(WORKLOADS["W3"], training=400, settings={**WORKLOADS["W3"].settings, "clients": 100}),
    )
    share = share_of_rounds("W3", "qsgd(4)", tmp_path, rounds=3)
    assert (share.workload, share.name, share.clients, share.real) == ("W3", "qsgd(4)", 100, False)
    assert share.a_client * 100 == pytest.approx(share.compression)
    assert min(share.training, share.compression) > 0


def test_the_trained_cnn_is_the_one_whose_updates_are_compressed():
    shapes = tuple(tuple(parameter.shape) for parameter in mcmahan_cnn.cnn().parameters())
    assert shapes == tuple(shape for _, shape in mcmahan_cnn.LAYOUT)
    assert sum(map(math.prod, shapes)) == 1_663_370
    assert mcmahan_cnn.training_seconds(images=40) > 0


def test_every_algorithm_is_measured_against_fedavg_by_default():
    named = [label.partition("(")[0] for label in algorithms.everything()]
    assert {*named, "fedavg"} == set(ALGORITHMS)


def test_an_algorithm_is_timed_in_pairs_with_fedavg_of_the_same_fields(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.data.TRAINING", 400)
    monkeypatch.setattr("benchmarks.data.TEST", 50)
    seen = []
    monkeypatch.setattr(
        algorithms, "rounds_of", lambda setup: seen.append(setup.config) or iter([9.0, 1.0, 2.0])
    )
    row = replace(WORKLOADS["W2"], training=400)
    monkeypatch.setitem(WORKLOADS, "W2", row)
    found = algorithms.measure("W2", "mime_lite", tmp_path, 2)  # which has no momentum at its clients
    assert [(each.algorithm.name, each.local.momentum, each.rounds) for each in seen] == [
        ("fedavg", 0, 3),
        ("mime_lite", 0, 3),
    ]
    assert (found.fedavg, found.seconds, found.ratio) == ((1.0, 2.0), (1.0, 2.0), 1.0)
    seen.clear()
    algorithms.measure("W2", "sign_majority(0.1)", tmp_path, 2)  # whose votes FedAvg does not take
    assert [each.compression.uplink.label() for each in seen] == ["none", "sign(scale=one)"]
    refused = algorithms.measure("W2", "fednova(mu=0.1)", tmp_path, 2)
    assert "momentum" in refused.refused
    assert algorithms.table([found, refused]).row_count == 2
    monkeypatch.setitem(WORKLOADS, "W1", replace(WORKLOADS["W1"], training=400))
    seen.clear()
    assert algorithms.measure("W1", "cfl", tmp_path, 2).refused == ""  # which hears all clients in each round
    assert [each.cohort.size for each in seen] == [None, None]


def test_private_steps_are_timed_against_plain_ones_of_the_same_number_and_mean_size(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.data.TRAINING", 400)
    monkeypatch.setattr("benchmarks.data.TEST", 50)
    seen = []
    monkeypatch.setattr(
        private_steps, "rounds_of", lambda setup: seen.append(setup) or iter([9.0, 1.0, len(seen)])
    )
    monkeypatch.setitem(WORKLOADS, "W2", replace(WORKLOADS["W2"], training=400))
    found = private_steps.measure("W2", tmp_path, 2)
    plain_one, private = (setup.config for setup in seen)
    assert plain_one.local == private.local
    assert (private.local.steps, private.local.batch_size) == (10, 32)
    assert [setup.worker.work.per_example is None for setup in seen] == [True, False]
    assert (found.fedavg, found.seconds, found.ratio) == ((1.0, 1), (1.0, 2), 1.5)


def test_the_ratio_to_fedavg_is_taken_within_pairs():
    # Other programs made both ten times slower in the second pair: the ratio of the medians would be 3 / 10.
    pairs = algorithms.Pairs("W1", "x", fedavg=(1.0, 10.0, 12.0), seconds=(3.0, 30.0, 1.2))
    assert pairs.ratio == 3.0


def test_rates_are_looked_for_with_a_seed_and_examples_that_judge_nothing(monkeypatch):
    config = RunConfig.model_validate({"dataset": "digits", "model": "logistic", "clients": 4, "rounds": 1})
    tried = []

    def score(config):
        tried.append((config.seed, config.local.learning_rate))
        return {0.1: 0.8, 0.4: 0.8}.get(config.local.learning_rate, 0.5)

    monkeypatch.setattr(learning_rates, "score", score)
    rate, scores = learning_rates.best(config)
    assert (rate, scores) == (0.1, [0.5, 0.5, 0.8, 0.5, 0.8, 0.5])
    assert tried == [(1000, rate) for rate in learning_rates.RATES]
    assert "validation" in learning_rates.SCORE


def test_canaries_are_measured_beside_promises_and_runs_without_noise(small):
    setting = "logistic, a fifth takes part"
    kept, plain = (canaries.measure(setting, noise, 2, 40, rounds=2) for noise in (1.5, 0.0))
    assert plain.promised is None
    assert (kept.largest <= kept.promised).all()
    row = canaries.table([kept, plain]).columns[-1]
    assert list(row.cells) == ["0 of 2 broken", f"2 of 2 above {kept.promised:.2f}"]
