"""What a report says of clients' own models: what they gain over the global one, whom they hurt, what they are not."""

from __future__ import annotations

from typing import Any

from federated.report import RunResult
from federated.report.findings.findings import Report
from federated.report.findings.ranking import ranked
from federated.report.text.about_personal import about_own_models

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
        "own held-out examples (client accuracy mean): ditto 0.800; heads 0.700; plain 0.720."
    )
    assert gained == (
        "A site's own model against the global model of the same run, on the site's own held-out examples: ditto "
        "+1.5 points, worse for 30 % of the sites."
    )
    assert without == (
        "There is no global model beside those of heads: whom they hurt is seen against other arms alone."
    )


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
