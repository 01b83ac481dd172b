"""Training of coalitions: the run's own training once more, by some of the sites, many coalitions as one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from federated.coalitions.game import Coalition, coalitions_of
from federated.coalitions.gathered import train_gathered
from federated.coalitions.setups import alone, coalition_setups
from federated.coalitions.stacked import as_many_as_fit, first_ask, is_plain, train_stacked
from federated.config.run import RunConfig
from federated.evaluation.outputs import Outputs
from federated.evaluation.predicted import Ready, predicted_on, sets_of
from federated.local_training.together import pays
from federated.metrics.measures import Measure
from federated.metrics.scoring import Scoring, of_clients
from federated.run.preparing.training.coalitions import coalition_config
from federated.run.setup import Setup, initial_state
from federated.run.state import RunState

JOINS, AT = "takes part: ", " at "
"""In the columns of the table, before the name of a player and of a client."""
_OWN = "client"
"""The set of the examples that each client keeps for evaluation."""


class CoalitionScores(NamedTuple):
    """The scores of coalitions on each participating client's own held-out examples.

    players: the sites that take part or not. clients: whose examples they are. measure: the name of the score.
    scores: coalition -> float64 [clients], NaN where a client has none.
    """

    players: tuple[str, ...]
    clients: tuple[str, ...]
    measure: str
    scores: dict[Coalition, np.ndarray]

    def table(self) -> dict[str, list[Any]]:
        """A row a coalition: whether each player takes part, and the score on the examples of each client."""
        joins: dict[str, list[Any]] = {
            f"{JOINS}{name}": [at in coalition for coalition in self.scores]
            for at, name in enumerate(self.players)
        }
        values = np.array(list(self.scores.values()))
        return {
            **joins,
            **{
                f"{self.measure}{AT}{name}": [
                    None if np.isnan(each) else float(each) for each in values[:, at]
                ]
                for at, name in enumerate(self.clients)
            },
        }


def coalition_scores(
    state: RunState, setup: Setup, done: Callable[[int, int], None] = lambda trained, of: None
) -> CoalitionScores | None:
    """Train every coalition that the run asks for, and score it; None where it asks for none.

    state: the run's own, after its last round, which is the coalition of all, and all train as long; the empty one is
    the model before the first round, or what clients that are no players train. done: called with the number of
    coalitions that are trained, and of all. Raises BadInput and Diverged.
    """
    asked = setup.config.coalitions
    if asked is None:
        return None
    measure = site_measure(setup.scoring)
    wanted = coalitions_of(len(asked.names), asked.permutations, setup.config.seed)
    configs = further_trainings(setup)
    scores = dict[Coalition, np.ndarray]()
    for coalition in wanted:
        if coalition not in configs:
            scores[coalition] = client_scores(state if coalition else initial_state(setup), setup, measure)
    for number, (coalition, found) in enumerate(scored(configs, setup, state.round, measure), 1):
        scores[coalition] = found
        done(number, len(configs))
    return CoalitionScores(
        asked.names,
        setup.federation.names,
        measure.name,
        {coalition: scores[coalition] for coalition in wanted},
    )


def further_trainings(setup: Setup) -> dict[Coalition, RunConfig]:
    """The configs of the coalitions that are asked for, but for that of all, and that of nobody where nobody trains."""
    asked = setup.config.coalitions
    assert asked is not None
    others = not set(asked.names).issuperset(setup.trainers.holders.names)
    return {
        coalition: coalition_config(setup.config, [asked.names[at] for at in coalition])
        for coalition in coalitions_of(len(asked.names), asked.permutations, setup.config.seed)
        if len(coalition) < len(asked.names) and (coalition or others)
    }


def site_measure(scoring: Scoring) -> Measure:
    """The measure that says how a single client fares: the main one, unless only another is spread over clients."""
    return scoring.main if scoring.main in scoring.spread or not scoring.spread else scoring.spread[0]


def client_scores(state: RunState, setup: Setup, measure: Measure, ready: Ready | None = None) -> np.ndarray:
    """The measure on each participating client's own held-out examples, float64 [clients]. ready: for these."""
    part, found = predicted_on(_OWN, state, setup, ready)
    assert part.sizes is not None
    return of_clients(measure, found, part.sizes)


def scored(
    configs: Mapping[Coalition, RunConfig], setup: Setup, rounds: int, measure: Measure
) -> Iterator[tuple[Coalition, np.ndarray]]:
    """Every coalition with its scores after the rounds: as rows of one matrix where rounds are plain and that pays.

    Raises BadInput and Diverged.
    """
    left = dict(configs)
    if len(left) > 1 and is_plain(setup) and pays(first_ask(setup := alone(setup)), len(left)):
        setup_of = coalition_setups(setup)
        while setups := as_many_as_fit((each, setup_of(config)) for each, config in left.items()):
            states = train_stacked([*setups.values()], rounds)
            yield from zip(setups, _scores_of(states, [*setups.values()], measure), strict=True)
            left = {each: config for each, config in left.items() if each not in setups}
    score = partial(client_scores, measure=measure)
    while left:
        found = train_gathered([*left.values()], rounds, score)
        yield from zip(left, found, strict=False)
        left = dict([*left.items()][len(found) :])


def _scores_of(states: Sequence[RunState], setups: Sequence[Setup], measure: Measure) -> list[np.ndarray]:
    """Of runs of one model, for which one twin of it is enough; those who withdraw keep what they hold out."""
    part, models = sets_of(setups[0])[_OWN], Outputs(setups[0])
    return [
        client_scores(state, setup, measure, Ready(part, models.on(setup)))
        for state, setup in zip(states, setups, strict=True)
    ]
