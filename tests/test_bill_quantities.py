"""The quantities of a bill: what a run used, client by client, and the data that would have moved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from federated.examples.hashing import row_sizes
from federated.federation.loading import load_examples
from federated.forecast import forecast_study
from federated.machine.cores import cores_shared_by
from federated.machine.meters import Energy, Meter, Used
from federated.machine.meters.one_meter import OneMeter
from federated.machine.queueing import has_waited
from federated.networks import SECONDS_TOTAL, timed
from federated.run.clients.cohort import sample_cohort
from federated.run.course import Course
from federated.run.round_report import used_metrics
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import Observers, advance, begun
from federated.segments.used import bill_by_client, bill_metrics
from federated.study.study import Run
from tests.conftest import config_of

ROUNDS = 3
SILENT = Observers(lambda course: None, lambda history: None, lambda course: None)


def trained(**changes: Any) -> tuple[Course, Setup]:
    base: dict[str, Any] = {"clients": 6, "cohort": {"size": 3}, "rounds": ROUNDS, "model": "logistic"}
    setup = prepare(config_of(**{**base, **changes}))
    course = begun(Course(initial_state(setup)), setup, SILENT)
    return advance(course, setup, [ROUNDS], SILENT, lambda course: None), setup


@pytest.mark.parametrize(
    "changes",
    [
        {"compression": {"uplink": "chain(qsgd(4), entropy)", "downlink": "difference(qsgd(4))"}},
        {"cohort": {"sampling": "unreliable(uniform, 0.5)", "size": 3}},
        {"transport": "secure_aggregation(clip=1)", "cohort": {"size": 3, "weighting": "uniform"}},
        {"algorithm": "scaffold"},
    ],
    ids=["payloads that differ", "lost clients", "a protocol", "beside the updates"],
)
def test_what_the_clients_sent_and_received_adds_up_to_what_the_run_counted(changes: dict[str, Any]) -> None:
    course, setup = trained(**changes)
    found = bill_by_client(course, setup)
    assert sum(found["uplink_bytes"]) == course.state.uplink_bytes > 0
    assert sum(found["downlink_bytes"]) == course.state.downlink_bytes > 0
    cohorts = np.concatenate([sample_cohort(setup, done) for done in range(ROUNDS)])
    assert found["rounds"] == np.bincount(cohorts, minlength=6).tolist()
    assert found["downlink_bytes"][int(cohorts[0])] > 0
    never = [at for at, rounds in enumerate(found["rounds"]) if not rounds]
    assert all(found[way][at] == 0 for way in ("uplink_bytes", "downlink_bytes") for at in never)


def test_payloads_of_one_size_go_to_those_who_took_part() -> None:
    course, setup = trained(local={"epochs": 2})
    found = bill_by_client(course, setup)
    each = course.state.uplink_bytes // (3 * ROUNDS)
    assert found["uplink_bytes"] == [each * rounds for rounds in found["rounds"]]
    sizes = setup.federation.sizes
    assert found["examples_trained_on"] == [
        2 * r * n for r, n in zip(found["rounds"], sizes.tolist(), strict=True)
    ]


def test_the_anchors_send_nothing_and_the_centralised_one_has_no_clients() -> None:
    course, setup = trained(training="local")
    assert bill_by_client(course, setup)["uplink_bytes"] == [0] * 6
    assert sum(bill_by_client(course, setup)["rounds"]) > 0
    course, setup = trained(training="centralised")
    assert bill_by_client(course, setup) == {}
    assert bill_metrics(course, setup)["bill/data_bytes"] > 0


def test_a_run_that_went_on_without_a_ledger_or_times_has_no_half_of_them() -> None:
    course, setup = trained()
    before = Course(course.state, course.history)
    assert bill_metrics(before, setup)["bill/core_seconds"] == pytest.approx(
        sum(metrics.get("system/processor_seconds", 0.0) for _, metrics in course.history)
    )
    old = Course(course.state)
    for number, metrics in course.history:
        kept = {
            name: value
            for name, value in metrics.items()
            if (name, number) != ("system/processor_seconds", 1)
        }
        old = Course(course.state, old.history.then((number, kept)))
    assert "bill/core_seconds" not in bill_metrics(old, setup)
    assert bill_metrics(old, setup)["bill/rounds"] == ROUNDS


def test_the_data_are_counted_as_they_are_stored() -> None:
    course, setup = trained()
    examples = load_examples(setup.config.dataset)
    held = setup.federation.training
    counted = len(examples.inputs[held].tobytes()) + len(examples.targets[held].tobytes())
    assert bill_metrics(course, setup)["bill/data_bytes"] == counted
    assert sum(bill_by_client(course, setup)["data_bytes"]) == counted


def test_a_table_counts_numbers_by_their_width_and_text_as_it_is_written() -> None:
    frame = pd.DataFrame(
        {
            "age": np.array([1.0, np.nan, 3.0]),
            "on": np.array([True, False, True]),
            "who": ["ab", None, "né"],
            "kind": pd.Categorical(["x", "x", "long"]),
            "day": pd.Series(np.array(["2026-01-01", "NaT", "2026-01-02"], "datetime64[ns]")),
        }
    )
    # 8 for the age, 1 for the truth, 8 for the day; of texts their bytes and one more
    assert row_sizes(frame).tolist() == [17 + 3 + 2, 17 + 1 + 2, 17 + 4 + 5]
    assert row_sizes(np.zeros((2, 3, 4), np.uint8)).tolist() == [12, 12]
    assert row_sizes(np.array(["ab", "abc"], object)).tolist() == [3, 4]


FULL = 65_532_610_987
"""The range of AMD's counters, in microjoules."""


def counters(folder: Path, counts: dict[str, int], control: str = "intel-rapl") -> None:
    for at, (name, count) in enumerate(counts.items()):
        zone = folder / f"{control}:{at}"
        zone.mkdir(exist_ok=True)
        for file, text in {"name": name, "energy_uj": count, "max_energy_range_uj": FULL}.items():
            (zone / file).write_text(f"{text}\n", encoding="ascii")


def test_energy_is_that_of_packages_and_memory_also_where_a_counter_begins_again(tmp_path: Path) -> None:
    """Two packages, one of two dies; what holds these, is held by them or counts them again is not added."""
    others = {"core": 5, "psys": 7}
    counters(
        tmp_path,
        {"package-0": FULL - 100_000, "package-1-die-0": 1, "package-1-die-1": 2, "dram": 9, **others},
    )
    counters(tmp_path, {"package-0": 3}, "intel-rapl-mmio")
    before = Energy(tmp_path)
    others = {"core": 999, "psys": 999}
    counters(
        tmp_path,
        {"package-0": 100_000, "package-1-die-0": 30_001, "package-1-die-1": 2, "dram": 50_009, **others},
    )
    counters(tmp_path, {"package-0": 99_999}, "intel-rapl-mmio")
    assert before.joules() == pytest.approx(0.2 + 0.03 + 0.05)
    assert Energy(tmp_path / "nowhere").joules() is None


def test_energy_of_a_counter_that_may_have_been_full_twice_or_was_set_to_zero_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr("federated.machine.meters.energy.time.monotonic", lambda: seconds[0])
    counters(tmp_path, {"package-0": 10**9})
    before = Energy(tmp_path)
    counters(tmp_path, {"package-0": 10**9 + 9_000_000})
    for passed, known in ((60.0, 9.0), (66.0, None), (500.0, None)):  # 65.5 kJ are 65.5 s of a kilowatt
        seconds[0] = passed
        assert before.joules() == (known and pytest.approx(known))
    seconds[0] = 1.0
    counters(tmp_path, {"package-0": 5})
    assert before.joules() is None  # 64.5 kJ in a second


def test_energy_that_this_process_may_not_read_is_not_known(tmp_path: Path) -> None:
    counters(tmp_path, {"package-0": 1})
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("", encoding="ascii")
    assert Energy(tmp_path).joules() is None


def test_a_meter_counts_the_processor_time_of_this_run_alone() -> None:
    meter, began = Meter(), time.process_time()
    sum(range(200_000))
    whole = time.process_time() - began
    assert 0 < whole <= meter.used().processor_seconds
    has_waited(-50.0, -40.0)
    assert meter.used().processor_seconds > 40
    assert meter.used().joules is None  # another run had the machine meanwhile
    has_waited(50.0, 40.0)


def test_of_meters_that_run_at_the_same_time_none_has_the_machine(tmp_path: Path) -> None:
    first = OneMeter(tmp_path)
    assert first.was_alone()
    assert first.was_alone()  # it has ended, and others change nothing
    longer, within = OneMeter(tmp_path), OneMeter(tmp_path)
    assert not within.was_alone()
    assert not longer.was_alone()  # though the other has ended before
    early = OneMeter(tmp_path)
    late = OneMeter(tmp_path)
    assert not early.was_alone()
    assert not late.was_alone()  # though the other ended before
    assert OneMeter(tmp_path).was_alone()
    assert not OneMeter(tmp_path / "nowhere").was_alone()


def test_a_gpu_that_runs_share_is_billed_once() -> None:
    config, gpu = config_of(), torch.device("cuda")
    with cores_shared_by(4):
        shared = used_metrics(config, gpu, Used(8.0, 1.0))
    assert (
        4 * shared["system/gpu_seconds"]
        == used_metrics(config, gpu, Used(8.0, 1.0))["system/gpu_seconds"]
        == 8
    )


@pytest.mark.usefixtures("home")
def test_what_a_run_will_use_is_foreseen_to_the_byte_and_the_simulated_second() -> None:
    network = {"name": "4g", "spread": 0.5, "compute": 0.25}
    course, setup = trained(network=network, compression={"uplink": "qsgd(4)"})
    (arm,) = forecast_study([Run("a", setup.config)]).arms
    found = bill_metrics(course, setup)
    assert arm.used["bill/rounds"] == found["bill/rounds"]
    assert arm.used["bill/data_bytes"] == found["bill/data_bytes"]
    assert arm.used["bill/core_seconds"] > 0
    assert arm.uplink.expected == course.state.uplink_bytes
    clock = timed(tuple(course.history), setup.config.network.build(), setup.config.seed)
    assert arm.used[SECONDS_TOTAL] == pytest.approx(clock[-2][1][SECONDS_TOTAL])
