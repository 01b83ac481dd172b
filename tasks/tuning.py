"""The tuning of a study's arms before its runs, a Prefect task for each arm; trials have no flow runs of their own."""

from collections.abc import Mapping
from functools import partial

import numpy as np
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from federated.foundation.masking import masked_errors
from federated.machine.files import alone
from federated.study.study import StudyConfig
from federated.study.tuning.tuned import tuned
from federated.tuning.arms import judging_examples, storage_of, tune_arm
from federated.tuning.found import ArmTuning
from federated.tuning.words import chosen_in_words
from tasks.rounds import Opaque
from tasks.tracking.delivery.messages import show

_WAITING = "another process tunes the same arms; this one waits until it has ended"


def tune_arms(
    study: StudyConfig, faults: Mapping[str, str], *, resume: bool
) -> tuple[StudyConfig, list[ArmTuning]]:
    """(The study that runs: each arm with its choice and as it was stated; what was found).

    Arms that cannot run are not tuned; a study without tuning is as it was. resume: keep the trials that have ended.
    """
    if study.tuning is None:
        return study, []
    judged: Mapping[str, np.ndarray] = judging_examples(study)
    storage, found = storage_of(study, judged), []
    with alone(storage.with_suffix(".held"), waiting=partial(show, _WAITING)):
        if not resume:
            storage.unlink(missing_ok=True)
        for arm in dict.fromkeys(run.arm for run in study.runs() if run.name not in faults):
            found.append(_tune(arm, Opaque((study, judged))).value)
            show(chosen_in_words(found[-1]))
    return tuned(study, {each.arm: each.choice for each in found}), found


@task(name="tune", task_run_name="tune {arm}", cache_policy=NO_CACHE)
@masked_errors()
def _tune(arm: str, work: Opaque[tuple[StudyConfig, Mapping[str, np.ndarray]]]) -> Opaque[ArmTuning]:
    """All trials of an arm; those that ended before are not run again."""
    study, judged = work.value
    logger = get_run_logger()
    return Opaque(tune_arm(study, arm, judged, lambda line: logger.info("%s", line)))
