"""The configs of coalitions, and the check that they can be trained."""

from __future__ import annotations

from collections.abc import Callable, Collection

from federated.config.run import RunConfig
from federated.federation.federation import Federation
from federated.federation.held_out import no_such_client
from federated.foundation.errors import BadInput


def coalition_config(config: RunConfig, members: Collection[str]) -> RunConfig:
    """The run's own config from which the sites that are no members have withdrawn; nothing is measured beside."""
    assert config.coalitions is not None
    without = tuple(name for name in config.coalitions.names if name not in members)
    compression = config.compression.model_copy(update={"dump": None, "quality": False})
    return config.model_copy(
        update={
            "cohort": config.cohort.model_copy(update={"without": without or None}),
            "compression": compression,
            "coalitions": None,
            "leakage": None,
            "network": None,
            "stop": None,
        }
    )


def check_coalitions(
    config: RunConfig, federation: Federation, rehearsed: Callable[[RunConfig], object]
) -> None:
    """Raise BadInput where the run asks for coalitions that cannot be scored, or the smallest cannot be trained."""
    if config.coalitions is None:
        return
    if unknown := [name for name in config.coalitions.names if name not in federation.names]:
        raise BadInput(f"coalitions.names: {no_such_client(unknown[0], federation.names)}")
    if "client" not in federation.held_out_sets():
        raise BadInput(
            "coalitions are scored on examples that each site keeps for evaluation; state holdout.client, such as 0.2"
        )
    sizes = dict(zip(federation.names, federation.sizes.tolist(), strict=True))
    smallest = min(config.coalitions.names, key=lambda name: sizes[name])
    try:
        rehearsed(coalition_config(config, [smallest]))
    except BadInput as error:
        raise type(error)(f"coalitions: {smallest} alone: {error}") from error
