"""The runs of a study in processes of this machine, several at a time."""

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.utilities.annotations import quote

from federated.foundation.masking import mask_logs, mask_output, masked
from federated.machine.cores import share_cores
from federated.study.study import Run
from federated.user_code.containment import contain_exits
from flows.federated_run import federated_run
from flows.prefect_runtime.prefect_away import PrefectAway, let_refusals_be_sent, raise_where_prefect_is_away
from flows.prefect_runtime.process_pool import Processes, end_with_parent
from flows.prefect_runtime.runtime import write_nothing_about_lost_logs
from flows.terminal.progress_channel import Address, progress_channel, report_to
from tasks.tracking.runs import runs as tracking
from tasks.tracking.server.failures import found
from tasks.tracking.studies.resuming import finished_before


def run_in_processes(
    runs: Sequence[Run], study: str, parent_run_id: str, workers: int, *, resume: bool
) -> list[State[str] | None]:
    """Run several at a time, each in its own process; a run whose process dies is tried once more.

    Returns the final states; None where the process died again.
    """
    arguments = [
        {"run": quote(run), "study": study, "parent_run_id": parent_run_id, "resume": resume} for run in runs
    ]

    def died(at: int) -> bool:
        tracking.end_lost_runs(parent_run_id, "FAILED", "its process died", runs[at].order)
        return bool(found(lambda: finished_before(parent_run_id, [runs[at]])))

    try:
        with (
            progress_channel() as address,
            Processes(workers, _begin, (address, workers), died, raise_where_prefect_is_away) as processes,
        ):
            return processes.run(_run_in_process, arguments, again={"resume": True})
    except (KeyboardInterrupt, TerminationSignal):
        tracking.end_lost_runs(parent_run_id, "KILLED", "interrupted")
        raise
    except PrefectAway as error:
        tracking.end_lost_runs(parent_run_id, "KILLED", masked(str(error)))
        raise


def _begin(news_address: Address, workers: int) -> None:
    """Initialise a process of a run."""
    contain_exits()
    write_nothing_about_lost_logs()
    mask_logs()
    mask_output()
    end_with_parent()
    let_refusals_be_sent()
    share_cores(workers)
    report_to(news_address)


@task(name="run in a process", cache_policy=NO_CACHE)
def _run_in_process(run: Run, study: str, parent_run_id: str, resume: bool) -> str:
    """Run the subflow in a process of the pool."""
    return federated_run(run, study, parent_run_id, resume)
