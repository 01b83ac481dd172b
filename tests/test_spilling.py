"""What clients remember: within a bound in memory, beyond it in a file, and the same numbers wherever it is."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from federated.foundation.errors import BadInput
from federated.machine.tensors.spilling import Spilling
from federated.machine.tensors.tensor_file import opened, write
from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.memory import OWN_MODEL
from federated.run.preparing.client_memory import most_bytes
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")

KB = 1000


def rows(count: int) -> list[torch.Tensor]:
    """Tensors of 1 kB each, of numbers that differ."""
    return [torch.arange(250, dtype=torch.float32) + 1000 * at for at in range(count)]


def test_what_is_beyond_the_bound_is_in_a_file_and_reads_the_same(tmp_path: Path) -> None:
    store, given = Spilling(3 * KB, tmp_path, "x"), rows(8)
    kept = [store.kept(each) for each in given]
    assert (store.memory_bytes, store.file_bytes) == (3 * KB, 5 * KB)
    store.drop_pages()
    assert all(torch.equal(one, other) for one, other in zip(kept, given, strict=True))
    assert not any(one.data_ptr() == other.data_ptr() for one, other in zip(kept, given, strict=True))
    assert list(tmp_path.iterdir()) == []  # it has no name, so nothing can be left of it


@pytest.mark.slow
def test_places_are_used_again_once_nothing_refers_to_them_and_not_before(tmp_path: Path) -> None:
    store = Spilling(1 * KB, tmp_path, "x")
    kept = [store.kept(each) for each in rows(4)]
    view = kept[3].view(10, 25)[2]
    before = view.clone()
    del kept[1:]
    gc.collect()
    assert store.file_bytes == 1 * KB  # that of which there is a view
    again = [store.kept(each) for each in rows(40)[10:]]
    assert torch.equal(view, before)
    assert all(torch.equal(one, other) for one, other in zip(again, rows(40)[10:], strict=True))
    del kept, again, view
    gc.collect()
    assert (store.memory_bytes, store.file_bytes) == (0, 0)


@pytest.mark.parametrize("bound", [0, 10**6])
@pytest.mark.parametrize(
    "value",
    [
        torch.tensor(3.5, dtype=torch.float64),
        torch.arange(6).reshape(2, 3).T,
        torch.zeros(0, 4),
        torch.tensor([True, False, True]),
        torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
    ],
    ids=["number", "not contiguous", "empty", "bool", "bfloat16"],
)
def test_every_kind_of_tensor_is_kept_as_it_is(value: torch.Tensor, bound: int, tmp_path: Path) -> None:
    kept = Spilling(bound, tmp_path, "x").kept(value)
    assert (kept.dtype, kept.shape) == (value.dtype, value.shape)
    assert torch.equal(kept, value)
    write(tmp_path / "file", {"a": value, "b": kept}, {"said": "x"})
    with opened(tmp_path / "file") as file:
        assert all(torch.equal(file.read(name), value) for name in file.names)
    by_library = safetensors.torch.load_file(tmp_path / "file")  # an independent reader of the format
    assert torch.equal(by_library["b"], value)


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """The system lets no file of this process grow beyond so many bytes, as a full disk would not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_error_that_says_what_to_do_and_leaves_the_rest_usable(tmp_path: Path) -> None:
    store, given = Spilling(0, tmp_path, "engine.client_memory_mb"), rows(2000)
    with files_at_most(2**20):
        kept = [store.kept(each) for each in given[:1000]]
        with pytest.raises(BadInput) as raised:
            list(map(store.kept, given[1000:]))
    assert str(raised.value).startswith(
        "engine.client_memory_mb: what clients remember needs 1 MB more on the disk"
    )
    assert "File too large; make room there" in str(raised.value)
    assert str(raised.value).endswith("; --resume then goes on from the last checkpoint")
    assert all(torch.equal(one, other) for one, other in zip(kept, given, strict=False))
    assert torch.equal(store.kept(given[-1]), given[-1])


SETTINGS: dict[str, dict[str, Any]] = {
    "variates": {"algorithm": "scaffold"},
    "own models": {"algorithm": "ditto"},
    "layers of their own": {"algorithm": "fedper", "model": "mlp([4])"},
    "residuals": {"compression": {"uplink": "error_feedback(top_k(0.1))"}},
    "each alone": {"training": "local"},
}


def prepared(bound: int | None, **changes: Any) -> Setup:
    """Shards of two clients, of whom all take part."""
    base = {"clients": 5, "cohort": {}, "rounds": 4, "engine": {"client_memory_mb": bound}}
    return replace(prepare(config_of(**{**base, **changes})), shard_size=2)


def remembered(state: RunState) -> dict[str, torch.Tensor]:
    return {
        f"{owner} {client} {name}": value
        for owner, rows in state.clients.items()
        for client, row in rows.items()
        for name, value in row.items()
    }


def same(one: RunState, other: RunState) -> bool:
    first, second = remembered(one), remembered(other)
    assert first
    return (
        torch.equal(one.parameters, other.parameters)
        and first.keys() == second.keys()
        and all(torch.equal(first[name], second[name]) for name in first)
    )


@pytest.mark.slow
@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_numbers_are_the_same_with_and_without_a_file_and_after_a_checkpoint(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    inside, outside = prepared(None, **changes), prepared(0, **changes)
    whole = train_rounds(initial_state(inside), inside, 4)
    foreseen = most_bytes(inside.config, inside.trainers, inside.parts, inside.model)
    assert inside.store.memory_bytes == sum(foreseen.values())
    halfway = train_rounds(initial_state(outside), outside, 2)
    save(Course(halfway), tmp_path / "x", {})
    before = {name: value.clone() for name, value in remembered(halfway).items()}
    on = train_rounds(halfway, outside, 4)
    assert same(on, whole)
    # A state that somebody still has, such as one that is to be saved or tried again, is not written over.
    assert all(torch.equal(value, before[name]) for name, value in remembered(halfway).items())
    assert (inside.store.file_bytes, outside.store.memory_bytes) == (0, 0)
    assert outside.store.file_bytes > 0
    again = prepared(0, **changes)
    read = load(tmp_path / "x", {}, torch.device("cpu"), again.store.kept).state
    assert again.store.file_bytes > 0
    assert same(train_rounds(read, again, 4), whole)


@pytest.mark.parametrize(
    ("changes", "each"),
    [
        ({"algorithm": "q_fedavg", "compression": {"uplink_beside": "error_feedback(natural)"}}, 4),
        ({"algorithm": "fednova", "compression": {"uplink_beside": "error_feedback(natural)"}}, 4),
        ({"algorithm": "ifca(clusters=2)"}, 8),
    ],
    ids=["q_fedavg", "fednova", "ifca"],
)
def test_what_is_foreseen_has_what_travels_beside_and_clusters(changes: dict[str, Any], each: int) -> None:
    """A residual of the one number that a client sends beside its update, in 32 bits; a cluster's number in 64."""
    setup = prepared(None, **changes)
    state = train_rounds(initial_state(setup), setup, 1)
    assert sum(value.nbytes for value in remembered(state).values()) == 5 * each
    assert sum(most_bytes(setup.config, setup.trainers, setup.parts, setup.model).values()) == 5 * each


def test_a_bound_in_between_holds_and_the_file_does_not_grow_with_the_rounds() -> None:
    setup = prepared(1, model="mlp([1000])", algorithm="scaffold", local={"learning_rate": 0.05, "steps": 1})
    each = 4 * setup.initial_parameters.numel()
    state, seen = initial_state(setup), set()
    for until in (1, 2, 3, 4):
        state = train_rounds(state, setup, until)
        seen.add((setup.store.memory_bytes, setup.store.file_bytes))
    assert max(inside for inside, _ in seen) <= 10**6
    assert {sum(both) for both in seen} == {5 * each}


def test_a_checkpoint_is_written_without_a_copy_and_read_into_the_store(tmp_path: Path) -> None:
    setup = prepare(config_of(engine={"client_memory_mb": 0}))
    value = setup.store.kept(torch.randn(250))
    state = replace(initial_state(setup), clients={OWN_MODEL: {3: {"parameters": value}}})
    save(Course(state), tmp_path / "x", {})
    content = (tmp_path / "x").read_bytes()
    for damaged in (content[:-1], content + b"0", content[:100], b"", content[:8] + b"[]" + content[10:]):
        (tmp_path / "x").write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            load(tmp_path / "x", {}, torch.device("cpu"), setup.store.kept)
    (tmp_path / "x").write_bytes(content)
    before = setup.store.file_bytes
    read = load(tmp_path / "x", {}, torch.device("cpu"), setup.store.kept).state
    assert torch.equal(read.clients[OWN_MODEL][3]["parameters"], value)
    assert setup.store.file_bytes == before + 1000


@pytest.mark.slow
def test_the_file_is_gone_with_the_setup() -> None:
    setup = prepared(0, algorithm="scaffold")
    state = train_rounds(initial_state(setup), setup, 1)
    files = len(os.listdir("/proc/self/fd"))
    del state, setup
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) < files
