"""No privacy mechanism."""

from __future__ import annotations

import torch

from federated.privacy.privacy import Privacy


def none() -> Privacy:
    """Updates leave the client as they are."""
    return Privacy(clip=lambda deltas: (deltas, torch.zeros(len(deltas), dtype=torch.bool)))
