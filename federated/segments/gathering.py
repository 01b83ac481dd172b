"""Several runs of one process that meet where they train, so that their clients can share a stack.

Each run goes its whole way in a thread of its own, as it would alone, and only one of them works at a time. Where a run
trains it waits until all others wait too, or have ended; one of them then trains for all whose round is the lowest. A
run that fails, stops early or has an evaluation to do thus changes nothing for the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial

from torch import Tensor

from federated.algorithms.local_terms import NO_TERMS, LocalTerms
from federated.local_training import Updates
from federated.local_training.together import Ask, Engines, Member, member_of, pays, train_together
from federated.machine.cores import threads_of
from federated.machine.queueing import Waited, has_waited, processor_seconds
from federated.run.preparing.training.losses import stated_loss
from federated.run.setup import Setup
from federated.user_code.containment import is_own

_MOST_RUNS = 32
_MOST_BYTES = 512 * 2**20


class Gathering:
    """The runs of a batch. It is open while runs are added to it; they train once it is closed."""

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._answered, self._arrived = threading.Condition(self._turn), threading.Condition(self._turn)
        self._here: set[int] = set()
        self._asks: dict[int, Ask] = {}
        self._answers: dict[int, tuple[Updates | BaseException, Waited]] = {}
        self._engines, self._open = Engines(), True
        self._end: BaseException | None = None

    def expect(self, number: int) -> None:
        """A run is about to start in a thread of its own."""
        with self._turn:
            self._here.add(number)

    @contextmanager
    def taking_part(self, number: int) -> Iterator[None]:
        """The whole of a run that is expected, in its thread; `with_others` finds the gathering within it."""
        with self._turn:
            token = _SEAT.set((self, number))
            try:
                yield
            finally:
                _SEAT.reset(token)
                self._here.remove(number)
                self._answered.notify_all()
                self._arrived.notify_all()

    def wait_for(self, number: int) -> Ask | None:
        """What an expected run asks for first; None where it ended without."""
        with self._turn:
            self._arrived.wait_for(lambda: number in self._asks or number not in self._here)
            return self._asks.get(number)

    def pays(self, ask: Ask, runs: int) -> bool:
        """Whether so many runs such as the one that asks train faster together."""
        with self._turn:
            return pays(ask, runs)

    def has_room(self) -> bool:
        """Whether one more run such as these is within the bounds of their number and memory."""
        with self._turn:
            asks = list(self._asks.values())
        inputs = {ask.member.work.inputs.data_ptr(): ask.member.work.inputs.nbytes for ask in asks}
        is_own = len(inputs) > 1 or any(ask.member.own_data for ask in asks)
        copies = 2 if is_own else 0  # each run's own, and all in a row
        rows = sum(3 * len(ask.cohort) * ask.received.shape[-1] * ask.received.element_size() for ask in asks)
        share = 1 + 1 / max(len(asks), 1)
        return len(asks) < _MOST_RUNS and share * (rows + copies * sum(inputs.values())) <= _MOST_BYTES

    def close(self) -> None:
        """Let the runs train that are here."""
        with self._turn:
            self._open = False
            self._answered.notify_all()

    def end(self, error: BaseException) -> None:
        """Raise this in every run, where it next trains."""
        self._end = error  # seen by whoever has the turn when it next trains
        with self._turn:
            self._answered.notify_all()

    def train(
        self,
        number: int,
        member: Member,
        received: Tensor,
        cohort: Sequence[int],
        done: int,
        terms: LocalTerms = NO_TERMS,
    ) -> Updates:
        """The training of some clients of a run, a `LocalTrainer` once `number` and `member` are given."""
        started, processor = time.perf_counter(), processor_seconds()
        self._asks[number] = Ask(member, received, cohort, done, terms)
        self._arrived.notify_all()
        while number not in self._answers:
            if self._end is not None:
                raise self._end
            if self._open or len(self._asks) < len(self._here):
                self._answered.wait()
            else:
                self._train()
        answer, share = self._answers.pop(number)
        has_waited(
            time.perf_counter() - started - share.seconds,
            processor_seconds() - processor - share.processor_seconds,
        )
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _train(self) -> None:
        """Answer those that are in the lowest round; the others wait until these have caught up."""
        lowest = min(ask.done for ask in self._asks.values())
        numbers = [number for number, ask in self._asks.items() if ask.done == lowest]
        asks = [self._asks.pop(number) for number in numbers]
        started, processor = time.perf_counter(), processor_seconds()
        answers: Sequence[Updates | BaseException]
        try:
            answers = train_together(asks, self._engines)
        except BaseException as error:  # noqa: BLE001 - each run raises it, as none may wait for ever
            answers = [error] * len(asks)
        seconds, worked = time.perf_counter() - started, processor_seconds() - processor
        clients = max(sum(len(ask.cohort) for ask in asks), 1)
        for number, ask, answer in zip(numbers, asks, answers, strict=True):
            share = len(ask.cohort) / clients
            self._answers[number] = answer, Waited(share * seconds, share * worked)
        self._answered.notify_all()


_SEAT: ContextVar[tuple[Gathering, int] | None] = ContextVar("seat", default=None)


def with_others(setup: Setup) -> Setup:
    """The setup of a run, which trains with the others of the gathering that its thread takes part in, if any."""
    if (seat := _SEAT.get()) is None:
        return setup
    gathering, number = seat
    train = partial(gathering.train, number, member_for(setup))
    return replace(setup, worker=replace(setup.worker, train=train))


def member_for(setup: Setup) -> Member:
    """The run of this setup among others that train together."""
    config, worker = setup.config, setup.worker
    made_of = (config.model, config.trained, *([] if config.loss is None else [config.loss]))
    return member_of(
        worker.work,
        config.engine,
        worker.train,
        threads_of(config.orchestration.threads),
        [choice.model_dump_json() for choice in made_of],
        own_model=is_own(config.model),
        learns=stated_loss(config, setup.federation.examples).learn is not None,
        own_data=setup.federation.examples.fit is not None or setup.federation.changes is not None,
    )
