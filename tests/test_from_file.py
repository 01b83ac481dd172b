"""A partition goes to a file and comes back; a file that does not fit is refused with its fault."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_partitioners import Partition, Pool
from data_partitioners.from_file import from_file
from data_partitioners.partition import Origin
from data_partitioners.partition_file import read_partition, write_csv, write_npz
from data_partitioners.partly_iid import partly_iid
from federated.config import RunConfig
from federated.errors import BadInput
from federated.federation import partition_clients
from federated.partition_files import check_partition_file, save_partition

HELD = Partition((np.array([7, 1]), np.array([], np.int64), np.array([0, 9, 4])), ("b", "none", "a"))
NUMBERS = np.random.default_rng(0)


def taken(path: Path, pool: Pool, clients: int | None = None) -> Partition:
    return from_file(path)(pool, clients, NUMBERS)


def as_lists(partition: Partition) -> list[list[int]]:
    return [held.tolist() for held in partition.indices]


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path / "given.npz", **arrays)
    return path / "given.npz"


def test_an_npz_comes_back_as_it_was(tmp_path: Path) -> None:
    write_npz(tmp_path / "p.npz", HELD, "abc")
    again = taken(tmp_path / "p.npz", Pool(10))
    assert as_lists(again) == [[7, 1], [], [0, 9, 4]]
    assert again.names == HELD.names
    assert again.digest() == HELD.digest()
    assert read_partition(tmp_path / "p.npz").data_digest == "abc"


def test_a_csv_comes_back_without_clients_that_hold_nothing_and_sorted(tmp_path: Path) -> None:
    write_csv(tmp_path / "p.csv", HELD)
    assert (tmp_path / "p.csv").read_text().splitlines()[:2] == ["example,client", "7,b"]
    again = taken(tmp_path / "p.csv", Pool(10))
    assert again.names == ("a", "b")
    assert as_lists(again) == [[0, 9, 4], [7, 1]]


def test_examples_are_numbered_in_the_data_set_and_the_test_set_stays_out(tmp_path: Path) -> None:
    write_npz(tmp_path / "p.npz", HELD, "")
    pool = Pool(8, origin=Origin(np.array([0, 1, 2, 3, 4, 5, 6, 9]), 10, "abc"))
    again = taken(tmp_path / "p.npz", pool)
    assert as_lists(again) == [[1], [], [0, 7, 4]]
    assert again.notes == {"file_test_examples": 1}


def test_a_part_of_the_pool_is_dealt_by_the_file_too(tmp_path: Path) -> None:
    """Of ten examples half are dealt evenly; the others stay with whom the file says, whatever is held out."""
    write_npz(tmp_path / "p.npz", Partition((np.arange(10), np.arange(10, 20)), ("a", "b")), "")
    pool = Pool(10, origin=Origin(np.arange(5, 15), 20, "abc"))
    for seed in range(5):
        mixed = partly_iid(from_file(tmp_path / "p.npz"), 0.4)(pool, None, np.random.default_rng(seed))
        evenly = np.random.default_rng(seed).permutation(10)[:4]
        by_file = [np.setdiff1d(range(5), evenly), np.setdiff1d(range(5, 10), evenly)]
        assert all(set(own) <= set(held) for own, held in zip(by_file, mixed.indices, strict=True))
        assert sorted(np.concatenate(list(mixed.indices)).tolist()) == list(range(10))


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.npz").mkdir()
    for path, message in (
        ("p.parquet", "must end in"),
        ("folder.npz", "is a folder"),
        ("file/p.npz", "file is a"),
    ):
        with pytest.raises(BadInput, match=f"--save .*{message}"):
            check_partition_file(tmp_path / path)


@pytest.mark.parametrize("client", [[3, 1, 3], ["y", "x", "y"]])
def test_clients_of_another_tool_are_numbers_or_names(tmp_path: Path, client: list[Any]) -> None:
    partition = taken(npz(tmp_path, example=[5, 2, 4], client=client), Pool(6))
    assert partition.names == tuple(map(str, sorted(set(client))))
    assert as_lists(partition) == [[2], [5, 4]]


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no client": ({"example": [1]}, r"given.npz has no array 'client'; it has example"),
    "twice": ({"example": [1, 2, 1], "client": [0, 0, 1]}, "given.npz lists example 1 2 times"),
    "beyond": ({"example": [1, 10], "client": [0, 0]}, r"lists example 10, the data set has .* 0 \.\.\. 9"),
    "negative": ({"example": [-1], "client": [0]}, "lists example -1"),
    "empty": ({"example": np.empty(0, int), "client": np.empty(0, int)}, "lists no example"),
    "fractions": ({"example": [0.5], "client": [0]}, r"example must be whole numbers \[n\].* float64 \[1\]"),
    "lengths": ({"example": [1, 2], "client": [0]}, r"got int64 \[2\] and int64 \[1\]"),
    "names": ({"example": [1], "client": [2], "names": ["a", "b"]}, r"a name among names, 0 \.\.\. 1"),
    "other data": (
        {"example": [1], "client": [0], "data_digest": "abc"},
        "made for data with the digest abc, this data set has xyz",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_does_not_fit_is_refused_with_its_fault(tmp_path: Path, fault: str) -> None:
    arrays, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        taken(npz(tmp_path, **arrays), Pool(10, origin=Origin(np.arange(10), 10, "xyz")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column 'example'; its first line must be example,client"),
        ("example\n1\n", "has no column 'client'"),
        ("example,client\nx,a\n", "an example must be a whole number"),
        ("example,client\n1\n", "a line has no client"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        taken(tmp_path / "p.csv", Pool(10))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*nowhere\.npz"):
        from_file(tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match=r"path must end in \.npz or \.csv, got"):
        from_file(tmp_path / "p.txt")
    np.save(tmp_path / "single.npy", np.arange(9))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    whole = npz(tmp_path, example=np.arange(99), client=np.arange(99) % 3).read_bytes()
    content = {
        "text": b"no archive",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "pickle": pickle.dumps([1]),
    }
    content["damaged"] = whole.replace(whole[100:140], b"\xff" * 40)
    for name, held in content.items():
        (tmp_path / f"{name}.npz").write_bytes(held)
    for name in (*content, "single"):
        with pytest.raises(
            ValueError, match="is not an NPZ file of plain arrays, or is damaged; it must hold"
        ):
            taken(tmp_path / f"{name}.npz", Pool(99))
    np.savez(tmp_path / "objects.npz", example=np.array([{}], object), client=[1])
    with pytest.raises(ValueError, match="is not an NPZ file of plain arrays"):
        taken(tmp_path / "objects.npz", Pool(10))


def test_another_number_of_clients_is_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "p.npz", HELD, "")
    with pytest.raises(ValueError, match=r"clients: 4 was asked for .*p\.npz has 3"):
        taken(tmp_path / "p.npz", Pool(10), 4)


DIGITS: dict[str, Any] = {"dataset": "digits", "model": "logistic", "rounds": 1}


@pytest.mark.parametrize(
    "holdout", [{}, {"client": 0.3, "unseen_clients": 2, "test": 0.4}], ids=["plain", "held out"]
)
def test_a_saved_federation_is_the_same_federation(tmp_path: Path, holdout: dict[str, Any]) -> None:
    base = {**DIGITS, "holdout": holdout}
    stated = RunConfig.model_validate({**base, "partitioner": "dirichlet(0.3)", "clients": 6})
    save_partition(tmp_path / "p.npz", partition_clients(stated))
    again = RunConfig.model_validate(
        {**base, "partitioner": {"name": "from_file", "path": tmp_path / "p.npz"}}
    )
    assert partition_clients(again).partition_digest == partition_clients(stated).partition_digest
    assert partition_clients(again).names == partition_clients(stated).names


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    config = RunConfig.model_validate(
        {
            **DIGITS,
            "partitioner": {
                "name": "from_file",
                "path": npz(tmp_path, example=np.arange(99), client=[0] * 99),
            },
        }
    )
    first = len(partition_clients(config).clients)
    npz(tmp_path, example=np.arange(100), client=np.arange(100) % 7)
    assert (first, len(partition_clients(config).clients)) == (1, 7)
