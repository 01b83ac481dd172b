"""The tuning of a study in MLflow: a run for each arm below the study's, and below that one a run for each trial."""

from __future__ import annotations

from collections.abc import Sequence

from federated.study.study import StudyConfig
from federated.tuning.found import ArmTuning, Cost, Finalist, Trial, as_json
from tasks.tracking.delivery.sending import create
from tasks.tracking.reading.artifacts import files_of
from tasks.tracking.reading.studies import TUNED, TUNING_FILE
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history
from tasks.tracking.server.limits import name_of, tags_of

STATED_FILE = "stated.yaml"
"""The study as it was stated, with its tuning; its study.yaml has the arms as they chose."""


def log_tuning(parent_run_id: str, stated: StudyConfig, tuned: Sequence[ArmTuning]) -> None:
    """Log what each arm tried and chose; where the study's run has it already, from before an interruption, nothing."""
    if not tuned or TUNING_FILE in files_of(parent_run_id, ""):
        return
    for arm in tuned:
        tags = {"fedstudy.kind": "tuning", "study": stated.name, "arm": arm.arm}
        run_id = create(stated.name, name_of(f"tuning · {arm.arm}"), tags_of(tags), parent_run_id)
        runs.log_parameters(run_id, dict(arm.choice))
        for trial in arm.trials:
            _log_trial(run_id, stated.name, arm, trial)
        runs.log_tables(run_id, {"trials.json": trials_table(arm)})
        in_all = {"bill/tuning_epsilon": arm.cost.epsilon} if arm.cost.epsilon else {}
        log_history(run_id, [(arm.cost.rounds, {**_spent(arm.cost), **in_all})])
        runs.end_run(run_id, "FINISHED")
    runs.set_tags(parent_run_id, {TUNED: "True"})
    runs.log_files(parent_run_id, {TUNING_FILE: as_json(tuned), STATED_FILE: runs.as_yaml(stated)})


def _log_trial(parent: str, study: str, arm: ArmTuning, trial: Trial) -> None:
    finalist = next((each for each in arm.finalists if each.number == trial.number), None)
    tags = {"fedstudy.kind": "trial", "study": study, "arm": arm.arm, "ended": trial.ended}
    if finalist is not None:
        tags["finalist"] = _scores(finalist)
    run_id = create(study, name_of(f"trial {trial.number + 1} · {arm.arm}"), tags_of(tags), parent)
    runs.log_parameters(run_id, dict(trial.values))
    scored = {} if trial.score is None else {arm.metric: trial.score}
    epsilon = {"privacy/epsilon": trial.cost.epsilon} if trial.cost.epsilon else {}
    spent = {**_spent(trial.cost), **epsilon} if trial in arm.trained else {}
    log_history(run_id, [(trial.cost.rounds, {**scored, **spent})])
    runs.end_run(run_id, "FAILED" if trial.ended == "failed" else "FINISHED", trial.why)


def _spent(cost: Cost) -> dict[str, float]:
    """By the metrics of a run."""
    return {"bill/rounds": cost.rounds, "system/run_seconds": cost.seconds, **cost.used}


def _scores(finalist: Finalist) -> str:
    return ", ".join("no score" if score is None else f"{score:.6g}" for score in finalist.scores)


def trials_table(arm: ArmTuning) -> dict[str, list[object]]:
    """One row a trial. trained: not where an earlier one had its values, whose outcome and cost it has."""
    means = {finalist.number: finalist.mean for finalist in arm.finalists}
    trained = [trial.number for trial in arm.trained]
    return {
        "trial": [trial.number + 1 for trial in arm.trials],
        **{path: [trial.values[path] for trial in arm.trials] for path in arm.space},
        "score": [trial.score for trial in arm.trials],
        "ended": [trial.ended for trial in arm.trials],
        "rounds": [trial.cost.rounds for trial in arm.trials],
        "megabytes": [trial.cost.megabytes for trial in arm.trials],
        "seconds": [trial.cost.seconds for trial in arm.trials],
        "core_seconds": [trial.cost.used.get("bill/core_seconds") for trial in arm.trials],
        "trained": [trial.number in trained for trial in arm.trials],
        "finalist_score": [means.get(trial.number) for trial in arm.trials],
        "chosen": [trial.number in trained and trial.values == arm.choice for trial in arm.trials],
    }
