"""A study in Prefect's UI: where it is in MLflow, how far it is, its verdict. A study needs none of it to go on."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from federated.report.page.notes import study_note
from federated.study.study import Run
from flows.deployments.flow_run import ShownFlowRun
from flows.terminal.progress import News, Progress, told_too
from tasks.tracking.studies.comparison import StudyOutcome
from tasks.tracking.studies.place import place_in_mlflow

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

SECONDS_BETWEEN = 15.0
"""Between two updates of the progress, each of which is a request. A study that ends before the first one has none."""

_LONGEST_NOTE = 50_000


class StudyArtifacts:
    """The artifacts of a study's flow run, with its place in MLflow. Those of one name are versions of each other."""

    def __init__(self, flow_run: ShownFlowRun, name: str, parent_run_id: str) -> None:
        self._flow_run = flow_run
        self._key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "study"
        self._place = place_in_mlflow(name, parent_run_id)
        self.create("mlflow", "markdown", self._place, "The study in MLflow")

    def show_end(self, outcome: StudyOutcome | None, failed: Sequence[str]) -> None:
        """What failed, and the verdict with the comparison, where there is one."""
        found = "The comparison waits for MLflow."
        if outcome is not None:
            found = study_note(outcome.found, _LONGEST_NOTE, f"The report: `{outcome.report}`")
        parts = [*(f"- **{each}**" for each in failed), found, self._place]
        self.create("verdict", "markdown", "\n\n".join(parts), "What the study found")

    def create(self, what: str, kind: str, data: str | float, description: str) -> UUID | None:
        """Make an artifact. Returns its id, None where Prefect did not take it."""
        artifact = ArtifactCreate(
            key=f"{self._key}-{what}",
            type=kind,
            description=description,
            data=data,
            flow_run_id=self._flow_run.id,
        )
        made = self._asked(lambda client: client.create_artifact(artifact))
        return None if made is None else made.id

    def update(self, artifact: UUID, data: float) -> None:
        """Give an artifact other data."""
        self._asked(lambda client: client.update_artifact(artifact, ArtifactUpdate(data=data)))

    def _asked(self, request: Callable[[SyncPrefectClient], T]) -> T | None:
        """The answer, None where Prefect is away; asked once, as training waits meanwhile."""
        try:
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
                return request(self._flow_run.client)
        except (HTTPError, ObjectNotFound) as error:
            _LOG.warning("Prefect did not take an artifact: %s", str(error).partition("\n")[0])
            return None


@contextmanager
def progress_shown(
    artifacts: StudyArtifacts | None, runs: Sequence[Run], left: Sequence[Run]
) -> Iterator[None]:
    """Show how many rounds of these runs are done, once they have taken a while. left: those not done before."""
    if artifacts is None:
        yield
        return
    done = RoundsDone(artifacts, {run.name: run.config.rounds for run in runs}, {run.name for run in left})
    with told_too(done):
        yield
    done.end()


class RoundsDone:
    """A listener that keeps a progress artifact. rounds: name of a run -> its rounds. left: those not done before."""

    def __init__(self, artifacts: StudyArtifacts, rounds: dict[str, int], left: Collection[str]) -> None:
        self._artifacts, self._rounds = artifacts, rounds
        self._done = {name: 0 if name in left else count for name, count in rounds.items()}
        self._made: UUID | None = None
        self._next = time.monotonic() + SECONDS_BETWEEN
        self._lock = Lock()

    def __call__(self, news: News) -> None:
        """Count what a run has done, and say so where it is time."""
        if not isinstance(news, Progress) or news.run not in self._rounds or news.status == "warning":
            return
        with self._lock:
            ended = news.status in ("finished", "failed")
            self._done[news.run] = self._rounds[news.run] if ended else news.round
            if time.monotonic() >= self._next:
                self._say()
                self._next = time.monotonic() + SECONDS_BETWEEN

    def end(self) -> None:
        """Say the last, where anything was said."""
        if self._made is not None:
            self._say()

    def _say(self) -> None:
        percent = round(100 * sum(self._done.values()) / max(sum(self._rounds.values()), 1), 1)
        if self._made is None:
            self._made = self._artifacts.create("progress", "progress", percent, "Rounds done, of all runs")
        else:
            self._artifacts.update(self._made, percent)
