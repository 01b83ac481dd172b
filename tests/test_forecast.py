"""The forecast of a study: bytes against real runs, times and workers by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import get_native_id
from typing import Any

import numpy as np
import pytest
import torch

import federated.forecast.forecast as forecasting
import federated.forecast.probe as probing
import federated.forecast.seconds.evaluation as evaluating
from federated.algorithms.local_terms import NO_TERMS, LocalTerms
from federated.config.run import LocalTraining, RunConfig
from federated.evaluation.predicted import evaluated
from federated.extension_points.kinds import COMPRESSOR
from federated.forecast import Amount, forecast_of_json, forecast_study
from federated.forecast.forecast import in_all
from federated.forecast.overheads import Overheads, overheads, range_of, remember
from federated.forecast.probe import probe
from federated.forecast.traffic.amounts import sizes, total, unlike
from federated.forecast.workload import batches_of, personalisation_batches, round_batches
from federated.local_training import Updates
from federated.machine import queueing
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.study.study import Run
from tests.conftest import NORMALISED, config_of

pytestmark = pytest.mark.usefixtures("home")

EXACT = [
    "none",
    "float16",
    "bfloat16",
    "int8",
    "natural",
    "qsgd(4)",
    "terngrad",
    "sign",
    "drive",
    "random_k(0.1)",
    "low_rank(1)",
    "error_feedback(sign)",
    "sketch(0.1)",
]
VARYING = [
    "block_top_k(0.1)",
    "top_k(0.05)",
    "error_feedback(top_k(0.01))",
    "chain(qsgd(2), entropy)",
    "stc(0.05)",
    "threshold(0.01)",
]


def sent(configs: list[RunConfig]) -> tuple[int, int]:
    """Bytes up and down of real runs."""
    up = down = 0
    for config in configs:
        setup = prepare(config)
        state = train_rounds(initial_state(setup), setup, config.rounds)
        up, down = up + state.uplink_bytes, down + state.downlink_bytes
    return up, down


def foretold(configs: list[RunConfig]) -> tuple[Amount, Amount]:
    (arm,) = forecast_study([Run("arm", config) for config in configs]).arms
    return arm.uplink, arm.downlink


def test_a_large_model_is_not_shuffled_for_long_and_plain_floats_not_at_all() -> None:
    """A permutation of millions of numbers takes longer than the study that is forecast."""
    codec, large = COMPRESSOR.bind("qsgd(4)").build(), torch.randn(2**18 + 1)
    assert len(unlike(codec, large)) == 4
    assert len(unlike(codec, large[:100])) == 9
    assert len(unlike(COMPRESSOR.bind("none").build(), large)) == 0


def two_seeds(**changes: Any) -> list[RunConfig]:
    return [config_of(seed=seed, rounds=6, **changes) for seed in (0, 1)]


@pytest.fixture
def bytes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is spent on timing evaluations, in which nothing travels."""
    monkeypatch.setattr(probing, "evaluation_seconds", lambda setup, state, seconds: 0.0)


@pytest.mark.usefixtures("bytes_alone")
@pytest.mark.parametrize("uplink", EXACT)
def test_bytes_of_a_codec_of_fixed_size_are_exact(uplink: str) -> None:
    configs = two_seeds(compression={"uplink": uplink, "downlink": "float16"})
    up, down = foretold(configs)
    assert up.exact
    assert down.exact
    assert (up.expected, down.expected) == sent(configs)


@pytest.mark.usefixtures("bytes_alone")
@pytest.mark.parametrize("uplink", VARYING)
def test_bytes_of_other_codecs_lie_in_the_range_and_near_what_is_expected(
    uplink: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """threshold sends what is large: as many numbers as the updates of the rounds to come have, which is not known.

    The clock stands still, so that the probe always has time for its whole rounds.
    """
    Clock().set(monkeypatch)
    configs = two_seeds(compression={"uplink": uplink})
    up, _ = foretold(configs)
    fact, _ = sent(configs)
    assert not up.exact
    assert up.low <= fact <= up.high
    assert fact == pytest.approx(up.expected, rel=0.8 if "threshold" in uplink else 0.15)


@pytest.mark.usefixtures("bytes_alone")
@pytest.mark.parametrize("uplink", [name for name in VARYING if "threshold" not in name])
def test_the_range_holds_where_the_probe_has_time_for_a_few_steps_only(uplink: str) -> None:
    """A slow model, or a busy machine: the updates of such rounds are smaller than those of whole ones."""
    config = config_of(compression={"uplink": uplink})
    up = probe(prepare(config), 0.0).uplink.times(config.cohort.size * config.rounds)
    assert up.low <= sent([config])[0] <= up.high


@pytest.mark.usefixtures("bytes_alone")
@pytest.mark.parametrize(
    "downlink", ["difference(qsgd(4))", "difference(float16)", "difference(top_k(0.02))"]
)
def test_bytes_of_a_downlink_of_differences_follow_who_takes_part_when(downlink: str) -> None:
    configs = two_seeds(compression={"downlink": downlink}, clients=8)
    _, down = foretold(configs)
    _, fact = sent(configs)
    if "top_k" in downlink:
        assert down.low <= fact <= down.high
    else:
        assert down.exact
        assert down.expected == fact


@pytest.mark.usefixtures("bytes_alone")
def test_running_statistics_are_counted_both_ways(own: Any) -> None:
    ways = {"uplink": "qsgd(4)", "downlink": "difference(qsgd(4))"}
    configs = two_seeds(model=f"{own(NORMALISED)}:model", compression=ways)
    up, down = foretold(configs)
    assert (up.exact, down.exact) == (True, True)
    assert (up.expected, down.expected) == sent(configs)


@pytest.mark.usefixtures("bytes_alone")
@pytest.mark.parametrize("algorithm", ["fedbn", "fedper(personal=['*.running_mean', '1'])"])
@pytest.mark.parametrize("downlink", ["none", "difference(qsgd(4))"])
def test_running_statistics_that_stay_are_not(algorithm: str, downlink: str, own: Any) -> None:
    ways = {"uplink": "qsgd(4)", "downlink": downlink}
    configs = two_seeds(model=f"{own(NORMALISED)}:model", compression=ways, algorithm=algorithm)
    up, down = foretold(configs)
    assert (up.exact, down.exact) == (True, True)
    assert (up.expected, down.expected) == sent(configs)


@pytest.mark.usefixtures("bytes_alone")
@pytest.mark.parametrize("algorithm", ["scaffold", "fedper", "fedbabu", "ditto"])
@pytest.mark.parametrize("downlink", ["none", "difference(qsgd(4))"])
def test_what_travels_beside_updates_and_what_stays_is_foreseen(algorithm: str, downlink: str) -> None:
    configs = two_seeds(algorithm=algorithm, compression={"uplink": "qsgd(4)", "downlink": downlink})
    up, down = foretold(configs)
    assert (up.exact, down.exact) == (True, True)
    assert (up.expected, down.expected) == sent(configs)


def test_a_probe_cut_short_foresees_the_same_bytes_and_leaves_no_dump(tmp_path: Path) -> None:
    """A budget of nothing: single steps of few clients, as for models whose rounds take seconds."""
    ways = {"uplink": "qsgd(4)", "dump": str(tmp_path / "dump")}
    setup = prepare(config_of(compression=ways))
    probed = probe(setup, 0.0)
    assert probed.uplink.exact
    assert not (tmp_path / "dump").exists()
    ((up, down),) = [sent([config_of(compression={"uplink": "qsgd(4)"})])]
    assert probed.uplink.times(3 * 4).expected == up
    assert probed.downlink.times(3 * 4).expected == down


class Clock:
    """Stands where it is but for local steps, of which each takes 10 ms, and its own readings, of 1 ms each."""

    def __init__(self, held_up: int | None = None, slowdown: float = 1.0, first: float = 0.0) -> None:
        """held_up: the number of the training that takes 39 ms longer. slowdown: by other programs on its core.
        first: seconds that the first step of a client takes longer."""
        self.now = self.queued = 0.0
        self.slowdown, self.first = slowdown, first
        self.steps: list[int] = []
        self.held_up = held_up

    def perf_counter(self) -> float:
        self.now += 0.001
        return self.now

    def process_time(self) -> float:
        return self.now - self.queued

    def clock_gettime(self, number: int) -> float:
        return 0.0  # no other thread works

    def set(self, patch: pytest.MonkeyPatch) -> None:
        """Let the probe read this clock, and this process's one thread stand in the queue as it says."""
        patch.setattr(queueing, "time", self)
        patch.setattr(queueing, "threads", lambda: {get_native_id(): queueing.Thread(self.now, self.queued)})

    def of(self, setup: Setup) -> Setup:
        """The same setup, whose engine moves this clock when it has trained; the steps are counted by hand."""
        trained, local, sizes = setup.worker.train, setup.config.local, setup.federation.sizes

        def train(
            model: torch.Tensor, clients: Sequence[int], done: int, terms: LocalTerms = NO_TERMS, /
        ) -> Updates:
            updates = trained(model, clients, done, terms)
            whole = [10 * -(-int(sizes[client]) // 8) for client in clients]
            steps = int(sum(whole) if terms.steps is None else terms.steps.sum())
            self.steps.append(steps)
            alone = 0.01 * steps + 0.039 * (len(self.steps) == self.held_up) + self.first * len(clients)
            self.now += alone * self.slowdown
            self.queued += alone * (self.slowdown - 1)
            return updates

        assert (local.batch_size, local.epochs) == (8, 10)
        return replace(setup, worker=replace(setup.worker, train=train))


@pytest.mark.parametrize("budget", [0.05, pytest.param(500.0, marks=pytest.mark.nightly)])
def test_the_time_of_rounds_is_foreseen_from_whole_rounds_and_from_a_few_steps(
    budget: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a tenth: batches that are not full take as long here as full ones, which the probe does not know."""
    clock = Clock()
    clock.set(monkeypatch)
    local = {"batch_size": 8, "epochs": 10, "learning_rate": 0.01}
    setup = clock.of(prepare(config_of(local=local, partitioner="dirichlet(0.5)", cohort={"size": 6})))
    batches = float(batches_of(setup.config.local, setup.federation.sizes).sum())
    foreseen = probe(setup, budget).seconds_of_round(6, batches)
    probed = max(clock.steps)
    started = clock.now
    train_rounds(initial_state(setup), setup, 1)
    took = clock.now - started
    assert took == pytest.approx(0.01 * clock.steps[-1], abs=0.02)
    assert foreseen == pytest.approx(took, rel=0.1)
    few = budget < took
    assert (probed < clock.steps[-1] / 100) == few
    assert (probed == clock.steps[-1]) == (not few)


def test_a_single_step_that_was_held_up_does_not_make_all_steps_seem_to_cost_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(held_up=4)  # after three to warm up: the one that several are compared with
    clock.set(monkeypatch)
    local = {"batch_size": 8, "epochs": 10, "learning_rate": 0.01}
    threads = {"threads": 1}
    setup = clock.of(prepare(config_of(local=local, cohort={"size": 6}, orchestration=threads)))
    assert probe(setup, 0.5).batch_seconds == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("budget", "whole"), [pytest.param(60.0, True, marks=pytest.mark.nightly), (1.0, False)]
)
def test_a_first_step_that_takes_longer_makes_no_round_seem_too_long(
    budget: float, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its single steps a round would take twenty times as long as it does."""
    clock = Clock(first=0.2)
    clock.set(monkeypatch)
    local = {"batch_size": 8, "epochs": 10, "learning_rate": 0.01}
    setup = clock.of(prepare(config_of(local=local, cohort={"size": 6}, orchestration={"threads": 1})))
    probed = probe(setup, budget)
    rounds = probed.seconds_of_round(6, round_batches(setup))
    before = clock.now
    train_rounds(initial_state(setup), setup, 1)
    assert rounds == pytest.approx(clock.now - before, rel=0.1)
    assert (max(clock.steps[:-1]) == clock.steps[-1]) == whole
    assert probed.cores == pytest.approx(1, rel=0.02)


def test_a_busy_machine_makes_no_step_seem_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(slowdown=4.0)
    clock.set(monkeypatch)
    local = {"batch_size": 8, "epochs": 10, "learning_rate": 0.01}
    setup = clock.of(prepare(config_of(local=local, cohort={"size": 6})))
    probed = probe(setup, 0.05)
    assert probed.batch_seconds == pytest.approx(0.01, rel=0.05)
    assert probed.taken.seconds / probed.taken.alone == pytest.approx(4, rel=0.2)
    assert probed.cores == pytest.approx(1, rel=0.02)


def test_the_range_says_what_other_programs_cost_now(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("arm", config_of())
    busy = replace(probe(prepare(run.config), 0.0), taken=queueing.Taken(6.0, 2.0))
    monkeypatch.setattr(forecasting, "probe", lambda setup, seconds: busy)
    made = forecast_study([run])
    assert made.low_seconds is not None
    assert made.high_seconds is not None
    assert made.high_seconds == pytest.approx(3 * 2 * made.seconds)
    assert made.low_seconds == pytest.approx(made.seconds / 2)
    assert any("the probe took 3.0 times as long as it would alone" in each for each in made.cautions)
    monkeypatch.setattr(
        forecasting, "probe", lambda setup, seconds: replace(busy, taken=queueing.Taken(2.2, 2.0))
    )
    assert not any(each.startswith("time:") for each in forecast_study([run]).cautions)


def test_a_caller_loses_its_own_queue_and_the_longest_of_those_that_worked_for_it() -> None:
    before = {1: queueing.Thread(5.0, 1.0), 2: queueing.Thread(1.0, 1.0), 4: queueing.Thread(0.0, 7.0)}
    after = {
        1: queueing.Thread(5.1, 1.2),  # the caller
        2: queueing.Thread(3.0, 1.5),
        3: queueing.Thread(2.0, 0.9),  # new
        4: queueing.Thread(0.1, 9.0),  # hardly ran: nobody waited for it
    }
    assert queueing.delay(before, after, 1, 4.0) == pytest.approx(0.2 + 0.9)
    assert queueing.delay({}, {}, 1, 4.0) == 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not tell of threads")
def test_the_system_tells_of_this_thread() -> None:
    assert get_native_id() in queueing.threads()


def test_with_a_model_whose_steps_take_long_a_probe_is_a_few_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget of nothing, so that any step is too long: 1 + 1 to warm up, 1 and 2 to be told apart, of one client."""
    steps_of_clients = []
    whole = probing.Watch.round

    def counted(watch: Any, setup: Any, state: Any, clients: int, steps: int | None) -> Any:
        assert steps is not None
        steps_of_clients.append(clients * steps)
        return whole(watch, setup, state, clients, steps)

    monkeypatch.setattr(probing.Watch, "round", counted)
    probe(prepare(config_of(orchestration={"threads": 1})), 0.0)
    assert steps_of_clients == [1, 1, 1, 2]


@pytest.mark.parametrize("training", ["federated", "local"])
@pytest.mark.parametrize("an_example", [1e-6, 1e-4, 0.02, 1.0])
def test_an_evaluation_is_foreseen_exactly_and_in_bounded_time(
    training: Any, an_example: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock by which an evaluation takes 0.01 s and so much an example: parts are as large as there is time for."""
    holdout = {"client": 0.2, "unseen_clients": 2}
    setup = prepare(config_of(training=training, holdout=holdout))
    spent = [0.0]

    def clock(part: Setup, state: RunState) -> float:
        counts = [len(found) for _, _, found in evaluated(state, part)]
        spent.append(0.01 + an_example * sum(counts))
        return spent[-1]

    monkeypatch.setattr(evaluating, "_timed_evaluation", clock)
    state = initial_state(setup)
    whole = clock(setup, state)
    spent.clear()
    assert evaluating.evaluation_seconds(setup, state, 0.5) == pytest.approx(whole)
    fewest = 0.01 + an_example * 16 * 3  # test, training sample and others
    assert sum(spent) < 6 * max(0.5, (6 if training == "local" else 1) * fewest)


def test_batches_by_hand() -> None:
    """65 examples in batches of 64: two steps, 65/64 batches of examples; half of the cost goes with each."""
    local = LocalTraining(batch_size=64)
    np.testing.assert_allclose(batches_of(local, np.array([0, 32, 64, 65])), [0, 0.75, 1, (2 + 65 / 64) / 2])
    np.testing.assert_allclose(batches_of(LocalTraining(batch_size=64, epochs=(1, 3)), np.array([64])), [2])
    np.testing.assert_allclose(batches_of(LocalTraining(batch_size=None, epochs=2), np.array([7, 0])), [2, 0])
    np.testing.assert_allclose(
        batches_of(LocalTraining(batch_size=4, steps=(2, 4)), np.array([9, 1, 0])), [3, 3, 0]
    )


def test_runs_one_by_one_and_by_two_workers_by_hand() -> None:
    cost = Overheads(first_run=4, process=8)
    assert in_all([3, 3, 3], 1, cost) == 13
    assert in_all([3, 3, 3], 2, cost) == 8 + 4 + 6
    assert in_all([10, 1, 1, 1], 2, cost) == 12 + 10


def test_sizes_are_exact_only_where_content_plays_no_part() -> None:
    assert sizes([10, 10], [10]) == (10, 10, 10)
    assert sizes([105, 105], [11]) == pytest.approx((100, 105, 110.25))
    assert sizes([10, 20], [10]) == (5, 15, 40)
    assert total([Amount(1, 2, 3), Amount(1, 1, 1)]) == (2, 3, 4)
    assert total([]) == (0, 0, 0)


def test_what_a_study_took_beside_its_rounds_is_reckoned_with_next_time() -> None:
    assert overheads() == Overheads()
    assert not overheads().measured
    assert range_of(100.0, overheads()) == (50, 200)
    remember([9.0, 2.0, 1.0, 2.2], [0, 0, 0, 10], growth_mb=300.0, around=11.0, ratio=1.5)
    known = overheads()
    assert known.measured
    assert known.run == pytest.approx(2.0)  # the middle of 1, 2 and 2.2 - 10 segments
    assert known.first_run == pytest.approx(7.0)
    assert known.growth_mb == 300
    assert known.around == 11
    assert range_of(100.0, known) == (50, 200)  # one study says little
    for ratio in (0.9, 0.6):
        remember([9.0, 2.0], [0, 0], growth_mb=300.0, around=11.0, ratio=ratio)
    assert range_of(100.0, overheads()) == (60, 150)
    for _ in range(10):
        remember([9.0, 2.0], [0, 0], growth_mb=300.0, around=11.0, ratio=1.0)
    assert range_of(100.0, overheads()) == (80, 125)  # the last ten
    for _ in range(10):  # on a machine that other programs had three quarters of
        remember([36.0, 8.0], [0, 0], growth_mb=300.0, around=44.0, ratio=4.8, share=0.25)
    known = overheads()
    assert (known.run, known.first_run, known.around) == (2, 7, 11)
    assert range_of(100.0, known) == pytest.approx((80, 125))


def test_what_a_study_has_taken_before_its_forecast_is_not_guessed() -> None:
    runs = [Run("a", config_of())]
    made = forecast_study(runs, before=1000.0)
    known = 1000.0 + made.probe_seconds
    assert made.around_seconds == pytest.approx(known + Overheads().rest)
    assert made.seconds > known
    assert made.low_seconds == pytest.approx(known + (made.seconds - known) / 2)
    remember([9.0, 2.0], [0, 0], growth_mb=300.0, around=44.0, ratio=1.0, share=0.25, rest=20.0)
    assert overheads().rest == 5
    later = forecast_study(runs, before=0.0)
    assert later.around_seconds == pytest.approx(later.probe_seconds + 5)
    assert forecast_study(runs).around_seconds == 11  # of one who does not know how long it has been


def test_a_forecast_is_read_back_as_it_was_written() -> None:
    made = forecast_study([Run("a", config_of()), Run("b", config_of(network="4g", stop={"target": 0.1}))])
    assert forecast_of_json(made.as_json()) == made
    assert [arm.stops for arm in made.arms] == [False, True]
    assert made.arms[0].network_seconds is None
    assert made.arms[1].network_seconds is not None
    assert "no privacy guarantee" in made.privacy


def test_an_anchor_sends_nothing() -> None:
    (arm,) = forecast_study([Run("alone", config_of(training="local"))]).arms
    assert (arm.uplink, arm.downlink) == ((0, 0, 0), (0, 0, 0))


def test_work_without_a_server_and_of_fine_tuning_by_hand() -> None:
    """Six clients of 239 or 240 examples: 15 batches of 16 an epoch, three clients a round; the rest rounds away."""
    holdout = {"client": 0.2}  # leaves 191 or 192 of each: 12 steps, 11.94 or 12 batches of examples
    for training in ("federated", "local", "centralised"):
        setup = prepare(config_of(training=training, holdout=holdout))
        assert round_batches(setup) == pytest.approx(3 * 12, rel=0.02)
    evaluation = {"personalisation": {"epochs": 2}}
    setup = prepare(config_of(holdout=holdout, evaluation=evaluation))
    assert personalisation_batches(setup) == pytest.approx(6 * 2 * 12, rel=0.02)
    assert personalisation_batches(prepare(config_of(holdout=holdout))) == 0
