"""The final model in MLflow: loadable, with a signature, without pickle where the model allows it."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import cloudpickle
import mlflow.pytorch
import numpy as np
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from federated.models.objective import model_inputs
from federated.run.setup import Setup
from federated.run.state import RunState
from federated.user_code.modules import package_of
from federated.user_code.permission import is_theirs
from tasks.tracking.delivery.sending import send

# Trying takes a tenth of a second; a study saves many models of one kind.
_EXPORTABLE: dict[tuple[object, ...], bool] = {}

_LOG = logging.getLogger(__name__)


def log_model(run_id: str, state: RunState, setup: Setup) -> str:
    """Log the global model once; how it was saved: "pt2", "pickle" or "none".

    It takes what the model was trained on: preprocessed tables, images as float32 in [0, 1]. "pt2" is
    torch.export's format; a module that cannot be exported (control flow on data) falls back to MLflow's pickle, and
    one that cannot be pickled either (a lambda in it) is not saved: both with a warning, as the training is done.
    """
    module = setup.predictor(state.parameters)
    example = model_inputs(setup.inputs[:2].cpu()).numpy()
    choice = setup.config.model
    kind = (
        choice,
        *choice.own_code().items(),
        setup.readout,
        example.shape[1:],
        setup.federation.examples.num_outputs,
    )
    if kind not in _EXPORTABLE:
        _EXPORTABLE[kind] = _can_be_exported(module, torch.from_numpy(example))
    exportable = _EXPORTABLE[kind]
    with TemporaryDirectory() as folder, _own_code_within():
        if not exportable and not _can_be_pickled(module):
            return "none"
        mlflow.pytorch.save_model(
            module,
            f"{folder}/model",
            signature=_signature(example, setup.federation.examples.num_outputs),
            # Stated, because inferring them starts another process for ten seconds.
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", f"numpy=={np.__version__}"],
            **({"serialization_format": "pt2", "input_example": example} if exportable else _pickled(module)),
        )
        send("model", run_id, Path(folder, "model"), step=state.round)
    return "pt2" if exportable else "pickle"


def _can_be_exported(module: nn.Module, example: Tensor) -> bool:
    """Tried beforehand: a failure inside MLflow would leave a broken model behind."""
    try:
        torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    except Exception as error:  # noqa: BLE001 - torch's tracer and the model may raise anything
        first_line = str(error).partition("\n")[0]
        _LOG.warning("the model cannot be exported, so it is saved with pickle: %s", first_line)
        return False
    return True


def _can_be_pickled(module: nn.Module) -> bool:
    try:
        cloudpickle.dumps(module)
    except Exception as error:  # noqa: BLE001 - what a module holds may raise anything
        _LOG.warning("nor can it be pickled, so it is not saved: %s", str(error).partition("\n")[0])
        return False
    return True


@contextmanager
def _own_code_within() -> Iterator[None]:
    """Pickles made within hold the code of modules that are a person's own, as they are loaded where these are not."""
    theirs = [
        module
        for name, module in list(sys.modules.items())
        if getattr(module, "__name__", None) == name != "__main__" and is_theirs(_file_of(module))
    ]
    packages = {package for module in theirs if (package := package_of(module.__name__)) is not None}
    held = [*packages, *(module for module in theirs if package_of(module.__name__) is None)]
    for module in held:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in held:
            cloudpickle.unregister_pickle_by_value(module)


def _file_of(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "<none>"


def _pickled(module: nn.Module) -> dict[str, Any]:
    """Arguments for a pickled model; a file of ours goes with it, as its code does not go into the pickle."""
    source = inspect.getsourcefile(type(module)) or "<none>"
    is_ours = Path(source).is_relative_to(Path(__file__).parents[3]) and "site-packages" not in source
    return {"serialization_format": "pickle", **({"code_paths": [source]} if is_ours else {})}


def _signature(example: np.ndarray, num_outputs: int) -> ModelSignature:
    inputs = TensorSpec(example.dtype, (-1, *example.shape[1:]))
    return ModelSignature(Schema([inputs]), Schema([TensorSpec(np.dtype(np.float32), (-1, num_outputs))]))
