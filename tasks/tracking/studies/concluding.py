"""The end of a study: compare it now or once MLflow is back, and deliver the pending records."""

from __future__ import annotations

from typing import Any

from federated.report.expected.figures import missed
from federated.study.comparison import Comparison
from federated.study.study import StudyConfig
from tasks.tracking.delivery import run_ids
from tasks.tracking.delivery.messages import show
from tasks.tracking.delivery.sending import send, settle, the_journal
from tasks.tracking.reading.search import results_of_study
from tasks.tracking.runs import runs
from tasks.tracking.server.failures import is_away, is_gone
from tasks.tracking.studies.comparison import StudyOutcome, conclude, conclude_from

_SECONDS_OF_PATIENCE = 20.0  # a server that is started anew is back by then


def conclude_when_possible(parent_run_id: str, study: StudyConfig) -> StudyOutcome | None:
    """Compare the arms; None where MLflow, which has the results, is away: then that comparison waits as well."""
    try:
        if settle(_SECONDS_OF_PATIENCE) and run_ids.is_known(parent_run_id, the_journal().folder):
            run_id = run_ids.known(parent_run_id, the_journal().folder)
            results = results_of_study(run_id, axes=tuple(study.axes), left_out=study.left_out)
            return conclude(run_id, study, results)
    except Exception as error:
        if not is_away(error) and not is_gone(error):
            raise
    judged = study.comparison.model_dump(mode="json")
    send("conclude", parent_run_id, name=study.name, question=runs.as_yaml(study), judged=judged)
    show(f"the comparison of {study.name} waits for MLflow: `./fedstudy sync` makes it once MLflow answers")
    return None


def conclude_later(run_id: str, content: dict[str, Any]) -> None:
    """The comparison that has waited."""
    judged = Comparison.model_validate(content["judged"])
    outcome = conclude_from(run_id, content["question"], judged)
    show(f"{content['name']} is compared: {outcome.report}")
    for sentence in missed(outcome.found.figures):
        show(f"{content['name']}: {sentence}")
