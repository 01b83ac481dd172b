"""LiRA, the likelihood-ratio attack of Carlini et al. 2022, "Membership Inference Attacks From First Principles".

An example's confidence under a model is compared with its confidences under shadow models that were trained with it and
without it. As in the authors' code the centres are medians. Where one deviation serves all examples, it is pooled about
each example's own means, and the same with the example and without it, so that the score is linear in the confidence;
the authors' code takes that of the confidences of all examples together, of the shadows with the example.
"""

from __future__ import annotations

import numpy as np

_SMALL = 1e-30
"""Added to deviations and probabilities, as in the authors' code."""


def confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """log p_y - log sum of the others' p [n], of logits [n, classes], in double precision."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    right = probabilities[rows, labels]
    probabilities[rows, labels] = 0
    return np.asarray(np.log(right + _SMALL) - np.log(probabilities.sum(axis=1) + _SMALL))


def online(observed: np.ndarray, shadows: np.ndarray, trained: np.ndarray, *, fixed: bool) -> np.ndarray:
    """log N(observed; with the example) - log N(observed; without it), [n].

    observed: confidences [n]; shadows: those under each shadow [n, S]; trained: whether it was trained on the example,
    bool [n, S], with and without for each. fixed: one deviation of all examples.
    """
    with_it, without = _centres(shadows, trained), _centres(shadows, ~trained)
    spreads = [_deviations(shadows, which) for which in (trained, ~trained)]
    spreads = [_pooled(*spreads)] * 2 if fixed else spreads
    likelihoods = [_log_density(observed, *each) for each in zip((with_it, without), spreads, strict=True)]
    return np.asarray(likelihoods[0] - likelihoods[1])


def offline(observed: np.ndarray, shadows: np.ndarray, trained: np.ndarray, *, fixed: bool) -> np.ndarray:
    """How far the confidence is above those without the example, [n]: minus the log of the one-sided p value.

    It needs no shadow that was trained on the example. Arguments as of `online`.
    """
    from scipy.stats import norm

    without = ~trained
    deviations = _deviations(shadows, without)
    deviations = _pooled(deviations) if fixed else deviations
    return np.asarray(-norm.logsf(observed, _centres(shadows, without), deviations + _SMALL))


def _centres(shadows: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmedian(np.where(which, shadows, np.nan), axis=1))


def _deviations(shadows: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanstd(np.where(which, shadows, np.nan), axis=1))


def _pooled(*deviations: np.ndarray) -> np.ndarray:
    """One for all examples, for each again: the root of the mean variance."""
    together = np.sqrt(np.mean(np.square(deviations)))
    return np.full_like(deviations[0], together)


def _log_density(observed: np.ndarray, centre: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return np.asarray(norm.logpdf(observed, centre, deviation + _SMALL))
