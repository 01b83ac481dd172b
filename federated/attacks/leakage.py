"""The attacks on a run that its config asks for, after its last round."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from federated.attacks.inversion import InversionFound, inversion
from federated.attacks.membership import MembershipFound, membership
from federated.foundation.errors import bounded
from federated.metrics import Metrics
from federated.run.state import RunState
from federated.user_code.containment import own_code_named

if TYPE_CHECKING:
    from federated.run.setup import Setup

Found = TypeVar("Found")


class LeakageFound(NamedTuple):
    """What was found by each attack; None by one that was not asked for, or that failed.

    failed: why leakage could not be measured, a line for each attack that failed.
    """

    membership: MembershipFound | None
    inversion: InversionFound | None
    failed: tuple[str, ...] = ()

    @property
    def metrics(self) -> Metrics:
        """`privacy/membership...`, `privacy/update_membership...` and `privacy/inversion...`."""
        return {
            **(self.membership.metrics if self.membership else {}),
            **(self.inversion.metrics if self.inversion else {}),
        }


def leakage(
    state: RunState, setup: Setup, begun: Callable[[int], None] = lambda number: None
) -> LeakageFound | None:
    """Attack a run after its last round, by its config; None where that asks for nothing. Changes nothing.

    A function of config and state, so that it can be repeated. begun: called with the number of each shadow federation
    before it trains. Raises nothing: the run is trained, whatever becomes of an attack on it.
    """
    asked = setup.config.leakage
    if asked is None:
        return None
    failed: list[str] = []
    members, images = asked.membership, asked.inversion
    return LeakageFound(
        None
        if members is None
        else _tried("membership", setup, lambda: membership(state, setup, members, begun), failed),
        None
        if images is None
        else _tried("inversion", setup, lambda: inversion(state, setup, images), failed),
        tuple(failed),
    )


def _tried(name: str, setup: Setup, attack: Callable[[], Found], failed: list[str]) -> Found | None:
    """What an attack found; None where it failed, which is then said in one line in `failed`."""
    try:
        with own_code_named(setup.config):
            return attack()
    except Exception as error:  # noqa: BLE001 - of a shadow, memory, code of the user: nothing of the run itself
        said = bounded(" ".join(f"{type(error).__name__}: {error}".split()))
        failed.append(f"leakage.{name} could not be measured: {said}")
        return None
