"""`heterogeneity` as an axis: which partitioner each arm gets, what it is called, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from federated.study.study import StudyConfig

BASE = {"dataset": "digits", "model": "logistic", "clients": 6, "rounds": 1}


def study(axes: dict[str, Any], **base: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "s", "base": {**BASE, **base}, "axes": axes})


def arms(axes: dict[str, Any], **base: Any) -> dict[str, dict[str, Any]]:
    return {run.arm: run.config.partitioner.model_dump() for run in study(axes, **base).runs()}


AIMED = {"name": "target_heterogeneity", "measure": "hellinger", "by": "dirichlet", "tolerance": 0.005}


def test_without_a_partitioner_dirichlet_is_aimed_in_hellinger_distance() -> None:
    assert arms({"heterogeneity": [0.0, 0.4]}) == {
        "heterogeneity=0.0": {**AIMED, "value": 0.0},
        "heterogeneity=0.4": {**AIMED, "value": 0.4},
    }


def test_the_bases_own_aim_takes_the_values() -> None:
    aim = {"name": "target_heterogeneity", "value": 0.9, "measure": "total_variation", "min_size": 3}
    (made,) = arms({"heterogeneity": [0.2]}, partitioner=aim).values()
    assert made == {**AIMED, "value": 0.2, "measure": "total_variation", "min_size": 3}


def test_partitioners_of_one_parameter_are_laid_on_one_axis() -> None:
    made = arms({"partitioner": ["dirichlet", "dirichlet(min_size=10)"], "heterogeneity": [0.2, 0.4]})
    assert made == {
        "dirichlet · heterogeneity=0.2": {**AIMED, "value": 0.2},
        "dirichlet · heterogeneity=0.4": {**AIMED, "value": 0.4},
        "dirichlet(min_size=10) · heterogeneity=0.2": {**AIMED, "value": 0.2, "min_size": 10},
        "dirichlet(min_size=10) · heterogeneity=0.4": {**AIMED, "value": 0.4, "min_size": 10},
    }


def test_the_dotted_paths_say_the_same() -> None:
    made = arms({"partitioner.measure": ["total_variation"], "heterogeneity": [0.2]})
    assert made == {
        "measure=total_variation · heterogeneity=0.2": {**AIMED, "measure": "total_variation", "value": 0.2}
    }
    base = {"name": "target_heterogeneity", "value": 0.9}
    (made_by_path,) = arms({"partitioner.value": [0.2]}, partitioner=base).values()
    assert made_by_path == {**AIMED, "value": 0.2}


@pytest.mark.parametrize(
    ("axes", "base", "message"),
    [
        (
            {"heterogeneity": [0.2]},
            {"partitioner": "dirichlet(0.1)"},
            "leave alpha out, heterogeneity solves for it",
        ),
        ({"partitioner": ["by_client"], "heterogeneity": [0.2]}, {}, "by_client cannot be aimed at a value"),
        (
            {"partitioner": ["dirichlet + noise(0.1)"], "heterogeneity": [0.2]},
            {},
            "several partitioners cannot be aimed at once; .*partitioner.parts.target_heterogeneity.value",
        ),
        (
            {"heterogeneity": [0.2]},
            {"partitioner": "dirichlet(0.1) + noise(0.1)"},
            "several partitioners cannot be aimed at once",
        ),
        ({"heterogeneity": [1.2]}, {}, "value of hellinger must be from 0 to 1, got 1.2"),
        ({"heterogeneity": ["much"]}, {}, "target_heterogeneity.value"),
    ],
)
def test_what_cannot_be_aimed_is_refused(axes: dict[str, Any], base: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        study(axes, **base)
