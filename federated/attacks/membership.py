"""Membership inference: can one tell from a model, or from one update, which examples were trained on?

Yeom, Giacomelli, Fredrikson and Jha 2018, "Privacy Risk in Machine Learning" (arXiv:1709.01604): the loss as a
threshold. Carlini et al. 2022 (arXiv:2112.03570): LiRA, see `federated.attacks.lira`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_partitioners.partition import sizes_of
from federated.attacks import lira
from federated.attacks.observed import Suspects, one_cohort, under_model, under_updates
from federated.attacks.scores import Roc, by_client, figures, rank_correlation, roc
from federated.attacks.shadows import shadows
from federated.config.measuring.leakage import MembershipInference
from federated.evaluation.final import divergences
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, generator
from federated.metrics import Metrics
from federated.run.clients.cohort import heard_within
from federated.run.preparing.attacks.refusals import NOBODY_TO_ASK_ABOUT
from federated.run.state import RunState

if TYPE_CHECKING:
    from federated.run.setup import Setup

_SUSPECTS = 3  # key of Purpose.LEAKAGE
_FEWEST_FOR_ITS_OWN = 64
"""Shadows from which on each example has a deviation of its own."""
_LEAST_OF_A_CLIENT = 5
"""Members, and non-members, of a client whose own AUC is worth a number."""
_LEAST_CLIENTS = 5
_FEWEST_FOR_HALVES = 2
_RATES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *(step / 10 for step in range(1, 11)))
"""False positive rates of the table of curves."""
TARGETS = {"model": "membership", "update": "update_membership"}
"""What is attacked -> how its metrics begin."""


class MembershipFound(NamedTuple):
    """The attacks' success. curves: metric's beginning -> its curve. clients: a table, a row a client."""

    metrics: Metrics
    curves: dict[str, Roc]
    clients: dict[str, list[Any]]

    def curve_table(self) -> dict[str, list[float]]:
        """The curves as columns: the true positive rate of each at rising false positive rates."""
        columns = {name: [curve.at(rate) for rate in _RATES] for name, curve in self.curves.items()}
        return {"false_positive_rate": list(_RATES), **columns}


def membership(
    state: RunState,
    setup: Setup,
    options: MembershipInference,
    begun: Callable[[int], None] = lambda at: None,
) -> MembershipFound:
    """Attack the final model, and where it is asked for the update that each client would send next.

    begun: called with the number of each shadow federation before it trains. Raises Diverged.
    """
    took_part = heard_within(setup, state.round)
    asked = suspects_of(setup, options.examples, took_part)
    able = _with_examples_in_every_shadow(setup) if options.shadows else setup.trainers.eligible
    cohort = one_cohort(setup, np.unique(asked.owners), able)
    seen = _Seen(setup, asked, cohort, options.updates)
    observed = seen.by(state, setup)
    scores = {(target, "loss"): -seen.losses(target, out) for target, out in observed.items()}
    if options.shadows:
        scores |= _likelihood_ratios(state, setup, options, seen, observed, begun)
    return _found(scores, seen, setup, options)


def suspects_of(setup: Setup, most: int, took_part: np.ndarray) -> Suspects:
    """As many held-out as training examples of each client that took part, at random, `most` of each of all together.

    Raises BadInput where none of these clients has both.
    """
    federation, numbers = setup.federation, generator(setup.config.seed, Purpose.LEAKAGE, _SUSPECTS)
    pairs = np.zeros(len(federation.clients), np.int64)
    for client in took_part.tolist():
        pairs[client] = min(len(federation.clients[client]), len(federation.own_held_out[client]))
    if not pairs.any():
        raise BadInput(f"leakage.membership: {NOBODY_TO_ASK_ABOUT}")
    every = np.repeat(np.arange(len(pairs)), pairs)
    drawn = numbers.choice(every, min(most, len(every)), replace=False)
    counts = np.bincount(drawn, minlength=len(pairs)).tolist()
    parts = [
        (numbers.choice(held, count, replace=False), members, client)
        for client, count in enumerate(counts)
        for held, members in ((federation.clients[client], True), (federation.own_held_out[client], False))
        if count
    ]
    return Suspects(
        np.concatenate([indices for indices, _, _ in parts]),
        np.concatenate([np.full(len(indices), members) for indices, members, _ in parts]),
        np.concatenate([np.full(len(indices), client) for indices, _, client in parts]),
    )


class _Seen:
    """What is seen of the examples asked about, under the model and under updates, of a run or of a shadow of it.

    in_one: updates in each that the server can read: 1, or the cohort where it reads a sum alone.
    """

    def __init__(self, setup: Setup, asked: Suspects, cohort: np.ndarray, updates: bool) -> None:
        self._setup, self._updates, self.cohort = setup, updates, cohort
        alone = setup.parts.transport.reveals == "sum"
        self.asked = {"model": asked, "update": asked.of(cohort) if alone else asked}
        self.in_one = len(cohort) if alone else 1

    def by(self, state: RunState, setup: Setup) -> dict[str, Tensor]:
        """What is attacked -> outputs [n, ...] on its suspects."""
        found = {"model": under_model(state, setup, self.asked["model"])}
        if self._updates:
            found["update"] = under_updates(state, setup, self.asked["update"], self.cohort)
        return found

    def losses(self, target: str, outputs: Tensor) -> np.ndarray:
        """The loss of each example, float64 [n]; of predicted numbers the squared error, in their unit."""
        targets, setup = self._targets(target), self._setup
        if setup.federation.examples.task.targets == "regression":
            return _rows(outputs).sub(_rows(targets)).square().sum(dim=1).double().numpy()
        return setup.worker.work.loss.of_each(outputs, targets).double().numpy()

    def confidences(self, target: str, outputs: Tensor) -> np.ndarray:
        """Of each example, float64 [n], for LiRA."""
        return lira.confidence(outputs.double().numpy(), self._targets(target).numpy())

    def _targets(self, target: str) -> Tensor:
        targets = self._setup.targets
        return targets[torch.from_numpy(self.asked[target].indices).to(targets.device)].cpu()


def _rows(values: Tensor) -> Tensor:
    return values.double().reshape(len(values), -1)


def _likelihood_ratios(
    state: RunState,
    setup: Setup,
    options: MembershipInference,
    seen: _Seen,
    observed: dict[str, Tensor],
    begun: Callable[[int], None],
) -> dict[tuple[str, str], np.ndarray]:
    """(what is attacked, attack) -> LiRA's scores."""
    asked, found = seen.asked["model"].indices, dict[str, list[np.ndarray]]()
    trained: dict[str, list[np.ndarray]] = {"model": [], "update": []}
    for shadow in shadows(setup, state.round, asked, options.shadows, begun):
        for target, outputs in seen.by(shadow.state, shadow.setup).items():
            found.setdefault(target, []).append(seen.confidences(target, outputs))
        trained["model"].append(shadow.trained)
        trained["update"].append(shadow.held)  # whoever sends it trains on what it holds, heard before or not
    fixed = options.fixed_variance
    fixed = options.shadows < _FEWEST_FOR_ITS_OWN if fixed is None else fixed
    scores: dict[tuple[str, str], np.ndarray] = {}
    for target, columns in found.items():
        rows = np.isin(asked, seen.asked[target].indices)
        given = (
            seen.confidences(target, observed[target]),
            np.stack(columns, axis=1),
            np.stack(trained[target], axis=1)[rows],
        )
        scores[target, "lira"] = _where_known(lira.online, *given, fixed=fixed)
        scores[target, "lira_offline"] = _where_known(lira.offline, *given, fixed=fixed)
    return scores


def _where_known(
    score: Callable[..., np.ndarray],
    observed: np.ndarray,
    columns: np.ndarray,
    trained: np.ndarray,
    *,
    fixed: bool,
) -> np.ndarray:
    """The scores [n]; NaN of examples that no shadow was trained with, or none without."""
    known = trained.any(axis=1) & ~trained.all(axis=1)
    scores = np.full(len(observed), np.nan)
    if known.any():
        scores[known] = score(observed[known], columns[known], trained[known], fixed=fixed)
    return scores


def _found(
    scores: dict[tuple[str, str], np.ndarray], seen: _Seen, setup: Setup, options: MembershipInference
) -> MembershipFound:
    federation = setup.federation
    asked, divergence = seen.asked["model"], _divergence(setup)
    counts = np.bincount(asked.owners[asked.members], minlength=len(federation.names))
    clients: dict[str, list[Any]] = {
        "client": list(federation.names),
        "training_examples": federation.sizes.tolist(),
        "label_divergence_bits": _numbers(divergence),
        "members": counts.tolist(),
    }
    metrics: Metrics = {
        "privacy/membership_examples": 2 * int(asked.members.sum()),
        "privacy/membership_shadows": options.shadows,
    }
    if options.updates:
        metrics["privacy/update_membership_updates_in_one"] = seen.in_one
    curves: dict[str, Roc] = {}
    for (target, attack), values in scores.items():
        name, known = f"{TARGETS[target]}_{attack}", ~np.isnan(values)
        values, of = values[known], Suspects(*(part[known] for part in seen.asked[target]))
        if of.members.all() or not of.members.any():
            continue  # no shadow drew the clients of these examples, or all of them did
        curves[name] = roc(values, of.members)
        found = figures(curves[name], int((~of.members).sum()))
        own = by_client(values, of.members, of.owners, len(federation.names), _LEAST_OF_A_CLIENT)
        rank = rank_correlation(own, divergence, _LEAST_CLIENTS)
        found |= {} if rank is None else {"divergence_correlation": rank}
        metrics |= {f"privacy/{name}_{figure}": value for figure, value in found.items()}
        clients[f"{name}_auc"] = _numbers(own)
    return MembershipFound(metrics, curves, clients)


def _with_examples_in_every_shadow(setup: Setup) -> np.ndarray:
    """The eligible clients that hold an example or more in each of two halves of theirs."""
    federation, eligible = setup.federation, setup.trainers.eligible
    held = sizes_of(federation.own_held_out) + federation.sizes
    able: np.ndarray = eligible[held[eligible] >= _FEWEST_FOR_HALVES]
    return able


def _divergence(setup: Setup) -> np.ndarray:
    """The Jensen-Shannon divergence of each client's training labels from those of all, in bits [K]; NaN of numbers."""
    federation, examples = setup.federation, setup.federation.examples
    if examples.class_names is None:
        return np.full(len(federation.names), np.nan)
    return divergences(federation.clients, federation.training, examples.labels_of, len(examples.class_names))


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
