"""Join or not: each arm once more without each site, to say what joining does for it, and it for the others."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from federated.config.clients import names_of_clients
from federated.config.measuring.coalitions import LEAVE_ONE_OUT, Coalitions, permutations_in, value_of_sites
from federated.config.run import RunConfig
from federated.config.section import Frozen, on_or_off
from federated.config.training import Anchor
from federated.foundation.errors import readable
from federated.study.arm_labels import AXIS_SEPARATOR, WITHDRAWN, Arm, Overrides, Tails, axis_label, labelled


def _names(value: Any) -> Any:
    return names_of_clients(value) if isinstance(value, list | tuple) else value


class Sites(Frozen):
    """What joining does for each site, and each site for the others."""

    value: Annotated[str, BeforeValidator(value_of_sites)] = Field(
        LEAVE_ONE_OUT,
        description="The value of a site to the others. leave_one_out: what they lose when it leaves; exact: its "
        "Shapley value besides, for which each coalition of up to 8 sites is trained after each run; permutations(20): "
        "an estimate of it by so many random orders in which sites join",
    )
    names: Annotated[tuple[str, ...] | None, BeforeValidator(_names)] = Field(
        None, description="The sites that are judged; null: all that train"
    )
    together: tuple[Annotated[tuple[str, ...], BeforeValidator(_names)], ...] | None = Field(
        None,
        description="Groups of sites that also withdraw together; null: those that hold copies of the same examples",
    )

    @property
    def are_known(self) -> bool:
        """Whether all that withdraw are known by name, as they are once the data are read."""
        return self.names is not None and self.together is not None

    @property
    def coalitions(self) -> Coalitions | None:
        """The coalitions that each run trains; None where none, and while the data are not read."""
        if self.value == LEAVE_ONE_OUT or self.names is None:
            return None
        return Coalitions(names=self.names, permutations=permutations_in(self.value))

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The sites that withdraw at a time: each alone, then the stated groups; [] while the data are not read."""
        if self.names is None:
            return []
        return list(dict.fromkeys([*((name,) for name in self.names), *(self.together or ())]))


SitesSection = Annotated[Sites | None, BeforeValidator(on_or_off)]


def withdrawn(sites: Sites | None) -> int:
    """How many sites and groups of sites withdraw in turn, as far as they are known by name."""
    return 0 if sites is None else len(sites.groups)


def is_rival(config: RunConfig, left_out: Sequence[str], sites: Sites | None) -> bool:
    """Whether an arm is compared with others: no anchor, and not without a site that is left out or withdraws."""
    whole = config.holdout.unseen_clients not in [(site,) for site in left_out]
    return config.kind.has_server and whole and (sites is None or config.cohort.without is None)


def with_coalitions(arms: Sequence[Arm], sites: Sites | None) -> list[Arm]:
    """The arms, of which those with a server train the coalitions that value sites. Raises ValueError."""
    try:
        asked = None if sites is None else sites.coalitions
    except ValidationError as error:
        raise ValueError(f"sites.value: {readable(error)}") from error
    if asked is None:
        return list(arms)
    changes = {"coalitions": asked}
    return [
        (overrides, config.model_copy(update=changes) if config.kind.has_server else config)
        for overrides, config in arms
    ]


def with_alone(anchors: Sequence[Anchor], sites: Sites | None) -> Sequence[Anchor]:
    """The anchors of a study; where sites are judged, each trains alone too."""
    return anchors if sites is None or "local" in anchors else (*anchors, "local")


def withdrawn_in_turn(
    arms: Sequence[Arm],
    sites: Sites | None,
    config_of: Callable[[Overrides], RunConfig],
    tails: Tails,
    study: str,
) -> list[Arm]:
    """Each of the arms without each of the groups of sites, `ARM · SITE withdrawn`.

    Not of training without a server, in which no site does anything for another. Raises ValueError where sites hold
    nothing out to be judged on, or an arm has withdrawn some itself.
    """
    if sites is None:
        return []
    federated = [arm for arm in arms if arm[1].kind.has_server]
    for _, config in federated:
        _check(config)
    made = []
    for (overrides, config), group in itertools.product(federated, sites.groups):
        own = {**overrides, WITHDRAWN: list(group)}
        parts = [labelled(overrides, config, tails, study).name] if overrides else []
        without = config_of(own)
        own["name"] = AXIS_SEPARATOR.join([*parts, axis_label(without, WITHDRAWN, own, tails)])
        made.append((own, without))
    return made


def _check(config: RunConfig) -> None:
    holdout = config.holdout
    if not holdout.client and (holdout.by.own_code() or "client" not in holdout.by.build().states):
        raise ValueError(
            "sites: each site is judged on examples of its own that it keeps for evaluation, and holdout.client is 0; "
            "state a share, such as holdout.client: 0.2"
        )
    if config.cohort.without is not None:
        raise ValueError(
            f"sites withdraws each site in turn, and cohort.without {list(config.cohort.without)} does too; leave one "
            "of them out"
        )
    if isinstance(holdout.unseen_clients, int) and holdout.unseen_clients:
        raise ValueError(
            f"sites: holdout.unseen_clients {holdout.unseen_clients} draws other clients with each seed, so that no "
            "site would be judged with all seeds; name them, or leave one of the two out"
        )
