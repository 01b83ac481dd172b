"""The automations that watch deployments with a tag, as code: applied twice, each is there once."""

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events.actions import (
    ActionTypes,
    CallWebhook,
    CancelFlowRun,
    ChangeFlowRunState,
    DoNothing,
    SendNotification,
)
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from federated.foundation.errors import BadInput

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import BlockDocument

_WITHOUT_HEARTBEAT = timedelta(minutes=10)
"""A flow run sends a heartbeat every three minutes, and a server that starts again may miss one."""

_WITHOUT_START = timedelta(hours=1)
_ENDS = ("Completed", "Failed", "Crashed", "TimedOut", "Cancelling", "Cancelled", "AwaitingRetry")
_WEBHOOK = "webhook"
"""The type of Prefect's plain webhooks, which are called and not notified."""

_WHICH = "{{ deployment.name }} ({{ event.resource['prefect.resource.name'] }})"
_PAGE = "{% set page = flow_run|ui_url %}{% if page %} {{ page }}{% endif %}"


class Message(NamedTuple):
    """Templates that Prefect's server fills with the event, its deployment and its flow run."""

    subject: str
    body: str


ENDED_BADLY = Message(
    _WHICH + ": {{ event.resource['prefect.state-name'] }}",
    "{{ event.resource['prefect.state-message'] }}" + _PAGE,
)
TOO_LONG = Message(_WHICH + ": takes too long", "It is cancelled; `resume` goes on with it." + _PAGE)
NOT_STARTED = Message(_WHICH + ": not started", "No worker has taken it for an hour." + _PAGE)


class Block(NamedTuple):
    """A saved block that takes messages. slug: `TYPE/NAME`, as Prefect's command line has it."""

    id: UUID
    slug: str

    def telling(self, message: Message) -> ActionTypes:
        """The action that sends it; a plain webhook gets JSON with both parts."""
        if self.slug.startswith(f"{_WEBHOOK}/"):
            return CallWebhook(block_document_id=self.id, payload=_as_json(message))
        return SendNotification(block_document_id=self.id, subject=message.subject, body=message.body)


def find_block(client: "SyncPrefectClient", slug: str) -> Block:
    """The saved block of that slug. Raises BadInput where there is none, or where it takes no messages."""
    kind, _, name = slug.partition("/")
    try:
        found = client.read_block_document_by_name(name, kind)
    except ObjectNotFound as error:
        raise BadInput(f"--notify {slug}: no such block; {_choice(client)}") from error
    if not _takes_messages(found):
        raise BadInput(f"--notify {slug}: this kind of block takes no messages; {_choice(client)}")
    return Block(found.id, slug)


def _choice(client: "SyncPrefectClient") -> str:
    """The blocks that there are, in words."""
    known = [
        _slug(each) for each in client.read_block_documents(include_secrets=False) if _takes_messages(each)
    ]
    if known:
        return f"there are: {', '.join(sorted(known))}"
    return "make one in Prefect's UI under Blocks, and name it as TYPE/NAME, such as slack-webhook/team"


def _slug(block: "BlockDocument") -> str:
    return f"{block.block_type.slug if block.block_type else ''}/{block.name}"


def _takes_messages(block: "BlockDocument") -> bool:
    notifies = block.block_schema is not None and "notify" in block.block_schema.capabilities
    return notifies or _slug(block).startswith(f"{_WEBHOOK}/")


def _as_json(message: Message) -> str:
    """A template of JSON whose parts are templates themselves."""
    parts = {"subject": message.subject, "body": message.body}
    filled = "".join(f"{{% set {name} %}}{text}{{% endset %}}" for name, text in parts.items())
    return filled + "{" + ", ".join(f'"{name}": {{{{ {name}|tojson }}}}' for name in parts) + "}"


def apply(client: "SyncPrefectClient", wanted: AutomationCore) -> str:
    """Make this automation, or change the one of its name to it; others of that name go. Returns what was done.

    One that was switched off in Prefect's UI stays off.
    """
    # An update leaves out what was not stated, and refuses an owner.
    whole = AutomationCore(**wanted.model_dump(exclude={"owner_resource"}))
    there = client.read_automations_by_name(wanted.name)
    if not there:
        client.create_automation(whole)
        return "made"
    first, *others = there
    for each in others:
        client.delete_automation(each.id)
    client.update_automation(first.id, whole.model_copy(update={"enabled": first.enabled}))
    return "brought up to date" if first.enabled else "brought up to date; it is switched off"


def automations(tag: str, block: Block | None, hours: float) -> list[AutomationCore]:
    """The automations that watch flow runs of deployments with this tag.

    block: who is told; None: Prefect's event feed alone shows that an automation fired. hours: the longest that a flow
    run may take.
    """
    return [_ended_badly(tag, block), _not_started(tag, block), _lost(tag), _too_long(tag, block, hours)]


def _ended_badly(tag: str, block: Block | None) -> AutomationCore:
    """By the type of the state, as a name is free; a run that will be tried again is scheduled, not failed."""
    return AutomationCore(
        name=f"fedstudy: a {tag} flow run ended badly",
        description=f"A flow run of a deployment tagged {tag} failed or crashed.",
        trigger=_trigger(
            tag,
            expect={"prefect.flow-run.*"},
            match={"prefect.state-type": [StateType.FAILED.value, StateType.CRASHED.value]},
        ),
        actions=[_telling(block, ENDED_BADLY)],
    )


def _not_started(tag: str, block: Block | None) -> AutomationCore:
    """A night without a worker has no flow run that fails."""
    return AutomationCore(
        name=f"fedstudy: a {tag} flow run has not started",
        description=f"A flow run of a deployment tagged {tag} is an hour late.",
        trigger=_trigger(
            tag,
            after={"prefect.flow-run.Late"},
            expect={"prefect.flow-run.*"},
            posture=Posture.Proactive,
            within=_WITHOUT_START,
        ),
        actions=[_telling(block, NOT_STARTED)],
    )


def _lost(tag: str) -> AutomationCore:
    """A machine that stops cannot say so; the run is then Crashed, which is told as any other."""
    return AutomationCore(
        name=f"fedstudy: a {tag} flow run has no heartbeat",
        description=f"A flow run of a deployment tagged {tag} is Crashed after ten minutes without a heartbeat.",
        trigger=_trigger(
            tag,
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            posture=Posture.Proactive,
            within=_WITHOUT_HEARTBEAT,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat for ten minutes")],
    )


def _too_long(tag: str, block: Block | None, hours: float) -> AutomationCore:
    """A flow that hangs sends heartbeats for ever."""
    return AutomationCore(
        name=f"fedstudy: a {tag} flow run takes too long",
        description=f"A flow run of a deployment tagged {tag} is cancelled after {hours:g} hours.",
        trigger=_trigger(
            tag,
            after={"prefect.flow-run.Running"},
            expect={f"prefect.flow-run.{end}" for end in _ENDS},
            posture=Posture.Proactive,
            within=timedelta(hours=hours),
        ),
        actions=[_telling(block, TOO_LONG), CancelFlowRun()],
    )


def _trigger(tag: str, match: dict[str, list[str]] | None = None, **stated: object) -> EventTrigger:
    """A trigger for each flow run of a deployment with this tag; not for its subflows."""
    return EventTrigger.model_validate(
        {
            "match": {"prefect.resource.id": "prefect.flow-run.*", **(match or {})},
            "match_related": [
                {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{tag}"},
                {"prefect.resource.role": "deployment"},
            ],
            "for_each": {"prefect.resource.id"},
            "posture": Posture.Reactive,
            **stated,
        }
    )


def _telling(block: Block | None, message: Message) -> ActionTypes:
    return DoNothing() if block is None else block.telling(message)
