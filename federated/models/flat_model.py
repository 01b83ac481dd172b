"""Model <-> flat vector: the one shape [P] in which parameters travel between server and clients."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from federated.models.adapted.adapters import factors_in
from federated.models.adapted.normalisation import normalisations, running_statistics
from federated.models.adapted.residual import residuals_of


class FlatModel:
    """A private copy of a module whose state is a view of one flat vector; frozen parameters are the module's own.

    `vector` [P] holds first the trainable parameters in the order of `named_parameters()`, whose names and shapes
    are `layout`, then the running statistics of batch normalisation (see `normalisations`), whose names
    and shapes are `statistics` and which travel too, as in FedAvg over state dicts, then the matrices beside frozen
    weights (`WithResidual`), `residuals`, which the server alone changes. Writing into `vector` writes into
    the module, and the other way round. Everything else stays with the module: frozen parameters, and other buffers,
    which are what they were at first whenever a vector is loaded, so that nothing passes from one client to the next.
    `factors` are the names of the factors of low-rank adapters.

    rest_in_evaluation: whether what is wholly frozen runs as in evaluation while the rest is trained, see `train`;
    batch normalisation without parameters is then frozen by its place.
    Raises ValueError where nothing can be trained or where the floating-point types differ.
    """

    def __init__(self, module: nn.Module, *, rest_in_evaluation: bool = False) -> None:
        self.rest_in_evaluation = rest_in_evaluation
        self._take(copied(module))

    def twin(self) -> FlatModel:
        """Another model with a vector, buffers and layers of its own; frozen parameters are the same tensors.

        Scratch space for a thread or an evaluation: however many there are, a frozen trunk is in memory once.
        """
        other = FlatModel.__new__(FlatModel)
        other.rest_in_evaluation = self.rest_in_evaluation
        other._take(copied(self.module))
        return other

    def _take(self, module: nn.Module) -> None:
        self.module = module
        self.trainable = [p for p in self.module.parameters() if p.requires_grad]
        if not self.trainable:
            raise ValueError("the model has no parameter that requires a gradient: there is nothing to train")
        statistics = running_statistics(self.module, by_place=self.rest_in_evaluation)
        self.statistics = tuple((name, tuple(each.shape)) for name, each in statistics.items())
        beside = residuals_of(self.module)
        self.residuals = tuple((name, tuple(each.shape)) for name, each in beside.items())
        travelling: list[Tensor] = [*self.trainable, *statistics.values(), *beside.values()]
        types = {str(t.dtype).removeprefix("torch.") for t in travelling}
        if len(types) > 1:
            raise ValueError(f"the model mixes the types {', '.join(sorted(types))}: one type is needed")
        self.layout = tuple(
            (name, tuple(p.shape)) for name, p in self.module.named_parameters() if p.requires_grad
        )
        self.factors = factors_in(self.module)
        self.num_trainable = sum(p.numel() for p in self.trainable)
        self.vector = torch.cat([t.detach().reshape(-1) for t in travelling])
        _point_into(self.vector, travelling)
        self._staying = _staying_buffers(self.module, travelling)

    @property
    def num_residual(self) -> int:
        """The length of the end of the vector that lies beside frozen weights."""
        return sum(math.prod(shape) for _, shape in self.residuals)

    @property
    def num_sendable(self) -> int:
        """The length of the rest of it: what clients train, and running statistics."""
        return self.vector.numel() - self.num_residual

    @property
    def num_frozen(self) -> int:
        """The number of parameters that are not trained."""
        return sum(p.numel() for p in self.module.parameters() if not p.requires_grad)

    def train(self) -> None:
        """Training mode, but for batch normalisation that is wholly frozen: its statistics stay as they are.

        With rest_in_evaluation, but for every layer that is wholly frozen, and for what has no parameters, such as
        dropout, before such a layer or, at the end, after one.
        """
        self.module.train()
        if self.rest_in_evaluation:
            _rest(self.module)
        norms = normalisations(self.module, by_place=self.rest_in_evaluation)
        for layer, is_trained in norms.values():
            layer.train(is_trained)

    def gradient(self, loss: Tensor, among: Sequence[bool] | None = None) -> Tensor:
        """The gradient of a scalar with respect to the trainable parameters, flat; zero where it has no part.

        among: which of `layout` it is wanted of, and zero is left for the others; None: all.
        """
        wanted = [
            p for p, here in zip(self.trainable, among or [True] * len(self.trainable), strict=True) if here
        ]
        found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True) if wanted else ()
        if among is None:
            return torch.cat([part.reshape(-1) for part in found])
        parts, each = iter(found), zip(self.trainable, among, strict=True)
        return torch.cat([(next(parts) if here else torch.zeros_like(p)).reshape(-1) for p, here in each])

    def holding(self, places: Tensor) -> list[bool]:
        """Which of `layout` have any of these places, bool [T]."""
        parts = torch.split(places != 0, [p.numel() for p in self.trainable])
        return [bool(part.any()) for part in parts]

    def independent_module(self, vector: Tensor | None = None) -> nn.Module:
        """A module with these parameters [P], by default the model's, on the CPU, to evaluate; it shares no tensor."""
        other = FlatModel(
            copy.deepcopy(self.module), rest_in_evaluation=self.rest_in_evaluation
        )  # with frozen parameters of its own, which move to the CPU below
        other.load(self.vector if vector is None else vector)
        module = other.module
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = tensor.data.to("cpu", copy=True)
        return module.eval()

    def changed_buffers(self) -> list[str]:
        """The names of buffers that stay with the module and are no longer what they were at first."""
        names = {
            (id(owner), name): f"{at}.{name}".lstrip(".")
            for at, owner in self.module.named_modules()
            for name in owner._buffers
        }
        return [
            names.get((id(owner), name), name)  # training may delete or replace them
            for owner, name, first in self._staying
            if (now := owner._buffers.get(name)) is None
            or now.shape != first.shape
            or not torch.equal(now, first)
        ]

    def load(self, vector: Tensor) -> None:
        """Take over the parameters [P]; buffers that do not travel are as they were at first."""
        self.vector.copy_(vector)
        for owner, name, first in self._staying:
            owner._buffers[name] = first.clone()


def _rest(module: nn.Module) -> None:
    """Evaluation mode for what is frozen of a module of which something is trained."""
    parts = list(module.children())
    of_each = [[parameter.requires_grad for parameter in part.parameters()] for part in parts]
    for at, part in enumerate(parts):
        near = next(filter(None, (*of_each[at:], *of_each[at::-1])), [True])
        if not any(near):
            part.eval()
        elif of_each[at]:
            _rest(part)


def copied(module: nn.Module) -> nn.Module:
    """A copy of a module that shares its frozen parameters, which nothing may write to, and nothing else."""
    frozen = {id(parameter): parameter for parameter in module.parameters() if not parameter.requires_grad}
    return copy.deepcopy(module, frozen)


def _staying_buffers(module: nn.Module, travelling: list[Tensor]) -> list[tuple[nn.Module, str, Tensor]]:
    """(owner, name, first value) of every buffer that does not travel."""
    known = {id(tensor) for tensor in travelling}
    return [
        (owner, name, buffer.clone())
        for owner in module.modules()
        for name, buffer in owner._buffers.items()
        if buffer is not None and id(buffer) not in known
    ]


def _point_into(vector: Tensor, tensors: list[Tensor]) -> None:
    offset = 0
    for tensor in tensors:
        tensor.data = vector[offset : offset + tensor.numel()].view(tensor.shape)
        offset += tensor.numel()
