"""One run of a study with its display, as the command line and notebooks start it."""

from typing import NamedTuple

from federated.foundation.errors import BadInput
from federated.study.study import StudyConfig
from federated.study.tuning.tuned import foreseen_runs
from federated.tuning.arms import check_tuned
from flows.federated_study import StudyFailed, federated_study
from flows.prefect_runtime.prefect_away import Api, despite_prefect, ends_with_study
from flows.terminal.display import shown
from flows.terminal.screen import Screen
from flows.terminal.waiting import shown_while_waiting
from flows.work_pool.pool import require_pool
from flows.work_pool.workers import Workers, pool_named, workers_in
from tasks.scale_out.stages import check_scale_out
from tasks.tracking.server.access import require_store
from tasks.tracking.studies.comparison import StudyOutcome


class Ended(NamedTuple):
    """The end of a study.

    outcome: None where MLflow is away, so that the comparison waits. failure: the runs that failed, in words; "" where
    none did.
    """

    outcome: StudyOutcome | None
    failure: str


def run_study(
    study: StudyConfig, prefect: Api, workers: Workers, resume: bool, screen: Screen, go_on: str
) -> Ended:
    """Run a study and show its progress. Raises BadInput before anything runs.

    go_on: how the user goes on with a study, for the note that a KeyboardInterrupt gets.
    """
    runs = study.runs()
    pool = pool_named(workers := workers_in(workers))
    if pool is not None and ends_with_study(prefect.url):
        raise BadInput(
            "workers: pool:NAME needs a Prefect server that workers know: set PREFECT_API_URL to its address"
        )
    check_scale_out(runs)
    with shown_while_waiting(screen):
        check_tuned(study)
    _say(screen, "the data are read and the runs checked; opening MLflow")
    require_store()
    _say(screen, "waiting for Prefect")
    prefect.wait()
    if pool is not None:
        require_pool(pool)
    _say(screen, "Prefect runs; trying some rounds for the forecast")
    try:
        with shown(study.name, foreseen_runs(study), screen):
            return Ended(despite_prefect(federated_study, prefect, study, workers, resume), "")
    except StudyFailed as error:
        return Ended(error.outcome, str(error))
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"{go_on} goes on from the checkpoints of the unfinished runs")
        raise


def _say(screen: Screen, line: str) -> None:
    """Say how far the start is: on a busy machine it takes a minute."""
    screen.print(line, style="dim")
