"""A module as a program without weights, and its weights by name, those that training changed apart from the others."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.export import Dim

from federated.foundation.errors import BadInput
from federated.machine.kept import kept
from federated.machine.large_arrays import Damaged
from federated.models.flat_model import FlatModel

Named = dict[str, Tensor]
PROGRAMS = Path("programs")
"""Where at home programs are kept by architecture. Most of an export is the import of torch's tracer, two seconds."""

_FORM = 2
"""Counts up where this module makes other programs of the same architecture, so that older ones are not used."""

_COUNTS = (1, 2, 3, 5)
"""Numbers of rows with which a program is tried: torch's tracer may fix the number that it saw without a word."""
_LENGTHS = 3
"""Numbers of tokens with which it is tried, where they may be any."""


class Weights(NamedTuple):
    """Tensors by name. stored: the name under which each parameter and buffer is kept, as some are tied."""

    trained: Named
    frozen: Named
    stored: dict[str, str]

    def by_name(self) -> Named:
        """Every parameter and buffer of the module."""
        kept = {**self.trained, **self.frozen}
        return {name: kept[stored] for name, stored in self.stored.items()}

    @property
    def frozen_bytes(self) -> int:
        """The size of the frozen parts."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.frozen.values())


class _WithoutWeights(nn.Module):
    """A module as a function of its weights and its inputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._call = partial(
            torch.func.functional_call, module
        )  # no child, whose weights would be exported too

    def forward(self, weights: Named, inputs: Tensor) -> Tensor:
        found: Tensor = self._call(weights, (inputs,), tie_weights=False)
        return found


class Program(NamedTuple):
    """content: in torch.export's format; it holds no pickle, as it has neither weights nor examples. run: the same,
    (weights by name, inputs) -> outputs. padding: the number that fills up texts, where they may be of any length."""

    content: bytes
    run: Callable[[Named, Tensor], Tensor]
    padding: int | None = None

    def gives(self, module: nn.Module, weights: Weights, inputs: Tensor) -> bool:
        """Whether it gives the module's outputs with these weights, for one row and for several of these inputs.

        Where texts may be of any length, also whether what fills them up changes nothing.
        """
        named = weights.by_name()
        with torch.inference_mode():
            several = all(self._agrees(module, named, _repeated(inputs, count)) for count in _COUNTS)
            short = () if self.padding is None else range(1, inputs.shape[1])
            return several and all(
                self._agrees(module, named, inputs[:, :length]) and self._may_be_cut(module, inputs, length)
                for length in short[:_LENGTHS]
            )

    def _may_be_cut(self, module: nn.Module, inputs: Tensor, length: int) -> bool:
        """Whether the module answers texts that are filled up to the full length as it answers them cut."""
        filled = inputs.clone()
        filled[:, length:] = cast(int, self.padding)
        whole, cut = module(filled), module(inputs[:, :length].clone())
        return whole.shape == cut.shape and _alike(whole, cut)

    def _agrees(self, module: nn.Module, named: Named, inputs: Tensor) -> bool:
        found, expected = self.run(named, inputs), module(inputs.clone())
        return _alike(found, expected)


def program_of(module: nn.Module, example: Tensor, padding: int | None = None) -> Program:
    """The program for any number of inputs. example: at least two. Raises what torch's tracer and the module raise.

    padding: the number that fills up texts, which may then be of any length; None: they are of the example's.
    """
    weights = _named(module)
    shapes = (dict.fromkeys(weights), dict.fromkeys((0,) if padding is None else (0, 1), Dim.AUTO))
    program = torch.export.export(_WithoutWeights(module), (weights, example), dynamic_shapes=shapes)
    program.example_inputs = None  # else they are saved with it, weights and all
    _forget_where(program.graph_module)
    file = io.BytesIO()
    torch.export.save(program, file)
    return Program(file.getvalue(), program.module(), padding)


def _forget_where(graph: torch.fx.GraphModule) -> None:
    """Drop the lines of source of each operation, with the paths of this machine's files, in parts of it too."""
    for part in graph.modules():
        if isinstance(part, torch.fx.GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)


def _alike(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)


def _repeated(inputs: Tensor, count: int) -> Tensor:
    return inputs[torch.arange(count) % len(inputs)]


def weights_of(module: nn.Module, model: FlatModel, changed: Collection[str] = ()) -> Weights:
    """The weights of a module, of which those that a run's vector holds are trained. model: that of the run.

    changed: names of others that hold what was trained.
    """
    moving = set(changed)
    moving |= {name for name, tensor in _named(model.module).items() if _within(tensor, model.vector)}
    trained: Named = {}
    frozen: Named = {}
    stored: dict[str, str] = {}
    first: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    for name, tensor in _named(module).items():
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
        stored[name] = first.setdefault(key, name) if tensor.numel() else name
        if stored[name] == name:
            (trained if name in moving else frozen)[name] = tensor.contiguous().clone()
    return Weights(trained, frozen, stored)


def _named(module: nn.Module) -> Named:
    """Every parameter and buffer, tied ones under each of their names."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    buffers = dict(module.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in {**parameters, **buffers}.items()}


def _within(tensor: Tensor, vector: Tensor) -> bool:
    """Whether a tensor is a view of the vector."""
    return tensor.untyped_storage().data_ptr() == vector.untyped_storage().data_ptr()


class Exported(NamedTuple):
    """content: in torch.export's format. padding: the number that fills up texts, where they may be of any length."""

    content: bytes
    padding: int | None


class _NotExported(Exception):
    """There is nothing to keep."""


def kept_program(architecture: str, export: Callable[[], Exported | None]) -> Exported | None:
    """The program of an architecture, exported now or at an earlier time; None where it cannot be exported."""
    made: list[Exported] = []

    def make(folder: Path) -> None:
        exported = export()
        if exported is None:
            raise _NotExported
        made.append(exported)
        about = {"padding": exported.padding, "sha256": hashlib.sha256(exported.content).hexdigest()}
        folder.joinpath("program.pt2").write_bytes(exported.content)
        folder.joinpath("about.json").write_text(json.dumps(about), encoding="utf-8")

    try:
        return kept("program", [_FORM, architecture], make, _read, PROGRAMS)
    except _NotExported:
        return None
    except (OSError, BadInput):  # such as a full disk, which is no reason to lose a model
        return made[0] if made else export()


def _read(folder: Path) -> Exported:
    """What was kept. Raises Damaged where it is not whole, as after a loss of power."""
    try:
        about = json.loads(folder.joinpath("about.json").read_text(encoding="utf-8"))
        exported = Exported(folder.joinpath("program.pt2").read_bytes(), about["padding"])
        digest = about["sha256"]
    except (ValueError, TypeError, KeyError, FileNotFoundError) as error:
        raise Damaged(f"{folder} is not whole") from error
    if hashlib.sha256(exported.content).hexdigest() != digest:
        raise Damaged(f"{folder} is not whole")
    return exported
