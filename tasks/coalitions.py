"""The Prefect task that trains the coalitions of a finished run and logs their scores."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from federated.coalitions.training import coalition_scores
from federated.foundation.errors import BadInput, Diverged
from federated.foundation.masking import masked_errors
from federated.machine.queueing import own_seconds
from federated.run.setup import Setup
from federated.run.state import RunState
from tasks.rounds import Opaque
from tasks.tracking.reading.clients import COALITIONS_FILE
from tasks.tracking.runs import runs

FAILED = "coalitions.failed"
"""The tag that says why there is no table of scores; empty where there is one."""
_EVERY = 32


@task(name="train coalitions", cache_policy=NO_CACHE)
@masked_errors()
def log_coalitions(run_id: str, outcome: Opaque[tuple[RunState, Setup]]) -> None:
    """Train the coalitions that the run's config asks for, and log a table of their scores; nothing where it asks none.

    A coalition that fails leaves the run as it is: it is warned of, and the tag `coalitions.failed` says why.
    """
    state, setup = outcome.value
    logger, started = get_run_logger(), own_seconds()

    def done(trained: int, of: int) -> None:
        if trained == of or trained % _EVERY == 0:
            logger.info("coalitions: %d of %d trained", trained, of)

    try:
        found = coalition_scores(state, setup, done)
    except (BadInput, Diverged) as error:
        logger.warning("coalitions: %s", error)
        runs.set_tags(run_id, {FAILED: str(error)})
        return
    if found is not None:
        runs.log_tables(run_id, {COALITIONS_FILE: found.table()}, **{FAILED: ""})
        logger.info("coalitions: %d in %.1f s", len(found.scores), own_seconds() - started)
