"""The bands in which a study expects its figures: read, checked before anything runs, and judged."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from federated.foundation.errors import BadInput
from federated.report import Report, RunResult, page_html
from federated.report.expected.figures import bands_numbers, figures_of, in_short, missed
from federated.report.page.notes import study_note
from federated.run.checks import check_study
from federated.study.study import StudyConfig, read_study
from flows.deployments import artifacts
from flows.federated_study import StudyFailed, federated_study
from flows.prefect_runtime import prefect_away
from tasks.tracking.server.store import connect
from tasks.tracking.studies.comparison import compare_again

ACCURACY = "generalisation/test_accuracy"
CONTENT = {
    "name": "nightly",
    "base": {"dataset": "digits", "model": "logistic", "clients": 4, "rounds": 1},
    "axes": {"local.learning_rate": [0.1, 0.2]},
    "seeds": [0, 1],
}
ARM, OTHER = "learning_rate=0.1", "learning_rate=0.2"


def study(expect: Any, **changes: Any) -> StudyConfig:
    return StudyConfig.model_validate({**CONTENT, **changes, "expect": expect})


def run(arm: str, seed: int, accuracy: float, **changes: Any) -> RunResult:
    history = ((0, {ACCURACY: 0.1}), (7, {ACCURACY: accuracy, "privacy/epsilon": 2.0 + seed}))
    fields: dict[str, Any] = {"status": "FINISHED", "parameters": {}, "main_metric": ACCURACY}
    return RunResult("nightly", arm, seed, **{**fields, "history": history, **changes})


def test_a_band_that_cannot_be_judged_is_refused_before_anything_runs() -> None:
    refused = {
        "must be a mapping of arms to metrics and their bands": [1],
        f"expect: 'fedavg' is not an arm; allowed: {ARM}, {OTHER}": {"fedavg": {"main": [0, 1]}},
        f"{ARM}: must be a mapping of metrics to bands": {ARM: [0, 1]},
        "there is no such metric of a run; did you mean 'generalisation/test_accuracy'?": {
            ARM: {"generalisation/test_acuracy": [0, 1]}
        },
        "system/study_seconds: there is no such metric of a run": {ARM: {"system/study_seconds": [0, 1]}},
        "main: must be [low, high], two numbers; got '12'": {ARM: {"main": "12"}},
        "main: must be [low, high], two numbers; got [0.1]": {ARM: {"main": [0.1]}},
        "must be a number, got true": {ARM: {"main": [True, 1]}},
        "main: must be [low, high], finite and low at most high; got [0.9, 0.1]": {ARM: {"main": [0.9, 0.1]}},
        "main: must be [low, high], finite and low at most high; got [0.9, inf]": {ARM: {"main": [0.9, math.inf]}},
        f"{ACCURACY}: [52, 65] can never hold, as it is from 0 to 1": {ARM: {ACCURACY: [52, 65]}},
        "rounds: [-2, -1] can never hold": {ARM: {"rounds": [-2, -1]}},
    }  # fmt: skip
    for message, expect in refused.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            study(expect)
    assert study(None).expect == {}


def test_a_band_of_what_is_not_measured_is_refused_once_the_data_are_read(home: Path) -> None:
    with pytest.raises(
        BadInput, match=f"expect: {ARM}: 'generalisation/client_accuracy' is not measured here; "
    ):
        check_study(study({ARM: {"generalisation/client_accuracy": [0, 1]}}))
    bands = {ACCURACY: [0, 1], "train/loss": [0, 9], "system/training_seconds": [0, 99], "rounds": [1, 1]}
    assert check_study(study({ARM: bands})) == {}


def test_figures_are_means_of_finished_seeds_and_ends_are_within() -> None:
    runs = [run(ARM, 0, 0.5), run(ARM, 1, 0.75), run(ARM, 2, 0.0, status="FAILED"), run(OTHER, 0, math.nan)]
    expect = {
        ARM: {
            "main": (0.625, 0.7),
            ACCURACY: (0.5, 0.62),
            "rounds": (7, 7),
            "privacy/epsilon": (2.9, 3.0),  # the largest of 2 and 3
            "generalisation/client_accuracy": (0, 1),
        },
        OTHER: {"main": (0, 1)},
        "gone": {"main": (0, 1)},
    }
    figures = figures_of(runs, expect)
    assert [figure.held for figure in figures] == [True, False, True, True, False, False, False]
    assert missed(figures) == [
        f"{ARM}: test accuracy 0.625 (2 seeds) is outside its band, 0.5 to 0.62",
        f"{ARM}: client accuracy is not known, as not every seed has it; expected 0 to 1",
        f"{OTHER}: test accuracy nan (1 seed) is outside its band, 0 to 1",
        "gone: main metric is not known, as not every seed has it; expected 0 to 1",
    ]
    assert in_short(figures).startswith(f"4 of 7 figures are outside their bands: {ARM}: test accuracy 0.625")
    assert in_short(figures[:1]) == "1 of 1 figure is in its band"
    numbers = bands_numbers(figures)
    assert (numbers["metric"][0], numbers["value"][1], numbers["seeds"][1]) == (ACCURACY, 0.625, 2)


def held(runs: list[RunResult], metric: str, band: tuple[float, float]) -> bool:
    (figure,) = figures_of(runs, {ARM: {metric: band}})
    return figure.held


@pytest.mark.parametrize(("value", "seeds"), [(0.1, 3), (0.2, 3), (0.7, 3), (0.9, 7), (0.85, 7)])
def test_the_rounding_of_a_mean_puts_it_on_neither_side_of_an_end(value: float, seeds: int) -> None:
    runs = [run(ARM, seed, value) for seed in range(seeds)]
    assert held(runs, ACCURACY, (value, 1))
    assert held(runs, ACCURACY, (0, value))
    assert not held(runs, ACCURACY, (value + 1e-6, 1))


def test_a_figure_that_not_every_finished_seed_has_is_not_known() -> None:
    epsilon = "privacy/epsilon"
    runs = [run(ARM, seed, 0.5) for seed in range(3)]
    assert held(runs, epsilon, (0, 9))
    for index in range(3):
        for value in ({}, {epsilon: math.nan}):
            some = list(runs)
            some[index] = run(ARM, index, 0.5, history=((7, {ACCURACY: 0.5, **value}),))
            assert not held(some, epsilon, (0, 9))


def test_the_main_metric_is_that_of_the_runs_that_finished() -> None:
    lost = run(ARM, 0, 0.1, status="FAILED")
    runs = [
        run(
            ARM,
            seed,
            0.5,
            main_metric="generalisation/test_r2",
            history=((7, {"generalisation/test_r2": 0.8}),),
        )
        for seed in (1, 2)
    ]
    assert held([lost, *runs], "main", (0.7, 0.9))


def test_the_page_and_the_note_name_what_is_outside() -> None:
    report = Report("nightly", [run(ARM, 0, 0.5)], expect={ARM: {ACCURACY: (0.6, 0.7), "rounds": (7, 7)}})
    page = page_html(report, {})
    assert "Expected figures" in page
    assert page.index("missed") < page.index("held")
    assert "is outside its band, 0.6 to 0.7" in study_note(report, 5000)
    assert "Expected figures" not in page_html(Report("nightly", report.results), {})


def test_bands_are_of_the_runs_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text(yaml.safe_dump({**CONTENT, "expect": {ARM: {"main": [0, 1]}, OTHER: {"main": [0, 1]}}}))
    assert list(read_study(file).only([OTHER]).expect) == [OTHER]
    same = ["orchestration.threads=1", "base.engine.name=loop"]
    for settings, seeds in [(same, None), ([], [0, 1]), ([], [1, 0])]:
        assert len(read_study(file, settings, seeds).expect) == 2
    for said, (settings, seeds) in {
        "--set rounds=2": (["rounds=2", *same], None),
        "--set engine.precision=bfloat16": (["engine.precision=bfloat16", *same], None),
        "--seeds": ([], [0]),
    }.items():
        changed = read_study(file, settings, seeds).only([ARM])
        assert changed.expect == {}
        assert changed.unjudged == f"its bands are not judged, as {said} makes other runs"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "used_home")
@pytest.mark.nightly
def test_a_figure_outside_its_band_fails_the_study_once_all_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And Prefect, where its server stays, shows it and does not try again what can only end as before."""
    from prefect.client.orchestration import get_client

    monkeypatch.setattr(prefect_away, "_ours", set())
    monkeypatch.setattr(artifacts, "SECONDS_BETWEEN", 0.0)
    expect = {ARM: {"rounds": [1, 1], "main": [0.99, 1]}}
    with pytest.raises(
        StudyFailed, match=r"1 of 2 figures is outside its band: learning_rate=0.1: test acc"
    ) as caught:
        federated_study.with_options(retries=2, retry_delay_seconds=0)(study(expect))
    outcome = caught.value.outcome
    assert outcome is not None
    assert outcome.report.is_file()
    client = connect()
    parent = client.get_run(outcome.parent_run_id)
    assert parent.info.status == "FAILED"
    assert parent.data.tags["bands"] == "missed"
    assert parent.data.tags["bands.missed"] in parent.data.tags["failure"]
    assert all(result.finished for result in outcome.results)
    assert "bands.json" in [each.path for each in client.list_artifacts(outcome.parent_run_id)]
    with get_client(sync_client=True) as prefect:
        flow_run = prefect.read_flow_run(UUID(parent.data.tags["prefect.flow_run"]))
        shown = {
            each.key: each.data for each in prefect.read_artifacts() if each.key
        }  # others are of Prefect
    assert (flow_run.state_name, flow_run.run_count) == ("Failed", 1)
    assert set(shown) == {"nightly-mlflow", "nightly-progress", "nightly-verdict"}
    assert shown["nightly-progress"] == 100
    assert outcome.parent_run_id in shown["nightly-mlflow"]
    assert re.search(
        r"^- \*\*learning.*test accuracy .* is outside its band, 0.99 to 1\*\*$",
        shown["nightly-verdict"],
        re.M,
    )
    assert "| arm |" in shown["nightly-verdict"]
    again = compare_again(["nightly"]).found
    assert missed(again.figures) == missed(outcome.found.figures)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "home")
def test_automations_applied_twice_are_there_once_and_tell_the_block_of_the_last_time(
    command: Callable[..., tuple[int, str, str]],
) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore

    code, said, _ = command("automations")
    assert (code, said.count(": made")) == (0, 4)
    code, _, error = command("automations", "--notify", "custom-webhook/team")
    assert code == 2
    assert "--notify custom-webhook/team: no such block" in error
    CustomWebhookNotificationBlock(name="team", url="http://127.0.0.1:9").save("team")
    with get_client(sync_client=True) as client:
        badly, *_ = client.read_automations()
        client.create_automation(
            AutomationCore(**badly.model_dump(exclude={"id"}))
        )  # by two who applied at once
        client.pause_automation(badly.id)
    code, said, error = command("automations", "--notify", "custom-webhook/team")
    assert (code, error, said.count(": brought up to date")) == (0, "", 4)
    with get_client(sync_client=True) as client:
        there = client.read_automations()
    assert len({each.name for each in there}) == len(there) == 4
    assert sorted(each.actions[0].type for each in there) == [
        "change-flow-run-state",
        *["send-notification"] * 3,
    ]
    assert sum(each.enabled for each in there) == 3  # what a person switched off stays off
    code, _, error = command("automations", "--notify", "slack-webhook/team")
    assert code == 2
    assert "there are: custom-webhook/team" in error
