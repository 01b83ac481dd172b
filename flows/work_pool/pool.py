"""A Prefect work pool as the place of a study's runs: a flow run each, taken by whichever worker is free."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import takewhile
from uuid import UUID

from httpx import HTTPError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterTags
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Pending

from federated.foundation.errors import BadInput
from federated.foundation.texts import digest, listed
from flows.work_pool.code import ROOT
from flows.work_pool.pooled_run import Sent, pooled_run

_TRIES = 2  # as in a pool of processes: a worker that was killed once may have been stopped by its machine
_SECONDS = 2.0
_SECONDS_TO_CANCEL = 60.0
_AT_A_TIME = 100
_MOST_LEFT = 10_000


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


def refuse_own_pool(name: str) -> None:
    """Raise BadInput where a worker of this pool runs this flow: its place may be what its runs wait for."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None and context.flow_run.work_pool_name == name:
        raise BadInput(
            f"workers: a worker of the work pool {name!r} runs this study, which cannot send its runs there too: it "
            "holds a place that they would wait for; give the runs, or the study, a pool of their own"
        )


def workers_there(name: str) -> int:
    """The number of its workers that Prefect has heard of lately."""
    with get_client(sync_client=True) as client:
        return len(_online(client, name))


def _online(client: SyncPrefectClient, name: str) -> list[object]:
    return [each for each in client.read_workers_for_work_pool(name) if str(each.status).endswith("ONLINE")]


class Pool:
    """Runs on the workers of a pool.

    began, ended: receive the index of an order when a worker has begun it, and when it has ended, with its state.
    died: receives the index of one whose process died, and what Prefect says of it; returns whether its work had been
    finished before. left: receives the names of earlier flow runs of the study that no worker has ended.
    sends: receives the index of an order before each flow run for it is made. lost: whether the machine of one that
    runs is known to be gone, of which Prefect is told then.
    """

    def __init__(
        self,
        name: str,
        began: Callable[[int], None],
        ended: Callable[[int, State[str]], None],
        died: Callable[[int, str], bool],
        left: Callable[[list[str]], None],
        sends: Callable[[int], None] = lambda at: None,
        lost: Callable[[int], bool] = lambda at: False,
    ) -> None:
        self._name, self._tell_began, self._tell_ended, self._died = name, began, ended, died
        self._tell_left, self._tell_sends, self._lost = left, sends, lost
        self._at: dict[UUID, int] = {}

    def run(
        self, orders: Sequence[Order], study: str, parent_run_id: str, *, resume: bool
    ) -> list[State[str]]:
        """The final state of each; crashed where its process died twice. All begin as workers are free.

        What an earlier start of the study has left in the pool is cancelled first.
        """
        states: list[State[str]] = [Crashed()] * len(orders)
        tries, begun = [1] * len(orders), set[UUID]()
        with get_client(sync_client=True) as client, self._cancelled_where_it_fails(client):
            self._cancel_earlier(client, parent_run_id)
            deployment = self._deployed(client)

            def start(at: int, resume: bool) -> None:
                given = {"study": study, "parent_run_id": parent_run_id, "resume": resume}
                order = orders[at]
                self._tell_sends(at)
                flow_run = client.create_flow_run_from_deployment(
                    deployment,
                    parameters={"name": order.name, "run": order.run, **given},
                    name=order.name,
                    tags=[_tag(parent_run_id)],
                )
                self._at[flow_run.id] = at

            for at in range(len(orders)):
                start(at, resume)
            while self._at:
                time.sleep(_SECONDS)
                for flow_run, state in _states(client, list(self._at)).items():
                    at = self._at[flow_run]
                    if not state.is_final():
                        if state.is_running() and flow_run not in begun:
                            begun.add(flow_run)
                            self._tell_began(at)
                        if state.is_running() and self._lost(at):
                            gone: State[str] = Crashed(message="its machine gives no sign of life")
                            with suppress(ObjectNotFound):  # deleted meanwhile
                                client.set_flow_run_state(flow_run, gone, force=True)
                        continue
                    del self._at[flow_run]
                    states[at] = self._final(at, state)
                    if states[at].is_crashed() and tries[at] < _TRIES:
                        tries[at] += 1
                        start(at, True)
        return states

    def _final(self, at: int, state: State[str]) -> State[str]:
        """The state with a reason: Prefect often gives none to what was cancelled, and a long one to what crashed."""
        if state.is_completed() or state.is_failed():
            self._tell_ended(at, state)
            return state
        said = (state.message or "").rstrip(".")
        if state.is_crashed():
            why = f"its process died{f' ({said})' if said else ''}; the log of its flow run in Prefect may say more"
        else:
            why = said or f"its flow run was {(state.name or 'cancelled').lower()} in Prefect"
        if self._died(at, why):
            state = Completed()
        self._tell_ended(at, state)
        return state.model_copy(update={"message": why})

    def _cancel_earlier(self, client: SyncPrefectClient, parent_run_id: str) -> None:
        """Cancel what an earlier start of the study has left: it would train the same runs beside these, or after them.

        A worker that does not cancel what it has begun is no longer there.
        """
        ours = FlowRunFilter(tags=FlowRunFilterTags(all_=[_tag(parent_run_id)]))
        pages = range(0, _MOST_LEFT, _AT_A_TIME)
        read = (client.read_flow_runs(flow_run_filter=ours, limit=_AT_A_TIME, offset=at) for at in pages)
        every = [each for page in takewhile(bool, read) for each in page]
        left = [each.id for each in every if each.state is None or not each.state.is_final()]
        _cancel(client, left)
        deadline = time.monotonic() + _SECONDS_TO_CANCEL
        while left and time.monotonic() < deadline:
            time.sleep(_SECONDS)
            left = [flow_run for flow_run, state in _states(client, left).items() if not state.is_final()]
        for flow_run in left:
            client.set_flow_run_state(flow_run, Cancelled(message="no worker ended it"), force=True)
        if left:
            self._tell_left([each.name for each in every if each.id in left])

    def _deployed(self, client: SyncPrefectClient) -> UUID:
        """The deployment of `pooled_run` for this pool, made or brought up to date."""
        here = {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
        return client.create_deployment(
            client.create_flow(pooled_run),
            f"{self._name}-{digest(str(ROOT))}",  # one for each checkout, as the folder is part of it
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
                _cancel(client, list(self._at))
            raise


def _tag(parent_run_id: str) -> str:
    """The tag of all flow runs of a study."""
    return f"study-{parent_run_id}"


def _cancel(client: SyncPrefectClient, flow_runs: Sequence[UUID]) -> None:
    """Have workers end what they have begun; what waits is cancelled at once."""
    for flow_run, state in _states(client, flow_runs).items():
        if not state.is_final():
            waits = state.type in (StateType.SCHEDULED, StateType.PENDING)
            with suppress(ObjectNotFound):  # deleted meanwhile
                client.set_flow_run_state(flow_run, Cancelled() if waits else Cancelling())


def _states(client: SyncPrefectClient, flow_runs: Sequence[UUID]) -> dict[UUID, State[str]]:
    """The state of each; of one that is deleted, which nobody will run any more, that it is."""
    found: dict[UUID, State[str]] = dict.fromkeys(
        flow_runs, Cancelled(message="its flow run was deleted in Prefect")
    )
    for first in range(0, len(flow_runs), _AT_A_TIME):
        some = FlowRunFilter(id=FlowRunFilterId(any_=list(flow_runs[first : first + _AT_A_TIME])))
        for flow_run in client.read_flow_runs(flow_run_filter=some):
            found[flow_run.id] = flow_run.state or Pending()
    return found
