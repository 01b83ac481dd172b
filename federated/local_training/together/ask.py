"""The training that a run asks for: what of it may differ between runs whose clients share a stack, and what not."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.config.engine import Engine
from federated.local_training.dense.recognise import linear_stack
from federated.local_training.steps.updates import LocalTrainer
from federated.local_training.steps.work import LocalWork


class Member(NamedTuple):
    """A run among others, fixed while it lasts.

    train: the run's own trainer. threads: of one run.
    sort: equal for runs whose clients can be rows of one stack: model, loss, local steps, and the form of the data.
    apart: why no other run's clients can; "" where they can. own_data: whether its inputs are made for this run alone.
    """

    work: LocalWork
    engine: Engine
    train: LocalTrainer
    threads: int
    sort: Hashable
    apart: str
    own_data: bool = False


def member_of(
    work: LocalWork,
    engine: Engine,
    train: LocalTrainer,
    threads: int = 1,
    choices: Sequence[str] = (),
    *,
    own_model: bool = False,
    learns: bool = False,
    own_data: bool = False,
) -> Member:
    """choices: in words, what else makes the model and its loss. learns: whether the loss is learnt from the data."""
    layers = linear_stack(work)
    weighs = work.weights is not None
    data = (work.inputs.shape[1:], work.inputs.dtype, work.targets.shape[1:], work.targets.dtype, weighs)
    steps = (work.local.model_dump_json(), work.rounds, work.precision)
    module = (str(work.model.module), str(layers))
    sort = (*choices, module, engine, str(work.inputs.device), data, steps, threads)
    apart = _apart(work, engine, own_model and not layers, learns)
    return Member(work, engine, train, threads, sort, apart, own_data)


def _apart(work: LocalWork, engine: Engine, is_unknown: bool, learns: bool) -> str:
    model = work.model
    reasons = {
        "engine: loop trains one client at a time": engine.name == "loop",
        "its clients train in other processes (engine.scale_out)": engine.scale_out is not None,
        "its steps are by single examples": work.per_example is not None,
        "its batches go through the model in pieces (engine.micro_batch)": work.micro_batch is not None,
        "its model has frozen parameters": model.num_frozen > 0,
        "its model has buffers, such as running statistics": any(True for _ in model.module.buffers()),
        "its loss is learnt from the data": learns,
        "its model is own code and no stack of dense layers": is_unknown,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


class Ask(NamedTuple):
    """The local training of some clients of a run in a round, with the arguments of a `LocalTrainer`."""

    member: Member
    received: Tensor
    cohort: Sequence[int]
    done: int
    terms: LocalTerms

    @property
    def sort(self) -> Hashable:
        """Equal for asks that one call can take; None for one that no other can join."""
        terms = self.terms
        if self.member.apart or terms.contrast is not None or terms.own_steps is not None or terms.phases:
            return None
        rows = (terms.rate_factors, terms.steps, terms.offsets, terms.correction, terms.anchor)
        return self.member.sort, self.done, terms.proximal, tuple(each is None for each in rows)
