"""Training of coalitions: the run's own training once more, by some of the sites, many coalitions as one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import numpy as np

from federated.coalitions.game import Coalition, coalitions_of
from federated.config.run import RunConfig
from federated.evaluation.predicted import predicted_on
from federated.metrics.measures import Measure
from federated.metrics.scoring import Scoring, of_clients
from federated.rounds import train_rounds
from federated.run.preparing.training.coalitions import coalition_config
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState
from federated.segments.gathering import Gathering, with_others

JOINS, AT = "takes part: ", " at "
"""In the columns of the table, before the name of a player and of a client."""


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
    known = {frozenset(range(len(asked.names))): state}
    if set(asked.names).issuperset(setup.trainers.holders.names):
        known[frozenset()] = initial_state(setup)
    scores = {coalition: client_scores(each, setup, measure) for coalition, each in known.items()}
    left = [coalition for coalition in wanted if coalition not in scores]
    configs = {
        coalition: coalition_config(setup.config, [asked.names[at] for at in coalition]) for coalition in left
    }
    for number, (coalition, found) in enumerate(_trained(configs, measure, state.round), 1):
        scores[coalition] = found
        done(number, len(left))
    return CoalitionScores(
        asked.names,
        setup.federation.names,
        measure.name,
        {coalition: scores[coalition] for coalition in wanted},
    )


def site_measure(scoring: Scoring) -> Measure:
    """The measure that says how a single client fares: the main one, unless only another is spread over clients."""
    return scoring.main if scoring.main in scoring.spread or not scoring.spread else scoring.spread[0]


def client_scores(state: RunState, setup: Setup, measure: Measure) -> np.ndarray:
    """The measure on each participating client's own held-out examples, float64 [clients]."""
    part, found = predicted_on("client", state, setup)
    assert part.sizes is not None
    return of_clients(measure, found, part.sizes)


def _trained(
    configs: dict[Coalition, RunConfig], measure: Measure, rounds: int
) -> Iterator[tuple[Coalition, np.ndarray]]:
    left = list(configs)
    while left:
        taken, found = _batch(left, configs, measure, rounds)
        left = left[taken:]
        yield from found


def _batch(
    left: Sequence[Coalition], configs: dict[Coalition, RunConfig], measure: Measure, rounds: int
) -> tuple[int, list[tuple[Coalition, np.ndarray]]]:
    """(How many coalitions were trained together, each with its scores): as many as there is room for, at least one.

    Each goes its whole way in a thread of its own; one at a time works, and they meet where they train.
    """
    gathering, ends = Gathering(), SimpleQueue[tuple[Coalition, np.ndarray | BaseException]]()
    threads: list[Thread] = []

    def whole(number: int, coalition: Coalition) -> None:
        try:
            with gathering.taking_part(number):
                setup = with_others(prepare(configs[coalition]))
                state = train_rounds(initial_state(setup), setup, rounds)
                end: np.ndarray | BaseException = client_scores(state, setup, measure)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that started this one
            end = error
        ends.put((coalition, end))

    try:
        for number, coalition in enumerate(left):
            gathering.expect(number)
            threads.append(Thread(target=whole, args=(number, coalition), daemon=True))
            threads[-1].start()
            ask = gathering.wait_for(number)
            if ask is None or not gathering.has_room() or not (number or gathering.pays(ask, len(left))):
                break
        gathering.close()
        results = [ends.get() for _ in threads]
    except BaseException as error:
        gathering.end(error)
        raise
    finally:
        for thread in threads:
            thread.join()
    for _, end in results:
        if isinstance(end, BaseException):
            raise end
    return len(threads), [(coalition, end) for coalition, end in results if isinstance(end, np.ndarray)]
