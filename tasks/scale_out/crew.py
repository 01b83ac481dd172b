"""The trainers of a run: they get orders as they become idle, and one that is lost is replaced and its work redone."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import torch

from federated.config.run import RunConfig
from federated.federation.federation import Federation
from federated.shards import ShardOrder
from federated.user_code.source import VARIABLE
from tasks.scale_out.queue import Queue
from tasks.scale_out.trainer import Trainer, common_of, in_common, own_of
from tasks.scale_out.travel import unpacked

_TRIES = 3
_SECONDS_TO_BEGIN = 300.0
_AHEAD = 2
"""Orders for each trainer that are given out before the first of them is answered."""
_CPU = torch.device("cpu")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class TrainersLost(RuntimeError):
    """Processes of Ray ended again and again, or none began."""


class _Task(NamedTuple):
    """An order that a trainer works on. at: its number among those of the round."""

    trainer: Any
    at: int
    order: ShardOrder


class _Beginning(NamedTuple):
    """A trainer that begins. lost: how many in whose place it is ended before they had begun."""

    trainer: Any
    lost: int


class Crew:
    """So many trainers in processes of Ray.

    They remember nothing that is not in their orders, so it does not matter which of them gets one, nor how often it
    is done. lost: how many of them ended before their time.
    """

    def __init__(self, ray: Any, count: int, resources: Mapping[str, float], tries: int = _TRIES) -> None:
        """resources: the num_cpus and num_gpus of each. tries: of the same work, until that ends the run."""
        self._ray, self._count, self._tries = ray, count, tries
        self._actor = ray.remote(Trainer).options(max_restarts=0, max_task_retries=0, **resources)
        lost = ray.exceptions
        self._lost_by = (lost.RayActorError, lost.ObjectLostError, lost.OutOfMemoryError, lost.NodeDiedError)
        self._idle: list[Any] = []
        self._beginning: dict[Any, _Beginning] = {}
        self._busy: dict[Any, _Task] = {}
        self._of_run: tuple[Any, Any] = (None, None)
        self._losses = Counter[tuple[int, int]]()
        self._say: Callable[[str], None] = print
        self.lost = 0

    def begin(self, config: RunConfig, federation: Federation, say: Callable[[str], None]) -> None:
        """Make every trainer one of this run. They begin side by side, and none is waited for.

        say: shows a sentence to the user.
        """
        self._of_run = self._ray.put(config), self._ray.put(federation)
        self._losses, self._say = Counter(), say
        there, self._idle = self._idle, []
        for trainer in (*there, *(self._actor.remote() for _ in range(self._count - len(there)))):
            self._begin(trainer)

    def end(self) -> None:
        """Let the trainers forget the run, each after what it is at; nothing is, but where the run failed."""
        self._idle += [
            *(each.trainer for each in self._beginning.values()),
            *(task.trainer for task in self._busy.values()),
        ]
        self._beginning, self._busy, self._of_run = {}, {}, (None, None)
        for trainer in self._idle:
            trainer.end.remote()

    def dismiss(self) -> None:
        """End all trainers."""
        self.end()
        for trainer in self._idle:
            self._ray.kill(trainer)
        self._idle = []

    @property
    def trainers(self) -> list[Any]:
        """Those that have no order now, as Ray knows them."""
        return list(self._idle)

    def each(self, method: str, orders: Iterable[ShardOrder]) -> Iterator[Any]:
        """The answers of a method of trainers to these orders, in their order.

        Raises what a trainer raised, and TrainersLost.
        """
        queue, common = Queue(orders, _AHEAD * self._count), _Common(self._ray)
        while not queue.done:
            while self._idle and (taken := queue.take()) is not None:
                trainer, (at, order) = self._idle.pop(), taken
                answer = getattr(trainer, method).remote(common.of(order), own_of(order))
                self._busy[answer] = _Task(trainer, at, order)
            yield from queue.ready()
            if self._busy or not self._idle:
                self._wait(queue)

    def _wait(self, queue: Queue) -> None:
        """Wait until a trainer has begun or answered."""
        pending = [*self._busy, *self._beginning]
        ready, _ = self._ray.wait(pending, timeout=None if self._busy else _SECONDS_TO_BEGIN)
        if not ready:
            raise TrainersLost(
                f"engine.workers: none of Ray's {self._count} processes began within {_SECONDS_TO_BEGIN:.0f} s; "
                "has the cluster the cores and GPUs for them?"
            )
        (first,) = ready
        if first in self._beginning:
            self._has_begun(first, self._beginning.pop(first))
        else:
            self._has_answered(first, self._busy.pop(first), queue)

    def _has_begun(self, answer: Any, began: _Beginning) -> None:
        try:
            self._got(answer)
        except self._lost_by as error:
            self._part_with(began.trainer, began.lost + 1, "as it began", error)
            self._begin(self._actor.remote(), began.lost + 1)
        else:
            self._idle.append(began.trainer)

    def _has_answered(self, answer: Any, task: _Task, queue: Queue) -> None:
        try:
            value = self._got(answer)
        except self._lost_by as error:
            queue.give_back(task.at, task.order)
            clients = len(task.order.clients)
            what = f"in round {task.order.done + 1}, with {clients} client{'' if clients == 1 else 's'}"
            self._losses[task.order.done, task.at] += 1
            self._part_with(task.trainer, self._losses[task.order.done, task.at], what, error)
            self._begin(self._actor.remote())
        else:
            self._losses.pop((task.order.done, task.at), None)
            self._idle.append(task.trainer)
            queue.answer(task.at, unpacked(value, _CPU))

    def _got(self, answer: Any) -> Any:
        """The value of an answer. Raises what the trainer raised, as if it had been raised here."""
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause or TrainersLost(str(error).strip().rpartition("\n")[2]) from None

    def _part_with(self, trainer: Any, losses: int, what: str, error: Exception) -> None:
        """Part with a trainer that was lost. losses: of the same work. Raises TrainersLost where it ends them all."""
        self.lost += 1
        why = reason_of(error)
        if losses >= self._tries:
            each = "1 process" if self._tries == 1 else f"each of {self._tries} processes"
            raise TrainersLost(f"{each} of Ray ended {what}: {why}") from None
        self._say(
            f"a process of Ray ended {what}: {why}; another takes its place, and the clients are trained again"
        )
        with suppress(*self._lost_by):
            self._ray.kill(trainer)

    def _begin(self, trainer: Any, lost: int = 0) -> None:
        allowed = os.environ.get(VARIABLE, "")
        self._beginning[trainer.begin.remote(*self._of_run, allowed)] = _Beginning(trainer, lost)


class _Common:
    """The part that the orders of a round share, in the cluster's memory once."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._last: tuple[ShardOrder, Any] | None = None

    def of(self, order: ShardOrder) -> Any:
        """The reference to it."""
        if self._last is None or not in_common(self._last[0], order):
            self._last = order, self._ray.put(common_of(order))
        return self._last[1]


def reason_of(error: Exception) -> str:
    """Ray's own reason, of the many coloured lines that it says; where a trainer could not be made, the error."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    last = lines[-1] if lines else type(error).__name__
    return next((line for line in lines if line.startswith("The actor is dead because")), last)
