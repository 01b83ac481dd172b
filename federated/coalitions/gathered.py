"""Runs that go their whole way each in a thread of its own, and meet where they train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

from federated.config.run import RunConfig
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments.gathering import Gathering, with_others

T = TypeVar("T")


def train_gathered(
    configs: Sequence[RunConfig], rounds: int, found: Callable[[RunState, Setup], T]
) -> list[T]:
    """What is found of the first of these runs after so many rounds, and of as many more as there is room for where
    they train faster together. Raises BadInput and Diverged.
    """
    gathering, ends = Gathering(), SimpleQueue[tuple[int, list[T] | BaseException]]()
    threads: list[Thread] = []

    def whole(number: int) -> None:
        try:
            with gathering.taking_part(number):
                setup = with_others(prepare(configs[number]))
                state = train_rounds(initial_state(setup), setup, rounds)
                end: list[T] | BaseException = [found(state, setup)]
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that started this one
            end = error
        ends.put((number, end))

    try:
        for number in range(len(configs)):
            gathering.expect(number)
            threads.append(Thread(target=whole, args=(number,), daemon=True))
            threads[-1].start()
            ask = gathering.wait_for(number)
            if ask is None or not gathering.has_room() or not (number or gathering.pays(ask, len(configs))):
                break
        gathering.close()
        results = dict(ends.get() for _ in threads)
    except BaseException as error:
        gathering.end(error)
        raise
    finally:
        for thread in threads:
            thread.join()
    every = list[T]()
    for number in range(len(threads)):
        if isinstance(end := results[number], BaseException):
            raise end
        every += end
    return every
