"""Training without a server: the two anchors between which federated arms are read.

`centralised`: one model on the union of what participating clients train on. `local`: a model for each client, on
its own examples. Neither sends anything, so nothing that a server does or that travels has an effect on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from federated.config.training import ANCHORS, TRAINING_KINDS, Anchor

if TYPE_CHECKING:
    from federated.config.run import RunConfig


def _named_anchors(value: Any) -> Any:
    """`true` is both, `false` none; one may stand without a list."""
    if isinstance(value, bool) or value is None:
        return ANCHORS if value else ()
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(name in ANCHORS for name in names):
        raise ValueError(f"must be true, false or a list of {', '.join(ANCHORS)}; got {value!r}")
    return tuple(dict.fromkeys(names))


Anchors = Annotated[
    tuple[Anchor, ...],
    BeforeValidator(_named_anchors),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string", "enum": [*ANCHORS]}}]}
    ),
]
"""Of a study: which anchors it has."""

OF_A_SERVER = (
    "algorithm",
    "server_schedule",
    "aggregator",
    "compression",
    "transport",
    "network",
    "privacy",
    "stop",
    "leakage",
    "coalitions",
)
"""Fields of a run that an anchor is without: an anchor spends the whole budget, so it has no stop rule either."""

_NEUTRAL: dict[str, Any] = {
    "algorithm": "fedavg",
    "server_schedule": "constant",
    "aggregator": "mean",
    "compression": {},
    "transport": "plain",
    "network": None,
    "privacy": "none",
    "stop": None,
    "leakage": None,
    "coalitions": None,
}
_NEUTRAL_COHORT = {"weighting": "examples", "sampling": "uniform"}
_BEST_BY = "evaluation.best_by"
_WITHOUT_EFFECT = (
    "evaluation",
    *(f"cohort.{name}" for name in _NEUTRAL_COHORT),
    "training",
    "name",
    *OF_A_SERVER,
)


def check_without_server(config: RunConfig) -> None:
    """Raise ValueError where training without a server is to do what only a server can."""
    if config.kind.has_server:
        return
    stated = {
        "algorithm": config.algorithm.label() != "fedavg",
        "server_schedule": config.server_schedule.label() != "constant",
        "aggregator": config.aggregator.label() != "mean",
        "compression.uplink": config.compression.uplink.name != "none",
        "compression.downlink": config.compression.downlink.name != "none",
        "compression.uplink_beside": config.compression.uplink_beside is not None,
        "compression.downlink_beside": config.compression.downlink_beside is not None,
        "transport": config.transport.label() != "plain",
        "network": config.network is not None,
        "privacy": config.privacy.label() != "none",
        "cohort.weighting": config.cohort.weighting != "examples",
        "cohort.sampling": config.cohort.sampling.label() != "uniform",
        "leakage": config.leakage is not None,
        "coalitions": config.coalitions is not None,
        "compression.dump": config.compression.dump is not None,
    }
    if found := [path for path, without_effect in stated.items() if without_effect]:
        raise ValueError(
            f"training: {config.training} has no server and sends nothing, so {', '.join(found)} would have no "
            "effect; leave it out, or write `anchors: true` beside seeds, which adds such runs to any study"
        )
    if config.kind.own_models and config.evaluation.personalisation is not None:
        raise ValueError(
            f"training: {config.training} gives each client its own model: leave evaluation.personalisation out"
        )


def anchor_overrides(anchor: Anchor, arm: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that turn an arm into its anchor: those of the server are undone, the others kept."""
    kept = {path: value for path, value in arm.items() if has_effect(path)}
    if isinstance(cohort := kept.get("cohort"), Mapping):
        kept["cohort"] = {**cohort, **_NEUTRAL_COHORT}
    if isinstance(evaluation := arm.get("evaluation"), Mapping):
        kept[_BEST_BY] = evaluation.get("best_by")
    own = {"evaluation.personalisation": None} if TRAINING_KINDS[anchor].own_models else {}
    cohort = {} if "cohort" in kept else {f"cohort.{name}": value for name, value in _NEUTRAL_COHORT.items()}
    return {**kept, **_NEUTRAL, **own, **cohort, "training": anchor}


def has_effect(path: str) -> bool:
    """Whether an anchor depends on the field at this path. Evaluation is the base run's, so that curves compare, but
    for the choice of the round whose model is kept, which is to be on both sides or on neither."""
    return path == _BEST_BY or not any(f"{path}.".startswith(f"{name}.") for name in _WITHOUT_EFFECT)
