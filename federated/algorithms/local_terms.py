"""The terms that an algorithm adds to the clients' plain SGD steps in a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.algorithms.own_steps import OwnSteps
from federated.foundation.scales import check_scale


@dataclass(frozen=True, eq=False)
class Contrast:
    """A term of MOON's in every client's objective, which needs the loop.

    mu times -log(e^a / (e^a + e^b)), with a and b the cosines of an example's representation with that of the received
    model and of the client's previous one, over temperature. previous: [C, T], of the clients that are known, bool [C];
    the others have no such term.
    """

    mu: float
    temperature: float
    previous: Tensor
    known: np.ndarray

    def of(self, at: np.ndarray) -> Contrast:
        """The term of some of the clients."""
        rows = torch.from_numpy(at).to(self.previous.device)
        return replace(self, previous=self.previous[rows], known=self.known[at])


class Phase(NamedTuple):
    """Steps of every client in which a part of the model moves and the rest is frozen.

    Gradients are bounded, and weight decay, momentum and the optimiser's memory work, on the part that moves alone, and
    the memory starts at zero. Running statistics are updated all the same, as the model is in training mode.

    moves: bool [T], the parameters that move. epochs: over the client's examples, or steps; neither: as the study's
        `local` says.
    stream: which batches and dropout masks are drawn: 0 those of every other algorithm, and phases of a round that are
        to have other ones the numbers after it.
    """

    moves: Tensor
    epochs: int | None = None
    steps: int | None = None
    stream: int = 0


@dataclass(frozen=True, eq=False)
class LocalTerms:
    """The client half of an algorithm in one round; by default nothing beyond plain local SGD.

    proximal: mu of the term mu/2 ||w - anchor||^2 in every client's objective.
    correction: a vector that is added to the gradient in every step: [T] for all, or [C, T] with a row for
        each client (T: trainable parameters), of the parameters' type and on their device.
    rate_factors: float [C], what each client's learning rate is multiplied by.
    steps: int [C], the local steps of each client, whatever the config says.
    offsets: floats [C, K], which are added to the K outputs for every example of a client, in training alone.
    contrast: of an algorithm that needs the loop (`Need.LOOP`).
    phases: one after another, each from where the one before ended; none: everything moves in all steps. The loss that
        a client reports is that of the last. `steps` are those of each of them.
    anchor: [T] or [C, T]; None: the model that the steps begin from.
    own_steps: instead of steps down the gradient; of the other terms they go with `steps` alone.

    Like weight decay, and unlike the gradient of the loss, none of this is clipped. Raises ValueError where
    a number makes no sense.
    """

    proximal: float = 0.0
    correction: Tensor | None = None
    rate_factors: np.ndarray | None = None
    steps: np.ndarray | None = None
    offsets: Tensor | None = None
    contrast: Contrast | None = None
    phases: tuple[Phase, ...] = ()
    anchor: Tensor | None = None
    own_steps: OwnSteps | None = None

    def __post_init__(self) -> None:
        check_scale("proximal", self.proximal, zero=True)
        if (
            self.rate_factors is not None
            and not (np.isfinite(self.rate_factors) & (self.rate_factors > 0)).all()
        ):
            raise ValueError(f"rate_factors must be finite numbers > 0, got {self.rate_factors}")
        if self.steps is not None and not (self.steps >= 1).all():
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.offsets is not None and not torch.isfinite(self.offsets).all():
            raise ValueError("offsets must be finite numbers")
        if self.proximal and len(self.phases) > 1:
            raise ValueError("a proximal term is around what is received, so it goes with one phase at most")
        if self.own_steps is not None and (others := self._beside_own_steps()):
            raise ValueError(
                f"own_steps are instead of steps down the gradient, so they go with steps alone; leave "
                f"{', '.join(others)} out"
            )

    def _beside_own_steps(self) -> list[str]:
        """The stated terms of which steps of an algorithm's own know nothing."""
        stated = {
            "proximal": self.proximal > 0,
            "correction": self.correction is not None,
            "rate_factors": self.rate_factors is not None,
            "offsets": self.offsets is not None,
            "contrast": self.contrast is not None,
            "phases": len(self.phases) > 0,
            "anchor": self.anchor is not None,
        }
        return [name for name, here in stated.items() if here]

    @property
    def phase(self) -> Phase | None:
        """The only phase, where there is one."""
        return self.phases[0] if len(self.phases) == 1 else None

    @property
    def stream(self) -> int:
        """Which batches and dropout masks are drawn, see `Phase`."""
        return 0 if self.phase is None else self.phase.stream

    def of(self, positions: Sequence[int] | np.ndarray) -> LocalTerms:
        """The terms of some of the clients."""
        at = np.asarray(positions)
        vectors = (self.correction, self.anchor)
        others = (self.rate_factors, self.steps, self.offsets, self.contrast, self.own_steps)
        if all(each is None or each.dim() == 1 for each in vectors) and all(each is None for each in others):
            return self
        correction, anchor = (
            each if each is None or each.dim() == 1 else _rows(each, at) for each in vectors
        )
        return replace(
            self,
            correction=correction,
            anchor=anchor,
            rate_factors=None if self.rate_factors is None else self.rate_factors[at],
            steps=None if self.steps is None else self.steps[at],
            offsets=None if self.offsets is None else _rows(self.offsets, at),
            contrast=None if self.contrast is None else self.contrast.of(at),
            own_steps=None if self.own_steps is None else self.own_steps.of(at),
        )

    def shift(self, received: Tensor) -> Tensor | None:
        """The part of the gradient that does not change in the round, [1, T] or [C, T]; received [T] or [C, T].

        The proximal term is mu w - mu anchor: weight decay by mu, and a constant.
        """
        shift = self.correction
        if self.proximal:
            pull = (received if self.anchor is None else self.anchor) * -self.proximal
            shift = pull if shift is None else shift + pull
        return None if shift is None else shift.view(-1, received.shape[-1])


NO_TERMS = LocalTerms()


def _rows(value: Tensor, at: np.ndarray) -> Tensor:
    return value[torch.from_numpy(at).to(value.device)]
