"""The table of docs/algorithms.md: every algorithm is there, and what it says of bytes and memory is measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from federated.algorithms import ALGORITHMS
from federated.config.run import RunConfig
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import train

TEXT = (Path(__file__).parent.parent / "docs" / "algorithms.md").read_text(encoding="utf-8")
HEAD = "| algorithm | paper | up | down | client keeps | server keeps |"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT[TEXT.index(HEAD) :].split("\n\n")[0].splitlines()[2:]
]
ELSEWHERE = {"sign_majority", "cfl"}  # which sends bits, and whose server keeps as much as there are clusters
NORMALISED = """
from torch import nn
def normalised(input_shape, num_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, num_outputs))
"""


def size(cell: str, letters: dict[str, int]) -> int:
    """Numbers of 32 bits: `2 P + 1` or `P - H` with what the letters stand for."""
    total, sign = 0, 1
    for word in re.findall(r"[+-]|\d* ?[A-Z]|\d+", cell):
        if word in "+-":
            sign = 1 if word == "+" else -1
            continue
        times, letter = re.fullmatch(r"(\d*) ?([A-Z]?)", word).groups()
        total += sign * int(times or 1) * letters[letter]
    return total


@pytest.mark.parametrize(
    ("cell", "numbers"), [("0", 0), ("2 P + 1", 21), ("P - H", 7), ("3 H", 9), ("P", 10)]
)
def test_cells_are_read(cell: str, numbers: int) -> None:
    assert size(cell, {"P": 10, "H": 3, "": 1}) == numbers


def test_every_algorithm_is_in_the_table_with_its_paper() -> None:
    named = {row[0].strip("`").partition("(")[0] for row in ROWS}
    assert named | ELSEWHERE == set(ALGORITHMS)
    for name, paper, *_ in ROWS:
        docstring = " ".join((ALGORITHMS[name.strip("`").partition("(")[0]].__doc__ or "").split())
        assert paper.partition(",")[0] in docstring
    assert all(f"`{name}`" in TEXT for name in ELSEWHERE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_what_the_table_says_is_measured(row: list[str], own: Callable[[str], str]) -> None:
    name, _, up, down, client, server = row
    content = {
        "dataset": "digits",
        "model": f"{own(NORMALISED)}:normalised" if "fedbn" in name else "mlp([4])",
        "clients": 4,
        "rounds": 1,
        "algorithm": name.strip("`"),
    }
    setup = prepare(RunConfig.model_validate(content))
    course, count = train(Course(initial_state(setup)), setup, 1), setup.model.num_trainable
    letters = {"P": count, "H": 4 * 10 + 10, "N": 2 * 4, "": 1}
    (_, metrics) = course.history[-1]
    for way, cell in (("uplink", up), ("downlink", down)):
        parts = {key: value for key, value in metrics.items() if key.startswith(f"communication/{way}/")}
        del parts[f"communication/{way}/metadata_bytes"]
        assert sum(parts.values()) == 4 * 4 * size(cell, letters)
    owners = course.state.clients
    kept = [*owners.get("algorithm", {0: {}})[0].values(), *owners.get("own_model", {0: {}})[0].values()]
    assert sum(value.numel() for value in kept) == size(client, letters)
    remembered = course.state.server.get("algorithm", {})
    assert sum(value.numel() for value in remembered.values()) == size(server, letters)
