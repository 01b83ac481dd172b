"""Trials of a user's model: building, copying, flattening, training and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from federated.foundation.errors import OwnCodeFailed
from federated.foundation.randomness import Purpose, torch_seeded
from federated.foundation.texts import listed
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.work import LocalWork
from federated.models import check_outputs
from federated.models.flat_model import FlatModel
from federated.models.objective import model_inputs
from federated.trials.purity import fingerprint
from federated.user_code.containment import contained

_RATE = 1e-3  # of the trial's steps, which should change the parameters and spoil nothing
_SAME = 1e-4  # how far two calls with the same inputs may be apart, as a share of the largest number
_NORMALISES = "Expected more than 1 value per channel"  # what batch normalisation says of a batch of one


class Tried(NamedTuple):
    """takes_one: whether the model can be trained on a batch of one. notes: what a person should know, in sentences."""

    takes_one: bool = True
    notes: tuple[str, ...] = ()


class Sizes(NamedTuple):
    """Numbers of examples that come at a time, those of training and those of evaluation."""

    training: Sequence[int]
    evaluation: Sequence[int]


def try_model(
    name: str, make: Callable[[], nn.Module], work: LocalWork, outputs: tuple[int, ...], sizes: Sizes
) -> Tried:
    """Raises OwnCodeFailed, with a line that names the model, what was done, what came and a cure.

    make: the model before training, always with the same seed. work: its model, on its device, the inputs and
    targets of at least as many examples as the largest of the sizes.
    """
    trial = _Trial(name, work, outputs)
    trial.check_made_alike(make())
    evaluated = work.model.twin()
    trial.evaluate(evaluated, sizes.evaluation)
    copied = evaluated.twin()
    first, second = (trial.trained(copied, sizes.training) for _ in range(2))
    trial.check_frozen()
    trial.check_same(
        first, second, f"trained twice from the same parameters ends with different ones: {_KEEPS}"
    )
    return Tried(trial.takes_one, tuple(trial.notes))


class _Trial:
    """A trial of the model, and the error message for its failure."""

    def __init__(self, name: str, work: LocalWork, outputs: tuple[int, ...]) -> None:
        self._name, self._work, self._shape = f"model: {name}", work, outputs
        self._start = work.model.vector.clone()
        self._frozen = [(name, p, fingerprint(p)) for name, p in _frozen(work.model.module)]
        self.takes_one, self.notes = True, list[str]()

    def check_made_alike(self, again: nn.Module) -> None:
        """Raise where the model made once more with the same seed is another one."""
        ours = dict(self._work.model.module.named_parameters())
        theirs = dict(again.named_parameters())
        shapes = [{name: list(p.shape) for name, p in each.items()} for each in (ours, theirs)]
        if shapes[0] != shapes[1]:
            raise OwnCodeFailed(f"{self._name} has other parameters each time it is made: {_unlike(*shapes)}")
        for name, parameter in ours.items():
            if not torch.equal(parameter.detach().cpu(), theirs[name].detach().cpu()):
                raise OwnCodeFailed(
                    f"{self._name} begins with another {name} each time it is made with one seed: draw initial "
                    "parameters with torch, whose generator is seeded"
                )

    def evaluate(self, model: FlatModel, sizes: Sequence[int]) -> None:
        """Evaluate a batch of each size, twice the same."""
        model.load(self._start)
        self._set_mode(model.module, False)
        for size in sizes:
            with torch.inference_mode():
                first, again = (self._outputs(model.module, size, "in evaluation mode") for _ in range(2))
            self.check_same(first, again, _DRAWS)
        self._check_names(model)

    def trained(self, model: FlatModel, sizes: Sequence[int]) -> Tensor:
        """The parameters after a step on a batch of each size."""
        model.load(self._start)
        self._set_mode(model.module, True)
        model.train()
        with torch_seeded(self._work.seed, Purpose.DROPOUT), torch.enable_grad():
            for size in sizes:
                self._step(model, size)
        self._check_names(model)
        ended = model.vector.clone()
        self._look_at_buffers(model, sizes[0])
        return ended

    def check_frozen(self) -> None:
        """Raise where the model writes to a frozen parameter, which all copies of it share."""
        for name, parameter, before in self._frozen:
            if fingerprint(parameter) != before:
                raise OwnCodeFailed(
                    f"{self._name} writes to {name}, which is frozen (requires_grad is False) and therefore one tensor "
                    "for all copies of the model: make it a buffer, with register_buffer"
                )

    def check_same(self, first: Tensor, second: Tensor, what: str) -> None:
        """Raise where two results that should be the same are not."""
        if not float((first - second).abs().max()) <= _SAME * max(float(first.abs().max()), _SAME):
            raise OwnCodeFailed(f"{self._name} {what}")

    def _check_names(self, model: FlatModel) -> None:
        now = {name for name, parameter in model.module.named_parameters() if parameter.requires_grad}
        if changed := sorted(now ^ {name for name, _ in model.layout}):
            raise OwnCodeFailed(
                f"{self._name} makes parameters in forward: {changed[0]}; make them in __init__"
            )

    def _set_mode(self, module: nn.Module, training: bool) -> None:
        method = "train" if training else "eval"
        with contained(f"{self._name}: {method}() fails"):
            found = module.train() if training else module.eval()
        if found is not module:
            raise OwnCodeFailed(f"{self._name}: {method}() must return the model: end it with `return self`")

    def _step(self, model: FlatModel, size: int) -> None:
        mode = "in training mode"
        forward = in_precision(self._work._replace(model=model), model.module)
        try:
            outputs = self._outputs(forward, size, mode)
        except OwnCodeFailed as error:
            if size > 1 or _NORMALISES not in str(error):
                raise
            self.takes_one = False
            return
        with _cured(f"{self._name}: the gradient of its loss on {_batch(size)} {mode} cannot be computed"):
            weights = None if self._work.weights is None else self._work.weights[:size]
            loss = self._work.loss(outputs, self._work.targets[:size], weights)
            parts = torch.autograd.grad(loss, model.trainable, allow_unused=True, retain_graph=True)
            self._look_at(model, parts)
            gradient = model.gradient(loss)
        model.vector[: model.num_trainable].sub_(gradient, alpha=_RATE)

    def _look_at_buffers(self, model: FlatModel, size: int) -> None:
        """Note the buffers that training changed, where that matters in evaluation: they do not travel."""
        changed = model.changed_buffers()
        if not changed:
            return
        self._set_mode(model.module, False)
        with torch.inference_mode():
            kept = self._outputs(model.module, size, "in evaluation mode")
            model.load(model.vector.clone())
            begun = self._outputs(model.module, size, "in evaluation mode")
        if not torch.allclose(kept, begun, rtol=_SAME, atol=_SAME):
            self._note(
                f"training changes {listed(changed, 3)} and evaluation uses it, but of buffers only the running "
                "statistics of batch normalisation are sent: each client and each evaluation begins with the values "
                "that the model is made with"
            )

    def _look_at(self, model: FlatModel, parts: Sequence[Tensor | None]) -> None:
        """Raise where a gradient is none that training can use; note what is not trained."""
        for (name, shape), part in zip(model.layout, parts, strict=True):
            if part is None:
                self._note(f"{name} {list(shape)} takes no part in the loss: it is sent and never changes")
            elif part.is_sparse:
                raise OwnCodeFailed(
                    f"{self._name}: the gradient of {name} {list(shape)} is sparse, and updates are dense vectors: "
                    "leave out sparse=True, which changes nothing else"
                )
            elif not torch.isfinite(part).all():
                raise OwnCodeFailed(
                    f"{self._name}: the gradient of {name} {list(shape)} is not finite at the start"
                )

    def _note(self, sentence: str) -> None:
        if (whole := f"{self._name}: {sentence}") not in self.notes:
            self.notes.append(whole)

    def _outputs(self, forward: Callable[[Tensor], Tensor], size: int, mode: str) -> Tensor:
        given = f"{self._name}, {_batch(size)} {mode}:"
        inputs = model_inputs(self._work.inputs[:size]).clone()
        with _cured(given.removesuffix(":"), _ONE if size == 1 else ""):
            outputs = forward(inputs)
        check_outputs(outputs, given, (size, *self._shape), OwnCodeFailed)
        kept = self._work.model.vector.dtype
        if outputs.dtype != kept:
            found, wanted = (str(dtype).removeprefix("torch.") for dtype in (outputs.dtype, kept))
            raise OwnCodeFailed(f"{given} must return {wanted} outputs, got {found}: add .to(torch.{wanted})")
        return outputs


_KEEPS = (
    "it keeps something from one batch to the next, as in an attribute, or draws numbers that torch's seed does not "
    "set; make such things anew in forward, or register them as buffers"
)
_ONE = " (several work; squeeze() drops the dimension of a batch of one: name the one that is to go)"
_DRAWS = (
    "returns something else each time for the same inputs in evaluation mode: it draws random numbers (functional "
    "dropout needs training=self.training) or keeps something from one batch to the next"
)


def _frozen(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in module.named_parameters() if not p.requires_grad)


def _batch(size: int) -> str:
    return "a batch of one example" if size == 1 else f"a batch of {size} examples"


def _unlike(first: dict[str, list[int]], second: dict[str, list[int]]) -> str:
    """The first parameter that differs, with both shapes."""
    for name in (*first, *second):
        one, other = first.get(name), second.get(name)
        if one != other:
            return f"{name} {one or 'absent'}, then {other or 'absent'}"
    return "in another order"


_CURES = (
    (
        f"{_NORMALISES} when training",
        "batch normalisation without running statistics scores an example by the others of its batch: leave out "
        "track_running_stats=False",
    ),
    (
        "through the graph a second time",
        "it keeps a tensor of an earlier batch: detach it or make it anew in forward",
    ),
    (
        "Inference tensors cannot be saved",
        "it keeps a tensor of an evaluation: make it a buffer, in __init__",
    ),
)


@contextmanager
def _cured(what: str, hint: str = "") -> Iterator[None]:
    """As `contained`, with a cure where there is one for the error's words, else the hint."""
    try:
        with contained(what):
            yield
    except OwnCodeFailed as error:
        cure = next((f"; {cure}" for words, cure in _CURES if words in str(error)), hint)
        raise OwnCodeFailed(f"{error}{cure}") from error.__cause__
