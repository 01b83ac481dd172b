"""The part of the data that chooses: apart from what judges in every seed, and alone in what it chooses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_partitioners.partition import flat_of
from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.measure_tags import measure_tags
from federated.evaluation.predicted import chosen_thresholds, sets_of
from federated.evaluation.sets import choosing_set
from federated.federation.federation import Federation, check_apart, partition_clients
from federated.forecast.held_out_warnings import of_held_out
from federated.forecast.privacy_warnings import of_privacy
from federated.foundation.errors import BadInput
from federated.metrics.dictionary.privacy import not_covered
from federated.metrics.dictionary.stated import CHOOSING, NEVER_TRAINED, choosing_metric, judges
from federated.run import checkpoint
from federated.run.course import Best, Course
from federated.run.preparing.judging.chosen_by import without_a_model
from federated.run.setup import Setup, initial_state, prepare
from federated.segments import Observers, advance, begun, concluded, ending
from federated.study.study import StudyConfig
from tasks.tracking.delivery.sending import mark_continued, now, settle
from tasks.tracking.runs import runs as tracking
from tasks.tracking.runs.history import log_history
from tasks.tracking.runs.model import log_model
from tasks.tracking.server.store import connect
from tests.conftest import config_of

SILENT = Observers(lambda course: None, lambda history: None, lambda course: None)
PART: dict[str, Any] = {"client": 0.2, "unseen_clients": 1, "tuning": 0.2, "tuning_clients": 2}
JUDGING = ("test", "client", "unseen")


def made(seed: int = 0, **holdout: Any) -> Federation:
    return partition_clients(config_of(seed=seed, partitioner="dirichlet(0.5)", holdout=holdout))


def pooled(federation: Federation, sets: tuple[str, ...]) -> set[int]:
    found = federation.held_out_sets()
    return {int(index) for name in sets if name in found for index in found[name]}


def test_what_chooses_never_judges_and_a_leak_is_found() -> None:
    for seed in range(3):
        federation = made(seed, **PART)
        judging, choosing = pooled(federation, JUDGING), pooled(federation, CHOOSING)
        assert judging
        assert choosing
        assert not judging & choosing
        assert not (judging | choosing) & set(federation.training.tolist())
        assert not set(federation.unseen_names) & set(federation.tuning_names)
        assert not set(federation.names) & {*federation.unseen_names, *federation.tuning_names}
        assert (len(federation.names), len(federation.tuning_names)) == (6, 2)
    leak = replace(federation, own_tuning=[*federation.own_tuning[:-1], federation.test[:1]])
    with pytest.raises(RuntimeError, match=f"example {federation.test[0]} is in 2 parts of the federation"):
        check_apart(leak)


def test_the_test_set_is_that_of_every_seed_and_own_shares_are_mostly_the_same() -> None:
    seeds = [made(seed, client=0.2, tuning=0.2) for seed in range(4)]
    assert all(np.array_equal(each.test, seeds[0].test) for each in seeds)
    assert any(not np.array_equal(each.training, seeds[0].training) for each in seeds[1:])
    own = [set(flat_of(each.own_held_out).tolist()) for each in seeds]
    assert len(set.union(*own)) < 1.5 * len(
        own[0]
    )  # of independent draws 1 - 0.8^4 = 0.59, 2.95 times as many
    for federation in seeds:
        for kept, held in zip(federation.own_tuning, federation.clients, strict=True):
            assert len(kept) == round(0.2 * (len(kept) + len(held)))


def test_without_a_tuning_part_nothing_is_drawn_otherwise() -> None:
    plain, part = made(1, client=0.2), made(1, client=0.2, tuning=0.3)
    assert not np.array_equal(plain.test, part.test)
    assert np.array_equal(plain.test, made(1).test)
    assert plain.partition_digest != made(2, client=0.2).partition_digest
    assert plain.held_out_sets().keys() == {"test", "client"}
    assert plain.partition_digest == "7dd743814f7c7bce"  # as before there was a tuning part


def test_clients_that_choose_are_named_and_none_of_the_unseen(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    rows = [f"{who},{at % 7},{at % 2}" for who in "abcdef" for at in range(20)]
    path.write_text("\n".join(["who,x,y", *rows]))
    base: dict[str, Any] = {"model": "logistic", "rounds": 1, "partitioner": "by_client"}
    base["dataset"] = {"name": "table", "path": str(path), "target": "y", "client": "who"}

    def of(**holdout: Any) -> Federation:
        return partition_clients(RunConfig.model_validate({**base, "holdout": holdout}))

    federation = of(tuning_clients=["a", "c"], unseen_clients=["d"])
    assert (federation.tuning_names, federation.unseen_names) == (("a", "c"), ("d",))
    everybody = [of(tuning_clients=2, unseen_clients=2) for _ in range(2)]
    assert everybody[0].unseen_names == everybody[1].unseen_names
    with pytest.raises(BadInput, match=r"holdout\.tuning_clients: there is no client 'z'"):
        of(tuning_clients=["z"])
    with pytest.raises(BadInput, match=r"holdout\.tuning_clients: 4 of 4 clients leaves none to train"):
        of(unseen_clients=2, tuning_clients=4)
    with pytest.raises(BadInput, match="was drawn as one of the unseen clients, which judge"):
        of(unseen_clients=5, tuning_clients=["a", "b"])


def prepared(**changes: Any) -> Setup:
    return prepare(config_of(**{"holdout": PART, "evaluation": {"every": 1}, **changes}))


@pytest.mark.parametrize(
    "metric", ["test_accuracy", "client_accuracy_mean", "unseen_loss", "participation_gap"]
)
def test_a_choice_by_what_judges_is_refused_beside_a_tuning_part(metric: str) -> None:
    stop = {"metric": f"generalisation/{metric}", "patience": 1}
    with pytest.raises(BadInput, match=rf"stop\.metric: generalisation/{metric} is of the data that judge"):
        prepared(stop=stop)
    with pytest.raises(BadInput, match=r"evaluation\.best_by: .* is of the data that judge"):
        prepared(evaluation={"best_by": stop["metric"]})
    with pytest.raises(BadInput, match=r"tuning\.metric: .* state generalisation/tuning_accuracy"):
        choosing_metric("generalisation/test_accuracy", "tuning.metric")
    assert judges(f"generalisation/{metric}")


def test_a_choice_by_what_judges_is_warned_about_where_there_is_no_other() -> None:
    for metric in ("generalisation/test_accuracy", "main"):
        config = config_of(evaluation={"best_by": metric})
        (said,) = [each for each in of_held_out(config, partition_clients(config)) if "best_by" in each]
        assert said.startswith(f"evaluation.best_by: {metric} chooses the round by the data that judge it")
    named = config_of(evaluation={"best_by": "main"}, holdout={"validation": 0.2})
    federation = partition_clients(named)
    stated = named.model_copy(update={"holdout": named.holdout.model_copy(update={"validation": 0.0})})
    assert not [
        each for each in of_held_out(stated, federation) if "best_by" in each
    ]  # as a rule may name them
    config = config_of(evaluation={"best_by": "main"}, holdout=PART)
    assert not [each for each in of_held_out(config, partition_clients(config)) if "best_by" in each]


def test_main_is_of_the_tuning_part_and_unknown_metrics_are_refused() -> None:
    setup = prepared(stop={"metric": "main", "patience": 1}, evaluation={"best_by": "main", "every": 1})
    assert setup.stop is not None
    assert setup.stop.metric == setup.best_by == "generalisation/tuning_accuracy"
    clients = prepared(holdout={"tuning_clients": 1}, evaluation={"best_by": "main"})
    assert clients.best_by == "generalisation/tuning_clients_accuracy"
    with pytest.raises(
        BadInput, match=r"evaluation\.best_by: 'generalisation/tuning_acuracy' is not measured"
    ):
        prepared(evaluation={"best_by": "generalisation/tuning_acuracy"})
    alone = {"training": "local", "cohort": {}, "holdout": {"tuning_clients": 1}}
    with pytest.raises(
        BadInput,
        match=r"evaluation\.best_by: main: the clients of holdout\.tuning_clients have no model with training",
    ):
        prepared(**alone, evaluation={"best_by": "main"})


def test_what_chooses_is_evaluated_beside_what_judges_and_thresholds_come_from_it() -> None:
    setup = prepared()
    measured = evaluate(initial_state(setup), setup)
    names = (*JUDGING, "tuning", "tuning_clients")
    assert {f"generalisation/{name}_accuracy" for name in names} <= set(measured)
    assert choosing_set(setup.federation) == "tuning"
    assert choosing_set(made(tuning_clients=1)) == "tuning_clients"
    assert choosing_set(made(client=0.1)) == "training"
    ditto, local = prepared(algorithm="ditto"), prepared(training="local")
    assert not set(NEVER_TRAINED) & set(sets_of(local))
    alone = prepared(
        training="local",
        cohort={},
        holdout={"tuning_clients": 1},
        evaluation={"metric": {"name": "sensitivity", "positive": "3"}},
    )
    assert chosen_thresholds(initial_state(alone), alone)  # on training examples, as the others have no model
    without = without_a_model(alone.config, alone.trainers, alone.parts)
    assert measure_tags(alone.scoring, alone.federation, without)["thresholds_chosen_on"] == "training"
    assert {"tuning_clients", "unseen"} & set(sets_of(ditto)) == set(NEVER_TRAINED)


def run(setup: Setup, until: int, course: Course | None = None) -> Course:
    course = begun(course or Course(initial_state(setup)), setup, SILENT)
    ended = ending(setup.config, setup.stop)
    return advance(course, setup, range(course.round + 1, until + 1), SILENT, ended)


def test_the_best_round_by_the_tuning_part_is_kept_through_an_interruption(tmp_path: Path) -> None:
    setup = prepared(
        rounds=6, evaluation={"every": 1, "best_by": "main"}, local={"batch_size": 16, "learning_rate": 3.0}
    )
    whole = run(setup, 6)
    by_round = [
        (at, found["generalisation/tuning_accuracy"])
        for at, found in whole.history
        if "generalisation/tuning_accuracy" in found
    ]
    best = max(by_round, key=lambda each: each[1])
    assert whole.best is not None
    assert (whole.kept.round, whole.best.value) == best
    checkpoint.save(run(setup, 3), tmp_path / "half", {})
    read = checkpoint.load(tmp_path / "half", {}, setup.inputs.device, setup.store.kept)
    again = run(setup, 6, read)
    assert again.best is not None
    assert again.best.value == whole.best.value
    assert again.kept.parameters.equal(whole.kept.parameters)
    recorded: list[int] = []
    end = concluded(whole, lambda history: recorded.append(len(history)))
    assert recorded == [len(whole.history) + 1]
    last_round, last = end.history[len(whole.history)]
    assert (last_round, last["generalisation/best_round"]) == (6, best[0])
    assert last["generalisation/test_accuracy"] == evaluate(whole.kept, setup)["generalisation/test_accuracy"]


def test_without_best_by_the_last_round_is_kept() -> None:
    course = run(prepared(rounds=2), 2)
    assert course.best is None
    assert course.kept is course.state
    assert concluded(course, lambda history: pytest.fail("nothing is to be recorded")) is course


def test_of_equal_rounds_the_first_is_the_best_and_less_is_better_of_a_loss() -> None:
    course = Course(initial_state(prepared()))
    by_accuracy = course
    for at, (accuracy, loss) in enumerate([(0.5, 2.0), (0.7, 1.0), (0.7, 1.0), (0.6, 0.5)]):
        metrics = {"generalisation/tuning_accuracy": accuracy, "generalisation/tuning_loss": loss}
        state = replace(course.state, round=at)
        by_accuracy = by_accuracy.then(state, metrics).with_best("generalisation/tuning_accuracy")
        course = course.then(state, metrics).with_best("generalisation/tuning_loss")
    assert (by_accuracy.kept.round, course.kept.round) == (1, 3)
    assert course.with_best("generalisation/unseen_loss").kept.round == 3  # which was not measured


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        ({"tuning": 0.1, "validation": 0.1}, "validation: 0.1 is an earlier name of the share that chooses"),
        ({"tuning_clients": ["b"], "unseen_clients": ["b"]}, "'b' is one of unseen_clients, which judge"),
        (
            {"tuning": 0.1, "by": "column(x, test=[1], validation=[2])"},
            "names validation examples to choose by",
        ),
        ({"tuning": 1}, "should be less than 1"),
        ({"tuning_clients": -1}, "must be a whole number from 0 up"),
    ],
)
def test_a_part_that_cannot_be_is_refused(holdout: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_of(holdout=holdout)


def test_copies_of_what_judges_among_what_chooses_are_counted() -> None:
    config = config_of(holdout={"validation": 0.3})
    federation = partition_clients(config)
    hashes = federation.examples.hashes.copy()
    hashes[federation.test[:7]] = hashes[federation.held_out_sets()["validation"][0]]
    copied = replace(federation, examples=replace(federation.examples))
    copied.examples.__dict__["hashes"] = hashes
    (said,) = [each for each in of_held_out(config, copied) if "an example that chooses" in each]
    assert said.startswith(f"duplicates: 7 of {len(federation.test)} examples of the test set")
    assert said.endswith("holdout.duplicates: together keeps copies on one side")


def test_a_choice_of_the_round_that_a_guarantee_does_not_cover_is_warned_about() -> None:
    private: dict[str, Any] = {"privacy": "central_gaussian(1, 1)"}
    private["cohort"] = {"size": 3, "weighting": "uniform"}
    setup = prepared(**private, evaluation={"best_by": "main"})
    (said,) = [each for each in of_privacy(setup) if each.startswith("evaluation.best_by")]
    assert said.startswith("evaluation.best_by: generalisation/tuning_accuracy is not covered by epsilon")
    assert said.endswith("would tell of it; leave evaluation.best_by out")  # the test set is refused there
    by_test = prepared(**private, evaluation={"best_by": "main"}, holdout={})
    assert not [each for each in of_privacy(by_test) if each.startswith("evaluation.best_by")]
    assert "evaluation.best_by" in not_covered(own_models=False)


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
def test_figures_of_the_best_round_are_those_of_a_resumed_run_and_of_its_model() -> None:
    base: dict[str, Any] = {"dataset": "digits", "model": "logistic", "clients": 3, "rounds": 2}
    base |= {"holdout": {"tuning": 0.2}, "evaluation": {"every": 1, "best_by": "main"}}
    (only,) = (study := StudyConfig.model_validate({"name": "best", "base": base})).runs()
    parent = tracking.open_study(study)
    run_id, setup = tracking.open_run(only, study.name, parent), prepare(only.config)
    first = run(setup, 1)
    last = run(setup, 2, first)
    log_history(run_id, last.history)
    mark_continued(run_id)  # killed after its last evaluation
    end = concluded(replace(last, best=Best(1.0, first.state)), lambda history: None)
    log_history(run_id, end.history, range(now(), now() + len(end.history)))
    log_model(run_id, end.kept, setup, parent, last_round=end.round)
    assert settle()
    found, test = connect().get_run(run_id), "generalisation/test_accuracy"
    assert found.data.metrics[test] == first.latest()[test] != last.latest()[test]
    assert len(connect().get_metric_history(run_id, test)) == len(last.history) / 2 + 1.5
    model = connect().get_logged_model(found.outputs.model_outputs[0].model_id)
    assert {each.key: each.value for each in model.metrics}[test] == first.latest()[test]
