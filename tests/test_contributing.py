"""The algorithm of CONTRIBUTING, as its text has it: thirty lines, whose clients remember and send a number besides."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from federated.rounds import train_rounds
from federated.run.checkpoint import load, save
from federated.run.course import Course
from federated.run.setup import Setup, initial_state
from federated.segments import train

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def cautious(own: Callable[[str], str]) -> str:
    (block,) = re.findall(r"```python\n(# cautious\.py\n.*?)```", TEXT, flags=re.S)
    assert sum(bool(line.strip()) for line in block.splitlines()) <= 30
    return f"{own(block)}:cautious"


def test_the_algorithm_of_the_page_by_hand(
    cautious: str, quadratics: Callable[..., Setup], tmp_path: Path
) -> None:
    """Both begin without a last update, so cosines of 0 count as 0.1: pace (1 + 0.1) / 2 = 0.55 of FedAvg's 0.8856.

    Then client 0 moves by -0.1 x 0.48708, whose last update was 0, and client 1 by (1 - 0.8^4) (3 - 0.48708), on as
    before: the mean cosine is 0.5, the pace (0.55 + 0.5) / 2 = 0.525, the mean update 0.717452.
    """
    setup = quadratics(algorithm=cautious)
    course = train(Course(initial_state(setup)), setup, 1)
    assert float(course.state.parameters[0]) == pytest.approx(0.48708, abs=1e-6)
    assert course.history[0][1]["communication/uplink/turn_bytes"] == 2 * 4
    save(course, tmp_path / "x", {})
    state = train_rounds(load(tmp_path / "x", {}, torch.device("cpu")).state, setup, 2)
    assert float(state.parameters[0]) == pytest.approx(0.48708 + 0.525 * 0.717452, abs=1e-5)
    last = [float(state.clients["algorithm"][client]["last"]) for client in (0, 1)]
    assert last == pytest.approx([-0.048708, 0.5904 * (3 - 0.48708)], abs=1e-5)
    assert torch.equal(state.parameters, train_rounds(course.state, setup, 2).parameters)


def test_what_it_cannot_work_with_is_said(cautious: str, quadratics: Callable[..., Setup]) -> None:
    with pytest.raises(ValueError, match="least must be above 0 and at most 1, got 2"):
        quadratics(algorithm=f"{cautious}(least=2)")
