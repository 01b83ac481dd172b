"""The promise of a run to its clients: the noise that was found for it, its epsilon by rounds, and its last round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from federated.config.privacy import Extrapolation
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.metrics import Metrics
from federated.participation import Participation
from federated.privacy import Participated, Privacy, Summed
from federated.privacy.accounting import Spent, assumption, noise_for, spent, stopping, unit_in_words
from federated.privacy.accounting.budget import last_within
from federated.privacy.accounting.delta import default_delta, large_delta
from federated.run.preparing.local_steps import StepsSoFar
from federated.run.preparing.trainers import Trainers, participated_among

if TYPE_CHECKING:
    from federated.privacy.privacy import Event

_LEAST_SHOWN = 0.01


@dataclass(frozen=True, eq=False)
class Promise:
    """The guarantee of a run. participated: rounds -> what is assumed of them.

    amplified: it rests on cohorts that stay unknown, under Poisson sampling. separated: on how far apart the
    turns of a client are.
    last_round: the last one within the budget, at most `rounds`. stops: a rule may end the run before it.
    extrapolated: it holds for a larger federation.
    noise: the noise multiplier that was found for a wanted epsilon; None where it was stated. noise_ratio: the
    expected norm of the noise in the mean update over the clipping norm; None where there is no such noise.
    """

    guarantee: Callable[[Participated], Event]
    participated: Callable[[int], Participated]
    delta: float
    unit: str
    amplified: bool
    separated: bool
    last_round: int
    stops: bool
    extrapolated: Extrapolation | None
    noise: float | None
    noise_ratio: float | None

    def spent(self, rounds: int) -> Spent:
        """Epsilon after so many rounds. Monotone in rounds."""
        return _spent(self.guarantee, self.participated, self.delta, rounds)

    def metrics(self, rounds: int) -> Metrics:
        """Epsilon and delta after so many rounds, or of all where a rule may end the run, by their names in MLflow."""
        rounds = self.last_round if self.stops else rounds
        of = "_extrapolated" if self.extrapolated else ""
        found = {f"privacy/epsilon{of}": self.spent(rounds).epsilon, "privacy/delta": self.delta}
        if (median := self.of_median_client(rounds)) is not None:
            found["privacy/epsilon_median_client"] = median
        return found | ({} if self.noise is None else {"privacy/noise_multiplier": self.noise})

    def of_median_client(self, rounds: int) -> float | None:
        """Epsilon of the client of whom half have as little; None where all clients have the same."""
        of = self.participated(rounds)
        if (local := of.local_steps) is None:
            return None
        order = local.by_epsilon()
        one = of._replace(local_steps=local.of(int(order[(len(order) - 1) // 2])))
        return spent(self.guarantee(one), self.delta).epsilon

    def parameters(self) -> dict[str, str | float]:
        """What the guarantee is of and rests on, with the delta and the noise that the config may leave open."""
        noise = {} if self.noise is None else {"found_noise_multiplier": self.noise}
        return {**self.words(), "at_delta": self.delta, **noise}

    def words(self) -> dict[str, str]:
        """What the guarantee is of, by the name of a tag or a parameter."""
        of = self.participated(self.last_round)
        found = {
            "unit": unit_in_words(self.unit),
            "sampling": assumption(of, amplified=self.amplified, separated=self.separated),
            "accountant": self.spent(self.last_round).accountant,
        }
        if self.stops:
            found["stopping"] = stopping(self.last_round)
        if self.extrapolated is not None:
            found["extrapolated"] = (
                f"noise and epsilon are of {self.extrapolated.clients:,} clients, {self.extrapolated.cohort:,} in a "
                "round, and not of the federation that was run"
            )
        return found

    def short(self) -> str:
        """Epsilon and delta after the last round."""
        of = " EXTRAPOLATED to a larger federation" if self.extrapolated else ""
        epsilon = self.spent(self.last_round).epsilon
        amount = f"{epsilon:.4g}" if epsilon >= _LEAST_SHOWN else f"< {_LEAST_SHOWN}"
        return f"epsilon {amount} at delta {self.delta:.3g} after round {self.last_round:,}{of}"

    def sentence(self) -> str:
        """The same with what it rests on."""
        words = self.words()
        ratio = (
            ""
            if self.noise_ratio is None
            else (
                f"; the noise in {self._noisy()} is {self.noise_ratio:.3g} times as long as the clipping norm"
            )
        )
        noise = "" if self.noise is None else f", with noise_multiplier {self.noise:.4g}"
        warned = "".join(f"; {words[name]}" for name in ("stopping", "extrapolated") if name in words)
        return (
            f"{self.short()}{noise} ({words['unit']}; {words['sampling']}; accountant: {words['accountant']}){ratio}"
            f"{warned}"
        )

    def _noisy(self) -> str:
        return "a local step of the median client" if self.unit == "example" else "a round's mean update"


class Promised(NamedTuple):
    """A run's mechanism with the noise that was found for it, and what it promises; None where epsilon is infinite."""

    mechanism: Privacy
    promise: Promise | None


def promised(
    config: RunConfig,
    trainers: Trainers,
    participation: Participation,
    size: int,
    so_far: Callable[[], StepsSoFar],
    summed: Summed | None,
    *,
    promises: bool = True,
) -> Promised:
    """The mechanism and its promise, where one is wanted. Raises BadInput where it cannot hold.

    size: of the parameters that travel. so_far: makes the count of local steps, for a mechanism that is in these.
    summed: the cohorts, where their sum is all that the server reads.
    """
    stated, choice = config.privacy, config.privacy.mechanism
    mechanism: Privacy = choice.build()
    if mechanism.guarantee is None or not config.kind.has_server or not promises:
        return Promised(mechanism, None)
    if stated.extrapolate is not None:
        _check_extrapolation(stated.extrapolate, trainers)

    def cohorts(rounds: int) -> Participated:
        return participated_among(config, trainers, participation, rounds)._replace(summed=summed)

    known = cohorts if mechanism.per_example is None else _with_steps(cohorts, so_far())
    delta = _delta(config, mechanism, known(config.rounds))
    noise = None
    try:
        if stated.target_epsilon is not None:

            def event_of(noise_multiplier: float) -> Event:
                guarantee = choice.with_arguments(noise_multiplier=noise_multiplier).build().guarantee
                event: Event = guarantee(known(config.rounds))
                return event

            noise = noise_for(event_of, stated.target_epsilon, delta)
            mechanism = choice.with_arguments(noise_multiplier=noise).build()
        assert mechanism.guarantee is not None
        spent_after = partial(_spent, mechanism.guarantee, known, delta)
        whole = spent_after(
            config.rounds
        ).epsilon  # which fails where the mechanism promises nothing for such cohorts
        last = last_within(stated.epsilon_budget, config.rounds, lambda rounds: spent_after(rounds).epsilon)
    except OwnCodeFailed:
        raise
    except ValueError as error:
        raise BadInput(f"privacy: {stated.label()}: {error}") from error
    if whole == inf:
        return Promised(mechanism, None)
    ratio = None if mechanism.noise_ratio is None else mechanism.noise_ratio(known(config.rounds), size)
    return Promised(
        mechanism,
        Promise(
            mechanism.guarantee,
            known,
            delta,
            mechanism.unit,
            mechanism.amplifies,
            mechanism.separates,
            last,
            config.stop is not None,
            stated.extrapolate,
            noise,
            ratio,
        ),
    )


def _with_steps(known: Callable[[int], Participated], so_far: StepsSoFar) -> Callable[[int], Participated]:
    return lambda rounds: known(rounds)._replace(local_steps=so_far(rounds))


def _spent(
    guarantee: Callable[[Participated], Event],
    participated: Callable[[int], Participated],
    delta: float,
    rounds: int,
) -> Spent:
    return spent(guarantee(participated(rounds)), delta) if rounds else Spent(0.0, "nothing was released")


def delta_of(config: RunConfig, num_units: int) -> float:
    """The stated delta, else the one that the mechanism states, else N^-1.1. Raises BadInput where that is none.

    Of a client's own update, which is protected whoever else takes part, 1e-5 where N^-1.1 is more.
    """
    stated = config.privacy.delta
    own = config.privacy.mechanism.arguments.get("delta") if stated is None else stated
    try:
        if own is not None:
            return float(own)
        mechanism: Privacy = config.privacy.mechanism.build()
        return default_delta(num_units, mechanism.unit)
    except ValueError as error:
        raise BadInput(f"privacy.delta: {error}") from error


def _delta(config: RunConfig, mechanism: Privacy, participated: Participated) -> float:
    """The run's delta. Raises BadInput for 1/N or more where the study refuses that."""
    of = num_units(config, mechanism, participated)
    delta = delta_of(config, of)
    if config.privacy.refuse_large_delta and delta >= 1 / of:
        raise BadInput(
            f"privacy.delta: {large_delta(delta, of, mechanism.unit)}, which privacy.refuse_large_delta refuses"
        )
    return delta


def num_units(config: RunConfig, mechanism: Privacy, participated: Participated) -> int:
    """N: the clients, canaries not counted, or the examples that a guarantee is of."""
    if mechanism.unit == "example":
        return int(participated.examples.sum())
    return participated.clients - config.privacy.canaries


def _check_extrapolation(larger: Extrapolation, trainers: Trainers) -> None:
    for name, wanted, there in (
        ("clients", larger.clients, len(trainers.eligible)),
        ("cohort", larger.cohort, trainers.cohort_size),
    ):
        if wanted < there:
            raise BadInput(
                f"privacy.extrapolate.{name}: {wanted:,} is below the {there:,} of the run; state more"
            )
