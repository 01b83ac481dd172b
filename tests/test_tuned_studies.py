"""What knows that arms were tuned: the model card, histories, versions, frames; and runs that are the same training."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from federated.report import Report
from federated.report.text.model_card import model_card
from federated.report.tuning.before_and_after import tuned_among
from federated.report.versions.differences import version_sentences
from federated.report.versions.history_table import remarks
from federated.report.versions.version import Version
from federated.study.study import StudyConfig
from federated.study.tuning.tuned import tuned, untuned
from federated.tuning.found import Cost
from flows.batches import without_twins
from flows.notebook.frames import tuning_frame
from flows.work_pool.pooled_run import received, sent
from tasks.tracking.reading.past import history_of
from tasks.tracking.server.store import connect, experiment_id
from tasks.tracking.studies.taking import take_finished
from tests.test_bill import run
from tests.test_bill_of_tuning import OLDER, arm
from tests.test_tuning import RATE, study

METRIC = "generalisation/test_accuracy"


def test_two_arms_that_are_one_training_never_train_at_once() -> None:
    """They would share a checkpoint: arms that chose the same, and arms on several networks."""
    stated = study(
        arms=[
            {"name": "weak", "algorithm": "fedprox(mu=0.1)"},
            {"name": "strong", "algorithm": "fedprox(mu=1)"},
        ]
    )
    chosen = {"weak": {"algorithm.mu": 0.1, RATE: 0.5}, "strong": {"algorithm.mu": 0.1, RATE: 0.5}}
    made = tuned(stated, chosen)
    first, second = without_twins(made.runs())
    assert [each.name for each in second] == ["strong · seed 0", "strong · seed 1"]
    assert {each.arm for each in first} == {"weak", untuned("weak"), untuned("strong")}
    for part in (first, second):
        keys = [each.config.run_key() for each in part]
        assert len(set(keys)) == len(keys)
    networks = StudyConfig.model_validate(
        {
            "name": "n",
            "base": {"dataset": "digits", "model": "logistic", "rounds": 1},
            "axes": {"network": [None, "3g", "4g"]},
            "seeds": [0, 1],
        }
    )
    assert [len(part) for part in without_twins(networks.runs())] == [2, 2, 2]
    assert without_twins([]) == []


def test_a_worker_of_a_pool_gets_a_run_as_it_is(home: Path) -> None:
    """With the anchors of the arm as it was stated, which it would not have by the values that it chose."""
    stated = study(anchors=["centralised"])
    made = tuned(stated, {"tuned": {RATE: 0.5}, "centralised": {RATE: 0.2}})
    assert [received(sent(each)) for each in made.runs()] == made.runs()
    assert len({received(sent(each)).anchor_key for each in made.runs()}) == 1


def test_a_card_says_what_was_tuned_on_what_and_what_was_chosen() -> None:
    found = arm(space={"mu": "[0.1, 0.2]"}, stated={"mu": 0.5})
    card = model_card("s", "", [run()], run(), tuned=found)
    section = card.partition("## Tuning")[2].partition("##")[0]
    assert "- mu: 0.1, chosen of [0.1, 0.2]; the study states 0.5" in section
    assert (
        "Chosen by tuning accuracy, on examples that judge nothing: 3 trials, the best 1 of them again"
        in section
    )
    assert "It took 4 trainings: 16 rounds, 1,200 MB up and down" in section
    assert "epsilon" not in section
    spent = replace(found.finalists[0], cost=Cost(8, 1.0, 1.0, 2.5))
    private = model_card("s", "", [run()], run(), tuned=replace(found, finalists=(spent,)))
    assert "epsilon 2.5 by basic composition" in private
    assert "## Tuning" not in model_card("s", "", [run()], run())
    assert "so it runs as it is stated" in model_card("s", "", [run()], run(), tuned=OLDER)


def test_the_frame_of_trials_has_every_trial_and_the_choice() -> None:
    frame = tuning_frame(Report("s", [run()], tuned=tuned_among([arm(), arm("b")], [run()], [])))
    assert frame["arm"].tolist() == ["a"] * 3 + ["b"] * 3
    assert frame["trained"].tolist()[:3] == [True, True, False]
    assert frame["chosen"].tolist()[:3] == [True, False, False]
    assert frame["core_seconds"].tolist()[0] == 360
    assert tuning_frame(Report("s", [run()])).empty


def test_versions_say_which_of_them_chose_values_first() -> None:
    def version(label: str, *, is_tuned: bool) -> Version:
        return Version(label, datetime(2026, 11, 28), "", False, {}, is_tuned)

    results = [replace(run(f"{label}: a"), study=label) for label in ("s@1", "s@2")]
    both = [version("s@1", is_tuned=False), version("s@2", is_tuned=True)]
    said = "The arms of s@2 chose their values first; those of s@1 ran as they were stated."
    assert said in version_sentences(results, [], both)
    assert not any("chose" in each for each in version_sentences(results, [], [both[0]] * 2))


def _parent(client: Any, experiment: str, **tags: str) -> str:
    of_study = {"study": "fair", "fedstudy.kind": "study", **tags}
    return str(client.create_run(experiment, tags=of_study).info.run_id)


def _child(client: Any, experiment: str, parent: str, arm: str, **tags: str) -> str:
    of_run = {
        "study": "fair",
        "fedstudy.kind": "run",
        "arm": arm,
        "seed": "0",
        "order": tags.pop("order", "0"),
    }
    of_run |= {"main_metric": METRIC, "mlflow.parentRunId": parent, **tags}
    run_id = str(client.create_run(experiment, tags=of_run).info.run_id)
    client.log_metric(run_id, METRIC, 0.5)
    client.set_terminated(run_id)
    return run_id


@pytest.mark.slow  # a store of MLflow
def test_in_mlflow_tuned_arms_and_stated_ones_are_kept_apart(used_home: Path) -> None:
    client = connect()
    experiment = experiment_id(client, "fair")
    plain = _parent(client, experiment)
    _child(client, experiment, plain, "a", arm_key="k")
    older = _parent(client, experiment)  # as versions without the tag left it
    _child(client, experiment, older, "a", arm_key="k2")
    _child(client, experiment, older, "a · untuned", arm_key="k", order="1")
    newest = _parent(client, experiment, tuned="True")
    _child(client, experiment, newest, "a", arm_key="k")  # it chose what was stated
    history, _ = history_of("fair")
    points = {trend.arm: [point.alike for point in trend.points] for trend in history.trends}
    assert points == {"a": [False, False, True], "a · untuned": [True]}
    assert "other settings: a" in remarks(history, 0)
    assert ["tuned" in remarks(history, at) for at in range(3)] == [False, True, True]


@pytest.mark.slow  # a store of MLflow
def test_a_finished_run_is_taken_once_and_only_for_its_own_network(used_home: Path) -> None:
    client = connect()
    experiment = experiment_id(client, "fair")
    arms = [{"name": "slow", "network": "3g"}, {"name": "fast", "network": "4g"}, {"name": "none"}]
    runs = StudyConfig.model_validate(
        {
            "name": "fair",
            "base": {"dataset": "digits", "model": "logistic", "rounds": 1},
            "arms": arms,
            "seeds": [0],
        }
    ).runs()
    keys = [{"run_key": each.config.run_key(), "arm_key": each.config.arm_key()} for each in runs]
    assert len({key["run_key"] for key in keys}) == 1
    earlier, now = _parent(client, experiment), _parent(client, experiment)
    before = _child(client, experiment, earlier, "slow", **keys[0])
    _child(client, experiment, now, "none", **keys[2], order="2")  # of this study itself
    taken = take_finished(now, "fair", runs)
    assert [each.arm for each in taken] == ["slow"]
    tags = client.get_run(before).data.tags
    assert json.loads(tags[f"taken_by.{now}"])["arm"] == "slow"
    twins = [replace(runs[0], arm="one", order=4), replace(runs[0], arm="two", order=5)]
    assert [each.arm for each in take_finished(_parent(client, experiment), "fair", twins)] == ["one"]
