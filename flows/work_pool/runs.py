"""The runs of a study on the workers of a work pool, with what is told and recorded of them here."""

from collections.abc import Sequence

from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal

from federated.report.text.phrases import first_few
from federated.study.study import Run
from flows.terminal.progress import Progress, notify, tell
from flows.work_pool.pool import Order, Pool, workers_there
from flows.work_pool.pooled_run import sent
from tasks.claims import claimant, is_abandoned
from tasks.tracking.runs import runs as tracking
from tasks.tracking.server.failures import found
from tasks.tracking.studies.resuming import finished_before


def run_on_workers(
    pool: str, runs: Sequence[Run], study: str, parent_run_id: str, *, resume: bool
) -> list[State[str]]:
    """The final state of each run; crashed for one whose process died twice.

    Workers record in MLflow themselves. An interrupt cancels what they have begun and what waits.
    """

    def began(at: int) -> None:
        tell(Progress(runs[at].name, "started", 0, runs[at].config.rounds))

    def ended(at: int, state: State[str]) -> None:
        if state.is_completed():
            rounds = runs[at].config.rounds
            tell(Progress(runs[at].name, "finished", rounds, rounds, message=f"on a worker of {pool}"))

    def died(at: int, why: str) -> bool:
        tracking.end_lost_runs(parent_run_id, "FAILED", why, runs[at].order)
        return bool(found(lambda: finished_before(parent_run_id, [runs[at]])))

    def left(names: list[str]) -> None:
        notify(
            f"work pool {pool}: flow runs of an earlier start of {study} were cancelled, and no worker has ended them "
            f"({first_few(names)}); a worker that is cut off may still train there"
        )

    before: dict[int, str] = {}

    def sends(at: int) -> None:
        before[at] = claimant(runs[at], parent_run_id)

    def lost(at: int) -> bool:
        return is_abandoned(runs[at], parent_run_id, before[at])

    if not workers_there(pool):
        notify(
            f"no worker of the work pool {pool} is there: the runs wait for one (`prefect worker start --pool {pool}`)"
        )
    try:
        orders = [Order(run.name, sent(run)) for run in runs]
        return Pool(pool, began, ended, died, left, sends, lost).run(
            orders, study, parent_run_id, resume=resume
        )
    except (KeyboardInterrupt, TerminationSignal):
        tracking.end_lost_runs(parent_run_id, "KILLED", "interrupted")
        raise
