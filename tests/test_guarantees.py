"""What is said of a guarantee: warnings before a run, sentences in the report, marks of what epsilon does not cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from federated.datasets import DATASETS
from federated.evaluation.constant import constant_metrics
from federated.evaluation.evaluate import evaluate
from federated.examples.examples import Examples
from federated.forecast.privacy_warnings import of_privacy
from federated.foundation.errors import BadInput
from federated.metrics.dictionary import metric_of
from federated.metrics.dictionary.privacy import is_covered
from federated.report import Report
from federated.report.figures.arms.charts import charts
from federated.report.findings.ranking import ranked
from federated.report.findings.results import OWN_MODELS, OWN_MODELS_MARK, RunResult
from federated.report.questions.guarantees import guarantee_sentences
from federated.report.text.model_card import model_card
from federated.run import setup as preparing
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import Observers, advance, ending
from tests.conftest import NORMALISED, config_of

pytestmark = pytest.mark.usefixtures("home")

PRIVATE: dict[str, Any] = {
    "privacy": {"mechanism": "central_gaussian(1, 2)", "delta": 1e-5},
    "cohort": {"size": 3, "weighting": "uniform"},
}


def warned(**changes: object) -> list[str]:
    """Without what is said of cohorts of a fixed size, which has its own test."""
    said = of_privacy(prepare(config_of(**{**PRIVATE, **changes})))
    return [each for each in said if not each.startswith("cohort.sampling")]


def test_a_delta_that_permits_to_publish_a_client_is_warned_of() -> None:
    (said,) = warned(privacy={"mechanism": "central_gaussian(1, 2)", "delta": 0.2})
    assert said.startswith("privacy.delta: 0.2 is not below 1/N = 0.167, so to publish one of 6 clients")
    assert "such as 0.14" in said  # 6^-1.1
    assert warned() == warned(privacy="none") == []


def test_a_delta_that_means_little_is_warned_of_where_clients_are_few() -> None:
    """6^-1.1 = 0.139 is below 1/6, and lets a mechanism publish one client in seven."""
    (said,) = warned(privacy="central_gaussian(1, 2)")
    assert said.startswith("privacy.delta: 0.139, of 6 clients, means little: ")
    assert "of one in 7, would keep the guarantee" in said


def test_one_client_has_no_delta_by_default_and_keeps_a_stated_one() -> None:
    alone = {**PRIVATE, "clients": 1, "cohort": {"size": 1, "weighting": "uniform"}}
    with pytest.raises(BadInput, match=r"^privacy\.delta: it is not stated, and N\^-1.1 of N = 1 is 1"):
        prepare(config_of(**{**alone, "privacy": "central_gaussian(1, 2)"}))
    promise = prepare(config_of(**alone)).promise
    assert promise is not None
    assert promise.delta == 1e-5


@pytest.mark.parametrize(
    ("privacy", "delta"),
    [
        ("local_gaussian(1, epsilon=8, delta=1e-5)", 1e-5),
        ({"mechanism": "local_gaussian(1, epsilon=8, delta=1e-5)", "delta": 1e-3}, 1e-3),
        ("central_gaussian(1, 2)", 6**-1.1),
        ("local_gaussian(1, 2)", 1e-5),  # of one update, which does not hide among six
    ],
)
def test_a_mechanism_that_states_its_delta_is_accounted_at_that(privacy: object, delta: float) -> None:
    promise = prepare(config_of(**{**PRIVATE, "privacy": privacy, "rounds": 1})).promise
    assert promise is not None
    assert promise.delta == pytest.approx(delta)
    if "epsilon=8" in str(privacy) and delta == 1e-5:
        assert promise.spent(1).epsilon == pytest.approx(8, rel=1e-6)  # of its one round, as stated


def test_an_epsilon_that_is_too_small_to_matter_is_not_said_to_be_nothing() -> None:
    promise = prepare(config_of(**{**PRIVATE, "privacy": "central_gaussian(1, 10000)"})).promise
    assert promise is not None
    assert promise.spent(4).epsilon == 0
    assert promise.short().startswith("epsilon < 0.01 at delta 0.139 ")


@pytest.mark.parametrize(
    ("mechanism", "apart"), [("dp_ftrl(1, 2, 2)", 2), ("dp_ftrl(1, 1, 2)", 0), ("central_gaussian(1, 2)", 0)]
)
def test_how_far_apart_turns_are_is_named_where_the_guarantee_rests_on_it(mechanism: str, apart: int) -> None:
    """Six clients, three in a round: everybody's turn comes every other round, twice in four."""
    cohort = {"size": 3, "weighting": "uniform", "sampling": "in_turn"}
    promise = prepare(config_of(**{**PRIVATE, "cohort": cohort, "privacy": mechanism})).promise
    assert promise is not None
    said = promise.words()["sampling"]
    assert "takes part in at most 2 of 4 rounds" in said
    assert ("rounds from one turn to its next one" in said) is bool(apart)
    assert not apart or f"with at least {apart} rounds from one turn" in said


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(2)
    inputs, targets = (numbers.normal(size=size).astype(np.float32) for size in ((60, 3), 60))

    def scaled(training: np.ndarray) -> np.ndarray:
        return inputs / inputs[training].std(axis=0)

    monkeypatch.setitem(DATASETS, "prices", lambda: lambda: Examples("prices", inputs, targets, None))
    monkeypatch.setitem(
        DATASETS, "scaled", lambda: lambda: Examples("scaled", inputs, targets, None, fit=scaled)
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dataset": "prices", "model": "linear"}, ""),
        (
            {"dataset": "scaled", "model": "linear", "privacy": "dp_sgd(1, 2)"},
            "dataset: scaled, preprocessing",
        ),
        (
            {"dataset": "scaled", "model": "linear", "privacy": "local_gaussian(1, 2)"},
            "dataset: scaled, preprocessing",
        ),
        (
            {"dataset": "prices", "model": "linear", "target": {"standardise": True}},
            "target.standardise, mean",
        ),
        ({"dataset": "scaled", "model": "linear"}, "dataset: scaled, preprocessing such as scalers"),
        ({"loss": "cross_entropy(class_weights=balanced)"}, "balanced weights of classes"),
        ({"loss": "cross_entropy(class_weights=balanced_by_client)"}, ""),  # of what each client has itself
    ],
)
@pytest.mark.usefixtures("prices")
def test_what_is_fitted_to_raw_data_before_the_first_round_is_warned_of(
    changes: dict[str, Any], named: str
) -> None:
    said = [each for each in warned(**changes) if "what is fitted to the raw" in each]
    assert len(said) == bool(named)
    assert all(named in each for each in said)
    assert warned(**{**changes, "privacy": "none"}) == []


def test_a_stop_rule_on_what_is_not_covered_is_warned_of() -> None:
    (said,) = warned(stop={"patience": 1})
    assert said.startswith("stop.metric: train/loss is not covered by epsilon")
    assert warned(stop={"patience": 1, "metric": "generalisation/test_accuracy"}) == []


def test_a_run_that_may_stop_early_reports_the_epsilon_of_all_planned_rounds() -> None:
    """Which is of the number of rounds that was fixed beforehand, whatever the releases decide."""
    stop = {"metric": "generalisation/test_accuracy", "target": 0.01}
    stopping, planned = (
        prepare(config_of(**{**PRIVATE, "rounds": rounds, **more}))
        for rounds, more in ((4, {"stop": stop}), (4, {}))
    )
    assert stopping.promise is not None
    assert planned.promise is not None
    whole = planned.promise.spent(4).epsilon
    observers = Observers(lambda course: None, lambda history: None, lambda course: None)
    stop_now = ending(stopping.config, stopping.stop, stopping.promise)
    ended = advance(Course(initial_state(stopping)), stopping, [1, 2, 3, 4], observers, stop_now)
    assert ended.round == 1
    assert ended.history[-1][1]["privacy/epsilon"] == whole > planned.promise.spent(1).epsilon
    assert "that of all 4 rounds" in stopping.promise.words()["stopping"]
    assert "that of all 4 rounds" in stopping.promise.sentence()
    assert "stopping" not in planned.promise.words()
    assert planned.promise.metrics(1)["privacy/epsilon"] == planned.promise.spent(1).epsilon


@pytest.mark.parametrize("sampling", ["uniform", "poisson"])
def test_the_unit_holds_the_number_of_clients_fixed(sampling: str) -> None:
    """With one client fewer the share, the divisor and delta would be others."""
    setup = prepare(config_of(**{**PRIVATE, "cohort": {**PRIVATE["cohort"], "sampling": sampling}}))
    assert setup.promise is not None
    assert setup.promise.words()["unit"] == (
        "one client's updates there or not, in no sum and no count, with the number of clients fixed and public"
    )


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
        ("generalisation/global_test_accuracy", True),
        ("generalisation/test_sensitivity_at_threshold_0.5", True),
        ("generalisation/test_sensitivity", False),
        ("generalisation/test_specificity_at_sensitivity_0.9", False),
        ("generalisation/test_constant_accuracy", False),
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
    assert metric_of(name) is not None
    assert is_covered(name) is covered


def test_no_covered_metric_moves_with_training_data_while_the_model_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The definition of covered, tried: all training targets are turned round, and the model stays as it is."""
    metrics = ["sensitivity", "specificity", "auroc"]
    evaluation = {"metric": [{"name": name, "positive": "3"} for name in metrics]}
    prepared = prepare(config_of(**PRIVATE, evaluation=evaluation))
    federation = prepared.federation
    targets = federation.examples.targets.copy()
    targets[federation.training] = 9 - targets[federation.training]
    turned = replace(federation, examples=replace(federation.examples, targets=targets))
    monkeypatch.setattr(preparing, "_federation", lambda config: turned)
    other = prepare(prepared.config)
    state = initial_state(prepared)
    before, after = ({**evaluate(state, each), **constant_metrics(each)} for each in (prepared, other))
    moved = {name for name in before if not np.array_equal(before[name], after[name], equal_nan=True)}
    covered = {name for name in before if is_covered(name)}
    assert "generalisation/test_sensitivity_3" in moved
    assert any(name.startswith("generalisation/test_constant_") for name in moved)
    assert {"generalisation/test_accuracy", "generalisation/test_auroc_3"} <= covered
    assert not moved & covered


@pytest.mark.parametrize(
    ("algorithm", "privacy", "covered"),
    [
        ("ditto(0.1)", "central_gaussian(1, 2)", False),
        ("fedper", "local_gaussian(1, 2)", False),
        ("fedper", "dp_sgd(1, 2)", True),  # whose steps train what stays at the clients too
        ("fedavg", "central_gaussian(1, 2)", True),
        ("ditto(0.1)", "none", True),  # nothing is promised, so nothing is left out of it
    ],
)
def test_models_of_clients_own_are_outside_a_guarantee_of_updates(
    algorithm: str, privacy: str, *, covered: bool
) -> None:
    metric = "generalisation/test_accuracy"
    changes = {"algorithm": algorithm, "privacy": privacy, "stop": {"patience": 1, "metric": metric}}
    setup = prepare(config_of(**{**PRIVATE, **changes}))
    assert setup.own_models_not_covered is not covered
    assert is_covered(metric, own_models=setup.own_models_not_covered) is covered
    assert is_covered("generalisation/global_test_accuracy", own_models=True)
    said = [
        each for each in of_privacy(setup) if "own models are not covered" in each or each.startswith("stop.")
    ]
    assert len(said) == (0 if covered else 2)


def test_scores_of_own_models_stand_at_no_promise_in_every_picture_and_table() -> None:
    """Ditto's own models score best at epsilon 2, which does not cover them: they are as an arm without a promise."""
    unit = {"privacy.unit": "one client added or removed"}
    runs = [
        result("own", "epsilon 2", parameters={**unit, OWN_MODELS: OWN_MODELS_MARK}, score=0.95),
        result("one", "epsilon 3", parameters=unit, epsilon=3.0),
        result("none", score=0.99),
    ]
    places = {row.arm: (row.cells["epsilon"], row.place) for row in ranked(runs, [])}
    assert places["own"] == (
        "own models, not covered by epsilon",
        "dominated in the mean",
    )  # by `none`, as both promise nothing
    assert places["one"] == ("3.00", "front")
    (rows,) = (
        spec["data"]["values"] for name, spec in charts(Report("s", runs)).items() if name == "by-epsilon-1"
    )
    at = {row["arm"]: row for row in rows}
    assert at["own"]["epsilon"] == at["none"]["epsilon"] > at["one"]["epsilon"] == 3.0
    assert at["own"]["promised at most"] == "own models, not covered by epsilon"
    assert any(
        said.startswith("own: clients' own models are not covered") for said in guarantee_sentences(runs)
    )
    assert "clients' own models are not covered" in model_card("s", "", runs[:1], runs[0]).replace(
        "Clients'", "clients'"
    )
    assert "own models are not covered" not in model_card("s", "", runs[1:2], runs[1])


def result(
    arm: str,
    guarantee: str = "",
    source: str = "",
    seed: int = 0,
    epsilon: float = 2.0,
    parameters: dict[str, str] | None = None,
    score: float = 0.9,
) -> RunResult:
    metric = "generalisation/test_accuracy"
    spent = {"privacy/epsilon": epsilon} if guarantee else {}
    sent = {"communication/uplink_bytes_total": 1e6, "communication/downlink_bytes_total": 1e6}
    history = ((1, {metric: score, **sent, **spent}),)
    return RunResult(
        "s",
        arm,
        seed,
        "FINISHED",
        parameters or {},
        history,
        metric,
        guarantee=guarantee,
        noise_source=source,
    )


def test_of_an_arm_whose_seeds_differ_in_it_the_weakest_guarantee_is_told() -> None:
    some = [result("a", f"epsilon {seed % 2 + 1}", seed=seed, epsilon=seed % 2 + 1.0) for seed in range(3)]
    assert guarantee_sentences(some)[0] == "a: epsilon 2; so in seed 1, and less in the others."
    card = model_card("s", "", some, some[0])
    assert "Differential privacy: epsilon 2; so in seed 1, and less in the others." in card


def test_the_report_says_of_how_many_clients_updates_counted_as_zeros() -> None:
    some = [result("a", "epsilon 2", seed=seed) for seed in range(2)]
    rounds = [(1, {"privacy/zeroed_clients": 0.0}), (2, {"privacy/zeroed_clients": 3.0}), (3, {})]
    lost = replace(some[1], history=(*rounds, *some[1].history))
    assert any(
        each.startswith("a: updates that were not finite counted as zeros, of up to 3 clients in a round")
        for each in guarantee_sentences([some[0], lost])
    )
    assert not any("not finite" in each for each in guarantee_sentences(some))


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
