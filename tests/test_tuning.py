"""Equal tuning: the space, the search that resumes to the bit, trials that see nothing that judges, and the choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.federation.federation import partition_clients
from federated.foundation.errors import BadInput
from federated.study.study import StudyConfig
from federated.study.tuning.check import space_of
from federated.study.tuning.section import Budget
from federated.study.tuning.space import values_of
from federated.study.tuning.tuned import foreseen_runs, of_tuned, tuned, tuned_of, untuned
from federated.tuning.arms import check_tuned, judging_examples, storage_of, trial_seeds, tune_arm
from federated.tuning.draws import drawn
from federated.tuning.found import ArmTuning, Cost, Finalist, Trial, as_json, from_json
from federated.tuning.judged import check_blind, judged_by, without_judged
from federated.tuning.search import Rule, Search, search, stored
from federated.tuning.trial import Pruned, Scored
from federated.tuning.words import certainty, chosen_in_words, trials_in_words
from tests.conftest import config_of

BASE: dict[str, Any] = {
    "dataset": "digits",
    "model": "logistic",
    "clients": 4,
    "partitioner": "dirichlet(1)",
    "cohort": {"size": 2},
    "holdout": {"tuning": 0.3},
    "local": {"batch_size": 32, "learning_rate": 0.0001},
    "engine": {"name": "loop"},
    "rounds": 2,
    "evaluation": {"every": 1},
}
RATE = "local.learning_rate"
SPACE: dict[str, Any] = {RATE: "loguniform(0.0001, 1)"}


def study(**changes: Any) -> StudyConfig:
    """A study that tunes; `base` and `tuning` are merged with what they usually are."""
    base = {**BASE, **changes.pop("base", {})}
    tuning = {"budget": 3, "space": SPACE, "finalists": 2, "repeats": 2, **changes.pop("tuning", {})}
    return StudyConfig.model_validate(
        {"name": "tuned", "base": base, "tuning": tuning, "seeds": [0, 1], **changes}
    )


@pytest.mark.parametrize(
    ("stated", "inside", "outside", "edge", "middle"),
    [
        ("loguniform(0.001, 1)", 0.5, 2.0, 0.0011, 0.03),
        ("uniform(0, 1)", 0.0, -0.1, 0.97, 0.9),
        ("integers(1, 9)", 3, 2.5, 9, 5),
        ([0.001, 0.01, 0.1], 0.01, 0.02, 0.1, 0.01),
    ],
)
def test_a_space_holds_its_values_and_knows_its_edges(
    stated: Any, inside: Any, outside: Any, edge: Any, middle: Any
) -> None:
    values = values_of(stated)
    assert values.holds(inside)
    assert not values.holds(outside)
    assert values.is_edge(edge)
    assert not values.is_edge(middle)
    assert not values_of(["sgd", "adamw"]).is_edge("sgd")
    assert not values_of([1, 2]).is_edge(1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": {"budget": 0}}, "budget"),
        ({"tuning": {"budget": {"trials": 1, "rounds": 1}}}, "state one of trials, rounds and megabytes"),
        ({"tuning": {"space": {}}}, "state a space"),
        ({"tuning": {"space": {RATE: "loguniform(0, 1)"}}}, "low must be above 0 for a logarithm"),
        ({"tuning": {"space": {RATE: "uniform(1, 1)"}}}, "low below high"),
        ({"tuning": {"space": {RATE: "gauss(0, 1)"}}}, r"must be loguniform\(low, high\)"),
        ({"tuning": {"space": {RATE: [0.1]}}}, "two different values or more"),
        ({"tuning": {"space": {"local.learning_rat": [0.1, 1]}}}, "there is no field 'local.learning_rat'"),
        ({"tuning": {"space": {"rounds": [1, 2]}}}, "rounds is part of the question"),
        ({"tuning": {"space": {"holdout.tuning": [0.1, 0.2]}}}, "holdout is part of the question"),
        ({"tuning": {"space": {RATE: [0.1, -1]}}}, "input should be greater than"),
        ({"tuning": {"per_arm": {"nobody": SPACE}}}, "'nobody' is not an arm"),
        ({"tuning": {"metric": "generalisation/test_accuracy"}}, "of the data that judge"),
        ({"tuning": {"rounds": 3}}, "3 is more than the 2 rounds"),
        ({"base": {"holdout": {}}}, "has nothing to choose by but what judges; state holdout.tuning"),
        ({"axes": {RATE: [0.1, 0.2]}}, "is what arm learning_rate=0.1 is compared by"),
        ({"leave_one_out": ["0"]}, "beside leave_one_out"),
        ({"arms": [{"name": "a"}, {"name": "b"}]}, "'a' and 'b' are the same run"),
        ({"anchors": True, "tuning": {"budget": {"megabytes": 1}}}, "sends nothing"),
        (
            {"arms": [{}, {"cohort.size": 3}], "tuning": {"space": {}, "per_arm": {"tuned": SPACE}}},
            "nothing to choose",
        ),
    ],
)
def test_what_cannot_be_tuned_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(**changes)


def test_arms_that_are_stated_alike_may_choose_from_different_spaces() -> None:
    both = study(
        arms=[{"name": "one rate"}, {"name": "two rates"}],
        tuning={"per_arm": {"two rates": {"algorithm.server_learning_rate": [1.0, 2.0]}}},
    )
    assert list(both.named_arms()) == ["one rate", "two rates"]
    assert list(space_of(both.named_arms()["two rates"], both.tuning)) == [
        RATE,
        "algorithm.server_learning_rate",
    ]


def hill(values: Mapping[str, Any], pruned: Pruned) -> Scored:
    """A training whose score is best at a rate of 0.05, and nears its final one over three evaluations."""
    final = 1 - abs(math.log10(values[RATE]) - math.log10(0.05)) / 10
    for evaluation in range(1, 4):
        if pruned(evaluation, final * evaluation / 3):
            return Scored(
                final * evaluation / 3, "pruned", Cost(evaluation), "generalisation/tuning_accuracy"
            )
    return Scored(final, "complete", Cost(3), "generalisation/tuning_accuracy")


def asked(rule: Rule, **budget: Any) -> Search:
    space = {path: values_of(values) for path, values in SPACE.items()}
    return Search(space, {RATE: 0.0001}, rule, Budget(**budget), higher_is_better=True)


@pytest.mark.parametrize("rule", ["random", "tpe", "asha"])
def test_an_interrupted_search_ends_with_the_same_trials_to_the_bit(rule: Rule, tmp_path: Path) -> None:
    wanted, seen = asked(rule, trials=14), list[Trial]()
    with stored(tmp_path / "whole.log", "arm") as kept:
        whole = search(wanted, kept, hill, seen.append)
    assert tuple(seen) == whole
    tries = 0

    def killed(values: Mapping[str, Any], pruned: Pruned) -> Scored:
        nonlocal tries
        tries += 1
        if tries % 4 == 0:
            pruned(1, 0.0)  # what a trial had reported before it was killed leaves no trace
            raise KeyboardInterrupt
        return hill(values, pruned)

    for _ in range(5):
        try:
            with stored(tmp_path / "again.log", "arm") as kept:
                again = search(wanted, kept, killed, lambda trial: None)
        except KeyboardInterrupt:
            continue
    assert again == whole
    assert whole[0].values == {RATE: 0.0001}
    assert any(trial.ended == "pruned" for trial in whole) is (rule == "asha")
    late = [abs(math.log10(trial.values[RATE] / 0.05)) for trial in whole[10:]]
    assert rule != "tpe" or np.median(late) < 1  # it looks where earlier trials were good


def test_a_budget_of_rounds_is_of_rounds_and_equal_values_are_not_run_twice(tmp_path: Path) -> None:
    with stored(tmp_path / "rounds.log", "arm") as kept:
        trials = search(asked("random", rounds=10), kept, hill, lambda trial: None)
    assert [trial.cost.rounds for trial in trials] == [3, 3, 3, 3]
    tried: list[Any] = []

    def attempt(values: Mapping[str, Any], pruned: Pruned) -> Scored:
        tried.append(values[RATE])
        return hill(values, pruned)

    two = asked("random", trials=12)._replace(space={RATE: values_of([0.01, 0.1])}, stated={RATE: 7})
    with stored(tmp_path / "two.log", "arm") as kept:
        trials = search(two, kept, attempt, lambda trial: None)
    assert (len(trials), sorted(tried)) == (12, [0.01, 0.1])
    with stored(tmp_path / "lost.log", "arm") as kept:
        lost = search(
            asked("tpe", trials=2),
            kept,
            lambda *_: Scored(None, "diverged", Cost(1), "x"),
            lambda trial: None,
        )
    assert [trial.ended for trial in lost] == ["diverged", "diverged"]


def test_no_trial_sees_what_judges_in_any_run() -> None:
    configs = [
        config_of(seed=seed, partitioner="dirichlet(1)", holdout={"client": 0.2, "tuning": 0.2})
        for seed in (0, 1)
    ]
    judged = judged_by(configs)
    (examples,) = judged.values()
    for config in configs:
        sets = partition_clients(config).held_out_sets()
        assert np.isin(np.concatenate([sets["test"], sets["client"]]), examples).all()
    blind = without_judged(
        config_of(seed=7, partitioner="dirichlet(1)", holdout={"client": 0.2, "tuning": 0.2}), judged
    )
    assert set(blind.held_out_sets()) == {"tuning"}
    assert not np.isin(blind.training, examples).any()
    leak = replace(blind, own_tuning=[*blind.own_tuning[:-1], examples[:1]])
    with pytest.raises(RuntimeError, match=f"a trial would see example {examples[0]}, one of 1 that judge"):
        check_blind(leak, judged)
    unseen = {"unseen_clients": 5, "tuning": 0.2}
    many = [config_of(seed=seed, holdout=unseen) for seed in range(4)]
    with pytest.raises(BadInput, match=r"judges by .* of the examples that a trial would train on"):
        without_judged(config_of(seed=9, holdout=unseen), judged_by(many))


@pytest.fixture(scope="module")
def unmasked(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyConfig, dict[str, ArmTuning]]:
    """Two arms that are one method, stated at a poor rate, and an anchor."""
    arms = [{"name": "good", "algorithm": "fedprox(mu=0)"}, {"name": "poor"}]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FEDSTUDY_HOME", str(tmp_path_factory.mktemp("home")))
        asked_for = study(arms=arms, anchors=["centralised"])
        judged = judging_examples(asked_for)
        return asked_for, {
            arm: tune_arm(asked_for, arm, judged, lambda line: None) for arm in asked_for.named_arms()
        }


def test_one_method_under_two_names_chooses_the_same(
    unmasked: tuple[StudyConfig, dict[str, ArmTuning]],
) -> None:
    _, found = unmasked
    assert found["good"].choice == found["poor"].choice != {}
    assert [trial.values for trial in found["good"].trials] == [
        trial.values for trial in found["poor"].trials
    ]
    poor = found["poor"]
    assert poor.metric == "generalisation/tuning_accuracy"
    assert poor.stated == {RATE: 0.0001}
    assert len(poor.finalists) == 2
    assert all(len(each.scores) == 2 for each in poor.finalists)
    assert poor.cost.rounds == 3 * 2 + 2 * 2 * 2
    first = next(trial.score for trial in poor.trials if trial.number == 0)
    assert poor.best_so_far()[-1] > first + 0.1  # the rate that was stated lost by far
    assert found["centralised"].cost.megabytes == 0 < poor.cost.megabytes


def test_the_study_that_runs_has_each_arm_tuned_and_as_it_was(
    unmasked: tuple[StudyConfig, dict[str, ArmTuning]],
) -> None:
    stated, found = unmasked
    choices = {name: each.choice for name, each in found.items()}
    made = tuned(stated, {**choices, "good": {}})
    assert made.tuning is None
    arms = dict.fromkeys(run.arm for run in made.runs())
    assert list(arms) == ["good", "poor", "centralised", untuned("poor"), untuned("centralised")]
    by_arm = {run.arm: run for run in made.runs()}
    assert by_arm["poor"].config.local.learning_rate == found["poor"].choice[RATE]
    assert by_arm[untuned("poor")].config.local.learning_rate == BASE["local"]["learning_rate"]
    assert len({run.anchor_key for run in by_arm.values()}) == 1  # as the arms were stated
    assert tuned_of(untuned("poor")) == "poor"
    assert tuned_of("poor") == ""
    assert not {run.config.seed for run in made.runs()} & set(trial_seeds(stated))
    assert len(foreseen_runs(stated)) == 2 * len(stated.runs())
    assert set(of_tuned({"poor · seed 0": "why"}, made)) == {"poor · seed 0", f"{untuned('poor')} · seed 0"}
    same = tuned(stated, {"good": {}, "poor": {}})
    assert [run.arm for run in same.runs()] == [run.arm for run in stated.runs()]


def test_what_was_found_is_read_as_it_was_written(unmasked: tuple[StudyConfig, dict[str, ArmTuning]]) -> None:
    _, found = unmasked
    assert from_json(as_json(list(found.values()))) == list(found.values())


def test_another_study_has_other_trials(home: Path) -> None:
    first, other = study(), study(base={"rounds": 3})
    judged = judging_examples(first)
    assert storage_of(first, judged) == storage_of(study(), judged)
    assert storage_of(first, judged) != storage_of(other, judged)
    assert check_tuned(first) == {}
    with pytest.raises(BadInput, match=r"arm tuned: tuning: .* judges by"):
        check_tuned(study(base={"holdout": {"unseen_clients": 4, "tuning": 0.2}}, seeds=[0, 1, 2]))


def test_how_sure_a_choice_is_stands_in_words() -> None:
    trials = tuple(
        Trial(at, {RATE: 0.1 * (1 + at)}, score, "complete", Cost(2)) for at, score in enumerate([0.5, 0.6])
    )
    lost = Trial(2, {RATE: 0.9}, None, "diverged", Cost(1))
    finalists = (Finalist(1, (0.5, None), Cost(4)), Finalist(0, (0.7, 0.5), Cost(4)))
    arm = ArmTuning(
        "a", "generalisation/tuning_accuracy", True, {RATE: "x"}, {}, (*trials, lost), finalists, {RATE: 0.1}
    )
    assert [each.number for each in arm.best_first] == [0, 1]
    assert arm.runner_up == pytest.approx((0.2,))
    assert certainty(arm) == "+0.2 against the next, better with 1 of 1 seeds"
    assert trials_in_words(arm) == "3, 1 diverged"
    assert (
        chosen_in_words(arm)
        == "a chose learning_rate 0.1 in 3 trials: tuning accuracy 0.6 with 2 further seeds"
    )
    assert arm.best_so_far() == [0.5, 0.6, 0.6]
    less = replace(arm, higher_is_better=False)
    assert less.best_so_far() == [0.5, 0.5, 0.5]
    assert certainty(replace(arm, finalists=finalists[:1])) == "the only one that was left"
    assert chosen_in_words(replace(arm, choice={})).endswith("so it runs as it is stated")


def test_draws_at_random_are_spread_evenly_and_alike_in_every_arm_with_the_field() -> None:
    wide = values_of("loguniform(0.001, 10)")
    shares = {
        path: [math.log10(drawn(path, wide, number) / 0.001) / 4 for number in range(31)]
        for path in (RATE, "algorithm.mu")
    }
    for each in shares.values():  # of ten in a row after the first one in each tenth
        tens = [sorted(int(10 * share) for share in each[at : at + 10]) for at in (1, 11, 21)]
        assert tens == [list(range(10))] * 3
    assert abs(np.corrcoef(shares[RATE], shares["algorithm.mu"])[0, 1]) < 0.5
    listed = [drawn(RATE, values_of(["a", "b"]), number) for number in range(1, 11)]
    assert sorted(listed) == ["a"] * 5 + ["b"] * 5
    whole = [drawn(RATE, values_of("integers(1, 5)"), number) for number in range(1, 11)]
    assert sorted(whole) == sorted([1, 2, 3, 4, 5] * 2)
    assert all(0 <= drawn(RATE, values_of("uniform(0, 2)"), number) < 2 for number in range(100))
