"""The runs of a study in this process: one after another, or several at a time that train in one stack.

Every run is the same flow either way, with its own MLflow run, checkpoint, progress and end.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from federated.config.run import RunConfig
from federated.local_training.together import Ask
from federated.machine.torch_threads import torch_threads
from federated.segments.gathering import Gathering
from federated.study.study import Run

Start = Callable[[Run], State[str]]
Ended = tuple[Run, State[str]]

_ALIKE = {"dataset", "model", "trained", "loss", "target", "local", "training", "rounds", "device", "engine"}


def in_turn(runs: Sequence[Run], start: Start) -> Generator[Ended]:
    """Run every run in this process, and yield each as it ends."""
    left, alone = deque(runs), set[str]()
    while left:
        run = left.popleft()
        kind = _kind(run.config)
        mates = [] if kind is None or kind in alone else [one for one in left if _kind(one.config) == kind]
        if not mates:
            yield run, start(run)
            continue
        batch = Batch(start)
        with batch.ending_together(), torch_threads(1):  # theirs is restored by whichever ends last
            taken = batch.gather(run, mates)
            if batch.is_refused:
                alone.add(str(kind))
            left = deque(one for one in left if one not in taken)
            yield from batch.ended()


def without_twins(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs in parts, one after another, none of which trains the same twice: such runs share a checkpoint.

    Arms that differ in their network alone are the same training, and so are two that chose the same values.
    """
    parts: list[list[Run]] = []
    seen = Counter[str]()
    for run in runs:
        at = seen[key := run.config.run_key()]
        seen[key] += 1
        parts += [[]] if at == len(parts) else []
        parts[at].append(run)
    return parts


def _kind(config: RunConfig) -> str | None:
    """Equal for runs that may share a stack as far as their configs tell; None for one that may not."""
    engine = config.engine
    by_stage = (
        config.orchestration.granularity == "stage"
    )  # of a task run each, which may not wait for another's
    if engine.batch_runs is False or engine.name == "loop" or engine.scale_out is not None or by_stage:
        return None
    threads = config.orchestration.threads
    return f"{threads} {config.model_dump_json(include=_ALIKE)}"


class Batch:
    """Runs that train together. They work one at a time, each in a thread of its own."""

    def __init__(self, start: Start) -> None:
        self._start, self._gathering = start, Gathering()
        self.is_refused = False
        """Whether no runs of this kind are to train together, whichever is asked."""
        self._threads: list[Thread] = []
        self._ends: SimpleQueue[tuple[Run, State[str] | BaseException]] = SimpleQueue()

    def gather(self, run: Run, mates: Sequence[Run]) -> list[Run]:
        """Start a run, and as many of its mates as there is room for, where that is faster; the mates that started."""
        taken: list[Run] = []
        ask = self._begin(run)
        if ask is not None and self._is_faster(run.config, ask, len(mates) + 1):
            while len(taken) < len(mates) and self._gathering.has_room():
                taken.append(mates[len(taken)])
                self._begin(taken[-1])
        if taken:
            names = ", ".join(one.name for one in (run, *taken))
            get_run_logger().info("%d runs train together: %s", len(self._threads), names)
        self._gathering.close()
        return taken

    def ended(self) -> Iterator[Ended]:
        """The runs that were started, as they end."""
        for _ in list(self._threads):
            run, state = self._ends.get()
            if isinstance(state, BaseException):
                raise state
            yield run, state

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """Where the block fails or is interrupted, every run ends as if it had been by itself."""
        try:
            yield
        except BaseException as error:
            # Whoever asked for the runs has failed or was interrupted, where it closes them before they have ended.
            self._gathering.end(KeyboardInterrupt() if isinstance(error, GeneratorExit) else error)
            for thread in self._threads:
                thread.join()
            raise

    def _begin(self, run: Run) -> Ask | None:
        """Start a run; what it asks for first, or None where it has ended without."""
        number = len(self._threads)
        self._gathering.expect(number)
        work = partial(copy_context().run, self._whole, number, run)
        self._threads.append(Thread(target=work, name=run.name, daemon=True))
        self._threads[-1].start()
        return self._gathering.wait_for(number)

    def _whole(self, number: int, run: Run) -> None:
        try:
            with self._gathering.taking_part(number):
                state: State[str] | BaseException = self._start(run)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that started this one
            state = error
        self._ends.put((run, state))

    def _is_faster(self, config: RunConfig, ask: Ask, runs: int) -> bool:
        logger = get_run_logger()
        if ask.sort is None:
            logger.info(
                "runs train one after another: %s", ask.member.apart or "of what its algorithm asks for"
            )
            self.is_refused = bool(ask.member.apart)
            return False
        if config.engine.batch_runs is True or self._gathering.pays(ask, runs):
            return True
        logger.info("runs train one after another: one stack of them would not be faster")
        self.is_refused = True
        return False
