"""A loss of classes at every position of a sequence."""

from __future__ import annotations

from torch import Tensor

from federated.losses.loss import Loss


def of_positions(loss: Loss) -> Loss:
    """The same loss of outputs [B, length, classes] against targets [B, length], the mean over positions that count.

    Positions count that have a class; the others, below 0, are padding. Each position weighs alike, so a longer example
    weighs more: the loss of an example is the sum over its positions, divided by the mean number of positions of the
    batch's examples. Of a batch of padding alone it is 0.
    """

    def of_each(outputs: Tensor, targets: Tensor) -> Tensor:
        flat = loss.of_each(outputs.flatten(0, 1), targets.clamp(min=0).flatten()).view(targets.shape)
        counts = (targets >= 0).to(flat.dtype)
        return (flat * counts).sum(dim=1) * (len(targets) / counts.sum().clamp(min=1))

    def counted(targets: Tensor) -> int:
        return int((targets >= 0).sum())

    return loss._replace(targets=("sequence",), of_each=of_each, of_all=None, kernel=None, mean_over=counted)
