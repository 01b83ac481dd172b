"""The table of docs/algorithms.md: every algorithm is there, and what it says of bytes and memory is measured."""

from __future__ import annotations

import re
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
ELSEWHERE = {"fedper", "sign_majority"}  # which send a part of the model, or bits


def size(cell: str, num_parameters: int) -> int:
    """Numbers of 32 bits: `2 P + 1` with P parameters."""
    found = re.fullmatch(r"(?:(\d*) ?P)?(?:(?: \+ )?(\d+))?", cell)
    assert found, cell
    times = 0 if "P" not in cell else int(found[1] or 1)
    return times * num_parameters + int(found[2] or 0)


def test_every_algorithm_is_in_the_table_with_its_paper() -> None:
    named = {row[0].strip("`").partition("(")[0] for row in ROWS}
    assert named | ELSEWHERE == set(ALGORITHMS)
    for name, paper, *_ in ROWS:
        docstring = " ".join((ALGORITHMS[name.strip("`").partition("(")[0]].__doc__ or "").split())
        assert paper.partition(",")[0] in docstring
    assert all(f"`{name}`" in TEXT for name in ELSEWHERE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_what_the_table_says_is_measured(row: list[str]) -> None:
    name, _, up, down, client, server = row
    content = {
        "dataset": "digits",
        "model": "mlp([4])",
        "clients": 4,
        "rounds": 1,
        "algorithm": name.strip("`"),
    }
    setup = prepare(RunConfig.model_validate(content))
    course, count = train(Course(initial_state(setup)), setup, 1), setup.model.num_trainable
    (_, metrics) = course.history[-1]
    for way, cell in (("uplink", up), ("downlink", down)):
        parts = {key: value for key, value in metrics.items() if key.startswith(f"communication/{way}/")}
        del parts[f"communication/{way}/metadata_bytes"]
        assert sum(parts.values()) == 4 * 4 * size(cell, count)
    kept = course.state.clients.get("algorithm", {0: {}})[0]
    assert sum(value.numel() for value in kept.values()) == size(client, count)
    remembered = course.state.server.get("algorithm", {})
    assert sum(value.numel() for value in remembered.values()) == size(server, count)
