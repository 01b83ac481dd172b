"""The table of what does not go together: a run for every row, refused by that row, and its repair accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from federated.algorithms import Need
from federated.compressors import COMPRESSORS, Trait
from federated.config.run import RunConfig
from federated.extension_points.clashes import CLASHES, EVERY_CLASH, States
from federated.extension_points.clashes.adapters import OF_ADAPTERS
from federated.extension_points.kinds import COMPRESSOR
from federated.foundation.errors import OwnCodeFailed
from federated.privacy import PRIVACY, Privacy
from federated.transports import TRANSPORTS

CONTENT: dict[str, Any] = {"dataset": "digits", "model": "logistic", "rounds": 1}
VOTES = {"uplink": "sign(scale=one)"}
SUMMED = {
    "transport": "sum_alone",
    "compression": {"uplink": "integers"},
    "cohort": {"weighting": "uniform"},
}
TRACED: dict[str, Any] = {
    "privacy": {"mechanism": "clip(1)", "canaries": 20},
    "cohort": {"weighting": "uniform"},
}


class Row(NamedTuple):
    """A run that clashes, by what it states; what else must be stated for it to be right; the error's start."""

    stated: dict[str, Any]
    repair: dict[str, Any]
    begins: str


ROWS = (
    Row(
        {"compression": {"downlink": "top_k(0.1)"}},
        {"compression": {"downlink": "difference(top_k(0.1))"}},
        "compression.downlink: top_k(fraction=0.1): ",
    ),
    Row(
        {"compression": {"uplink": "difference(float16)"}},
        {"compression": {"uplink": "float16"}},
        "compression.uplink: difference(",
    ),
    Row(
        {"algorithm": "sign_majority(0.1)"},
        {"compression": VOTES},
        "algorithm: sign_majority(server_learning_rate=0.1) with compression.uplink: none: ",
    ),
    Row(
        {"compression": VOTES},
        {"algorithm": "sign_majority(0.1)"},
        "algorithm: fedavg with compression.uplink: sign(scale=one): ",
    ),
    Row(
        {"algorithm": "sign_majority(0.1)", "compression": VOTES, "aggregator": "median"},
        {"aggregator": "mean"},
        "algorithm: sign_majority(server_learning_rate=0.1) with aggregator: median: ",
    ),
    Row(
        {"algorithm": "scaffold", "aggregator": "median"},
        {"aggregator": "mean"},
        "algorithm: scaffold with aggregator: median: ",
    ),
    Row(
        {"algorithm": "scaffold", "privacy": "clip(1)"},
        {"privacy": "none"},
        "algorithm: scaffold with privacy: clip(norm=1.0): ",
    ),
    Row(
        {"algorithm": "scaffold", "privacy": "after_sum"},
        {"privacy": "none"},
        "algorithm: scaffold with privacy: after_sum: ",
    ),
    Row(
        {"aggregator": "median", "privacy": "telling"},
        {"aggregator": "mean"},
        "aggregator: median with privacy: telling: ",
    ),
    Row(
        {"aggregator": "median", "privacy": "after_sum"},
        {"aggregator": "mean", "cohort": {"weighting": "uniform"}},
        "aggregator: median with privacy: after_sum: ",
    ),
    Row(
        {"algorithm": "sign_majority(0.1)", "compression": VOTES, "privacy": "after_sum"},
        {"privacy": "none"},
        "algorithm: sign_majority(server_learning_rate=0.1) with privacy: after_sum: ",
    ),
    Row(
        {**SUMMED, "aggregator": "median"},
        {"aggregator": "mean"},
        "transport: sum_alone with aggregator: median: ",
    ),
    Row(
        {"privacy": "distributed_gaussian(1, 1)", "cohort": {"weighting": "uniform"}},
        {"transport": "secure_aggregation"},
        "privacy: distributed_gaussian(norm=1.0, noise_multiplier=1.0) with transport: plain: ",
    ),
    Row(
        {
            "privacy": "distributed_gaussian(1, 1)",
            "transport": "secure_aggregation(clip=1)",
            "cohort": {"weighting": "uniform"},
        },
        {"transport": "secure_aggregation"},
        "privacy: distributed_gaussian(norm=1.0, noise_multiplier=1.0) with transport: secure_aggregation(clip=1.0): ",
    ),
    Row(
        {"transport": "secure_aggregation", "cohort": {"weighting": "uniform"}},
        {"transport": "secure_aggregation(clip=1)"},
        "transport: secure_aggregation with privacy: none: ",
    ),
    Row(
        {
            "privacy": {"mechanism": "distributed_gaussian(1, 1)", "canaries": 20},
            "transport": "secure_aggregation",
            "cohort": {"weighting": "uniform"},
        },
        {"privacy": "distributed_gaussian(1, 1)"},
        "privacy: distributed_gaussian(norm=1.0, noise_multiplier=1.0) with privacy.canaries: 20: ",
    ),
    Row(
        {**SUMMED, "transport": "secure_aggregation(clip=1)", "compression": {"uplink": "float16"}},
        {"compression": {"uplink": "none"}},
        "transport: secure_aggregation(clip=1.0) with compression.uplink: float16: ",
    ),
    Row(
        {**SUMMED, "compression": {"uplink": "qsgd(8)"}},
        {"compression": {"uplink": "integers"}},
        "transport: sum_alone with compression.uplink: qsgd(bits=8): ",
    ),
    Row(
        {**SUMMED, "algorithm": "scaffold"},
        {"algorithm": "fedavg"},
        "transport: sum_alone with algorithm: scaffold: ",
    ),
    Row(
        {**SUMMED, "privacy": "telling"}, {"privacy": "none"}, "transport: sum_alone with privacy: telling: "
    ),
    Row(
        {**SUMMED, "cohort": {"weighting": "examples"}},
        {"cohort": {"weighting": "uniform"}},
        "transport: sum_alone with cohort.weighting: examples: ",
    ),
    Row(
        {"algorithm": "scaffold", "local": {"optimiser": "adam", "learning_rate": 0.01}},
        {"local": {"optimiser": "sgd", "learning_rate": 0.01}},
        "algorithm: scaffold with local.optimiser: adam",
    ),
    Row(
        {"algorithm": "mime_lite", "local": {"momentum": 0.9}},
        {"local": {"momentum": 0.0}},
        "algorithm: mime_lite with local.momentum: 0.9: ",
    ),
    Row(
        {"algorithm": "mime_lite", "local": {"max_gradient_norm": 1.0}},
        {"local": {}},
        "algorithm: mime_lite with local.max_gradient_norm: 1.0: ",
    ),
    Row(
        {"algorithm": "fedlc", "loss": "cross_entropy(label_smoothing=0.1)"},
        {"loss": "cross_entropy"},
        "algorithm: fedlc with loss: cross_entropy(label_smoothing=0.1): ",
    ),
    Row(
        {"algorithm": "q_fedavg", "loss": "poisson"},
        {"loss": "mse"},
        "algorithm: q_fedavg with loss: poisson: ",
    ),
    Row(
        {"algorithm": "feddyn", "aggregator": "median"},
        {"aggregator": "mean"},
        "algorithm: feddyn with aggregator: median: ",
    ),
    Row(
        {"algorithm": "feddyn", "privacy": "after_sum"},
        {"privacy": "none"},
        "algorithm: feddyn with privacy: after_sum: ",
    ),
    Row(
        {"algorithm": "moon", "engine": {"name": "vectorised"}},
        {"engine": {"name": "auto"}},
        "algorithm: moon with engine.name: vectorised: ",
    ),
    Row(
        {"algorithm": "apfl", "local": {"optimiser": "adam", "learning_rate": 0.01}},
        {"local": {}},
        "algorithm: apfl with local.optimiser: adam",
    ),
    Row(
        {"algorithm": "feddyn", "server_schedule": "cosine"},
        {"server_schedule": "constant"},
        "algorithm: feddyn with server_schedule: cosine: ",
    ),
    Row(
        {
            "algorithm": {"name": "fedper", "personal": ["1"]},
            "evaluation": {"personalisation": {"epochs": 1}},
        },
        {"evaluation": {}},
        "with evaluation.personalisation: ",
    ),
    Row(
        {"algorithm": "cfl", "cohort": {"sampling": "poisson"}},
        {"cohort": {}},
        "algorithm: cfl with cohort.sampling: poisson: ",
    ),
    Row(
        {"algorithm": "ifca", "aggregator": "median"},
        {"aggregator": "mean"},
        "algorithm: ifca with aggregator: median: ",
    ),
    Row(
        {"algorithm": "cfl", "compression": {"downlink": "difference(float16)"}},
        {"compression": {"downlink": "float16"}},
        "algorithm: cfl with compression.downlink: difference(float16): ",
    ),
    Row(
        {"algorithm": "ifca", "compression": {"uplink": "error_feedback(top_k(0.1))"}},
        {"compression": {"uplink": "top_k(0.1)"}},
        "algorithm: ifca with compression.uplink: error_feedback",
    ),
    Row(
        {"algorithm": "ifca", "privacy": "clip(1)"},
        {"privacy": "none"},
        "algorithm: ifca with privacy: clip",
    ),
    Row(
        {"algorithm": "cfl", "privacy": "after_sum"},
        {"privacy": "none"},
        "algorithm: cfl with privacy: after_sum: ",
    ),
    Row(
        {"algorithm": "cfl", "privacy": "telling"},
        {"privacy": "none"},
        "algorithm: cfl with privacy: telling: ",
    ),
    Row(
        {**SUMMED, "algorithm": "cfl"},
        {"algorithm": "fedavg"},
        "algorithm: cfl with transport: sum_alone: ",
    ),
    Row(
        {"algorithm": "ifca", "evaluation": {"personalisation": {"epochs": 1}}},
        {"evaluation": {}},
        "algorithm: ifca with evaluation.personalisation: ",
    ),
    Row(
        {"privacy": "after_sum"},
        {"cohort": {"weighting": "uniform"}},
        "privacy: after_sum with cohort.weighting: examples: ",
    ),
    Row(
        {"privacy": "local_laplace(epsilon=1, norm=1)"},
        {"cohort": {"weighting": "uniform"}},
        "privacy: local_laplace(epsilon=1.0, norm=1.0) with cohort.weighting: examples: ",
    ),
    Row(
        {**SUMMED, "privacy": "twice"},
        {"privacy": "none"},
        "transport: sum_alone with privacy: twice: ",
    ),
    Row(
        {**TRACED, "privacy": {"mechanism": "of_examples", "canaries": 20}},
        {"privacy": "of_examples"},
        "privacy.canaries: 20 with privacy: of_examples: ",
    ),
    Row(
        {"privacy": TRACED["privacy"]},
        TRACED,
        "privacy.canaries: 20 with cohort.weighting: examples: ",
    ),
    Row(
        {**TRACED, "algorithm": "cfl"},
        {"algorithm": "fedavg"},
        "privacy.canaries: 20 with algorithm: cfl: ",
    ),
    Row(
        {**TRACED, "algorithm": "ditto"},
        {"algorithm": "fedprox(0.1)"},
        "privacy.canaries: 20 with algorithm: ditto",
    ),
    Row(
        {**TRACED, "algorithm": "sign_majority(0.1)", "compression": VOTES},
        {"privacy": "clip(1)"},
        "privacy.canaries: 20 with algorithm: sign_majority",
    ),
)

OF_RULES = (
    Row(
        {"aggregator": "lora_svd", "algorithm": "ifca"},
        {"algorithm": "fedavg"},
        "aggregator: lora_svd with algorithm: ifca: ",
    ),
    Row(
        {"aggregator": "lora_svd", "algorithm": "fedavg(0.5)"},
        {"algorithm": "fedprox(0.1)"},
        "aggregator: lora_svd with algorithm: fedavg(server_learning_rate=0.5): ",
    ),
    Row(
        {"aggregator": "lora_residual", "server_schedule": "cosine"},
        {"server_schedule": "constant"},
        "aggregator: lora_residual with server_schedule: cosine: ",
    ),
    Row(
        {**SUMMED, "aggregator": "lora_stack"},
        {"aggregator": "mean"},
        "aggregator: lora_stack with transport: sum_alone: ",
    ),
    Row(
        {"aggregator": "lora_residual", "privacy": "after_sum", "cohort": {"weighting": "uniform"}},
        {"privacy": "none"},
        "aggregator: lora_residual with privacy: after_sum: ",
    ),
)
"""Of the rows of `OF_ADAPTERS`."""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that state what no shipped one does."""
    release = Privacy(release=lambda memory, gathered, numbers: (memory, gathered.update))
    monkeypatch.setitem(PRIVACY, "after_sum", lambda: release)
    monkeypatch.setitem(PRIVACY, "of_examples", lambda: Privacy(unit="example"))
    monkeypatch.setitem(PRIVACY, "telling", lambda: Privacy(tells=("bit",)))
    monkeypatch.setitem(PRIVACY, "twice", lambda: Privacy(bound_again=lambda memory, updates: updates))
    monkeypatch.setitem(TRANSPORTS, "sum_alone", lambda: TRANSPORTS["plain"]()._replace(reveals="sum"))
    codec = COMPRESSORS["none"]()
    integers = codec._replace(traits=codec.traits | {Trait.ADDITIVE})
    monkeypatch.setitem(COMPRESSORS, "integers", lambda: integers)


def test_every_clash_has_a_row() -> None:
    assert (len(ROWS), len(OF_RULES)) == (len(CLASHES), len(OF_ADAPTERS))


@pytest.mark.parametrize(
    ("row", "clash"),
    zip((*ROWS, *OF_RULES), (*CLASHES, *OF_ADAPTERS), strict=True),
    ids=lambda each: str(each)[:60],
)
def test_what_clashes_is_refused_with_both_fields_and_why(row: Row, clash: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(clash.why)) as raised:
        RunConfig.model_validate({**CONTENT, **row.stated})
    assert row.begins in str(raised.value)
    RunConfig.model_validate({**CONTENT, **row.stated, **row.repair})


@pytest.mark.parametrize("algorithm", ["fedadam", "scaffold", "moon", "ditto", "feddyn"])
def test_a_server_that_steps_or_remembers_in_factors_goes_with_no_rule_for_products(algorithm: str) -> None:
    with pytest.raises(ValueError, match="the rule says what the new factors are"):
        RunConfig.model_validate({**CONTENT, "aggregator": "lora_svd", "algorithm": algorithm})


def test_every_statement_is_part_of_a_clash() -> None:
    used = {side.stated for clash in EVERY_CLASH for side in clash.sides}
    assert {*States, *Need} <= used


OWN = """
from federated.compressors import COMPRESSORS, Compressor, Trait
from federated.compressors.parts import Parts, Values
from federated.compressors.pipeline import pipeline
def keyword() -> Compressor:
    codec = COMPRESSORS["none"]()
    return Compressor(codec.init, codec.encode, codec.decode, whole_model=True)
def position() -> Compressor:
    codec = COMPRESSORS["none"]()
    return Compressor(codec.init, codec.encode, codec.decode, True)
def replaced() -> Compressor:
    return COMPRESSORS["none"]()._replace(votes=True)
def values() -> Compressor:
    return pipeline(Parts(values=Values(b"zz", None, None, unbiased=True)))
def today() -> Compressor:
    codec = COMPRESSORS["none"]()
    return Compressor(codec.init, codec.encode, codec.decode, frozenset({Trait.WHOLE_MODEL}))
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("keyword", "write traits=frozenset({Trait.WHOLE_MODEL})"),
        ("position", "traits must be a frozenset of Trait, such as Trait.UNBIASED, got True"),
        ("replaced", "write traits=frozenset({Trait.VOTES})"),
        ("values", "write traits=frozenset({Trait.UNBIASED})"),
    ],
)
def test_own_compressors_in_the_former_form_are_told_the_new_one(
    factory: str, message: str, own: Callable[[str], str]
) -> None:
    with pytest.raises(OwnCodeFailed, match=re.escape(message)):
        COMPRESSOR.bind(f"{own(OWN)}:{factory}").build()


def test_own_compressors_state_traits(own: Callable[[str], str]) -> None:
    module = own(OWN)
    assert RunConfig.model_validate({**CONTENT, "compression": {"downlink": f"{module}:today"}}).compression
