"""What a report says of clients' own models: what they gain over the global one, whom they hurt, what they are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federated.report import RunResult
from federated.report.findings.findings import Report
from federated.report.findings.ranking import ranked
from federated.report.findings.results import OWN_MODELS, OWN_MODELS_MARK
from federated.report.findings.verdicts import compare_paired
from federated.report.questions.answers import answers
from federated.report.questions.tables import questions_numbers, questions_table
from federated.report.text.about_personal import about_own_models
from federated.report.text.scored_on import scored_on

TEST, GAIN, LOSERS = (
    f"generalisation/{name}" for name in ("test_accuracy", "personalisation_gain", "personalisation_losers")
)
NATURAL = {"partitioner": "by_client"}


def runs(arm: str, *seeds: dict[str, float], main: str = TEST, **changes: Any) -> list[RunResult]:
    return [
        RunResult(
            "s",
            arm,
            seed,
            "FINISHED",
            NATURAL,
            ((0, {main: 0.1}), (5, metrics)),
            main,
            anchor_key="k",
            **changes,
        )
        for seed, metrics in enumerate(seeds)
    ]


def own(test: float, client: float, **more: float) -> dict[str, float]:
    """Metrics of an arm whose clients have their own models."""
    named = {f"generalisation/{name}": value for name, value in more.items()}
    return {TEST: test, f"{TEST}_mean": test, "generalisation/client_accuracy_mean": client, **named}


PLAIN = runs("plain", *[{TEST: 0.7, "generalisation/client_accuracy_mean": 0.72}] * 2)
DITTO = runs(
    "ditto",
    own(0.6, 0.8, personalisation_gain=0.04, personalisation_losers=0.1),
    own(0.6, 0.8, personalisation_gain=-0.01, personalisation_losers=0.5),
)
HEADS = runs("heads", *[own(0.5, 0.7)] * 2)


def test_the_gain_over_the_global_model_and_the_share_that_it_hurts() -> None:
    scored, gained, without = about_own_models([*PLAIN, *DITTO, *HEADS])
    assert scored.startswith(
        "Every client has its own model in ditto; heads. Test accuracy is then measured on a part"
    )
    assert scored.endswith(
        "own held-out examples (accuracy, mean over sites): ditto 0.800; heads 0.700; plain 0.720."
    )
    assert gained == (
        "A site's own model against the global model of the same run, on the site's own held-out examples (mean "
        "over sites): ditto +1.5 points, worse for 30 % of the sites."
    )
    assert without == (
        "There is no global model beside those of heads: whom they hurt is seen against other arms alone."
    )


def test_own_models_beside_a_promise_are_said_to_be_outside_it() -> None:
    mark: dict[str, Any] = {"parameters": {**NATURAL, OWN_MODELS: OWN_MODELS_MARK}}
    private = [replace(run, **mark) for run in DITTO]
    scored = about_own_models([*PLAIN, *private, *HEADS])[0]
    assert (
        "These models and their scores are not covered by the epsilon of ditto. On the sites' own" in scored
    )
    assert "epsilon" not in about_own_models([*PLAIN, *DITTO, *HEADS])[0]


def test_fine_tuning_after_the_fact_is_said_alike_and_errors_fall() -> None:
    (said,) = about_own_models(runs("plain", {TEST: 0.7, GAIN: 0.02, LOSERS: 0.25}))
    assert said.endswith("plain fine-tuned +2.0 points, worse for 25 % of the sites.")
    main = "generalisation/test_mse"
    falling = {main: 3.0, "generalisation/client_mse_mean": 3.0, GAIN: 0.5, LOSERS: 0.0}
    (said,) = about_own_models(runs("plain", falling, main=main))
    assert said.endswith("plain fine-tuned MSE −0.500, worse for 0 % of the sites.")
    assert about_own_models(PLAIN) == []


def test_the_ranking_has_both_and_the_first_question_says_that_there_is_no_single_model() -> None:
    row = next(row for row in ranked([*PLAIN, *DITTO], []) if row.arm == "ditto")
    assert row.cells["gain of own models"].startswith("0.015")
    assert row.cells["clients they hurt"].startswith("0.300")
    local = runs("local", *[own(0.4, 0.6)] * 2, anchor="local")
    verdict = Report("s", [*DITTO, *local]).verdict
    (said,) = [line for line in verdict if "for everybody" in line]
    assert said.startswith(
        "No single model for everybody: on parts of the central test set the sites' own models reach 0.600 accuracy, "
    )


def test_baseline_best_arm_and_anchors_are_named_however_many_arms_there_are() -> None:
    """Six arms with own models come first; the best of all arms, the baseline and both anchors come after them."""
    gained = {"personalisation_gain": 0.01, "personalisation_losers": 0.0}
    many = [run for at in range(6) for run in runs(f"own{at}", *[own(0.5, 0.6, **gained)] * 2)]
    last = runs("own best", *[own(0.9, 0.5, **gained)] * 2)
    local = runs("local", *[own(0.4, 0.61)] * 2, anchor="local")
    pooled = {TEST: 0.8, "generalisation/client_accuracy_mean": 0.77}
    study = [*many, *last, *PLAIN, *local, *runs("centralised", pooled, pooled, anchor="centralised")]
    (scored,) = [line for line in Report("s", study, baseline="plain").verdict if "Every client has" in line]
    assert scored.endswith(
        ": own0 0.600; own best 0.500; plain 0.720; local 0.610; centralised 0.770; and 5 more."
    )
    (gains,) = [
        line for line in Report("s", study, baseline="plain").verdict if "against the global model" in line
    ]
    assert "own3 +1.0" in gains
    assert "own best +1.0" in gains
    assert gains.endswith("; and 2 more.")


def test_a_row_of_own_models_is_not_called_one_model_for_everybody() -> None:
    local = runs("local", *[own(0.4, 0.6)] * 2, anchor="local")
    found = answers([*PLAIN, *DITTO, *local])
    table = questions_table(found)
    assert [row[:2] for row in table.rows] == [
        ["One model for everybody", "plain"],
        ["Each site's own model on the central test set", "ditto"],
        ["Better than what each site has alone", "plain"],
        ["Better than what each site has alone", "ditto"],
    ]
    assert table.note.startswith(
        "One model for everybody: accuracy on the central test set; Each site's own model on the central test set: "
        "accuracy on the central test set, a part of it for each site's own model; Better than what each site has "
        "alone: accuracy on the sites' own held-out examples, mean over sites. "
    )
    assert [each.partition(", ")[2] for each in questions_numbers(found)["scored on"]] == [
        "",
        "a part of it for each site's own model",
        *["mean over sites"] * 2,
    ]


def test_arms_that_are_judged_on_the_clients_own_examples_are_compared_there_and_say_so() -> None:
    client = TEST.replace("test", "client")

    def judged(results: list[RunResult]) -> list[RunResult]:
        found = []
        for run in results:
            last = run.history[-1][1]
            history = (*run.history, (5, {**last, client: last[f"{client}_mean"]}))
            data = {"client_examples": 300 + run.seed, "test_examples": 50}
            found.append(replace(run, main_metric=client, history=history, data=data))
        return found

    plain, ditto = judged(PLAIN), judged(DITTO)
    assert [run.own_models for run in (*plain, *ditto)] == [False, False, True, True]
    (pair,) = compare_paired([*plain, *ditto])
    assert (pair.metric, pair.estimate) == (client, pytest.approx(0.08))
    about, gains = about_own_models([*plain, *ditto])
    of_test, same_gains = about_own_models([*PLAIN, *DITTO])
    assert about.startswith("Every client has its own model in ditto. On the sites' own held-out examples (")
    assert about.partition(" On the sites' ")[2] == of_test.partition(" On the sites' ")[2] != ""
    assert gains == same_gains
    assert scored_on([*plain, *ditto]).startswith(
        "Client accuracy is measured on 300 to 301 examples that the clients that train keep to be tested on, each "
        "client's by its own model where it has one."
    )
    local = judged(runs("local", *[own(0.4, 0.6)] * 2, anchor="local"))
    everybody, alone = answers([*plain, *ditto, *local])
    assert (everybody.metric, alone.metric) == (TEST, f"{client}_mean")
    assert [arm.level.mean for arm in everybody.arms] == pytest.approx([0.7, 0.6])
