"""MOON's contrast: what is added to the loss of a batch, so that representations stay near the received model's."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from federated.algorithms.local_terms import Contrast
from federated.local_training.steps.autocast import in_precision
from federated.local_training.steps.batches import Batch
from federated.local_training.steps.work import LocalWork
from federated.models.flat_model import FlatModel
from federated.models.representation import Place, representation_of, watched


class Contrasting:
    """The received model and a client's previous one, beside the one that is trained, whose forward passes it sees."""

    def __init__(self, work: LocalWork, trained: FlatModel) -> None:
        """work: with the model before any change. trained: the one that goes through the steps."""
        place = representation_of(work.model.module)
        self._received, self._previous = _Still(work, place), _Still(work, place)
        self._now = watched(trained.module, place)

    def begin(self, received: Tensor, previous: Tensor) -> None:
        """Load the two models [P] of the next client."""
        self._received.load(received)
        self._previous.load(previous)

    def __call__(self, contrast: Contrast, batch: Batch) -> Tensor:
        """mu times the mean contrast of a batch that has just gone through the trained model."""
        now = self._now()
        others = [self._received.of(batch), self._previous.of(batch)]
        return contrast.mu * contrast_loss(now, others[0].to(now), others[1].to(now), contrast.temperature)


def contrast_loss(now: Tensor, received: Tensor, previous: Tensor, temperature: float) -> Tensor:
    """The mean over rows [B, n] of -log(e^a / (e^a + e^b)): a and b are cosines with the others, over temperature."""
    alike = torch.stack([F.cosine_similarity(now, other) for other in (received, previous)], dim=1)
    return F.cross_entropy(alike / temperature, torch.zeros(len(now), dtype=torch.int64, device=now.device))


class _Still:
    """A copy of the model that is not trained, in evaluation mode."""

    def __init__(self, work: LocalWork, place: Place) -> None:
        self._model = work.model.twin()
        self._forward = in_precision(work, self._model.module)
        self._last = watched(self._model.module, place)

    def load(self, vector: Tensor) -> None:
        self._model.load(vector)
        self._model.module.eval()

    def of(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            self._forward(batch.inputs)
        return self._last()
