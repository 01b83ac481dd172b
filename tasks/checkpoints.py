"""Checkpoints of unfinished runs, by run key: the newest of each, and the one before it.

Under var/checkpoints, or in the folder of FEDSTUDY_CHECKPOINTS, where any machine that has it finds them.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from federated.config.run import RunConfig
from federated.config.user_choices import own_code
from federated.machine.files import changed_at
from federated.machine.folders import home, shared_folder
from federated.run import checkpoint
from federated.run.course import Course
from federated.run.setup import Setup, initial_state

Say = Callable[[str], None]
"""Shows one sentence to the user."""

_SECONDS_BETWEEN_SAVES = 10.0
_LARGEST_SHARE = 0.02  # of a run's time that saving may take


def checkpoint_path(config: RunConfig) -> Path:
    """The file of a run's newest checkpoint."""
    return (shared_folder() or home() / "checkpoints") / f"{config.run_key()}.safetensors"


def earlier_path(config: RunConfig) -> Path:
    """The file of the checkpoint before that."""
    return checkpoint_path(config).with_suffix(".earlier.safetensors")


def _unfinished_path(config: RunConfig) -> Path:
    """The file of a checkpoint that is whole, but whose saver was perhaps killed before it gave it its place."""
    return checkpoint_path(config).with_suffix(".newest.safetensors")


def save_checkpoint(course: Course, setup: Setup) -> None:
    """Write the run's checkpoint; the one before it stays. Raises OSError where that is not possible.

    Whenever this is interrupted, one of the two is whole: the new one is, before the one before it is moved.
    """
    path, earlier = checkpoint_path(setup.config), earlier_path(setup.config)
    newest = _unfinished_path(setup.config)
    checkpoint.save(course, newest, _identity(setup))
    if path.is_file():
        path.replace(earlier)
    newest.replace(path)


class Keeper:
    """Saves the course of a run after each evaluation, but not so often that it costs the run.

    A crash loses what was done in the last ten seconds, or in fifty times as long as the last save took if that is
    longer, and the rounds since the last evaluation. An error or an interrupt loses only the latter. Where it
    cannot be saved (the disk is full, say), that is said, once, and training goes on.
    """

    def __init__(self, setup: Setup, say: Say) -> None:
        self._setup = setup
        self._say = say
        self._failing = False
        self._unsaved: Course | None = None
        self._due = time.monotonic()

    def __call__(self, course: Course) -> None:
        """Set what is to be saved."""
        self._unsaved = course
        if time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Save the newest where it is not saved yet."""
        if self._unsaved is None:
            return
        started = time.monotonic()
        self._try_to_save(self._unsaved)
        self._unsaved, ended = None, time.monotonic()
        self._due = ended + max(_SECONDS_BETWEEN_SAVES, (ended - started) / _LARGEST_SHARE)

    def _try_to_save(self, course: Course) -> None:
        try:
            save_checkpoint(course, self._setup)
        except OSError as error:
            if not self._failing:
                self._say(
                    f"no checkpoint of round {course.round}, {error}; training goes on, the checkpoint before stays"
                )
            self._failing = True
        else:
            self._failing = False


@contextmanager
def keeping(setup: Setup, say: Say) -> Iterator[Keeper]:
    """A keeper whose newest course is saved at the end, also when the run fails."""
    keeper = Keeper(setup, say)
    try:
        yield keeper
    finally:
        keeper.save()


def first_course(setup: Setup, resume: bool, say: Say) -> Course:
    """The course in the newest checkpoint that is whole and fits, where it is wanted, else one of the initial state.

    What is wrong with a checkpoint that is there is said.
    """
    if not resume:
        return Course(initial_state(setup))
    faults: list[str] = []
    for path in (checkpoint_path(setup.config), earlier_path(setup.config)):
        try:
            course = checkpoint.load(path, _identity(setup), setup.inputs.device, setup.store.kept)
        except FileNotFoundError:
            continue
        except ValueError as error:
            faults.append(str(error))
        else:
            if faults:
                say(f"{'; '.join(faults)}; it goes on from the checkpoint before, of round {course.round}")
            return course
    if faults:
        say(f"{'; '.join(faults)}; it starts afresh")
    return Course(initial_state(setup))


def drop_checkpoint(config: RunConfig, say: Say) -> None:
    """Remove the checkpoints of a finished run."""
    for path in (checkpoint_path(config), earlier_path(config), _unfinished_path(config)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            say(f"the checkpoint {path} of the finished run cannot be removed: {error.strerror}")


def old_checkpoints(since: float) -> list[Path]:
    """The checkpoints of unfinished runs at home that were last written before that time (seconds since 1970)."""
    files = (home() / "checkpoints").glob("*.safetensors")
    return sorted(file for file in files if changed_at(file) < since)


def _of_statistics(setup: Setup) -> dict[str, str]:
    """Running statistics that stay at clients; before they did, those of layers that stay were averaged."""
    running = setup.model.num_sendable - setup.model.num_trainable
    staying = running - setup.parts.travelling.num_statistics
    return {"running statistics that stay": str(staying)} if staying else {}


def _identity(setup: Setup) -> dict[str, str]:
    federation = setup.federation
    return {
        "run_key": setup.config.run_key(),
        "data_digest": federation.data_digest,
        "partition_digest": federation.partition_digest,
        "model": hashlib.sha256(str(setup.whole_model.module).encode()).hexdigest()[:16],
        "parameters": str(setup.initial_parameters.numel()),
        **_of_statistics(setup),
        **{f"weights of {field}": digest for field, digest in setup.weights_digests.items()},
        **{f"code of {name}": digest for name, digest in own_code(setup.config).items()},
    }
