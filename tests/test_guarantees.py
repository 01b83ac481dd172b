"""What is said of a guarantee: warnings before a run, sentences in the report, marks of what epsilon does not cover."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from federated.forecast.privacy_warnings import of_privacy
from federated.foundation.errors import BadInput
from federated.metrics.dictionary import METRICS
from federated.metrics.dictionary.privacy import is_covered
from federated.report.findings.results import RunResult
from federated.report.questions.guarantees import guarantee_sentences
from federated.report.text.model_card import model_card
from federated.run.setup import prepare
from tests.conftest import NORMALISED, config_of

pytestmark = pytest.mark.usefixtures("home")

PRIVATE = {"privacy": "central_gaussian(1, 2)", "cohort": {"size": 3, "weighting": "uniform"}}


def warned(**changes: object) -> list[str]:
    return list(of_privacy(prepare(config_of(**{**PRIVATE, **changes}))))


def test_a_delta_that_permits_to_publish_a_client_is_warned_of() -> None:
    (said,) = warned(privacy={"mechanism": "central_gaussian(1, 2)", "delta": 0.2})
    assert said.startswith("privacy.delta: 0.2 is not below 1/N = 0.167, so to publish one of 6 clients")
    assert "such as 0.14" in said  # 6^-1.1
    assert warned() == warned(privacy="none") == []


def test_a_stop_rule_on_what_is_not_covered_is_warned_of() -> None:
    (said,) = warned(stop={"patience": 1})
    assert said.startswith("stop.metric: train/loss is not covered by epsilon")
    assert warned(stop={"patience": 1, "metric": "generalisation/test_accuracy"}) == []


def test_running_statistics_are_refused_where_they_travel(own: Callable[[str], str]) -> None:
    model = f"{own(NORMALISED)}:model"
    with pytest.raises(
        BadInput, match=r"running statistics of batch normalisation in model: .* travel beside them"
    ):
        prepare(config_of(**PRIVATE, model=model))
    assert prepare(config_of(**PRIVATE, model=model, algorithm="fedbn")).promise is not None


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("generalisation/test_accuracy", True),
        ("train/update_norm", True),
        ("privacy/epsilon", True),
        ("train/loss", False),
        ("train/cohort_clients", False),
        ("privacy/clipped_clients", False),
        ("generalisation/client_accuracy_mean", False),
        ("generalisation/training_loss", False),
        ("communication/uplink_bytes_total", False),
        ("heterogeneity/clients", False),
    ],
)
def test_what_follows_from_the_released_model_alone_is_covered(name: str, covered: bool) -> None:
    assert name in METRICS
    assert is_covered(name) is covered


def result(arm: str, guarantee: str = "", source: str = "", seed: int = 0, epsilon: float = 2.0) -> RunResult:
    spent = {"privacy/epsilon": epsilon} if guarantee else {}
    history = ((1, {"generalisation/test_accuracy": 0.9, **spent}),)
    metric = "generalisation/test_accuracy"
    return RunResult(
        "s", arm, seed, "FINISHED", {}, history, metric, guarantee=guarantee, noise_source=source
    )


def test_of_an_arm_whose_seeds_differ_in_it_the_weakest_guarantee_is_told() -> None:
    some = [result("a", f"epsilon {seed % 2 + 1}", seed=seed, epsilon=seed % 2 + 1.0) for seed in range(3)]
    assert guarantee_sentences(some)[0] == "a: epsilon 2; so in seed 1, and less in the others."


def test_the_report_says_every_guarantee_once_with_its_arms_and_what_it_does_not_cover() -> None:
    some = [
        result("a", "epsilon 2", "reproducible: x"),
        result("b", "epsilon 2", "reproducible: x"),
        result("none"),
    ]
    said = guarantee_sentences(some)
    assert said[:2] == ["a; b: epsilon 2.", "Reproducible: x."]
    assert said[2].startswith("Not covered by epsilon: ")
    assert guarantee_sentences([result("none")]) == []
    card = model_card("s", "", some, some[0])
    assert "Differential privacy: epsilon 2. Not covered by epsilon: " in card
    assert "No differential privacy" in model_card("s", "", some[2:], some[2])
