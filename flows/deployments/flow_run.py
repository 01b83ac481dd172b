"""The Prefect flow run of a study, where people look at it: on a server that stays when the study ends."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from federated.foundation.addresses import without_secrets
from flows.prefect_runtime.prefect_away import ends_with_study


class ShownFlowRun(NamedTuple):
    """A flow run on a server that stays.

    page: its address in Prefect's UI, "" where that is not known. tried_before: whether Prefect tries it again.
    """

    id: UUID
    page: str
    tried_before: bool
    client: SyncPrefectClient

    def tags(self) -> dict[str, str]:
        """What MLflow says of it."""
        return {"prefect.flow_run": str(self.id), **({"prefect.page": self.page} if self.page else {})}

    def try_no_more(self) -> None:
        """Have the server not try it again: another try could only end as this one."""
        if self.client.read_flow_run(self.id).empirical_policy.retries:
            self._change(retries=0)

    def let_any_worker_retry(self) -> None:
        """Let a worker take it, should this process die; Prefect keeps such a second try for its process for good."""
        self._change(retry_type=None)

    def _change(self, **changes: int | None) -> None:
        policy = self.client.read_flow_run(self.id).empirical_policy
        self.client.update_flow_run(self.id, empirical_policy=policy.model_copy(update=changes))


def shown_flow_run() -> ShownFlowRun | None:
    """The flow run of now; None on a server that ends with the study, whose UI nobody opens."""
    context, server = FlowRunContext.get(), PREFECT_API_URL.value()
    if context is None or context.flow_run is None or not server or ends_with_study(server):
        return None
    run, client = context.flow_run, context.client
    if not isinstance(client, SyncPrefectClient):  # of a flow that is not ours
        return None
    page = without_secrets(url_for("flow-run", run.id) or "")
    return ShownFlowRun(run.id, page, run.run_count > 1, client)
