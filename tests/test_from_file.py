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
from data_partitioners.partition_csv import write_csv
from data_partitioners.partition_file import read_partition, write_npz
from data_partitioners.partly_iid import partly_iid
from federated.config.run import RunConfig
from federated.federation.federation import partition_clients
from federated.federation.partition_files import check_partition_file, save_partition
from federated.foundation.errors import BadInput

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


def test_a_csv_comes_back_as_it_was(tmp_path: Path) -> None:
    names = ('b, "c"\n', " spaced ", "001")
    write_csv(tmp_path / "p.csv", HELD._replace(names=names))
    again = taken(tmp_path / "p.csv", Pool(10))
    assert as_lists(again) == [[7, 1], [], [0, 9, 4]]
    assert again.names == names
    assert again.digest() == HELD.digest()


def read_text(folder: Path, text: str, encoding: str = "utf-8") -> Partition:
    (folder / "p.csv").write_bytes(text.encode(encoding))
    return taken(folder / "p.csv", Pool(3_000))


PLAIN = "example,client\n0,a\n1,b\n2,a\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (PLAIN, "utf-8"),
        (PLAIN, "utf-8-sig"),
        (PLAIN, "utf-16"),
        (PLAIN.replace(",", ";"), "utf-8"),
        (PLAIN.replace(",", "\t"), "utf-16"),
        (PLAIN.replace("\n", "\r\n"), "utf-8"),
        ("sep=;\r\n" + PLAIN.replace(",", ";"), "utf-8-sig"),
        ("Client , EXAMPLE\na,0\nb,1\na,2\n", "utf-8"),
        ('"example","client"\n"0","a"\n"1","b"\n"2","a"\n', "utf-8"),
        ("example,client,note\n0.0,a,\n1.0, b,x\n2.0,a ,\n", "utf-8"),
        ("example;client\n0,0;a\n1,0;b\n2,0;a\n", "utf-8"),
        (PLAIN + ",\n,\n", "utf-8"),
        ("example,client\n0.000,a\n1.000,b\n2.000,a\n", "utf-8"),
    ],
)
def test_a_csv_that_a_spreadsheet_saved_is_the_same_partition(
    tmp_path: Path, text: str, encoding: str
) -> None:
    found = read_text(tmp_path, text, encoding)
    assert found.names == ("a", "b")
    assert as_lists(found) == [[0, 2], [1]]


@pytest.mark.parametrize("number", ["1,234", "1.234", "1 234", "1\u00a0234", "1'234", "1234.0"])
def test_a_number_of_an_example_may_be_grouped(tmp_path: Path, number: str) -> None:
    assert as_lists(read_text(tmp_path, f"example;client\n7;a\n{number};a\n")) == [[7, 1234]]


def test_numbers_among_clients_come_by_their_value_and_codes_stay_apart(tmp_path: Path) -> None:
    clients = ["10", "2", "001", "1", "01", "north", "NA", "1.0"]
    text = "example,client\n" + "".join(f"{at},{name}\n" for at, name in enumerate(clients))
    assert read_text(tmp_path, text).names == ("001", "01", "1", "1.0", "2", "10", "NA", "north")
    floats = "example,client\n" + "".join(f"{at},{at % 3 * 5}.0\n" for at in range(9))
    assert read_text(tmp_path, floats).names == ("0", "5", "10")


@pytest.mark.parametrize("client", [[10.0, 2.0, 10.0], ["10", "2", "10"], [10, 2, 10]])
def test_an_npz_without_names_sorts_numbers_by_their_value(tmp_path: Path, client: list[Any]) -> None:
    partition = taken(npz(tmp_path, example=[5.0, 2.0, 4.0], client=client), Pool(6))
    assert partition.names == ("2", "10")
    assert as_lists(partition) == [[2], [5, 4]]


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
    "fractions": (
        {"example": [1, 0.5], "client": [0, 0]},
        r"whole numbers \[n\].* float64 \[2\], the first is 0\.5",
    ),
    "lengths": ({"example": [1, 2], "client": [0]}, r"got \[2\] and \[1\]"),
    "huge": ({"example": np.array([2**63 + 5], np.uint64), "client": [0]}, "no example 9223372036854775813"),
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
        ("1,a\n2,b\n", "its first line must be example,client"),
        ("example,client\nx,a\n", "line 2: example must be a whole number: 'x' is not"),
        ("sep=,\nexample,client\n1,a\n2.5,a\n", "line 4: example must be a whole number: '2.5' is not"),
        ("example,client\n1,a\n\n\n,a\n", "line 5: example must be a whole number: '' is not"),
        ("example,client\n1\n", "line 2 has no client"),
        ("example;client\n1;a\n2.000;a\n", "line 3: .*'2.000' can be read in two ways"),
        ("example,client\n1E+05,a\n", "'1E\\+05' is not a whole number"),
        ("example,client\n99999999999999999999,a\n", "'99999999999999999999' is beyond"),
        ("example,client,example\n1,a,2\n", "the column 'example' is there more than once"),
        ("example,client,place\n1,a,0\n2,b,0\n", "place 0 is of two clients, 'a' and 'b'"),
        ("example,client,place\n1,a,0\n2,b,2\n", r"places must be 0 \.\.\. 1 without gaps"),
        ("example,client\n1,a\n9,b\n", r"p.csv lists example 9, the data set has the examples 0 \.\.\. 8"),
    ],
)
def test_a_csv_that_does_not_fit_is_refused_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        taken(tmp_path / "p.csv", Pool(9))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("example,client\n0,Köln\n".encode("latin-1"), "line 2 is not UTF-8; save it as CSV UTF-8"),
        (b"PK\x03\x04\x00\x00workbook", "NUL characters, so it is no text file"),
    ],
)
def test_a_csv_that_is_no_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        taken(tmp_path / "p.csv", Pool(9))


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
@pytest.mark.parametrize("file", ["p.npz", "p.csv", "P.CSV"])
def test_a_saved_federation_is_the_same_federation(
    tmp_path: Path, holdout: dict[str, Any], file: str
) -> None:
    """Twelve clients, whose numbers the alphabet would sort otherwise."""
    base = {**DIGITS, "holdout": holdout}
    stated = RunConfig.model_validate({**base, "partitioner": "dirichlet(0.3)", "clients": 12})
    save_partition(tmp_path / file, partition_clients(stated))
    again = RunConfig.model_validate({**base, "partitioner": {"name": "from_file", "path": tmp_path / file}})
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


@pytest.mark.parametrize(
    "within",
    [
        lambda path: [{"name": "from_file", "path": path}, "noise(0.1)"],
        lambda path: {
            "name": "compose",
            "parts": [{"name": "from_file", "path": path}, {"name": "noise", "level": 0.1}],
        },
        lambda path: f"from_file({path!r}) + noise(0.1)",
        lambda path: {"name": "partly_iid", "rest": {"name": "from_file", "path": path}, "share": 0.1},
    ],
    ids=["list", "compose", "sum", "nested"],
)
def test_a_file_within_another_partitioner_is_read_again_too(tmp_path: Path, within: Any) -> None:
    path = npz(tmp_path, example=np.arange(100), client=np.arange(100) % 2)
    config = RunConfig.model_validate({**DIGITS, "partitioner": within(str(path))})
    first = len(partition_clients(config).clients)
    npz(tmp_path, example=np.arange(99), client=np.arange(99) % 7)
    assert (first, len(partition_clients(config).clients)) == (2, 7)
