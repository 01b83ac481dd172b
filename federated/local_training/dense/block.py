"""The examples of a few local steps of a stack of clients, gathered and made ready at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from federated.local_training.dense.layer import widen
from federated.local_training.dense.masks import StackedMasks
from federated.local_training.dense.recognise import Dense
from federated.local_training.steps.plan import Plan, PlanThere, gathered
from federated.local_training.steps.scratch import Scratch
from federated.local_training.steps.work import LocalWork
from federated.losses import Criterion
from federated.machine.torch_threads import team
from federated.models.objective import input_scale

_LANES = 64
"""A multiple of the numbers that any processor's vectors hold."""


class Block:
    """A few steps S of all clients that take part in the first of them.

    active: clients that take each step; batch: B, the examples of one.
    inputs [c, S x B, width]: of the first layer, those that are dropped already zero.
    targets [S, c x B, ...]; real [S, c, B]: whether an example counts, or fills up a short batch.
    factors [S, c, B]: what the loss of each example is multiplied by, or None.
    masks: of each layer's inputs, [c, B, inputs] for each step; None where nothing is dropped.
    """

    def __init__(
        self,
        work: LocalWork,
        criterion: Criterion,
        layers: Sequence[Dense],
        plan: Plan,
        there: PlanThere,
        steps: range,
        masks: StackedMasks,
        scratch: Scratch,
        threads: int = 1,
        offsets: Tensor | None = None,
    ) -> None:
        """there: the plan on the device. threads: of torch, to gather the inputs. offsets: of outputs, [C, K]."""
        self.criterion, self.batch = criterion, plan.examples.shape[2]
        self.active = plan.active[steps.start : steps.stop]
        device = work.inputs.device
        chosen = slice(self.active[0]), slice(steps.start, steps.stop)
        at = there.examples[chosen]
        with team(threads, at.numel()):
            self.inputs = _inputs(work, at, layers[0], scratch)
        self.masks = self._masks(masks, plan.counts[chosen], layers[0].inputs)
        self.targets = gathered(work.targets, at.transpose(0, 1)).flatten(1, 2)
        counts = there.counts[chosen].T[..., None]
        self.real = torch.arange(self.batch, device=device) < counts
        scale = criterion.scale(layers[-1].outputs)
        weights = self.real * (scale / counts.clamp(min=1).to(self.inputs.dtype))
        self.factors = None if work.weights is None else gathered(work.weights, at.transpose(0, 1))
        weights = (weights if self.factors is None else weights * self.factors).flatten(1)
        aims = criterion.aims(self.targets, -weights, layers[-1].outputs)
        # Kernels round their last few numbers otherwise: with several runs these are none of anybody's.
        self._whole = 1 if work.origins is None else _LANES
        self.outputs = scratch("outputs", self.inputs, *aims.shape[:2], self._rounded(aims.shape[2]))
        if self.active[-1] < self.active[0] or self._whole > 1:
            self.outputs.zero_()
        self._offsets = None
        if offsets is not None:
            self._offsets = offsets[: self.active[0]].to(self.inputs).t().repeat_interleave(self.batch, dim=1)
        self._of_step = list(zip(aims, weights[:, None], self.outputs, strict=True))

    def errors(self, step: int, outputs: Tensor) -> Tensor:
        """The gradient of the loss with respect to a step's outputs [c, B, K], which are kept for `losses`."""
        columns = len(outputs) * self.batch
        aims, weights, wide = self._of_step[step]
        aims, weights, wide = (
            _first_columns(aims, columns),
            _first_columns(weights, columns),
            _first_columns(wide, self._rounded(columns)),
        )
        kept = _first_columns(wide, columns)
        kept.copy_(outputs.reshape(columns, -1).t())
        if self._offsets is not None:
            kept.add_(_first_columns(self._offsets, columns))
        predicted = _first_columns(self.criterion.predict(wide), columns)
        errors = torch.addcmul(aims, predicted, weights).t().view(outputs.shape)
        # MKL cuts a product of single columns within a matrix, and then rounds by the number of threads.
        return errors.contiguous() if self.batch == 1 else errors

    def losses(self) -> Tensor:
        """The summed losses of each client's examples [c]."""
        columns, targets = self.targets.shape[1], self.targets
        if more := self.outputs.shape[2] - columns:
            targets = torch.cat([targets, targets[:, :1].expand(-1, more, *targets.shape[2:])], dim=1)
        losses = self.criterion.losses(self.outputs, targets)[:, :columns].reshape(self.real.shape)
        losses = losses if self.factors is None else losses * self.factors
        if self._whole == 1:
            return (losses * self.real).sum(dim=(0, 2))
        return (
            (losses * self.real).sum(dim=2).cumsum(dim=0)[-1]
        )  # whatever number of steps without a loss follows

    def _rounded(self, columns: int) -> int:
        return -(-columns // self._whole) * self._whole

    def _masks(
        self, masks: StackedMasks, counts: np.ndarray, num_inputs: int
    ) -> list[tuple[Tensor, ...] | None]:
        """Of all layers; the first one's are applied."""
        drawn = masks.draw(counts, self.batch, self.inputs)
        if (applied := drawn[0]) is not None:
            self.inputs[..., :num_inputs] *= applied
        return [None if mask is None else torch.split(mask, self.batch, dim=1) for mask in drawn]


def _first_columns(values: Tensor, columns: int) -> Tensor:
    return values if values.shape[1] == columns else values[:, :columns]


def _inputs(work: LocalWork, at: Tensor, dense: Dense, scratch: Scratch) -> Tensor:
    """The examples at [c, S, B] as the first layer takes them, [c, S x B, width]: bytes stay 0 to 255."""
    clients = len(at)
    at = at.reshape(-1)
    one = 1 / input_scale(work.inputs)
    rows = scratch(
        "inputs", work.model.vector, len(at), dense.width, fresh=lambda rows: widen(rows, dense.inputs, one)
    )
    taken = scratch("gathered", work.inputs, len(at), *work.inputs.shape[1:])
    torch.index_select(work.inputs, 0, at, out=taken)
    rows[:, : dense.inputs].copy_(taken.flatten(1))
    return rows.view(clients, -1, dense.width)
