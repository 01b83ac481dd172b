"""The config of a shadow federation, and the check that there can be one."""

from __future__ import annotations

from collections.abc import Callable

from federated.config.evaluation import Evaluation
from federated.config.privacy import Privacy
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, generator

_SEEDS = 2  # key of Purpose.LEAKAGE
_LARGEST_SEED = 2**31


def shadow_config(config: RunConfig, number: int, noise: float | None = None) -> RunConfig:
    """The config of a shadow: the run's own, with another seed, no end but the run's, and nothing measured beside.

    noise: the multiplier that was found for the run's `target_epsilon`, which a shadow has as well; it promises nothing
    of its own.
    """
    seed = int(generator(config.seed, Purpose.LEAKAGE, _SEEDS, number).integers(_LARGEST_SEED))
    compression = config.compression.model_copy(update={"dump": None, "quality": False})
    evaluation = Evaluation(
        batch_size=config.evaluation.batch_size, metric=config.evaluation.metric, drift=False
    )
    return config.model_copy(
        update={
            "seed": seed,
            "stop": None,
            "leakage": None,
            "compression": compression,
            "evaluation": evaluation,
            "privacy": _with_noise(config.privacy, noise),
        }
    )


def _with_noise(privacy: Privacy, noise: float | None) -> Privacy:
    if noise is None:
        return privacy
    mechanism = privacy.mechanism.with_arguments(noise_multiplier=noise)
    return privacy.model_copy(update={"mechanism": mechanism, "target_epsilon": None})


def check_shadows(config: RunConfig, prepare: Callable[[int], object]) -> None:
    """Raise BadInput where the run asks for shadows and one cannot be prepared: all have the sizes of the first two."""
    asked = None if config.leakage is None else config.leakage.membership
    for number in range(2 if asked is not None and asked.shadows else 0):
        try:
            prepare(number)
        except BadInput as error:
            raise type(error)(
                f"leakage.membership.shadows: shadow federation {number + 1}: {error}"
            ) from error
