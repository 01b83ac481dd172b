"""ReLU and 2x2 max-pooling in one, by strided maxima."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def relu_pool(inputs: Tensor) -> Tensor:
    """max_pool2d(relu(inputs), 2) of images [..., height, width], to the bit, and so is its gradient."""
    if inputs.shape[-1] % 2 or inputs.shape[-2] % 2:
        return F.max_pool2d(F.relu(inputs), 2)
    pooled: Tensor = _ReluPool.apply(inputs)  # type: ignore[no-untyped-call]
    return pooled


class _ReluPool(torch.autograd.Function):
    """Columns first, so that of equal values the first in reading order gets the gradient, as in torch."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        narrow = torch.maximum(inputs[..., ::2], inputs[..., 1::2])
        pooled = torch.maximum(narrow[..., ::2, :], narrow[..., 1::2, :]).relu_()
        ctx.save_for_backward(inputs, narrow, pooled)
        return pooled

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        inputs, narrow, pooled = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, pooled, 0)
        of_narrow, of_inputs = torch.empty_like(narrow), torch.empty_like(inputs)
        lead = narrow[..., 1::2, :] - narrow[..., ::2, :]
        share(gradient, lead, of_narrow[..., ::2, :], of_narrow[..., 1::2, :])
        lead = inputs[..., 1::2] - inputs[..., ::2]
        share(of_narrow, lead, of_inputs[..., ::2], of_inputs[..., 1::2])
        return of_inputs


def share(gradient: Tensor, lead: Tensor, of_first: Tensor, of_second: Tensor) -> None:
    """Hand on the gradient of max(first, second), where lead = second - first; to the first if alike.

    threshold_backward is gradient * (lead > 0) in one pass. A product with a mask of bools takes longer,
    because the mask is made into numbers first.
    """
    torch.ops.aten.threshold_backward.grad_input(gradient, lead, 0, grad_input=of_second)
    torch.sub(gradient, of_second, out=of_first)
