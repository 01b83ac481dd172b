"""Trials of tuning that go wrong, end early or see little: what they cost, how they count, and what is refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.federation.federation import partition_clients
from federated.federation.partition_files import save_partition
from federated.foundation.errors import BadInput
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import Observers, advance, begun, ending, segment_ends
from federated.study.study import read_study
from federated.study.tuning.check import as_drawn, trial_config
from federated.study.tuning.space import values_of
from federated.tuning.arms import check_tuned, judging_examples, storage_of, trial_seeds, tune_arm
from federated.tuning.found import ArmTuning, Cost, Finalist, Trial, as_json
from federated.tuning.judged import judged_by, without_judged
from federated.tuning.search import Rule, search, stored
from federated.tuning.trial import Pruned, Scored, metric_of, scored
from federated.tuning.words import certainty, chosen_in_words
from tests.conftest import config_of
from tests.test_tuning import RATE, SPACE, asked, hill, study

UPLINK, DOWNLINK = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
METRIC: Any = "generalisation/tuning_accuracy"


def of_values(**base: Any) -> tuple[Any, Any]:
    """(the config of a trial, its federation) of the one arm of a study."""
    wanted = study(base=base)
    (arm,) = wanted.named_arms().values()
    assert wanted.tuning is not None
    config = trial_config(arm.config, wanted.tuning, trial_seeds(wanted)[0])
    return config, without_judged(config, judging_examples(wanted))


@pytest.mark.parametrize("budget", [{"megabytes": 1.0}, {"rounds": 10}])
def test_a_search_ends_where_nothing_is_ever_spent(budget: Mapping[str, Any], tmp_path: Path) -> None:
    tried = 0

    def lost(values: Mapping[str, Any], pruned: Pruned) -> Scored:
        nonlocal tried
        tried += 1
        assert tried < 50, "without end"
        return Scored(None, "diverged", Cost(), METRIC)

    with stored(tmp_path / "lost.log", "arm") as kept:
        assert len(search(asked("random", **budget), kept, lost, lambda trial: None)) == 20


def test_what_a_killed_process_left_half_written_is_taken_away(tmp_path: Path) -> None:
    log = tmp_path / "killed.log"
    with stored(log, "arm") as kept:
        search(asked("tpe", trials=3), kept, hill, lambda trial: None)
    with log.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"kil')
    log.with_name("killed.log.lock").symlink_to(log)  # as Optuna locks it
    for trials in (5, 6):
        with stored(log, "arm") as kept:
            again = search(asked("tpe", trials=trials), kept, hill, lambda trial: None)
    with stored(tmp_path / "whole.log", "arm") as kept:
        assert again == search(asked("tpe", trials=6), kept, hill, lambda trial: None)


@pytest.mark.parametrize("rule", ["tpe", "asha"])
def test_where_less_is_better_the_same_trials_are_made_of_the_negated_scores(
    rule: Rule, tmp_path: Path
) -> None:
    def valley(values: Mapping[str, Any], pruned: Pruned) -> Scored:
        found = hill(values, lambda at, score: pruned(at, -score))
        return found._replace(score=-(found.score or 0.0))

    wanted = asked(rule, trials=12)
    with stored(tmp_path / "high.log", "arm") as kept:
        high = search(wanted, kept, hill, lambda trial: None)
    with stored(tmp_path / "low.log", "arm") as kept:
        low = search(wanted._replace(higher_is_better=False), kept, valley, lambda trial: None)
    assert [(each.values, each.ended) for each in low] == [(each.values, each.ended) for each in high]


def test_a_training_that_diverges_costs_what_it_sent(tmp_path: Path) -> None:
    shape = {"rounds": 6, "evaluation": {"every": 6}, "network": "home_broadband"}
    config, federation = of_values(**shape)
    whole = scored(config, METRIC, federation)
    assert (whole.ended, whole.cost.rounds) == ("complete", 6)
    used = whole.cost.used
    assert whole.cost.megabytes == (used[UPLINK] + used[DOWNLINK]) / 1e6
    assert used["bill/core_seconds"] > 0
    assert used["system/simulated_seconds_total"] > 0
    wild, _ = of_values(**shape, local={"weight_decay": 100.0, "learning_rate": 1.0})
    lost = scored(wild, METRIC, federation)
    assert (lost.score, lost.ended) == (None, "diverged")
    assert 1 < lost.cost.rounds < 6
    for way in (UPLINK, DOWNLINK):
        assert lost.cost.used[way] == used[way] / 6 * (lost.cost.rounds - 1)


def test_a_trial_stops_where_a_run_would(tmp_path: Path) -> None:
    config, federation = of_values(
        model="mlp(hidden=[4])",
        rounds=4,
        local={"learning_rate": 1e-9},
        stop={"metric": "main", "patience": 1},
    )
    setup = prepare(config, federation=federation)
    silent = Observers(lambda course: None, lambda history: None, lambda course: None)
    ended = ending(config, setup.stop)
    course = begun(Course(initial_state(setup)), setup, silent)
    run = advance(course, setup, list(segment_ends(config, 0)), silent, ended)
    assert scored(config, METRIC, federation).cost.rounds == run.round == 1


def test_values_that_cannot_be_trained_are_a_trial_that_failed(tmp_path: Path, home: Path) -> None:
    (tmp_path / "odd_models.py").write_text(
        "from torch import nn\n"
        "def odd(input_shape, num_outputs, width: int = 3):\n"
        "    if width == 4:\n"
        "        raise RuntimeError('four is even')\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_outputs))\n"
    )
    content = study().model_dump(mode="json", exclude={"tuning"})
    space = {"model.width": [3, 4]}
    content["base"]["model"] = "odd_models:odd(width=3)"
    content["tuning"] = {"budget": 4, "space": space, "finalists": 2, "repeats": 1}
    (tmp_path / "odd.yaml").write_text(json.dumps(content))
    wanted = read_study(tmp_path / "odd.yaml")
    found = tune_arm(wanted, "tuned", judging_examples(wanted), lambda line: None)
    by_width = {trial.values["model.width"]: trial for trial in found.trained}
    assert (by_width[3].ended, by_width[4].ended) == ("complete", "failed")
    assert "four is even" in by_width[4].why
    assert found.choice == {"model.width": 3}
    assert found.trainings == 3
    assert found.cost.rounds == 2 * 2  # width 4 had none, and what was tried before is not trained again
    again = tune_arm(wanted, "tuned", judging_examples(wanted), lambda line: None)
    assert again == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tuning": {"metric": "generalisation/tuning_acuracy"}},
            r"'generalisation/tuning_acuracy' is not measured",
        ),
        (
            {"tuning": {"metric": "train/loss"}},
            r"'train/loss' is not measured on the tuning part here; allowed: main",
        ),
        ({"tuning": {"metric": "system/round_seconds"}}, "not measured on the tuning part"),
        (
            {"anchors": ["local"], "base": {"holdout": {"tuning_clients": 1}}},
            "arm local.*nothing here chooses; state holdout.tuning",
        ),
    ],
)
def test_a_metric_that_no_trial_would_have_is_refused_before_anything_runs(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        check_tuned(study(**changes))


def test_the_further_seeds_of_finalists_are_looked_at_before_anything_runs() -> None:
    """Of seed 0 alone too much is judged with none of the seeds of trials but some of a finalist's."""
    config = config_of(seed=7, holdout={"tuning": 0.3})
    (digest,) = judged_by([config])
    federation = partition_clients(config)
    with pytest.raises(BadInput, match="of the examples that a trial would choose by"):
        without_judged(config, {digest: np.concatenate([federation.test, *federation.own_tuning])})
    with pytest.raises(RuntimeError, match="would read other data than any run of its study"):
        without_judged(config, {"another": federation.test})


def test_what_arms_choose_from_alike_is_drawn_alike(home: Path) -> None:
    space = {"algorithm.server_learning_rate": "loguniform(0.1, 1)", **SPACE}
    own = {"fedavg": {"cohort.size": [2, 3]}}
    wanted = study(
        arms=[{"name": "fedavg"}, {"name": "other", "local.momentum": 0.5}],
        anchors=["centralised"],
        tuning={"space": space, "per_arm": own, "rounds": 1, "finalists": 1, "repeats": 1},
    )
    judged = judging_examples(wanted)
    found = [tune_arm(wanted, arm, judged, lambda line: None) for arm in ("fedavg", "other", "centralised")]
    rates = [[trial.values[RATE] for trial in arm.trials[1:]] for arm in found]
    assert rates[0] == rates[1] == rates[2]
    assert wanted.tuning is not None
    drawn = as_drawn(wanted, wanted.named_arms()["fedavg"], wanted.tuning)
    assert list(drawn) == [RATE, "algorithm.server_learning_rate", "cohort.size"]


def test_one_arm_alone_is_tuned_by_its_own_space() -> None:
    own = {"a": {"cohort.size": [1, 2]}, "b": {"cohort.size": [1, 3]}}
    wanted = study(arms=[{"name": "a"}, {"name": "b", "local.momentum": 0.5}], tuning={"per_arm": own})
    alone = wanted.only(["b"])
    assert alone.tuning is not None
    assert list(alone.tuning.per_arm) == ["b"]
    assert type(wanted).model_validate(alone.model_dump(mode="json")).runs() == alone.runs()


def test_another_deal_of_the_same_examples_has_other_trials(tmp_path: Path, home: Path) -> None:
    """Of a partition in a file, whose path alone is in the config."""
    config = config_of(holdout={"tuning": 0.3}, partitioner="iid")
    file, places = tmp_path / "dealt.npz", []
    for seed in (1, 2):
        save_partition(file, partition_clients(config.model_copy(update={"seed": seed})))
        wanted = study(
            base={"partitioner": {"name": "from_file", "path": str(file)}, "clients": config.clients}
        )
        places.append(storage_of(wanted, {}))
    assert places[0] != places[1]


def test_a_choice_that_could_not_be_made_stands_in_words() -> None:
    trials = (
        Trial(0, {RATE: 0.1}, 0.5, "complete", Cost(2)),
        Trial(1, {RATE: 0.1}, 0.5, "complete", Cost(2)),
    )
    arm = ArmTuning("a", METRIC, True, {RATE: "x"}, {}, trials, (Finalist(0, (None, 0.5), Cost(3)),), {})
    assert chosen_in_words(arm).startswith(
        "a: no finalist of 2 trials ended with a score with every further seed"
    )
    assert certainty(arm) == "no choice"
    assert chosen_in_words(replace(arm, finalists=())).startswith("a: none of 2 trials went to its end")
    assert arm.cost.rounds == 2 + 3
    assert arm.trainings == 1 + 2


def test_sums_leave_out_what_some_training_did_not_know() -> None:
    known = Cost(2, 0.1, used={UPLINK: 10.0, "bill/core_seconds": 1.0})
    assert (known + Cost(1, used={UPLINK: 5.0})).used == {UPLINK: 15.0}
    assert (known + Cost(1)).used == {}  # of an older version
    assert sum([known, known], Cost()).used == {UPLINK: 20.0, "bill/core_seconds": 2.0}


def test_values_are_those_of_the_study() -> None:
    with pytest.raises(ValueError, match=r"cohort\.without is part of the question"):
        study(tuning={"space": {"cohort.without": [["0"], ["1"]]}})
    assert values_of([1, 2]).ends == (1, 2)
    setup = prepare(*of_values()[:1], federation=of_values()[1])
    assert metric_of("main", setup) == METRIC


@pytest.mark.nightly
@pytest.mark.slow  # processes that are killed
@pytest.mark.parametrize("rule", ["tpe", "asha"])
def test_tuning_that_is_killed_again_and_again_chooses_the_same_to_the_bit(
    rule: Rule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = study(base={"rounds": 4}, tuning={"budget": 6, "rule": rule}, anchors=["centralised"])

    def tuned_in(home: str, dies_at: int) -> str:
        """What was found, "" where the process was killed as it told its line of this number, from 1."""
        monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / home))
        out = tmp_path / f"{home}.json"
        if (child := os.fork()) == 0:
            lines: list[str] = []

            def told(line: str) -> None:
                lines.append(line)
                if len(lines) == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)

            judged = judging_examples(wanted)
            found = [tune_arm(wanted, arm, judged, told) for arm in wanted.named_arms()]
            timeless = [replace(each, trials=tuple(map(_timeless, each.trials))) for each in found]
            out.write_text(
                as_json([replace(each, finalists=tuple(map(_timeless, each.finalists))) for each in timeless])
            )
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) is bool(dies_at)
        return "" if dies_at else out.read_text()

    whole = tuned_in("whole", 0)
    for line in (3, 2, 4, 1):  # in trials and, as the sixth is told, in finalists
        assert tuned_in("killed", line) == ""
    assert tuned_in("killed", 0) == whole


def _timeless(each: Any) -> Any:
    used = {name: value for name, value in each.cost.used.items() if not name.endswith("seconds")}
    return replace(each, cost=replace(each.cost, seconds=0.0, used=used))
