"""Checkpoints of unfinished runs, by run key, under var/checkpoints."""

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from federated import state as states
from federated.config import RunConfig
from federated.home import home
from federated.setup import Setup, initial_state
from federated.state import RunState

_LOG = logging.getLogger(__name__)

_SECONDS_BETWEEN_SAVES = 10.0
_LARGEST_SHARE = 0.02  # of a run's time that saving may take


def checkpoint_path(config: RunConfig) -> Path:
    """The file of a run's newest checkpoint."""
    return home() / "checkpoints" / f"{config.run_key()}.safetensors"


def save_checkpoint(state: RunState, setup: Setup) -> None:
    """Replace the run's checkpoint."""
    states.save(state, checkpoint_path(setup.config), _identity(setup))


class Keeper:
    """Saves a run's states, one after each evaluation, but not so often that it costs the run.

    A crash loses what was done in the last ten seconds, or in fifty times as long as the last save took if that is
    longer, and the rounds since the last evaluation. An error or an interrupt loses only the latter.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._unsaved: RunState | None = None
        self._due = time.monotonic()

    def __call__(self, state: RunState) -> None:
        """This is the state now."""
        self._unsaved = state
        if time.monotonic() >= self._due:
            self.save()

    def save(self) -> None:
        """Save the newest state where it is not saved yet."""
        if self._unsaved is None:
            return
        started = time.monotonic()
        save_checkpoint(self._unsaved, self._setup)
        self._unsaved, ended = None, time.monotonic()
        self._due = ended + max(_SECONDS_BETWEEN_SAVES, (ended - started) / _LARGEST_SHARE)


@contextmanager
def keeping(setup: Setup) -> Iterator[Keeper]:
    """A keeper whose newest state is saved at the end, also when the run fails."""
    keeper = Keeper(setup)
    try:
        yield keeper
    finally:
        keeper.save()


def first_state(setup: Setup, resume: bool) -> RunState:
    """The newest checkpoint's state where it is wanted and there is one that fits, else the initial state."""
    path = checkpoint_path(setup.config)
    if resume and path.exists():
        try:
            return states.load(path, _identity(setup), setup.inputs.device)
        except ValueError as error:
            _LOG.warning("starting afresh: %s", error)
    return initial_state(setup)


def drop_checkpoint(config: RunConfig) -> None:
    """Remove the checkpoint of a finished run."""
    checkpoint_path(config).unlink(missing_ok=True)


def _identity(setup: Setup) -> dict[str, str]:
    federation = setup.federation
    return {
        "run_key": setup.config.run_key(),
        "data_digest": federation.data_digest,
        "partition_digest": federation.partition_digest,
        "model": hashlib.sha256(str(setup.model.module).encode()).hexdigest()[:16],
        "parameters": str(setup.initial_parameters.numel()),
    }
