"""`./fedstudy automations`: who is told when a study that runs by itself fails."""

from typing import Annotated

import typer

from federated.foundation.errors import BadInput
from flows.prefect_runtime.runtime import client_of_named_api
from flows.terminal.screen import console
from flows.terminal.waiting import shown_while_waiting


def automations(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE/NAME",
            help="Tell this block of Prefect's, such as slack-webhook/team; without it, Prefect only records that "
            "something happened",
        ),
    ] = None,
    tag: Annotated[
        str, typer.Option(metavar="TAG", help="The tag of the deployments that are watched")
    ] = "nightly",
    hours: Annotated[
        float, typer.Option(metavar="HOURS", help="Cancel a flow run that takes longer than this")
    ] = 4.0,
) -> None:
    """Have the Prefect server of PREFECT_API_URL watch the deployments with a tag.

    Its automations tell you of flow runs that fail, crash, lose their machine, take too long or do not start. Running
    this twice leaves each automation once.
    """
    if not tag or any(sign in tag for sign in "*?[]!{}"):
        raise BadInput(f"--tag {tag}: must be a tag without any of * ? [ ] ! {{ }}")
    if not 0.01 <= hours <= 1000:
        raise BadInput(f"--hours {hours:g}: must be from 0.01 to 1000")
    screen = console()
    with client_of_named_api("automations") as client, shown_while_waiting(screen):
        from flows.deployments import automations as watching

        block = None if notify is None else watching.find_block(client, notify)
        for each in watching.automations(tag, block, hours):
            screen.print(f"{each.name}: {watching.apply(client, each)}", soft_wrap=True)
    told = f"told: {notify}" if notify else "nobody is told; --notify TYPE/NAME names a block that is"
    screen.print(told, soft_wrap=True)
