"""A trial of whether runs train faster in one stack than one after another."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import Tensor

from federated.algorithms.local_terms import NO_TERMS, LocalTerms
from federated.local_training.engine_probe import faster
from federated.local_training.steps.updates import Updates
from federated.local_training.together.ask import Ask
from federated.local_training.together.joint import joint_of
from federated.user_code.permission import is_fault

logger = logging.getLogger(__name__)

_MEMBERS = 8
_SMALL_MODEL = 50_000
"""Parameters beyond which a CPU is busy with the products of one run: 15,000 gained little, see docs/decisions."""


def pays(ask: Ask, runs: int) -> bool:
    """Whether so many runs such as the one that asks train faster together, by a trial on copies of it.

    Its outcome is kept under the home folder, so that a study that goes on has the same. A CPU tries small models
    alone. A trial that fails is no faster: what is wrong with a run ends that run, when it trains.
    """
    try:
        return _pays(ask, runs)
    except BaseException as error:
        if not is_fault(error):
            raise
        logger.info("the trial of one stack for several runs failed: %s", error)
        return False


def _pays(ask: Ask, runs: int) -> bool:
    member, work = ask.member, ask.member.work
    is_large = work.model.num_trainable > _SMALL_MODEL and work.inputs.device.type == "cpu"
    if ask.sort is None or runs < 2 or is_large:
        return False
    members = [member._replace() for _ in range(min(runs, _MEMBERS))]
    asks = [ask._replace(member=one) for one in members]
    joint = joint_of(members, asks)
    size, clients = len(ask.cohort), joint.cohort(asks)

    def apart(received: Tensor, cohort: Sequence[int], done: int, terms: LocalTerms = NO_TERMS) -> Updates:
        for first in range(0, len(cohort), size):
            updates = member.train(received, ask.cohort, done, terms.of(range(first, first + size)))
        return updates

    ways = {"one after another": apart, "one stack": joint.train}
    return faster(joint.work, ways, clients, len(clients), (len(members), size)) == "one stack"
