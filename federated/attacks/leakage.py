"""The attacks on a run that its config asks for, after its last round."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from federated.attacks.inversion import InversionFound, inversion
from federated.attacks.membership import MembershipFound, membership
from federated.metrics import Metrics
from federated.run.state import RunState
from federated.user_code.containment import own_code_named

if TYPE_CHECKING:
    from federated.run.setup import Setup


class LeakageFound(NamedTuple):
    """What was found by each attack; None by one that was not asked for."""

    membership: MembershipFound | None
    inversion: InversionFound | None

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
    before it trains. Raises Diverged.
    """
    asked = setup.config.leakage
    if asked is None:
        return None
    with own_code_named(setup.config):
        return LeakageFound(
            None if asked.membership is None else membership(state, setup, asked.membership, begun),
            None if asked.inversion is None else inversion(state, setup, asked.inversion),
        )
