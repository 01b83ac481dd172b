"""RunConfig: what it accepts, what it refuses, and the keys that stand for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from federated.config.clients import Cohort
from federated.config.run import RunConfig
from federated.foundation.errors import readable

BASE: dict[str, Any] = {"dataset": "digits", "model": "logistic", "clients": 8, "rounds": 3}

CHANGES: dict[str, Any] = {
    "dataset": "linear",
    "partitioner": "dirichlet(0.5)",
    "clients": 9,
    "holdout.test": 0.3,
    "holdout.by": 'groups("0")',
    "holdout.client": 0.1,
    "holdout.validation": 0.1,
    "holdout.tuning": 0.1,
    "holdout.tuning_clients": 1,
    "holdout.unseen_clients": 1,
    "holdout.duplicates": "together",
    "model": "logistic(bias=false)",
    "trained": "bias",
    "loss": "focal",
    "target.standardise": True,
    "algorithm": "fedavg(0.5)",
    "server_schedule": "cosine",
    "aggregator": "median",
    "local.epochs": 2,
    "local.optimiser": "adamw",
    "local.steps": 5,
    "local.batch_size": None,
    "local.learning_rate": 0.2,
    "local.momentum": 0.9,
    "local.weight_decay": 0.01,
    "local.max_gradient_norm": 1.0,
    "local.schedule": "cosine",
    "cohort.size": 4,
    "cohort.fraction": 0.5,
    "cohort.weighting": "uniform",
    "cohort.sampling": "poisson",
    "cohort.without": ["1"],
    "compression.uplink": "float16",
    "compression.downlink": "float16",
    "privacy.mechanism": "clip(1.0)",
    "privacy.secure": True,
    "privacy.canaries": 20,
    "privacy.canary_norm": 0.5,
    "privacy.delta": 1e-5,
    "privacy.target_epsilon": 2.0,
    "privacy.epsilon_budget": 3.0,
    "privacy.refuse_large_delta": True,
    "privacy.extrapolate": {"clients": 1000, "cohort": 100},
    "coalitions": {"names": ["1", "2"]},
    "rounds": 4,
    "stop": {"patience": 2},
    "training": "local",
    "transport": "secure_aggregation(clip=1)",
    "evaluation.every": 1,
    "evaluation.training_examples": 50,
    "evaluation.personalisation": {"epochs": 2},
    "evaluation.metric": ["auroc", "accuracy"],
    "evaluation.unseen_fit": {"examples": 5, "steps": 3},
    "evaluation.best_by": "train/loss",
    "evaluation.judged_on": "client",
    "engine.precision": "bfloat16",
    "device": "cpu",
    "seed": 1,
}
"""Another valid value of every field that is part of a run's key."""

IGNORED: dict[str, Any] = {
    "compression.quality": False,
    "compression.uplink_beside": "float16",  # where nothing travels beside updates
    "compression.downlink_beside": "float16",
    "compression.dump": "/tmp/payloads",
    "engine.name": "loop",
    "engine.memory_mb": 64,
    "engine.client_memory_mb": 1,
    "engine.micro_batch": 8,
    "engine.cache_features": False,
    "engine.batch_runs": "auto",
    "engine.scale_out": "ray",
    "engine.address": "10.0.0.7:6379",
    "engine.workers": 2,
    "engine.gpus_per_worker": 0.5,
    "evaluation.batch_size": 17,
    "evaluation.drift": False,
    "orchestration.granularity": "stage",
    "orchestration.threads": 2,
}

SCALED_OUT = {"engine.scale_out", "engine.address", "engine.workers", "engine.gpus_per_worker"}

TIMED: dict[str, Any] = {"network": "4g", "leakage": {"membership": {"shadows": 2}}}
"""What changes how a training is timed and what is measured of it afterwards, and not the training."""


def nested(path: str, value: Any) -> dict[str, Any]:
    """{"local": {"epochs": 2}} for local.epochs."""
    if path == "local.optimiser":  # which wants a learning rate to be stated
        return {"local": {"optimiser": value, "learning_rate": 0.1}}
    if path == "privacy.canaries":  # which have the norm of a mechanism, and hold no examples
        return {"privacy": {"mechanism": "clip(1.0)", "canaries": value}, "cohort": {"weighting": "uniform"}}
    if path == "privacy.canary_norm":  # of canaries where no mechanism has a norm
        return {"privacy": {"canaries": 20, "canary_norm": value}, "cohort": {"weighting": "uniform"}}
    if path == "privacy.target_epsilon":  # which wants a mechanism whose noise it finds
        return {
            "privacy": {"mechanism": "central_gaussian(1)", "target_epsilon": value},
            "cohort": {"weighting": "uniform"},
        }
    if path in SCALED_OUT:  # which go together
        return {"engine": {"scale_out": "ray", "workers": 2, path.removeprefix("engine."): value}}
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def fields(model: type, above: str = "") -> Iterator[str]:
    """The dotted path of every field, down to those that hold no further fields."""
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        kept = field.annotation
        if hasattr(kept, "model_fields") and kept.__name__ != "Choice":
            yield from fields(kept, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def test_the_table_of_changes_has_a_row_for_every_field() -> None:
    assert set(fields(RunConfig)) == {*CHANGES, *IGNORED, *TIMED}


@pytest.mark.parametrize("path", CHANGES)
def test_the_run_key_changes_with_every_field_that_changes_results(path: str) -> None:
    assert RunConfig(**{**BASE, **nested(path, CHANGES[path])}).run_key() != RunConfig(**BASE).run_key()


@pytest.mark.parametrize("path", TIMED)
def test_the_run_key_ignores_how_a_training_is_timed(path: str) -> None:
    assert RunConfig(**{**BASE, **nested(path, TIMED[path])}).run_key() == RunConfig(**BASE).run_key()


@pytest.mark.parametrize("path", {**CHANGES, **TIMED})
def test_the_arm_key_ignores_the_seed_and_nothing_else(path: str) -> None:
    changed = RunConfig(**{**BASE, **nested(path, {**CHANGES, **TIMED}[path])})
    same = changed.arm_key() == RunConfig(**BASE).arm_key()
    assert same == (path == "seed")


@pytest.mark.parametrize("path", IGNORED)
def test_no_key_changes_with_how_the_work_is_cut_up(path: str) -> None:
    changed, base = RunConfig(**{**BASE, **nested(path, IGNORED[path])}), RunConfig(**BASE)
    assert changed != base
    assert (changed.run_key(), changed.arm_key()) == (base.run_key(), base.arm_key())


def test_the_run_key_is_the_same_in_every_version() -> None:
    """A changed value means that checkpoints and tracked runs no longer find each other: only on purpose."""
    config = RunConfig(
        dataset="digits",
        partitioner="dirichlet(0.1)",
        clients=20,
        holdout={"client": 0.2},
        model="mlp([64])",
        local={"learning_rate": 0.05, "schedule": "step(10)"},
        compression={"uplink": "error_feedback(top_k(0.05))"},
        rounds=40,
        seed=3,
    )
    assert config.run_key() == "4cd03334033d"
    assert config.arm_key() == "ebbc73e5f7a2"


def test_epochs_that_are_not_stated_are_one_in_keys_and_parameters() -> None:
    """The values are those of the version in which they were a default of 1, beside steps too."""
    for local, key in (({}, "afcbe8f207ac"), ({"steps": 5}, "8a04a8a77e49"), ({"epochs": 2}, "8c0cdd0ee73d")):
        config = RunConfig(**BASE, local=local)
        assert config.run_key() == key
        assert config.flat()["local.epochs"] == local.get("epochs", 1)
    assert RunConfig(**BASE, local={"epochs": 1}).run_key() == RunConfig(**BASE).run_key()


def test_keys_do_not_depend_on_how_the_config_was_written() -> None:
    text = RunConfig(**BASE, partitioner="dirichlet(1)", local={"learning_rate": 1}, stop=None)
    mapping = RunConfig(
        **dict(reversed(BASE.items())),
        partitioner={"alpha": 1.0, "name": "dirichlet"},
        local={"learning_rate": 1.0, "epochs": 1},
        privacy="none()",
    )
    assert text.run_key() == mapping.run_key()
    assert RunConfig.model_validate(json.loads(text.model_dump_json())).run_key() == text.run_key()


def test_a_config_passes_through_json_unchanged() -> None:
    for path, value in {**CHANGES, **IGNORED, **TIMED}.items():
        config = RunConfig(**{**BASE, **nested(path, value)})
        again = RunConfig.model_validate_json(config.model_dump_json())
        assert again == config
        assert again.flat() == config.flat()


def test_flat_names_every_field_by_its_dotted_path() -> None:
    flat = RunConfig(**BASE, compression={"uplink": "error_feedback(top_k(0.25))"}).flat()
    assert flat["dataset"] == "digits"
    assert flat["rounds"] == 3
    assert flat["local.learning_rate"] == 0.1
    assert flat["local.schedule"] == "constant"
    assert flat["compression.uplink"] == "error_feedback"
    assert flat["compression.uplink.inner"] == "top_k"
    assert flat["compression.uplink.inner.fraction"] == 0.25
    assert flat["stop"] is None
    short = {
        path for path in fields(RunConfig) if path.startswith("privacy.")
    }  # stated where not at its default
    assert {path.removesuffix(".name") for path in {*fields(RunConfig)} - short} <= set(flat)
    assert not any(isinstance(value, dict) for value in flat.values())


def test_a_cohort_of_a_fraction_is_rounded_to_at_least_one() -> None:
    assert Cohort().size_among(7) == 7
    assert Cohort(size=3).size_among(7) == 3
    assert Cohort(size=9).size_among(7) == 7
    assert Cohort(fraction=0.5).size_among(7) == 4
    assert Cohort(fraction=0.4).size_among(7) == 3
    assert Cohort(fraction=0.01).size_among(7) == 1
    assert Cohort(fraction=1).size_among(7) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"partitioner": "dirichlet(alpha=0)"},
            "partitioner: dirichlet: alpha must be a finite number > 0, got 0.0",
        ),
        (
            {"partitioner": "dirichlet(alpha=-1)"},
            "partitioner: dirichlet: alpha must be a finite number > 0, got -1.0",
        ),
        (
            {"partitioner": "dirichlet(alpha=inf)"},
            "partitioner: dirichlet: alpha must be a finite number > 0, got inf",
        ),
        ({"partitioner": "dirichlet(alpha=nan)"}, "dirichlet: alpha must be a finite number > 0, got nan"),
        (
            {"partitioner": "dirichlet(1, min_size=-1)"},
            "partitioner: dirichlet: min_size must be >= 0, got -1",
        ),
        ({"partitioner": "dirichlet"}, "partitioner: dirichlet: the argument 'alpha' is required"),
        ({"partitioner": "dirichlett(1)"}, "did you mean 'dirichlet'?"),
        ({"clients": 0}, "clients: input should be greater than 0, got 0"),
        ({"clients": 2.5}, "clients: input should be a valid integer"),
        ({"rounds": 0}, "rounds: input should be greater than 0, got 0"),
        ({"rounds": -3}, "rounds: input should be greater than 0, got -3"),
        ({"rounds": "many"}, "rounds: input should be a valid integer"),
        ({"roundz": 3}, "roundz: there is no such field"),
        ({"local": {"lr": 3}}, "local.lr: there is no such field"),
        ({"local": {"learning_rate": 0}}, "local.learning_rate: input should be greater than 0, got 0"),
        (
            {"local": {"learning_rate": float("inf")}},
            "local.learning_rate: input should be a finite number, got inf",
        ),
        (
            {"local": {"learning_rate": float("nan")}},
            "local.learning_rate: input should be a finite number, got nan",
        ),
        *(
            ({"local": {name: 1e39}}, f"local.{name}: input should be less than or equal to 34000000000")
            for name in ("learning_rate", "weight_decay")
        ),
        (
            {"evaluation": {"personalisation": {"learning_rate": 1e308}}},
            "evaluation.personalisation.learning_rate: input should be less than or equal to 340000000000",
        ),
        *(
            ({field: f"{choice}({name}=1e39)"}, f"{field}: {choice}: {name} must be at most 3.4e+38")
            for field, choice, name in (
                ("algorithm", "fedavg", "server_learning_rate"),
                ("algorithm", "fedprox", "mu"),
                ("algorithm", "fedprox", "server_learning_rate"),
                ("algorithm", "sign_majority", "server_learning_rate"),
                ("privacy", "clip", "norm"),
            )
        ),
        (
            {"compression": {"uplink": "threshold(1e39)"}},
            "threshold: value must be at most 3.4e+38, as parameters have 32 bits, got 1e+39",
        ),
        ({"partitioner": "noise(1e308)"}, "partitioner: noise: level must be at most 1e+30, got 1e+308"),
        (
            {"compression": {"uplink": "sketch(0.1, rows=1001)"}},
            "sketch: rows must be at most 1000, got 1001",
        ),
        *(
            (
                {"network": {"uplink_mbps": 1, "downlink_mbps": 1, name: value}},
                f"link: {name} must be at {ends}, got",
            )
            for name, value, ends in (
                ("uplink_mbps", 1e-320, "least 1e-12"),
                ("downlink_mbps", 1e-13, "least 1e-12"),
                ("latency_ms", 1e308, "most 1e+12"),
                ("spread", 31, "most 30"),
                ("compute", 1e13, "most 1e+12"),
            )
        ),
        *(
            (
                {"local": {name: value}},
                f"local.{name}: must be at most 9223372036854775807, got 9223372036854775808",
            )
            for name, value in (("steps", 2**63), ("epochs", [1, 2**63]), ("batch_size", 2**63))
        ),
        ({"seed": 2**64}, "seed: must be at most 9223372036854775807, got 18446744073709551616"),
        ({"local": {"momentum": 1}}, "local.momentum: input should be less than 1, got 1"),
        (
            {"local": {"momentum": -0.1}},
            "local.momentum: input should be greater than or equal to 0, got -0.1",
        ),
        (
            {"local": {"weight_decay": -1}},
            "local.weight_decay: input should be greater than or equal to 0, got -1",
        ),
        ({"local": {"batch_size": 0}}, "local.batch_size: input should be greater than 0, got 0"),
        ({"local": {"epochs": 2, "steps": 5}}, "local: state epochs or steps, not both (epochs 2, steps 5)"),
        ({"local": {"epochs": 1, "steps": 5}}, "local: state epochs or steps, not both (epochs 1, steps 5)"),
        (
            {"stop": {"target": 0.5, "min_improvement": 0.1}},
            "stop: min_improvement 0.1 has no effect without patience",
        ),
        (
            {"evaluation": {"personalisation": {"steps": 0, "learning_rate": 0.5}}},
            "evaluation.personalisation: learning_rate 0.5 has no effect with steps 0",
        ),
        *(
            (
                {"training": training, **change},
                f"training: {training} has no server and sends nothing, so {path}",
            )
            for training in ("centralised", "local")
            for path, change in {
                "cohort.weighting": {"cohort": {"weighting": "uniform"}},
                "compression.dump": {"compression": {"dump": "/tmp/payloads"}},
            }.items()
        ),
        ({"local": {"schedule": "step(0)"}}, "local.schedule: step: every must be at least 1 round, got 0"),
        (
            {"local": {"schedule": "cosine(2)"}},
            "local.schedule: cosine: final must be between 0 and 1, got 2.0",
        ),
        ({"cohort": {"size": 9}}, "cohort.size: 9 is larger than the federation of 8 clients"),
        ({"cohort": {"size": 0}}, "cohort.size: input should be greater than 0, got 0"),
        ({"cohort": {"fraction": 0}}, "cohort.fraction: input should be greater than 0, got 0"),
        ({"cohort": {"fraction": 1.1}}, "cohort.fraction: input should be less than or equal to 1, got 1.1"),
        (
            {"cohort": {"size": 2, "fraction": 0.5}},
            "cohort: state size or fraction, not both (size 2, fraction 0.5)",
        ),
        (
            {"cohort": {"weighting": "size"}},
            "cohort.weighting: input should be 'examples' or 'uniform', got 'size'",
        ),
        (
            {"compression": {"downlink": "top_k(0.1)"}},
            "compression.downlink: top_k(fraction=0.1): it would damage",
        ),
        (
            {"compression": {"downlink": "qsgd(8)"}},
            "downlink: qsgd(bits=8): it would damage a whole model, which is what the server broadcasts; "
            "use none, float16, bfloat16 or difference(...)",
        ),
        (
            {"compression": {"uplink": "difference(qsgd(8))"}},
            "compression.uplink: difference(qsgd(bits=8)): an update is a difference already; difference is for the "
            "downlink",
        ),
        (
            {"compression": {"downlink": "difference(error_feedback(top_k(0.1)))"}},
            "difference: inner must not be error_feedback or difference",
        ),
        (
            {"compression": {"downlink": "difference(random_k(0.1))"}},
            "difference: inner must lose less than the whole difference",
        ),
        (
            {"compression": {"uplink": "momentum_correction(top_k(0.1))"}},
            "momentum_correction: inner must be error_feedback: without it, what is not sent is lost",
        ),
        (
            {"compression": {"uplink": "error_feedback(random_k(0.1))"}},
            "error_feedback: inner must lose less than the whole update",
        ),
        (
            {"compression": {"uplink": "error_feedback(sign(scale=one))"}},
            "error_feedback: inner must lose less than the whole update",
        ),
        (
            {"compression": {"uplink": "layer_wise(error_feedback(top_k(0.1)))"}},
            "layer_wise: inner must not be error_feedback or difference: put it around layer_wise",
        ),
        (
            {"compression": {"uplink": "sign(scale=one)"}},
            "the votes of sign(scale=one) are for sign_majority, which takes nothing else",
        ),
        ({"algorithm": "sign_majority(0.01)"}, "with compression.uplink: none: the votes of sign(scale=one)"),
        (
            {"compression": {"downlink": "error_feedback(none)"}},
            "compression.downlink: error_feedback(none): it would",
        ),
        (
            {"compression": {"uplink": "top_k(0)"}},
            "compression.uplink: top_k: fraction must be in (0, 1], got 0.0",
        ),
        (
            {"compression": {"uplink": "top_k(1.5)"}},
            "compression.uplink: top_k: fraction must be in (0, 1], got 1.5",
        ),
        (
            {"compression": {"uplink": "qsgd(1)"}},
            "compression.uplink: qsgd: bits must be between 2 and 8, got 1",
        ),
        (
            {"compression": {"uplink": "qsgd(9)"}},
            "compression.uplink: qsgd: bits must be between 2 and 8, got 9",
        ),
        (
            {"compression": {"uplink": "qsgd(4, 0)"}},
            "compression.uplink: qsgd: bucket_size must be at least 1, got 0",
        ),
        (
            {"compression": {"uplink": "qsgd(4, norm=l1)"}},
            "qsgd.norm: input should be 'max' or 'l2', got 'l1'",
        ),
        ({"holdout": {"test": 0}}, "holdout.test: input should be greater than 0, got 0"),
        ({"holdout": {"test": 1}}, "holdout.test: input should be less than 1, got 1"),
        ({"holdout": {"client": 1}}, "holdout.client: input should be less than 1, got 1"),
        (
            {"holdout": {"unseen_clients": -1}},
            "holdout.unseen_clients: must be a whole number from 0 up, or a list of names; got -1",
        ),
        ({"holdout": {"unseen_clients": []}}, "holdout.unseen_clients: must name at least one client"),
        ({"holdout": {"unseen_clients": "Rome"}}, "a list of names such as [Rome]; got 'Rome'"),
        ({"holdout": {"unseen_clients": ["b", " b"]}}, "holdout.unseen_clients: 'b' is named 2 times"),
        ({"holdout": {"unseen_clients": [0.5]}}, "names are texts or whole numbers, got 0.5"),
        ({"holdout": {"validation": 1}}, "holdout.validation: input should be less than 1, got 1"),
        (
            {"algorithm": "fedavg(0)"},
            "algorithm: fedavg: server_learning_rate must be a finite number > 0, got 0.0",
        ),
        (
            {"algorithm": "fedavg(inf)"},
            "algorithm: fedavg: server_learning_rate must be a finite number > 0, got inf",
        ),
        ({"privacy": "clip(0)"}, "privacy: clip: norm must be a finite number > 0, got 0.0"),
        (
            {"privacy": "clip(inf)"},
            "privacy: clip: norm must be a finite number > 0, got inf; central_gaussian and dp_sgd take an",
        ),
        ({"stop": {}}, "stop: state patience, target or both"),
        ({"stop": {"patience": 0}}, "stop.patience: input should be greater than 0, got 0"),
        ({"stop": {"target": float("nan")}}, "stop.target: input should be a finite number, got nan"),
        (
            {"stop": {"patience": 1, "min_improvement": -1}},
            "stop.min_improvement: input should be greater than or",
        ),
        ({"evaluation": {"every": 0}}, "evaluation.every: input should be greater than 0, got 0"),
        ({"orchestration": {"threads": 0}}, "orchestration.threads: input should be greater than 0, got 0"),
        (
            {"orchestration": {"granularity": "round"}},
            "orchestration.granularity: input should be 'segment' or 'stage'",
        ),
        ({"device": "gpu"}, "device: input should be 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, got -1"),
        ({"model": "mlp([])"}, "model: mlp: hidden must be one or more widths >= 1, got []"),
        ({"model": "mlp([0])"}, "model: mlp: hidden must be one or more widths >= 1, got [0]"),
        ({"dataset": "table(path='nowhere.csv', target=y)"}, "nowhere.csv is not a file"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_bad_input_names_the_field_the_value_and_what_is_allowed(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as error:
        RunConfig(**{**BASE, **change})
    assert message in readable(error.value)


@pytest.mark.parametrize("missing", ["dataset", "model", "rounds"])
def test_required_fields_are_required(missing: str) -> None:
    with pytest.raises(ValidationError) as error:
        RunConfig(**{field: value for field, value in BASE.items() if field != missing})
    assert readable(error.value) == f"{missing}: this field is required"
