"""Checkpoints of unfinished runs, by run key, under var/checkpoints."""

import hashlib
import logging
from pathlib import Path

from federated import state as states
from federated.config import RunConfig
from federated.home import home
from federated.setup import Setup, initial_state
from federated.state import RunState

_LOG = logging.getLogger(__name__)


def checkpoint_path(config: RunConfig) -> Path:
    """The file of a run's newest checkpoint."""
    return home() / "checkpoints" / f"{config.run_key()}.safetensors"


def save_checkpoint(state: RunState, setup: Setup) -> None:
    """Replace the run's checkpoint."""
    states.save(state, checkpoint_path(setup.config), _identity(setup))


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
