"""A pool of processes for runs; a process that dies fails only its own run.

Each process is a pool of its own: Python gives up a whole pool when one of its processes dies.
"""

import contextvars
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Self

from prefect import Task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import ProcessPoolTaskRunner

_TRIES = 2  # a process that the system kills once, for memory say, may do better beside others


class Processes:
    """A pool of processes, each running a task with one set of arguments after another.

    begin, of: what each process calls at its start. died: receives the index of the arguments whose process died;
    returns whether their work had been finished before. ended: receives each final state; an exception in it ends all.
    """

    def __init__(
        self,
        count: int,
        begin: Callable[..., None],
        of: tuple[Any, ...],
        died: Callable[[int], bool],
        ended: Callable[[State[str]], None],
    ) -> None:
        self._count = count
        self._begin = begin
        self._of = of
        self._died = died
        self._tell_ended = ended
        self._idle: list[_Process] = []
        self._busy: dict[int, _Process] = {}
        self._ended: SimpleQueue[int] = SimpleQueue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the processes; where the block failed, whatever they are doing."""
        if kind is not None:
            for child in multiprocessing.active_children():
                child.kill()  # a pool would wait for what it is doing
        for process in (*self._idle, *self._busy.values()):
            process.__exit__(None, None, None)

    def run(
        self, task: Task[..., str], arguments: Sequence[dict[str, Any]], again: dict[str, Any]
    ) -> list[State[str] | None]:
        """The final state of each; None where its process died twice.

        again: what changes in the arguments of one whose process died once.
        """
        states: list[State[str] | None] = [None] * len(arguments)
        tries = [0] * len(arguments)
        futures: dict[int, PrefectFuture[str]] = {}
        waiting = deque(range(len(arguments)))
        while waiting or self._busy:
            while waiting and len(self._busy) < self._count:
                at = waiting.popleft()
                changed = again if tries[at] else {}
                futures[at] = self._start(at, task, {**arguments[at], **changed})
                tries[at] += 1
            at = self._ended.get()
            states[at] = self._final_state(at, futures.pop(at))
            if states[at] is None and tries[at] < _TRIES:
                waiting.append(at)
        return states

    def _start(self, at: int, task: Task[..., str], arguments: dict[str, Any]) -> PrefectFuture[str]:
        while self._idle and not self._idle[-1].lives:
            self._idle.pop().__exit__(
                None, None, None
            )  # it died between two runs, which is no try of this one
        if not self._idle:
            self._idle.append(_Process(1, initializer=self._begin, initargs=self._of).__enter__())
        self._busy[at] = self._idle.pop()
        future = self._busy[at].submit(task, arguments)
        future.add_done_callback(lambda _: self._ended.put(at))
        return future

    def _final_state(self, at: int, future: PrefectFuture[str]) -> State[str] | None:
        process, state = self._busy.pop(at), None
        with suppress(BrokenProcessPool):
            future.wait()
            state = future.state if future.state.is_final() else None
        if state is None:
            process.__exit__(None, None, None)
            state = Completed() if self._died(at) else None
        else:
            self._idle.append(process)
            self._tell_ended(state)
        return state


class _Process(ProcessPoolTaskRunner):
    """Prefect's process pool with three corrections.

    At the end it does not wait for what this process would still send on a broken queue. The thread that forwards
    events and logs of the pool knows the address of our server: without this context it starts another one. And its
    process begins before a run is submitted: Python's executor, told of a task before it starts a process for
    it, may not watch that process until the next task comes or ends, and would not see it die.
    """

    def __enter__(self) -> Self:
        self._context = contextvars.copy_context()
        pool = super().__enter__()
        assert self._executor is not None
        self._executor.submit(os.getpid)  # any task will do
        # The queue for events and logs has one lock for all who write, which a killed process may have held.
        if (queue := self._subprocess_message_queue) is not None:
            queue.cancel_join_thread()
        return pool

    @property
    def lives(self) -> bool:
        """Whether its process is running."""
        assert self._executor is not None
        processes = self._executor._processes
        return bool(processes) and all(process.is_alive() for process in processes.values())

    def _forward_subprocess_messages(self) -> None:
        self._context.run(super()._forward_subprocess_messages)


def end_with_parent() -> None:
    """Make this process end when the study's process has ended or was killed."""
    threading.Thread(target=_wait_for_parents_end, daemon=True).start()


def _wait_for_parents_end() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
