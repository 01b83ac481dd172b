"""The refusals of canaries that need the run's model."""

from __future__ import annotations

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.foundation.randomness import NoiseSource
from federated.models.flat_model import FlatModel
from federated.privacy.canaries import long_updates
from federated.run.preparing.trainers import Trainers
from federated.trials import Parts
from federated.user_code.containment import title

_FEWEST_DIRECTIONS = 100


def check_canaries(config: RunConfig, trainers: Trainers, model: FlatModel, parts: Parts) -> None:
    """Raise BadInput where canaries would have no norm, or nothing by which they are told apart."""
    what = f"privacy.canaries: {config.privacy.canaries}"
    if parts.travelling.num_statistics:
        raise BadInput(
            f"{what}: canaries hold no examples and so no running statistics, which in model: {title(config.model)} "
            "travel for each client; use another normalisation"
        )
    if (directions := parts.travelling.num_moving) < _FEWEST_DIRECTIONS:
        raise BadInput(
            f"{what}: of model: {title(config.model)} {directions:,} parameters travel, among which random directions "
            f"are not told apart; at least {_FEWEST_DIRECTIONS} must"
        )
    if (quantile := quantile_of_clients(config, len(trainers.eligible))) is not None and quantile >= 1:
        raise BadInput(
            f"{what}: the mechanism's norm is to be at a quantile of all updates, and with so many canaries, which are "
            f"always longer, it would grow without end; state fewer, or a quantile below "
            f"{len(trainers.eligible) / (len(trainers.eligible) + config.privacy.canaries):.3g}"
        )
    if parts.privacy.bound is None:
        if config.privacy.canary_norm is None:
            raise BadInput(
                f"{what}: privacy: {config.privacy.mechanism.label()} bounds no update, and canaries need a norm to "
                "send; state privacy.canary_norm"
            )
        return
    if not _bounds_all(config, model, parts):
        raise BadInput(
            f"{what}: canaries send updates of the norm that the mechanism bounds updates to, and privacy: "
            f"{config.privacy.mechanism.label()} leaves even the longest as they are; state a smaller norm"
        )


def quantile_of_clients(config: RunConfig, num_clients: int) -> float | None:
    """The quantile of the clients' norms at which a norm that adapts settles; None where it does not adapt.

    Canaries are always longer: a share g of N + k updates within the norm are g (N + k) / N of the clients' own.
    """
    of_all = config.privacy.mechanism.arguments.get("quantile")
    return None if of_all is None else of_all * (num_clients + config.privacy.canaries) / num_clients


def _bounds_all(config: RunConfig, model: FlatModel, parts: Parts) -> bool:
    """Whether the mechanism shortens the update of a canary, before the first round."""
    privacy, memory = parts.privacy, parts.privacy.init(parts.travelling.num_moving)
    assert privacy.bound is not None
    update = long_updates(config.seed, [0], parts.travelling.num_moving).to(model.vector)
    numbers = NoiseSource(config.seed).of_clients(0, [0])
    return bool(privacy.bound({name: memory[name] for name in privacy.hears}, update, numbers).changed.all())
