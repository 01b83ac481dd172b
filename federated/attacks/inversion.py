"""Gradient inversion: the images behind updates, as far as they can be drawn again from what is read of these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from federated.attacks.matching import Matched, matched
from federated.attacks.reconstruction import (
    Pixels,
    closed_form,
    first_dense,
    label_of,
    pixels_of,
    reconstructed,
)
from federated.attacks.victims import View, views
from federated.config.measuring.leakage import Inversion
from federated.foundation.randomness import Purpose, generator
from federated.metrics import Metrics
from federated.models.objective import model_inputs
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup

_START, _KNOWN = 5, 6  # keys of Purpose.LEAKAGE
_KNOWN_IMAGES = 1000
"""Training images by which the range, the mean and the deviation of a pixel are known."""


class Drawn(NamedTuple):
    """Images [n, channels, height, width] and what became of them, in the same order.

    title: whose reading it is of. found: by optimisation; exact: by the closed form, None where that does not apply.
    """

    title: str
    images: np.ndarray
    found: np.ndarray
    exact: np.ndarray | None
    psnr: np.ndarray


class InversionFound(NamedTuple):
    """metrics: by full names. drawn: of what the server reads, and of what is released. low, high: of a pixel."""

    metrics: Metrics
    drawn: list[Drawn]
    low: float
    high: float


class _Result(NamedTuple):
    """One view: its images, reconstructions by optimisation and in closed form, and the share of labels found."""

    images: np.ndarray
    found: np.ndarray
    by_search: Matched
    exact: np.ndarray | None
    in_closed_form: Matched | None
    right: float | None


def inversion(state: RunState, setup: Setup, options: Inversion) -> InversionFound:
    """Attack updates as the server reads them, and the released model where noise is added at the server."""
    setup = setup.whole  # what is reconstructed are inputs
    known, mean = _known(setup)
    seen = views(state, setup, options)
    read = [_attacked(view, setup, options, known, at) for at, view in enumerate(seen.read)]
    metrics = _metrics("", read)
    blind = [_blind(result.images, mean, known) for result in read]
    metrics["privacy/inversion_blind_psnr"] = float(np.concatenate(blind).mean())
    alone = setup.parts.transport.reveals == "sum"
    metrics["privacy/inversion_updates_in_one"] = seen.cohort if alone else 1
    metrics["privacy/inversion_images"] = sum(len(result.images) for result in read)
    drawn = [_drawn("as it is read", read)]
    if seen.released is not None:
        released = [_attacked(seen.released, setup, options, known, len(read))]
        metrics |= _metrics("released_", released)
        drawn.append(_drawn("as it is released", released))
    return InversionFound(metrics, drawn, known.low, known.high)


def _known(setup: Setup) -> tuple[Pixels, np.ndarray]:
    """What is known of images in general, and the mean image, which one can guess without any update."""
    training = setup.federation.training
    numbers = generator(setup.config.seed, Purpose.LEAKAGE, _KNOWN)
    some = numbers.choice(training, min(_KNOWN_IMAGES, len(training)), replace=False)
    images = _images(setup, some)
    return pixels_of(images), images.mean(dim=0).cpu().numpy()


def _images(setup: Setup, indices: np.ndarray) -> Tensor:
    """As the model receives them, float32 [n, channels, height, width]."""
    return model_inputs(setup.inputs[torch.from_numpy(indices).to(setup.inputs.device)]).float()


def _attacked(view: View, setup: Setup, options: Inversion, known: Pixels, at: int) -> _Result:
    images = _images(setup, view.indices)
    shape = tuple(images.shape[1:])
    twin = setup.model.twin()
    twin.load(view.received)
    right = setup.worker.work.targets[torch.from_numpy(view.indices).to(setup.inputs.device)]
    label = label_of(twin, view.update, setup.federation.examples.num_outputs) if len(images) == 1 else None
    labels = right if label is None else torch.full_like(right, label)
    moving = setup.parts.travelling
    found = reconstructed(
        twin,
        setup.worker.work.loss,
        moving.of(view.update[None])[0],
        labels,
        shape,
        known,
        options,
        generator(setup.config.seed, Purpose.LEAKAGE, _START, at),
        moving.of,
    )
    spread, original = known.high - known.low, images.cpu().numpy()
    by_search = matched(original, found.cpu().numpy(), spread)
    exact, in_closed_form = None, None
    if first_dense(twin, math.prod(shape)):
        one = closed_form(twin, view.update, math.prod(shape)).clamp(known.low, known.high)
        exact = np.broadcast_to(one.cpu().numpy().reshape(shape), original.shape)
        in_closed_form = matched(original, exact, spread)
    share = None if label is None else float((labels == right).float().mean())
    return _Result(original, found.cpu().numpy()[by_search.order], by_search, exact, in_closed_form, share)


def _blind(images: np.ndarray, mean: np.ndarray, known: Pixels) -> np.ndarray:
    guess = np.broadcast_to(mean, images.shape)
    return matched(images, guess, known.high - known.low).psnr


def _metrics(which: str, results: list[_Result]) -> Metrics:
    """Means over all images of some views."""
    found = {
        f"{which}psnr": [r.by_search.psnr for r in results],
        f"{which}mse": [r.by_search.squared for r in results],
    }
    exact = [r.in_closed_form for r in results if r.in_closed_form is not None]
    if exact:
        found[f"{which}closed_form_psnr"] = [each.psnr for each in exact]
        found[f"{which}closed_form_mse"] = [each.squared for each in exact]
    labels = [r.right for r in results if r.right is not None]
    metrics = {
        f"privacy/inversion_{name}": float(np.concatenate(parts).mean()) for name, parts in found.items()
    }
    return metrics | ({f"privacy/inversion_{which}label_accuracy": float(np.mean(labels))} if labels else {})


def _drawn(title: str, results: list[_Result]) -> Drawn:
    exact = [result.exact for result in results]
    return Drawn(
        title,
        np.concatenate([result.images for result in results]),
        np.concatenate([result.found for result in results]),
        None if exact[0] is None else np.concatenate([each for each in exact if each is not None]),
        np.concatenate([result.by_search.psnr for result in results]),
    )
