"""Focal loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.foundation.scales import check_scale
from federated.losses.loss import Loss
from federated.losses.of_classes.class_weights import ClassWeights, weigher


def focal(gamma: float = 2.0, class_weights: ClassWeights = None) -> Loss:
    """Cross-entropy that counts examples less the surer the model is of them. The loop and vmap.

    gamma: how much less: the cross-entropy of an example whose class has the probability p is multiplied by
        (1 - p)^gamma; 0: not at all.
    class_weights: as of `cross_entropy`; the alpha of the paper.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5, over a softmax in place of their sigmoid.
    """
    check_scale("gamma", gamma, zero=True)

    def of_each(outputs: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(outputs, targets, reduction="none")
        # 1 - p from the logarithm, which keeps its digits where p is near 1; never 0, where the power has no gradient.
        unsure = -torch.expm1(-losses)
        return unsure.clamp(min=torch.finfo(losses.dtype).tiny) ** gamma * losses if gamma else losses

    return Loss(("classification",), of_each, weigh=weigher(class_weights))
