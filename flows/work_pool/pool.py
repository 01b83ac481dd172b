"""A Prefect work pool as the place of a study's runs: a flow run each, taken by whichever worker is free."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Completed

from federated.foundation.errors import BadInput
from federated.foundation.texts import listed
from flows.work_pool.pooled_run import Sent, pooled_run

_TRIES = 2  # as in a pool of processes: a worker that was killed once may have been stopped by its machine
_SECONDS = 2.0
_AT_A_TIME = 100
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Order:
    """What a worker gets. name: of the run. run: as `sent` makes it."""

    name: str
    run: Sent


def require_pool(name: str) -> int:
    """The number of its workers that are there now, at least 1. Raises BadInput where it is no pool that runs flows."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound as error:
            there = sorted(each.name for each in client.read_work_pools())
            said = f"there are: {listed(there)}" if there else "there is none yet"
            raise BadInput(
                f"workers: Prefect at {client.api_url} has no work pool {name!r}; {said} (`prefect work-pool create "
                f"{name} --type process` makes one)"
            ) from error
        if found.is_push_pool or found.is_managed_pool:
            raise BadInput(
                f"workers: the work pool {name!r} is of the type {found.type!r}; one that workers ask is needed, "
                "such as `process`"
            )
        return max(len(_online(client, name)), 1)


def workers_there(name: str) -> int:
    """The number of its workers that Prefect has heard of lately."""
    with get_client(sync_client=True) as client:
        return len(_online(client, name))


def _online(client: SyncPrefectClient, name: str) -> list[object]:
    return [each for each in client.read_workers_for_work_pool(name) if str(each.status).endswith("ONLINE")]


class Pool:
    """Runs on the workers of a pool.

    began, ended: receive the index of an order when a worker has begun it, and when it has ended, with its state.
    died: receives the index of one whose process died; returns whether its work had been finished before.
    """

    def __init__(
        self,
        name: str,
        began: Callable[[int], None],
        ended: Callable[[int, State[str]], None],
        died: Callable[[int], bool],
    ) -> None:
        self._name, self._tell_began, self._tell_ended, self._died = name, began, ended, died
        self._at: dict[UUID, int] = {}

    def run(
        self, orders: Sequence[Order], study: str, parent_run_id: str, *, resume: bool
    ) -> list[State[str] | None]:
        """The final state of each; None where its process died twice. All begin as workers are free."""
        states: list[State[str] | None] = [None] * len(orders)
        tries, begun = [1] * len(orders), set[UUID]()
        with get_client(sync_client=True) as client, self._cancelled_where_it_fails(client):
            deployment = self._deployed(client)

            def start(at: int, resume: bool) -> None:
                given = {"study": study, "parent_run_id": parent_run_id, "resume": resume}
                order = orders[at]
                flow_run = client.create_flow_run_from_deployment(
                    deployment, parameters={"name": order.name, "run": order.run, **given}, name=order.name
                )
                self._at[flow_run.id] = at

            for at in range(len(orders)):
                start(at, resume)
            while self._at:
                time.sleep(_SECONDS)
                for flow_run in _read(client, list(self._at)):
                    state, at = flow_run.state, self._at[flow_run.id]
                    if state is None or not state.is_final():
                        if state is not None and state.is_running() and flow_run.id not in begun:
                            begun.add(flow_run.id)
                            self._tell_began(at)
                        continue
                    del self._at[flow_run.id]
                    states[at] = self._final(at, state)
                    if states[at] is None and tries[at] < _TRIES:
                        tries[at] += 1
                        start(at, True)
        return states

    def _final(self, at: int, state: State[str]) -> State[str] | None:
        if state.is_crashed() and not self._died(at):
            return None
        state = Completed() if state.is_crashed() else state
        self._tell_ended(at, state)
        return state

    def _deployed(self, client: SyncPrefectClient) -> UUID:
        """The deployment of `pooled_run` for this pool, made or brought up to date."""
        here = {"prefect.deployments.steps.set_working_directory": {"directory": str(_ROOT)}}
        return client.create_deployment(
            client.create_flow(pooled_run),
            self._name,
            work_pool_name=self._name,
            entrypoint="flows.work_pool.pooled_run.pooled_run",
            pull_steps=[here],
            description="One run of a study that was started with `--workers pool:...`; the study starts it itself.",
            tags=["fedstudy"],
            enforce_parameter_schema=False,
        )

    @contextmanager
    def _cancelled_where_it_fails(self, client: SyncPrefectClient) -> Iterator[None]:
        """Where the block fails or is interrupted, workers cancel what is under way, and the rest never begins."""
        try:
            yield
        except BaseException:
            with suppress(HTTPError):  # where Prefect is away, which is what is raised, nobody can cancel
                for flow_run in _read(client, list(self._at)):
                    if flow_run.state is not None and not flow_run.state.is_final():
                        waits = flow_run.state.type in (StateType.SCHEDULED, StateType.PENDING)
                        client.set_flow_run_state(flow_run.id, Cancelled() if waits else Cancelling())
            raise


def _read(client: SyncPrefectClient, ids: Sequence[UUID]) -> Iterator[FlowRun]:
    for first in range(0, len(ids), _AT_A_TIME):
        some = FlowRunFilter(id=FlowRunFilterId(any_=list(ids[first : first + _AT_A_TIME])))
        yield from client.read_flow_runs(flow_run_filter=some)
