"""The final model of a run in MLflow: from raw rows to answers, without pickle where the module allows it."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from federated.run.setup import Setup
from federated.run.state import RunState
from tasks.tracking.delivery.sending import send
from tasks.tracking.models.adapter import ADAPTER, why_none, write_adapter
from tasks.tracking.models.folder import write_model
from tasks.tracking.reading.artifacts import files_of

_SENT: set[tuple[str, str]] = set()
"""(run, path) of the frozen parts that this process has sent."""


def log_model(
    run_id: str,
    state: RunState,
    setup: Setup,
    parent_run_id: str | None = None,
    *,
    last_round: int | None = None,
) -> str:
    """Log the global model once, with the run's figures of `last_round`; how it was saved: "pt2", "pickle" or "none".

    It takes raw rows, as the data set had them before preprocessing, and answers with classes and probabilities, or
    with numbers in the unit of the targets. "pt2" is torch.export's format; a module that cannot be exported (control
    flow on data) falls back to a pickle, and one that cannot be pickled either (a lambda in it) is not saved: both with
    a warning, as the training is done. Large frozen parts are logged once a study, at its run
    `parent_run_id`. last_round: of the run; None: that of the state.
    """
    examples, choice = setup.federation.examples, setup.config.model
    inputs = (examples.inputs.shape[1:], str(examples.inputs.dtype))
    kind = (choice, *choice.own_code().items(), *inputs, examples.num_outputs)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary, "logged", "model")
        folder.parent.mkdir()
        saved = write_model(
            folder, kind, setup.whole_model, state.parameters, examples, setup.readout, keep=True
        )
        if saved.frozen is not None:
            _send_once(parent_run_id or run_id, saved.frozen, folder.parent)
        if saved.how != "none":
            send("model", run_id, folder, step=state.round if last_round is None else last_round)
    return saved.how


def log_adapter(run_id: str, state: RunState, setup: Setup) -> None:
    """Log the low-rank adapters of the global model as peft reads them, where there are any that can be read so."""
    config = setup.config.model_dump(mode="json")
    if why_none(config) is not None:
        return
    with TemporaryDirectory() as temporary:
        model, examples = setup.whole_model, setup.federation.examples
        write_adapter(Path(temporary, ADAPTER), config, model, state.parameters, examples, setup.readout)
        send("files", run_id, Path(temporary))


def _send_once(run_id: str, frozen: Path, beside: Path) -> None:
    """Send the file of frozen parts to the run that has it for all runs below, unless it is there."""
    path = frozen.relative_to(beside).as_posix()
    if (run_id, path) not in _SENT and path not in files_of(run_id, frozen.parent.name):
        with TemporaryDirectory() as folder:
            shutil.copytree(frozen.parent, Path(folder, frozen.parent.name))
            send("files", run_id, Path(folder))
    _SENT.add((run_id, path))
