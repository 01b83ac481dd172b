"""A trained model as a folder that MLflow loads: from raw rows to answers, without this project and without pickle."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cloudpickle
import mlflow.pyfunc
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file
from torch import Tensor, nn

from federated.examples.examples import Examples
from federated.losses import Readout
from federated.machine.tensors.digest import digest_of_tensors
from federated.models.flat_model import FlatModel
from federated.models.objective import padding_of
from federated.preprocessing import raw_rows
from federated.preprocessing.preprocessing import Preprocessing, as_they_are
from federated.preprocessing.raw_rows import example_of
from federated.trained.architecture import architecture_of
from federated.trained.merged import merged
from tasks.tracking.delivery.logged_model import read_about, write_about
from tasks.tracking.models.own_code import own_code_within
from tasks.tracking.models.program import Exported, Program, Weights, kept_program, program_of, weights_of
from tasks.tracking.models.signature import signature_of
from tasks.tracking.models.written_before import digest_of_rows, remember_written, write_again, written_before

_LOG = logging.getLogger(__name__)
FROZEN = "frozen"
_LARGE = 4_000_000
"""Bytes of frozen parts that are worth a file that all runs of a study share."""
_PACKAGES = ("mlflow", "numpy", "pandas", "safetensors")
_SERVED = Path(__file__).with_name("served.py")
_ROOM = Path(raw_rows.__file__).parent

Kind = tuple[object, ...]
_PROGRAMS: dict[Kind, Program | None] = {}
"""The exported program by kind of model, None where it cannot be exported: a study logs many models of one kind."""
_KEPT: dict[str, Exported | None] = {}
"""The same by architecture, where that is known."""


class Saved(NamedTuple):
    """how: "pt2", "pickle" or "none". frozen: the file of frozen parts that were left out of the folder, named by its
    digest; None where there are none that are large."""

    how: str
    frozen: Path | None = None


def write_model(
    folder: Path,
    kind: Kind,
    model: FlatModel,
    parameters: Tensor,
    examples: Examples,
    readout: Readout,
    keep: bool = False,
) -> Saved:
    """Write the model to `folder`, but large frozen parts to a file beside it.

    kind: equal for models of the same module, inputs and outputs. model: of the run. parameters: [P]. examples: with
    their inputs as models see them. readout: of the run. keep: take its program from home, or keep it there.
    """
    module = model.independent_module(parameters)
    sample = raw_rows.model_inputs(torch.from_numpy(examples.inputs[:2]))
    with TemporaryDirectory() as temporary:
        parts = Path(temporary, "model")
        parts.mkdir()
        saved = _write_module(parts, folder.parent, kind, module, model, sample, keep)
        if saved.how == "none":
            return saved
        _write_rows(parts, examples, readout)
        _save(folder, parts, examples)
    return saved


def _write_module(
    parts: Path, beside: Path, kind: Kind, module: nn.Module, model: FlatModel, sample: Tensor, keep: bool
) -> Saved:
    module, changed = merged(module)
    weights = weights_of(module, model, changed)
    exported = _program(kind, module, weights, sample, keep)
    if exported is None:
        return Saved(_write_pickle(parts, module))
    parts.joinpath("program.pt2").write_bytes(exported.content)
    save_file(weights.trained, str(parts / "trained.safetensors"))
    parts.joinpath("weights.json").write_text(json.dumps(weights.stored), encoding="utf-8")
    if exported.padding is not None:
        parts.joinpath("padding.json").write_text(json.dumps(exported.padding), encoding="utf-8")
    if weights.frozen_bytes <= _LARGE:
        save_file(weights.frozen, str(parts / "frozen.safetensors"))
        return Saved("pt2")
    path = f"{FROZEN}/{digest_of_tensors(weights.frozen)}.safetensors"
    beside.joinpath(FROZEN).mkdir(parents=True, exist_ok=True)
    save_file(weights.frozen, str(beside / path))
    parts.joinpath(f"{FROZEN}.json").write_text(json.dumps({"path": path}), encoding="utf-8")
    return Saved("pt2", beside / path)


def _program(kind: Kind, module: nn.Module, weights: Weights, sample: Tensor, keep: bool) -> Exported | None:
    """The program of this architecture, or else of this kind, as long as it gives the module's outputs."""
    if not keep or (architecture := architecture_of(module, sample)) is None:
        return _written(_program_of_kind(kind, module, weights, sample))
    if architecture not in _KEPT:
        _KEPT[architecture] = kept_program(architecture, lambda: _written(_exported(module, weights, sample)))
    return _KEPT[architecture]


def _written(program: Program | None) -> Exported | None:
    return None if program is None else Exported(program.content, program.padding)


def _program_of_kind(kind: Kind, module: nn.Module, weights: Weights, sample: Tensor) -> Program | None:
    """The program of this kind; exported anew where a module keeps something else than weights, such as a number drawn
    at its initialisation, which is part of the program."""
    shapes = tuple((name, str(value.dtype), *value.shape) for name, value in module.state_dict().items())
    known = _PROGRAMS.get((kind, shapes))
    if (kind, shapes) not in _PROGRAMS or (known is not None and not known.gives(module, weights, sample)):
        _PROGRAMS[kind, shapes] = _exported(module, weights, sample)
    return _PROGRAMS[kind, shapes]


def _exported(module: nn.Module, weights: Weights, sample: Tensor) -> Program | None:
    if (padding := padding_of(module, sample)) is not None:
        with suppress(Exception):  # an architecture that does not take any length takes the full one
            if (cut := program_of(module, sample, padding)).gives(module, weights, sample):
                return cut
    try:
        program = program_of(module, sample)
        if not program.gives(module, weights, sample):
            raise ValueError("what was exported does not give the module's outputs")
    except Exception as error:  # noqa: BLE001 - torch's tracer and the model may raise anything
        first_line = str(error).partition("\n")[0]
        _LOG.warning("the model cannot be exported, so it is saved with pickle: %s", first_line)
        return None
    return program


def _write_pickle(parts: Path, module: nn.Module) -> str:
    with own_code_within(module):
        try:
            pickled = cloudpickle.dumps(module)
        except Exception as error:  # noqa: BLE001 - what a module holds may raise anything
            _LOG.warning("nor can it be pickled, so it is not saved: %s", str(error).partition("\n")[0])
            return "none"
    parts.joinpath("module.pkl").write_bytes(pickled)
    return "pickle"


def _write_rows(parts: Path, examples: Examples, readout: Readout) -> None:
    """How raw rows become inputs, and outputs answers."""
    learnt = examples.preprocessing or as_they_are(examples.inputs)
    stated = {
        "rows": {"name": learnt.name, "values": dict(learnt.values)},
        "readout": asdict(readout),
        "answers": answers_form(examples),
    }
    parts.joinpath("model.json").write_text(json.dumps(stated), encoding="utf-8")
    save_arrays(dict(learnt.arrays), str(parts / "learnt.safetensors"))


def answers_form(examples: Examples) -> dict[str, Any]:
    """The form of answers, for `federated.preprocessing.answers`."""
    form: dict[str, Any] = {"outputs": examples.num_outputs}
    if examples.class_names is not None:
        form["classes"] = list(examples.class_names)
        if examples.position_classes is None:
            return {**form, "kind": "classes"}
        if examples.preprocessing is not None and examples.preprocessing.name == "next_token":
            return {**form, "kind": "next"}
        return {**form, "kind": "sequences", "length": examples.targets.shape[1]}
    count = examples.num_outputs
    if examples.task.targets == "multilabel":
        labels = examples.target_names or [f"label {number + 1}" for number in range(count)]
        return {**form, "kind": "labels", "names": list(labels)}
    if examples.target_names is not None:
        return {
            **form,
            "kind": "numbers",
            "names": [f"prediction of {name}" for name in examples.target_names],
        }
    names = ["prediction"] if count == 1 else [f"prediction {number + 1}" for number in range(count)]
    return {**form, "kind": "numbers", "names": names}


def _save(folder: Path, parts: Path, examples: Examples) -> None:
    """Write the folder of a model with these parts: by MLflow the first time, and then as MLflow wrote it."""
    learnt, form = examples.preprocessing or as_they_are(examples.inputs), answers_form(examples)
    key = digest_of_rows(learnt, form)
    if (known := written_before(key)) is not None:
        write_again(folder, parts, known)
        return
    _save_by_mlflow(folder, parts, learnt, form)
    _forget_paths(folder)
    remember_written(key, folder, parts)


def _save_by_mlflow(folder: Path, parts: Path, learnt: Preprocessing, form: dict[str, Any]) -> None:
    example = example_of(learnt.name, learnt.values, learnt.arrays)
    code = f"fedstudy_rows_{_code_digest()}"
    with TemporaryDirectory() as temporary:
        copy = Path(temporary, code)
        shutil.copytree(_ROOM, copy, ignore=shutil.ignore_patterns("__pycache__"))
        packed = shutil.make_archive(
            str(copy), "zip", temporary, code
        )  # a server takes a request for each file
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(_SERVED),
            artifacts={"model": str(parts)},
            code_paths=[packed],
            model_config={"code": code},
            signature=signature_of(example, form),
            input_example=example,
            pip_requirements=_requirements(learnt),  # stated, as inferring them takes ten seconds
        )


def _requirements(learnt: Preprocessing) -> list[str]:
    library = learnt.values.get("inputs") == "library"
    images = ["pillow"] if learnt.name == "images" else []
    packages = [*_PACKAGES, *images, *(["tokenizers"] if library else [])]
    return [
        f"torch=={torch.__version__.partition('+')[0]}",
        *(f"{name}=={version(name)}" for name in packages),
    ]


@cache
def _code_digest() -> str:
    """Part of the name of the code that is logged: models of two versions may be loaded in one process."""
    hashed = hashlib.sha256()
    for file in sorted(_ROOM.glob("*.py")):
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:8]


def _forget_paths(folder: Path) -> None:
    """MLflow notes the paths on this machine from which it copied."""
    about = read_about(folder)
    flavour = about["flavors"]["python_function"]
    flavour["model_code_path"] = _SERVED.name
    flavour["artifacts"]["model"]["uri"] = flavour["artifacts"]["model"]["path"]
    write_about(folder, about)
