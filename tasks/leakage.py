"""The Prefect task that attacks a finished run and logs what it found."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from federated.attacks.leakage import LeakageFound, leakage
from federated.foundation.masking import masked_errors
from federated.report import png
from federated.report.figures.clients.leakage_pictures import inversion_picture, membership_picture
from federated.run.setup import Setup
from federated.run.state import RunState
from tasks.rounds import Opaque
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history

FAILED = "leakage.failed"
"""The tag that says why leakage could not be measured; empty where it was."""


@task(name="measure leakage", cache_policy=NO_CACHE)
@masked_errors()
def log_leakage(run_id: str, outcome: Opaque[tuple[RunState, Setup]]) -> None:
    """Attack the run as its config asks, and log metrics, tables and pictures; nothing where it asks for nothing.

    An attack that fails leaves the run as it is: it is warned of, and the tag `leakage.failed` says why.
    """
    state, setup = outcome.value
    logger = get_run_logger()
    asked = setup.config.leakage
    count = asked.membership.shadows if asked is not None and asked.membership is not None else 0
    found = leakage(
        state, setup, lambda number: logger.info("leakage: shadow federation %d of %d", number + 1, count)
    )
    if found is None:
        return
    if found.failed:
        logger.warning("; ".join(found.failed))
    runs.set_tags(run_id, {FAILED: "; ".join(found.failed)})
    log_history(run_id, [(state.round, found.metrics)])
    runs.log_files(run_id, _pictures(found))
    if found.membership is not None:
        runs.log_tables(
            run_id,
            {"leakage.json": found.membership.clients, "leakage_roc.json": found.membership.curve_table()},
        )


def _pictures(found: LeakageFound) -> dict[str, str | bytes]:
    """PNGs by file name."""
    pictures: dict[str, str | bytes] = {}
    if found.membership is not None:
        pictures["membership.png"] = png(membership_picture(found.membership))
    if found.inversion is not None:
        pictures["inversion.png"] = png(inversion_picture(found.inversion))
    return pictures
