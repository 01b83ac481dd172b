"""The head of a report says what scores were measured on, and doubtful shares of a gap are not stated as findings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federated.config.run import RunConfig
from federated.federation.federation import partition_clients
from federated.federation.profile import data_profile
from federated.report import RunResult
from federated.report.findings.verdicts import compare_paired
from federated.report.text.model_card import model_card
from federated.report.text.numbers_as_text import Spread, decimals_of, number, spread_text
from federated.report.text.scored_on import scored_on
from federated.report.text.sentences import sentences
from federated.report.text.table import Table
from tasks.tracking.reading.overrides import overrides_of, overrides_tag
from tasks.tracking.server.limits import tags_of

ACCURACY, R2 = "generalisation/test_accuracy", "generalisation/test_r2"


def run(arm: str, score: float = 0.5, seed: int = 0, metric: str = ACCURACY, **changes: Any) -> RunResult:
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {}, "main_metric": metric}
    return RunResult("s", arm, seed, **{**fields, "history": ((1, {metric: score}),), **changes})


def test_the_profile_counts_held_out_examples() -> None:
    config = RunConfig.model_validate({"dataset": "digits", "model": "linear", "rounds": 1, "clients": 5})
    federation = partition_clients(config)
    profile = data_profile(federation)
    assert profile["test_examples"] == len(federation.test) == 360
    assert "test_examples_of_training_clients" not in profile  # digits have no natural clients


NATURAL = {"partitioner": "by_client"}


@pytest.mark.parametrize(
    ("data", "parameters", "words", "absent"),
    [
        (
            {"test_examples": 360},
            {},
            ("360 held-out", "before the data is divided"),
            "clients that also train",
        ),
        (
            {"test_examples": 1200, "test_examples_of_training_clients": 1200},
            NATURAL,
            ("1,200 held-out", "all of clients that also train", "holdout.unseen_clients"),
            "before the data",
        ),
        (
            {"test_examples": 200, "test_examples_of_training_clients": 180},
            NATURAL,
            ("90 % of them of clients that also train",),
            "all of clients",
        ),
        (
            {
                "test_examples": 200,
                "test_examples_of_training_clients": 140,
                "test_examples_of_unseen_clients": 60,
            },
            NATURAL,
            (
                "70 % of them of clients that also train, on other examples, and 30 % of clients that never train.",
            ),
            "all of clients",
        ),
        (
            {"test_examples": 200, "test_examples_of_training_clients": 0},
            NATURAL,
            ("all of clients that do not train",),
            "also train",
        ),
        (
            {
                "test_examples": 200,
                "test_examples_of_training_clients": 150,
                "unseen_examples": 1000,
                "unseen_clients": 5,
            },
            NATURAL,
            ("75 % of them", "1,000 examples of 5 clients that never train"),
            "holdout.unseen_clients",
        ),
    ],
)
def test_the_head_says_whose_examples_were_scored(
    data: dict[str, float], parameters: dict[str, str], words: tuple[str, ...], absent: str
) -> None:
    said = scored_on([run("a", data=data, parameters=parameters)])
    assert [word for word in words if word not in said] == []
    assert absent not in said


def test_without_counts_the_head_says_nothing() -> None:
    assert scored_on([run("a")]) == ""
    assert scored_on([]) == ""


def around(metric: str, scores: dict[str, float], **data: float) -> list[RunResult]:
    """Two arms and their anchors, three seeds each."""
    return [
        run(arm, score + 0.001 * seed * (1 + at), seed, metric, data=data, anchor_key="k",
            anchor=arm if arm in ("centralised", "local") else "")
        for at, (arm, score) in enumerate(scores.items())
        for seed in range(3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "local", "data", "doubtful"),
    [
        (R2, -4.0, {}, True),
        (R2, 0.2, {}, False),
        (ACCURACY, 0.4, {"test_constant_accuracy": 0.6}, True),
        (ACCURACY, 0.4, {"test_constant_accuracy": 0.1}, False),
        (ACCURACY, 0.4, {}, False),  # what a constant reaches is not known
    ],
)
def test_a_share_of_a_gap_above_a_useless_model_is_not_stated_as_a_finding(
    metric: str, local: float, data: dict[str, float], doubtful: bool
) -> None:
    study = around(metric, {"a": 0.7, "b": 0.75, "centralised": 0.8, "local": local}, **data)
    said = sentences(study, compare_paired(study))
    (share,) = [each for each in said if "between local and centralised training" in each]
    assert share.startswith("The share of the gap closed says little here") == doubtful
    assert share.startswith("b closes") != doubtful
    assert (
        any(each.startswith("No better than giving every example") and "local" in each for each in said)
        == doubtful
    )


def test_a_share_without_bounds_is_not_stated_as_a_finding() -> None:
    """Gaps of 0.44 and 0.28 with two seeds: their interval holds 0, so Fieller's has no ends."""
    scores = {"a": (0.7, 0.8), "centralised": (0.83, 0.93), "local": (0.39, 0.65)}
    study = [
        run(arm, score, seed, anchor_key="k", anchor="" if arm == "a" else arm)
        for arm, both in scores.items()
        for seed, score in enumerate(both)
    ]
    (share,) = [each for each in sentences(study, []) if "share" in each]
    assert share.startswith("These seeds do not show what share")


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        (ACCURACY, 0.91234, "0.912"),
        ("generalisation/client_accuracy_worst_10_percent", 0.0512, "0.051"),  # the name ends otherwise
        (R2, -12.3456, "−12.346"),
        ("generalisation/test_mse", 0.0512, "0.0512"),
        ("generalisation/test_mse", 1234.5, "1,234"),
        ("train/loss", 2.3456, "2.35"),
        ("unknown", 12.345, "12.3"),
        ("generalisation/out_of_sample_gap", 0.0123, "0.012"),
    ],
)
def test_a_metric_s_range_decides_its_decimals(metric: str, value: float, text: str) -> None:
    assert number(value, decimals_of(metric, value, ACCURACY)) == text


def test_numbers_have_three_digits_a_minus_and_no_signed_zero() -> None:
    assert [number(value) for value in (0.000123, 3.852, 1001.2, 2e7, 0.0, None)] == [
        "0.000123", "3.85", "1,001", "2.00e+07", "0", "–",
    ]  # fmt: skip
    assert [number(value, 3, signed=True) for value in (0.0123, -0.0123, -0.0004)] == [
        "+0.012",
        "−0.012",
        "0.000",
    ]
    assert spread_text(Spread(2.0, 1.4142, 2)) == "2.00 ± 1.41"
    assert number(float("inf"), 2) == "∞"
    assert [number(value, 3) for value in (-0.0003, float("nan"), None)] == ["0.000", "NaN", "–"]


def test_a_table_in_markdown() -> None:
    table = Table(["arm", "MB"], [["a|b", "1"]])
    assert (
        table.markdown(lambda cell: cell.replace("|", "\\|")) == "| arm | MB |\n| --- | --- |\n| a\\|b | 1 |"
    )
    assert [column.header for column in table.rich("t").columns] == ["arm", "MB"]


def test_overrides_are_stored_and_older_runs_are_read_by_their_names() -> None:
    overrides = {"partitioner": "dirichlet(alpha=0.1)", "compression.uplink": "none"}
    axes = list(overrides)
    tags = {"arm": "dirichlet(alpha=0.1) · none", **overrides_tag(overrides)}
    assert overrides_of(tags, []) == overrides
    assert overrides_of({"arm": tags["arm"]}, axes) == overrides
    assert overrides_of({"arm": "mine"}, axes) == {}  # an arm with a name of its own
    assert overrides_of({"arm": "local", "anchor": "local"}, ["local.learning_rate"]) == {}
    assert overrides_of({**tags, "overrides": "edited"}, axes) == overrides
    assert overrides_tag({}) == {}
    assert overrides_tag({"dataset.path": "x" * 6000}) == {}


@pytest.mark.parametrize("value", ["a\x7fb", "\u200b" * 300, "\U000e0001", "naïve 株式"])
def test_overrides_of_any_text_come_back_from_their_tag(value: str) -> None:
    overrides = {"dataset.path": value}
    assert overrides_of({"arm": "x", **tags_of(overrides_tag(overrides))}, []) == overrides


def test_a_model_card_has_no_made_up_clients_statistics_or_probabilities_of_numbers() -> None:
    metric = "generalisation/test_mae"
    values = {
        metric: 2.0,
        "generalisation/test_constant_mae": 3.0,
        "generalisation/unseen_mae": 2.5,
        "generalisation/unseen_mae_sd": 0.7,
        "generalisation/client_mae_mean": 2.1,
    }
    table = {"client": ["c0"], "takes_part": [True], "held_out_examples": [5], "mae": [2.1]}
    one = RunResult("s", "a", 0, "FINISHED", {"partitioner": "iid"}, ((1, values),), metric, clients=table)
    card = model_card("s", "", [one], one)
    assert "unseen MAE: 2.5" in card
    assert [word for word in ("softmax", "By site", "3.00", "0.700", "first of the 1") if word in card] == []
    assert "the only seed of this arm" in card
    named = replace(one, parameters={"partitioner": "by_client"})
    assert "c0: 2.10 on 5 examples" in model_card("s", "", [named], named)


def test_a_model_card_states_the_thresholds_by_which_its_model_was_judged() -> None:
    metric = "generalisation/test_sensitivity_at_specificity_0.9"
    values = {metric: 0.5, "generalisation/threshold_at_specificity_0.9": 0.3125}
    fields = {"positive_class": "ill", "thresholds_chosen_on": "validation"}
    one = RunResult("s", "a", 0, "FINISHED", {"partitioner": "iid"}, ((1, values),), metric, **fields)
    card = model_card("s", "", [one], one)
    assert (
        "- at_specificity_0.9: a probability of 'ill' of 0.3125 or more, chosen on its validation examples"
        in card
    )
    assert "the model's own label is the most probable class" in card
    assert "Thresholds" not in model_card("s", "", [run("a")], run("a"))


def test_a_stop_rule_by_the_test_set_is_said_to_judge_by_it_too() -> None:
    watched = run("a", parameters={"stop.metric": "main"}, data={"test_examples": 9})
    by_test = replace(watched, stop_by="generalisation/test_accuracy")
    assert "end early by test accuracy, which also judges it, so its score is too good." in scored_on(
        [by_test]
    )
    by_tuning = replace(watched, stop_by="generalisation/tuning_accuracy")
    assert "end early by tuning accuracy." in scored_on([by_tuning])
    assert "the data that choose" not in scored_on([watched])
