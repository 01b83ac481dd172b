"""Several runs in one stack: each has the numbers that it has alone, whatever the others do."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
import torch

from federated.algorithms.local_terms import NO_TERMS
from federated.config.run import Engine
from federated.foundation.errors import Diverged
from federated.local_training.engine import ENGINES, local_trainer
from federated.local_training.together import Ask, Engines, member_of, pays, train_together
from federated.local_training.together.joint import joint_work
from federated.machine.queueing import (
    all_others_work_beside,
    has_waited,
    own_processor_seconds,
    own_seconds,
    working_beside,
    works_for_runs,
)
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import Observers, advance, begun, ending, segment_ends
from federated.segments import gathering as gathering_module
from federated.segments.gathering import Gathering, with_others
from tests.conftest import config_of
from tests.test_engine_contract import COHORT, MODELS, TAKES, TERMS

COHORTS = [COHORT, [5, 2], [0, 1, 4]]
JOINED = [(engine, name) for engine in TAKES for name in sorted(TAKES[engine])]
LOCAL = {"batch_size": 4, "learning_rate": 0.05, "epochs": [1, 3], "momentum": 0.5}


def _works(make, shape, local_work, **changes: Any) -> list[Any]:
    """Runs of different seeds, initial models and partitions, on the same examples."""
    first = local_work(make(), shape=shape, **{**LOCAL, **changes})
    works = []
    for seed in range(3):
        dealt = np.random.default_rng(seed).permutation(len(first.inputs))
        clients = np.split(dealt, np.cumsum([len(held) for held in first.clients])[:-1])
        work = local_work(make(), shape=shape, **{**LOCAL, **changes})
        work.model.vector.mul_(1 + seed / 10)
        works.append(work._replace(seed=seed, clients=clients, inputs=first.inputs, targets=first.targets))
    return works


def _alone(work, cohort, name, terms):
    """Of an engine's own trainer, with terms for these clients."""
    return ENGINES[name](work, 1)(work.model.vector, cohort, 2, terms)


@pytest.mark.parametrize(("engine", "name"), JOINED)
def test_every_engine_takes_clients_of_several_runs_as_it_takes_those_of_one(engine, name, local_work):
    make, shape = MODELS[name]
    works = _works(make, shape, local_work)
    joint = joint_work(works)
    start = torch.cat([work.model.vector.expand(len(c), -1) for work, c in zip(works, COHORTS, strict=True)])
    firsts = [number * len(COHORT) for number in range(3)]
    cohort = [first + client for first, clients in zip(firsts, COHORTS, strict=True) for client in clients]
    whole = ENGINES[engine](joint, 1)(start, cohort, 2, NO_TERMS)
    alone = [_alone(work, c, engine, NO_TERMS) for work, c in zip(works, COHORTS, strict=True)]
    expected = torch.cat([updates.deltas for updates in alone])
    assert float(expected.abs().max()) > 1e-4
    assert torch.allclose(whole.deltas, expected, rtol=0, atol=1e-11)
    assert torch.allclose(whole.losses, torch.cat([each.losses for each in alone]))
    assert whole.num_examples.tolist() == [n for updates in alone for n in updates.num_examples.tolist()]


def _asks(works, terms, **engine: Any) -> list[Ask]:
    members = [
        member_of(work, Engine(**engine), local_trainer(work, Engine(**engine), c))
        for work, c in zip(works, COHORTS, strict=True)
    ]
    return [
        Ask(member, member.work.model.vector, c, 2, TERMS[terms](len(c), member.work.model.num_trainable))
        for member, c in zip(members, COHORTS, strict=True)
    ]


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("name", ["mlp", "normalised"])
def test_runs_are_trained_together_as_each_is_alone_with_every_term(name, terms, local_work):
    make, shape = MODELS[name]
    asks = _asks(_works(make, shape, local_work), terms, name="vectorised")
    together = train_together(asks, engines := Engines())
    for ask, updates in zip(asks, together, strict=True):
        alone = ask.member.train(ask.received, ask.cohort, ask.done, ask.terms)
        assert torch.allclose(updates.deltas, alone.deltas, rtol=0, atol=1e-11), terms
        assert torch.allclose(updates.losses, alone.losses)
        assert updates.client_ids.tolist() == alone.client_ids.tolist()
        assert updates.num_examples.tolist() == alone.num_examples.tolist()
    assert len(engines) == (0 if terms in ("phase", "phases", "all") else 1), (
        "not in one stack, or wrongly so"
    )


def test_data_of_their_own_are_put_in_a_row(local_work):
    make, shape = MODELS["mlp"]
    works = _works(make, shape, local_work)
    own = [
        work._replace(inputs=work.inputs + at, targets=work.targets.flip(0)) for at, work in enumerate(works)
    ]
    asks = _asks(own, "none")
    for ask, updates in zip(asks, train_together(asks, Engines()), strict=True):
        alone = ask.member.train(ask.received, ask.cohort, 2, NO_TERMS)
        assert torch.allclose(updates.deltas, alone.deltas, rtol=0, atol=1e-11)


@pytest.mark.parametrize("change", [{"learning_rate": 0.1}, {"batch_size": 5}, {"optimiser": "adam"}])
def test_runs_whose_steps_differ_are_not_of_one_stack(change, local_work):
    make, shape = MODELS["mlp"]
    works = [
        _works(make, shape, local_work)[0],
        _works(make, shape, local_work, **{"momentum": 0.0, **change})[1],
    ]
    one, other = _asks([works[0], works[1], works[0]], "none")[:2]
    assert one.sort != other.sort


REASONS = {
    "loop": ("mlp", {"name": "loop"}, {}),
    "frozen": ("adapted", {}, {}),
    "buffers": ("counting", {}, {}),
    "pieces": ("mlp", {"micro_batch": 2}, {"micro_batch": 2}),
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_cannot_share_a_stack_is_trained_by_its_own_engine_and_says_why(reason, local_work):
    name, engine, change = REASONS[reason]
    make, shape = MODELS[name]
    works = [work._replace(**change) for work in _works(make, shape, local_work)]
    asks = _asks(works, "none", **engine)
    assert all(ask.member.apart and ask.sort is None for ask in asks)
    for ask, updates in zip(asks, train_together(asks, Engines()), strict=True):
        assert torch.equal(updates.deltas, ask.member.train(ask.received, ask.cohort, 2, NO_TERMS).deltas)


def test_a_run_that_fails_in_the_stack_fails_alone(local_work):
    make, shape = MODELS["mlp"]
    asks = _asks(_works(make, shape, local_work), "none")
    asks[1] = asks[1]._replace(cohort=[0, 99])
    first, failed, last = train_together(asks, Engines())
    assert isinstance(failed, IndexError)
    for ask, updates in ((asks[0], first), (asks[2], last)):
        assert torch.equal(updates.deltas, ask.member.train(ask.received, ask.cohort, 2, NO_TERMS).deltas)


def _run(config, gathering=None, number=0, first=None, rounds=None):
    """The whole of a run, its history without times."""
    setup, told = prepare(config), Observers(lambda c: None, lambda h: None, lambda c: None)
    setup = setup if gathering is None else with_others(setup)
    course = begun(first or Course(initial_state(setup)), setup, told)
    ends = list(segment_ends(config, course.round, rounds))
    return advance(course, setup, ends, told, ending(config, setup.stop))


def _gathered(configs, **changes: Any) -> list[Any]:
    gathering, results = Gathering(), [None] * len(configs)

    def whole(number):
        try:
            with gathering.taking_part(number):
                results[number] = _run(
                    configs[number], gathering, **{k: v[number] for k, v in changes.items()}
                )
        except Diverged as error:
            results[number] = error

    threads = [threading.Thread(target=whole, args=(number,)) for number in range(len(configs))]
    for number in range(len(configs)):
        gathering.expect(number)
    for thread in threads:
        thread.start()
    for number in range(len(configs)):
        gathering.wait_for(number)
    gathering.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def _measured(course):
    return [
        (at, {k: v for k, v in metrics.items() if not k.startswith("system/")})
        for at, metrics in course.history
    ]


SMALL = {"dataset": "digits", "rounds": 4, "evaluation": {"every": 2}, "clients": 6, "cohort": {"size": 3}}
ARMS: list[dict[str, Any]] = [
    {"seed": 0},
    {"seed": 1, "partitioner": "dirichlet(0.3)"},
    {"seed": 1, "algorithm": "scaffold", "cohort": {"size": 5}},
    {"seed": 2, "algorithm": "moon(mu=1.0)"},  # which needs the loop
    {"seed": 2, "compression": {"uplink": "error_feedback(top_k(0.1))"}, "evaluation": {"every": 1}},
    {"seed": 3, "local": {"batch_size": 16, "learning_rate": 1e30}},  # which diverges
    {"seed": 4, "stop": {"metric": "train/loss", "target": 100.0}},  # which stops early
]


def test_runs_that_meet_have_the_history_that_each_has_alone():
    configs = [config_of(**{**SMALL, "model": "mlp(hidden=[8])", **arm}) for arm in ARMS]
    together = _gathered(configs)
    for arm, config, course in zip(ARMS, configs, together, strict=True):
        if arm["seed"] == 3:
            with pytest.raises(Diverged) as alone:
                _run(config)
            assert str(course) == str(alone.value)
            continue
        alone = _run(config)
        assert torch.allclose(course.state.parameters, alone.state.parameters, rtol=1e-5, atol=1e-6), arm
        assert [at for at, _ in course.history] == [at for at, _ in alone.history]
        for (_, found), (_, expected) in zip(_measured(course), _measured(alone), strict=True):
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-4), arm


@pytest.mark.parametrize(
    "local", [{"batch_size": 10}, {"batch_size": None, "momentum": 0.9}, {"batch_size": 13, "epochs": 3}]
)
@pytest.mark.parametrize("model", ["logistic", "mlp(hidden=[8])"])
def test_a_run_has_the_same_bits_whoever_trains_beside_it(model, local):
    stated = {**SMALL, "model": model, "clients": 20, "partitioner": "dirichlet(0.3)", "local": local}
    asks = []
    for seed in range(4):
        setup = prepare(config_of(**stated, seed=seed))
        member = member_of(setup.worker.work, setup.config.engine, setup.worker.train)
        cohort = setup.trainers.eligible[seed : seed + 5].tolist()
        asks.append(Ask(member, setup.initial_parameters, cohort, 2, NO_TERMS))
    engines = Engines()
    whole = train_together(asks, engines)
    for at, ask in enumerate(asks):  # the last that is left, too
        (left,) = train_together([ask], engines)
        assert torch.equal(left.deltas, whole[at].deltas)
    for some in ([0, 1], [3, 2], [1, 2, 3]):
        for at, updates in zip(some, train_together([asks[at] for at in some], Engines()), strict=True):
            assert torch.equal(updates.deltas, whole[at].deltas)
            assert torch.equal(updates.losses, whole[at].losses)


def test_a_run_that_was_behind_catches_up_and_all_have_the_same_bits_again():
    configs = [config_of(**{**SMALL, "model": "logistic", "seed": seed}) for seed in range(3)]
    whole = _gathered(configs)
    half = _gathered(configs, rounds=[2, 4, 2])
    resumed = _gathered(configs, first=[Course(c.state, c.history) for c in half])
    for course, again in zip(whole, resumed, strict=True):
        assert torch.equal(course.state.parameters, again.state.parameters)


def test_a_trial_that_fails_is_no_faster(local_work, home):
    def fails(*arguments):
        raise RuntimeError("out of memory")

    work = local_work(MODELS["mlp"][0](), shape=MODELS["mlp"][1], **LOCAL)
    member = member_of(work, Engine(), fails)
    assert not pays(Ask(member, work.model.vector, [0, 1], 0, NO_TERMS), 3)


@pytest.mark.parametrize(("own_data", "room"), [(False, True), (True, False)])
def test_data_of_the_runs_own_take_room_for_a_copy_of_each(own_data, room, local_work, monkeypatch):
    work = local_work(MODELS["mlp"][0](), shape=MODELS["mlp"][1], **LOCAL)
    rows = 2 * 3 * 2 * work.model.vector.nbytes  # of two clients, and of two of the next run
    monkeypatch.setattr(gathering_module, "_MOST_BYTES", rows + 2 * work.inputs.nbytes)
    gathering = Gathering()
    member = member_of(work, Engine(), lambda *arguments: None, own_data=own_data)
    gathering._asks[0] = Ask(member, work.model.vector, [0, 1], 0, NO_TERMS)
    assert gathering.has_room() == room


def test_the_clock_of_a_run_stands_still_while_it_waits_for_others():
    elsewhere: list[float] = []
    before, there = own_seconds(), threading.Thread(target=lambda: elsewhere.append(own_seconds()))
    has_waited(1000.0)
    there.start()
    there.join()
    assert own_seconds() < before - 900 < elsewhere[0] - 900
    has_waited(-1000.0)


MUCH = bytes(2**16)


def busy_until(done: threading.Event, at_a_time: float, spent: list[float]) -> None:
    """Work beside all runs, so many seconds of the processor at a time; `spent` gets the time by the thread's clock."""
    began = time.thread_time()
    while not done.is_set():
        with working_beside():
            start = time.thread_time()
            while time.thread_time() - start < at_a_time and not done.is_set():
                hashlib.sha256(MUCH).digest()  # which holds up no other thread
    spent.append(time.thread_time() - began)


def test_work_beside_is_no_run_s_while_it_goes_on() -> None:
    done, spent = threading.Event(), list[float]()
    writer = threading.Thread(target=busy_until, args=(done, 60.0, spent))
    before, began = own_processor_seconds(), time.process_time()
    writer.start()
    while time.process_time() - began < 0.1:  # nearly all of it the writer's, which has not ended
        time.sleep(0.01)
    own = own_processor_seconds() - before
    done.set()
    writer.join()
    assert 0 <= own < 0.05 < sum(spent)
    assert own <= own_processor_seconds() - before < 0.05


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell of a thread by its number")
def test_threads_that_live_before_the_first_run_are_no_run_s_also_once_they_have_ended() -> None:
    done, trains = threading.Event(), threading.Event()

    def busy() -> None:
        while not done.is_set():
            hashlib.sha256(MUCH).digest()

    def training() -> None:
        works_for_runs()
        trains.set()
        busy()

    of_prefect, of_runs = threading.Thread(target=busy), threading.Thread(target=training)
    of_prefect.start()
    all_others_work_beside.__wrapped__()
    before, began = own_processor_seconds(), time.process_time()
    while time.process_time() - began < 0.1:
        time.sleep(0.01)
    assert 0 <= own_processor_seconds() - before < 0.05
    done.set()
    of_prefect.join()
    assert own_processor_seconds() - before < 0.05
    done.clear()
    of_runs.start()
    trains.wait()
    all_others_work_beside.__wrapped__()
    before, began = own_processor_seconds(), time.process_time()
    while time.process_time() - began < 0.05:
        time.sleep(0.01)
    done.set()
    of_runs.join()
    assert own_processor_seconds() - before > 0.04


def test_runs_of_a_stack_share_what_the_process_took_without_work_beside() -> None:
    done, spent = threading.Event(), list[float]()
    configs = [config_of(**{**SMALL, "model": "logistic", "seed": seed}) for seed in range(4)]
    _gathered(configs[:1])  # what is done once in a process is done
    writer = threading.Thread(target=busy_until, args=(done, 0.005, spent))
    began = time.process_time()
    writer.start()
    courses = _gathered(configs)
    done.set()
    writer.join()
    of_rounds = [m["system/processor_seconds"] for c in courses for _, m in c.history if "train/loss" in m]
    assert len(of_rounds) == len(configs) * 4
    assert min(of_rounds) > 0
    assert sum(of_rounds) <= time.process_time() - began - sum(spent)
