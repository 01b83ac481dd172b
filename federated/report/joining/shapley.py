"""The Shapley value of each site to the others, from the coalitions that the runs of an arm trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from federated.coalitions.game import Coalition, orders, sampled_shapley, shapley
from federated.coalitions.training import AT, JOINS
from federated.report.findings.results import RunResult
from federated.report.joining.differences import Rules, judged_together
from federated.report.joining.found import Valued

PERMUTATIONS = "coalitions.permutations"
"""The parameter of a run that says how many orders it drew; absent where all coalitions were trained."""


class Game(NamedTuple):
    """The coalitions of a run. scores: coalition -> float64 [clients], of those that have a score in every one.

    permutations: None where all coalitions were trained.
    """

    players: tuple[str, ...]
    clients: tuple[str, ...]
    scores: Mapping[Coalition, np.ndarray]
    permutations: int | None
    seed: int


def values_of(runs: Sequence[RunResult], rules: Rules) -> list[Valued]:
    """The value of each site of an arm over its seeds; [] where no run trained coalitions."""
    games = [game_of(run) for run in runs if run.finished and run.coalitions]
    if not games:
        return []
    players = games[0].players
    each = [_to_others(game) for game in games]
    judged = judged_together(list(np.array([values for values, _ in each]).T), rules)
    errors = np.array([error for _, error in each])
    combined = np.sqrt((errors**2).mean(axis=0) / len(errors))
    exact = games[0].permutations is None
    return [
        Valued(site, value, None if exact else float(error))
        for site, value, error in zip(players, judged, combined, strict=True)
    ]


def game_of(run: RunResult) -> Game:
    """The coalitions of a run, from its table."""
    players = [name.removeprefix(JOINS) for name in run.coalitions if name.startswith(JOINS)]
    columns = {name.partition(AT)[2]: name for name in run.coalitions if not name.startswith(JOINS)}
    scores = {client: _numbers(run.coalitions[column]) for client, column in columns.items()}
    known = [client for client, values in scores.items() if np.isfinite(values).all()]
    members = np.array([run.coalitions[f"{JOINS}{name}"] for name in players], bool).T
    values = np.array([scores[client] for client in known]).T
    return Game(
        tuple(players),
        tuple(known),
        {frozenset(np.flatnonzero(row).tolist()): values[at] for at, row in enumerate(members)},
        int(run.parameters[PERMUTATIONS]) if run.parameters.get(PERMUTATIONS) else None,
        run.seed,
    )


def _to_others(game: Game) -> tuple[np.ndarray, np.ndarray]:
    """(value of each player to the others, its standard error by sampling), float64 [players]; errors 0 where exact.

    To the others: by the mean score on the examples of all clients but the player itself, which is a game of its own.
    """
    others = np.array([[client != player for client in game.clients] for player in game.players], np.float64)
    shares = others / np.maximum(others.sum(axis=1, keepdims=True), 1)
    scores = {coalition: shares @ score for coalition, score in game.scores.items()}
    count = len(game.players)
    if game.permutations is None:
        return shapley(scores, count).diagonal(), np.zeros(count)
    found = sampled_shapley(scores, orders(count, game.permutations, game.seed))
    errors = np.full(count, math.nan) if found.errors is None else found.errors.diagonal()
    return found.values.diagonal(), errors


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], np.float64)
