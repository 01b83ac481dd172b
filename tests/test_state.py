"""The course of a run on disk: bit for bit, whole or not at all, and only for the run it belongs to."""

from __future__ import annotations

import json
import math
import os
import tracemalloc
from pathlib import Path

import pytest
import safetensors.torch
import torch

from federated.run import checkpoint
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.history import History
from federated.run.state import RunState

IDENTITY = {"run_key": "abc", "data_digest": "123"}
CPU = torch.device("cpu")


def some_course() -> Course:
    numbers = torch.Generator().manual_seed(4)
    state = RunState(
        round=7,
        parameters=torch.tensor([1e-45, -0.0, math.pi, 3.4e38, -1.5]),
        server={
            "algorithm": {
                "momentum": torch.randn(5, generator=numbers),
                "step": torch.tensor(3),
                "second/moment": torch.ones(2),
            },
            "downlink": {"reference": torch.randn(5, generator=numbers), "held": torch.tensor([-1, 6])},
        },
        clients={
            "uplink": {
                11: {"residual": torch.randn(5, generator=numbers), "inner.count": torch.tensor([2])},
                2: {"residual": torch.randn(5, generator=numbers), "inner.count": torch.tensor([1])},
            },
            "algorithm": {11: {"variate": torch.randn(5, generator=numbers)}},
        },
        uplink_bytes=2**60 + 1,
        downlink_bytes=12,
    )
    history = [
        (0, {"generalisation/test_loss": 0.1 + 0.2}),
        (7, {"train/loss": 1 / 3, "train/cohort_clients": 4}),
    ]
    return Course(state, History(history))


def assert_identical(left: Course, right: Course) -> None:
    def bits(course: Course) -> object:
        state = course.state

        def of(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[object, ...]]:
            return {name: (t.dtype, t.shape, t.numpy().tobytes()) for name, t in tensors.items()}

        return (
            state.round,
            of({"parameters": state.parameters}),
            {owner: of(kept) for owner, kept in state.server.items()},
            {
                owner: {client: of(kept) for client, kept in rows.items()}
                for owner, rows in state.clients.items()
            },
            state.uplink_bytes,
            state.downlink_bytes,
            repr(course.history),
        )

    assert bits(left) == bits(right)


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    save(some_course(), tmp_path / "new" / "folder" / "x.safetensors", IDENTITY)
    assert_identical(load(tmp_path / "new" / "folder" / "x.safetensors", IDENTITY, CPU), some_course())


def test_a_bare_state_comes_back_too(tmp_path: Path) -> None:
    bare = Course(RunState(round=0, parameters=torch.zeros(3)))
    save(bare, tmp_path / "x", {})
    assert_identical(load(tmp_path / "x", {}, CPU), bare)


def test_other_floating_point_types_come_back(tmp_path: Path) -> None:
    state = Course(RunState(round=1, parameters=torch.tensor([0.1, 0.2], dtype=torch.float64)))
    save(state, tmp_path / "x", {})
    assert_identical(load(tmp_path / "x", {}, CPU), state)


def test_tensors_that_share_memory_or_are_not_contiguous_are_saved(tmp_path: Path) -> None:
    matrix = torch.arange(12.0).reshape(3, 4)
    state = RunState(
        round=1,
        parameters=matrix[0],
        server={"algorithm": {"previous": matrix[0], "all": matrix, "column": matrix[:, 1]}},
        clients={"uplink": {0: {"residual": matrix.T}}},
    )
    save(Course(state), tmp_path / "x", IDENTITY)
    assert_identical(load(tmp_path / "x", IDENTITY, CPU), Course(state))


def test_a_loaded_state_does_not_change_with_the_file(tmp_path: Path) -> None:
    save(some_course(), tmp_path / "x", IDENTITY)
    loaded = load(tmp_path / "x", IDENTITY, CPU)
    save(Course(RunState(round=9, parameters=torch.zeros(5))), tmp_path / "x", IDENTITY)
    assert_identical(loaded, some_course())


def test_saving_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    save(Course(RunState(round=1, parameters=torch.zeros(2))), tmp_path / "x", IDENTITY)
    save(some_course(), tmp_path / "x", IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert load(tmp_path / "x", IDENTITY, CPU).round == 7


def test_saving_changes_nothing_in_the_state(tmp_path: Path) -> None:
    course = some_course()
    save(course, tmp_path / "x", IDENTITY)
    assert_identical(course, some_course())


def test_a_save_that_dies_half_way_leaves_the_file_from_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(some_course(), tmp_path / "x", IDENTITY)

    def die(path: Path, tensors: object, metadata: object) -> None:
        path.write_bytes(b"half of")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write", die)
        with pytest.raises(KeyboardInterrupt):
            save(Course(RunState(round=8, parameters=torch.zeros(5))), tmp_path / "x", IDENTITY)
    assert_identical(load(tmp_path / "x", IDENTITY, CPU), some_course())


def test_what_an_earlier_save_left_behind_does_not_matter(tmp_path: Path) -> None:
    for pid in (os.getpid(), 1):
        (tmp_path / f"x.{pid}.partial").write_bytes(b"half of a file")
    save(some_course(), tmp_path / "x", IDENTITY)
    assert_identical(load(tmp_path / "x", IDENTITY, CPU), some_course())


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"run_key": "abd", "data_digest": "123"}, "is of {'run_key': 'abc'}, not of {'run_key': 'abd'}"),
        ({"run_key": "abc"}, "is of {'data_digest': '123'}, not of {'data_digest': None}"),
        (
            {**IDENTITY, "code of nets:Net": "4"},
            "is of {'code of nets:Net': None}, not of {'code of nets:Net': '4'}",
        ),
        ({}, "is of {'run_key': 'abc', 'data_digest': '123'}, not of {'run_key': None, 'data_digest': None}"),
    ],
)
def test_a_state_of_another_run_is_refused_and_says_in_what_it_differs(
    tmp_path: Path, other: dict[str, str], said: str
) -> None:
    save(some_course(), tmp_path / "x", IDENTITY)
    with pytest.raises(ValueError, match="the checkpoint") as error:
        load(tmp_path / "x", other, CPU)
    assert str(error.value).endswith(said)


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    save(some_course(), tmp_path / "whole", IDENTITY)
    whole = (tmp_path / "whole").read_bytes()
    for length in {0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1}:
        (tmp_path / "x").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"the checkpoint .*x is damaged: "):
            load(tmp_path / "x", IDENTITY, CPU)


@pytest.mark.parametrize(
    "metadata", [None, {"other": "1"}, {"state": "{"}, {"state": "{}"}, {"state": "[]"}], ids=str
)
def test_a_file_of_somebody_else_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"parameters": torch.zeros(2)}, tmp_path / "x", metadata)
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path / "x", IDENTITY, CPU)


def test_a_file_of_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps({"round": 1}) * 50)
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path / "x", IDENTITY, CPU)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    torch.save({"parameters": torch.zeros(2)}, tmp_path / "x")
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path / "x", IDENTITY, CPU)


def test_histories_that_follow_each_other_share_their_entries_and_stay_as_they_were() -> None:
    """Each as a copy of the one before would be 2000 * 1999 / 2 references of eight bytes, 16 MB."""
    first, entries = History(), [(done, {"train/loss": float(done)}) for done in range(2000)]
    kept = [first]
    tracemalloc.start()
    for entry in entries:
        kept.append(kept[-1].then(entry))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 2_000_000
    assert [len(history) for history in kept] == list(range(2001))
    assert list(kept[3]) == kept[3][:] == entries[:3]
    assert (kept[3][-1], kept[3][1:], list(reversed(kept[3]))) == (entries[2], entries[1:3], entries[2::-1])
    with pytest.raises(IndexError):
        kept[3][3]


def test_a_history_continued_twice_is_two_histories() -> None:
    start = History([(0, {"a": 1.0})])
    one, other = start.then((1, {"a": 2.0})), start.then((1, {"a": 3.0}))
    assert list(start) == [(0, {"a": 1.0})]
    assert (one[-1], other[-1]) == ((1, {"a": 2.0}), (1, {"a": 3.0}))
    assert one.then((2, {}))[1:] == [(1, {"a": 2.0}), (2, {})]


def test_a_file_of_before_memory_had_owners_is_read(tmp_path: Path) -> None:
    tensors = {
        "parameters": torch.zeros(2),
        "server/momentum": torch.ones(2),
        "downlink/reference": torch.full((2,), 2.0),
        "clients/3/residual": torch.full((2,), 3.0),
        "clients/4/parameters": torch.full((2,), 4.0),
    }
    rest = {"identity": IDENTITY, "round": 5, "uplink_bytes": 6, "downlink_bytes": 7, "history": []}
    safetensors.torch.save_file(tensors, tmp_path / "x", {"state": json.dumps(rest)})
    read = RunState(
        round=5,
        parameters=torch.zeros(2),
        server={"algorithm": {"momentum": torch.ones(2)}, "downlink": {"reference": torch.full((2,), 2.0)}},
        clients={
            "uplink": {3: {"residual": torch.full((2,), 3.0)}},
            "own_model": {4: {"parameters": torch.full((2,), 4.0)}},
        },
        uplink_bytes=6,
        downlink_bytes=7,
    )
    assert_identical(load(tmp_path / "x", IDENTITY, CPU), Course(read))


@pytest.mark.slow
@pytest.mark.nightly
def test_a_history_longer_than_a_header_takes_is_saved_and_read(tmp_path: Path) -> None:
    """safetensors refuses a header of more than 100 MB, which 100,000 rounds have."""
    text = "x" * 60
    entries = [(at, {f"{text}{name}": at / 7 for name in range(12)}) for at in range(100_000)]
    course = Course(RunState(round=100_000, parameters=torch.arange(3.0)), History(entries))
    save(course, tmp_path / "x", IDENTITY)
    read = load(tmp_path / "x", IDENTITY, CPU)
    assert read.history == course.history
    assert read.state.server == {}
    with (tmp_path / "x").open("r+b") as file:
        file.seek(-1_000_000, 2)
        file.write(b"9")
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path / "x", IDENTITY, CPU)
