"""Leave one out: each arm once more for each site, which then never trains."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from federated.config.clients import names_of_clients
from federated.config.run import RunConfig
from federated.study.arm_labels import AXIS_SEPARATOR, UNSEEN, Arm, Overrides, Tails, axis_label, labelled


def _true_or_names(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return bool(value)
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be true, false or a list of names; got {value!r}")
    return names_of_clients(value) if value else False


LeaveOneOut = Annotated[
    bool | tuple[str, ...],
    BeforeValidator(_true_or_names),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Of a study: whether each site is left out in turn, or which sites are."""


def left_out_in_turn(
    arms: Sequence[Arm],
    sites: Sequence[str],
    config_of: Callable[[Overrides], RunConfig],
    tails: Tails,
    study: str,
) -> list[Arm]:
    """Each of the arms without each of the sites, `ARM · without SITE`.

    Not of `training: local`, whose clients have no model for a site that never trains. Raises ValueError where an arm
    sets clients aside itself.
    """
    made = []
    for (overrides, config), site in itertools.product(arms, sites):
        if config.kind.own_models:
            continue
        if config.holdout.unseen_clients:
            raise ValueError(
                f"leave_one_out sets each site aside in turn, and holdout.unseen_clients "
                f"{config.holdout.unseen_clients!r} does too; leave one of them out"
            )
        own = {**overrides, UNSEEN: [site]}
        if config.clients is not None:
            own["clients"] = config.clients - 1
        parts = [labelled(overrides, config, tails, study).name] if overrides else []
        without = config_of(own)
        own["name"] = AXIS_SEPARATOR.join([*parts, axis_label(without, UNSEEN, own, tails)])
        made.append((own, without))
    return made
