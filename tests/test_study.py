"""StudyConfig: from one file to every run, each checked before the first starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from federated.config.fields.dotted_paths import with_value
from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.study.study import StudyConfig, read_study

BASE: dict[str, Any] = {"dataset": "digits", "model": "logistic", "clients": 8, "rounds": 3}
HEAD = "name: s\nbase: {dataset: digits, model: logistic, clients: 8, rounds: 3}\n"

StudyFile = Callable[[str], Path]


@pytest.fixture
def file(tmp_path: Path) -> StudyFile:
    """Write a study file."""

    def write(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def study(base: dict[str, Any] | None = None, **content: Any) -> StudyConfig:
    return StudyConfig.model_validate({"name": "s", "base": {**BASE, **(base or {})}, **content})


def changed(base: dict[str, Any], path: str, value: Any) -> RunConfig:
    """The run of a base with one field replaced, by plain assignment."""
    content = RunConfig(**base).model_dump(mode="json")
    *above, last = path.split(".")
    place = content
    for part in above:
        place = place[part]
    place[last] = value
    return RunConfig.model_validate(content)


def names(config: StudyConfig) -> list[str]:
    return [run.name for run in config.runs()]


def test_a_study_is_the_product_of_its_axes_and_seeds() -> None:
    config = study(
        axes={"partitioner": ["iid", "dirichlet(1)"], "local.learning_rate": [0.1, 0.2, 0.3]}, seeds=[4, 7]
    )
    expected = [
        f"{partitioner} · learning_rate={rate} · seed {seed}"
        for partitioner in ("iid", "dirichlet(alpha=1.0)")
        for rate in (0.1, 0.2, 0.3)
        for seed in (4, 7)
    ]
    assert names(config) == expected
    runs = config.runs()
    assert [run.order for run in runs] == list(range(12))
    assert {(r.config.partitioner.name, r.config.local.learning_rate, r.config.seed) for r in runs} == {
        (partitioner, rate, seed)
        for partitioner in ("iid", "dirichlet")
        for rate in (0.1, 0.2, 0.3)
        for seed in (4, 7)
    }
    assert len({run.config.run_key() for run in runs}) == 12
    assert len({run.config.arm_key() for run in runs}) == 6


def test_all_that_no_axis_names_is_as_in_the_base() -> None:
    config = study({"local": {"momentum": 0.5}}, axes={"local.learning_rate": [0.2]})
    (run,) = config.runs()
    assert run.config == RunConfig(**BASE, local={"momentum": 0.5, "learning_rate": 0.2})


def test_a_study_without_axes_is_one_run_called_after_the_study() -> None:
    (run,) = study().runs()
    assert run.name == "s · seed 0"
    assert run.config == RunConfig(**BASE)


def test_arms_are_listed_explicitly_and_may_have_names() -> None:
    config = study(
        arms=[
            {"name": "baseline"},
            {"partitioner": "dirichlet(1)", "rounds": 5},
            {"name": "thin", "compression.uplink": "top_k(0.1)"},
        ],
        seeds=[1, 2],
    )
    assert names(config)[::2] == [
        "baseline · seed 1",
        "dirichlet(alpha=1.0) · rounds=5 · seed 1",
        "thin · seed 1",
    ]
    assert config.runs()[0].config == RunConfig(**BASE, seed=1)
    assert config.runs()[2].config == RunConfig(**{**BASE, "rounds": 5}, partitioner="dirichlet(1)", seed=1)


@pytest.mark.parametrize(
    ("base", "path", "values", "labels"),
    [
        ({}, "partitioner", ["iid", "dirichlet(0.1)"], ["iid", "dirichlet(alpha=0.1)"]),
        ({}, "model", ["logistic", "mlp([8])"], ["logistic", "mlp(hidden=[8])"]),
        ({}, "algorithm", ["fedavg(0.5)"], ["fedavg(server_learning_rate=0.5)"]),
        ({}, "compression.downlink", ["none", "float16"], ["downlink=none", "downlink=float16"]),
        (
            {},
            "compression.uplink",
            ["none", "error_feedback(qsgd(4))"],
            ["none", "error_feedback(qsgd(bits=4))"],
        ),
        (
            {},
            "compression",
            [{"uplink": "qsgd(4)"}, {"uplink": "qsgd(4)", "downlink": "difference(qsgd(2))"}],
            ["qsgd(bits=4)", "qsgd(bits=4), down difference(qsgd(bits=2))"],
        ),
        ({}, "local.schedule", ["constant", "step(2)"], ["schedule=constant", "schedule=step(every=2)"]),
        ({}, "cohort", [{"size": 2}, {"fraction": 0.5}], None),
        ({}, "stop", [None, {"patience": 2}], None),
        ({}, "local.batch_size", [None, 8], ["batch_size=None", "batch_size=8"]),
        ({"partitioner": "dirichlet(1)"}, "partitioner.alpha", [0.1, 2], ["alpha=0.1", "alpha=2.0"]),
        ({"partitioner": "dirichlet(1)"}, "partitioner.balance", [True], ["balance=True"]),
        ({"partitioner": "dirichlet(1)"}, "partitioner.name", ["dirichlet"], ["name=dirichlet"]),
        (
            {"compression": {"uplink": "error_feedback(top_k(0.5))"}},
            "compression.uplink.inner.fraction",
            [0.1, 0.2],
            ["fraction=0.1", "fraction=0.2"],
        ),
        (
            {"compression": {"uplink": "error_feedback(top_k(0.5))"}},
            "compression.uplink.inner",
            ["top_k(0.1)", "qsgd(4)"],
            ["inner=top_k(fraction=0.1)", "inner=qsgd(bits=4)"],
        ),
    ],
)
def test_an_axis_may_vary_any_field_or_argument(
    base: dict[str, Any], path: str, values: list[Any], labels: list[str] | None
) -> None:
    config = study(base, axes={path: values})
    runs = config.runs()
    assert len(runs) == len(values)
    for run, value in zip(runs, values, strict=True):
        assert run.config == changed(BASE | base, path, value)
    if labels is not None:
        assert [run.arm for run in runs] == labels


def test_an_axis_on_an_argument_keeps_the_other_arguments_of_a_choice_written_as_text() -> None:
    config = study({"partitioner": "dirichlet(1.0, min_size=3)"}, axes={"partitioner.alpha": [0.1, 0.2]})
    assert [run.config.partitioner.model_dump() for run in config.runs()] == [
        {
            "name": "dirichlet",
            "alpha": alpha,
            "min_size": 3,
            "balance": False,
            "like": "fedstudy",
            "bins": 10,
        }
        for alpha in (0.1, 0.2)
    ]


def test_an_arm_may_state_a_choice_and_one_of_its_arguments_in_any_order() -> None:
    config = study(
        arms=[
            {"partitioner.min_size": 2, "partitioner": "dirichlet(alpha=1)"},
            {"partitioner.alpha": 5, "partitioner": "dirichlet"},
            {
                "compression.uplink": "error_feedback(inner=top_k(fraction=0.1))",
                "compression.uplink.inner.fraction": 0.3,
            },
        ]
    )
    first, second, third = config.runs()
    assert dict(first.config.partitioner.arguments).items() >= {"alpha": 1.0, "min_size": 2}.items()
    assert second.config.partitioner.arguments["alpha"] == 5.0
    assert third.config.compression.uplink.label() == "error_feedback(top_k(fraction=0.3))"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"axes": {"local.lerning_rate": [1]}},
            "there is no field 'local.lerning_rate'; did you mean 'local.learning_rate'?",
        ),
        ({"axes": {"partitoner": ["iid"]}}, "there is no field 'partitoner'; did you mean 'partitioner'?"),
        (
            {"axes": {"cohort.zzz": [1]}},
            "there is no field 'cohort.zzz'; fields here: size, fraction, sampling, weighting",
        ),
        ({"axes": {"rounds.x": [1]}}, "there is no field 'rounds.x': what is above it is 3"),
        (
            {
                "axes": {"leakage.inversion.iterations": [1, 2]},
                "base": {**BASE, "leakage": {"membership": {"shadows": 0}}, "holdout": {"client": 0.5}},
            },
            "as leakage.inversion is left out; state leakage.inversion in base too",
        ),
        (
            {"axes": {"stop.patience": [1]}},
            "there is no field 'stop.patience': what is above it is None, as stop is left out; state stop in",
        ),
        (
            {"axes": {"partitioner.alpha": [1]}},
            "arm alpha=1: partitioner: iid: there is no argument 'alpha'",
        ),
        ({"axes": {"partitioner.inner.alpha": [1]}}, "there is no field 'partitioner.inner.alpha'"),
        ({"axes": {"": [1]}}, "there is no field ''"),
        ({"axes": {"partitioner": []}}, "axes.partitioner: at least one value is needed"),
        ({"axes": {"rounds": [1, 0]}}, "arm rounds=0: rounds: input should be greater than 0, got 0"),
        (
            {"axes": {"partitioner": ["dirichlet(0)"]}},
            "arm dirichlet(0): partitioner: dirichlet: alpha must",
        ),
        (
            {"axes": {"clients": [8, 2]}, "base": {**BASE, "cohort": {"size": 4}}},
            "arm clients=2: cohort.size: 4 is larger",
        ),
        ({"axes": {"rounds": 5}}, "axes.rounds: must be a list, such as [a, b], got 5"),
        ({"axes": {"rounds": [1]}, "arms": [{"rounds": 2}]}, "state axes or arms, not both"),
        ({"axes": {"rounds": [4, 4]}}, "duplicate arms: 'rounds=4' and 'rounds=4' are the same run"),
        ({"axes": {"partitioner": ["iid", "iid()"]}}, "duplicate arms: 'iid' and 'iid' are the same run"),
        ({"axes": {"orchestration.threads": [1, 2]}}, "duplicate arms"),
        (
            {"arms": [{"name": "a"}, {"name": "b", "rounds": 3}]},
            "duplicate arms: 'a' and 'b' are the same run",
        ),
        (
            {"arms": [{"name": "a", "rounds": 4}, {"name": "a", "rounds": 5}]},
            "two different arms are called 'a'",
        ),
        ({"arms": [{"name": 1, "rounds": 4}]}, "arms: a name is text, got 1"),
        ({"axes": {"seed": [1, 2]}}, "seed: an arm has no seed of its own; list them in seeds"),
        ({"arms": [{"seed": 1}]}, "seed: an arm has no seed of its own; list them in seeds"),
        (
            {"base": {**BASE, "seed": 5}},
            "base.seed: 5 has no effect, as a study runs with its seeds; leave it out, or write seeds: [5]",
        ),
        ({"seeds": []}, "seeds: must be a list of whole numbers from 0 on, such as [0, 1, 2], got []"),
        ({"seeds": [0, 1, 0]}, "seeds: [0, 1, 0] repeats a seed"),
        ({"seeds": [-1]}, "seeds: must be a list of whole numbers from 0 on, such as [0, 1, 2], got [-1]"),
        ({"name": "a/b"}, "name: letters, digits, spaces and"),
        ({"name": ""}, "name: letters, digits, spaces and"),
        ({"base": {**BASE, "roundz": 3}}, "base.roundz: there is no such field"),
        ({"sedes": [1]}, "sedes: there is no such field"),
        ({"base": None}, "base: must be a mapping, got None; fields here: dataset"),
    ],
    ids=str,
)
def test_a_study_that_cannot_run_says_why(file: StudyFile, content: dict[str, Any], message: str) -> None:
    path = file(json.dumps({"name": "s", "base": BASE, **content}))
    with pytest.raises(BadInput) as error:
        read_study(path)
    assert str(error.value).startswith(f"{path}:\n")
    assert message in str(error.value)
    assert "pydantic" not in str(error.value)


def test_all_arms_that_are_wrong_are_said_at_once(file: StudyFile) -> None:
    named = [{"name": "cold", "local.learning_rate": -1.0}, {"rounds": 0, "clients": 4}, {"rounds": 2}]
    with pytest.raises(BadInput) as error:
        read_study(file(json.dumps({"name": "s", "base": BASE, "arms": named})))
    assert str(error.value).splitlines()[1:] == [
        "2 arms cannot run:",
        "- cold: local.learning_rate: input should be greater than 0, got -1.0",
        "- rounds=0 · clients=4: rounds: input should be greater than 0, got 0",
    ]
    many = {"partitioner": ["iid", *(f"dirichlet({-at})" for at in range(14))], "rounds": [1, 2]}
    with pytest.raises(BadInput) as error:
        read_study(file(json.dumps({"name": "s", "base": BASE, "axes": many})))
    _, first, *lines, last = str(error.value).splitlines()
    assert (first, len(lines), last) == ("28 arms cannot run:", 10, "- and 4 more")
    assert lines[1].startswith(
        "- dirichlet(-1) · rounds=1; dirichlet(-1) · rounds=2: partitioner: dirichlet: "
    )
    twice = {"rounds": [4, 4], "clients": [4, 4]}
    with pytest.raises(BadInput) as error:
        read_study(file(json.dumps({"name": "s", "base": BASE, "axes": twice})))
    assert str(error.value).count("are the same run") == 1


def test_two_files_of_the_same_name_are_two_arms(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").write_text("y\n1\n")
    tables = [f"table(path={str(tmp_path / folder / 'x.csv')!r}, target=y)" for folder in ("a", "b")]
    apart = [f"table(path={folder}/x.csv, target=y) · seed 0" for folder in ("a", "b")]
    assert names(study(axes={"dataset": tables})) == apart
    named = study(arms=[{"name": "a", "dataset": tables[0]}, {"name": "b", "dataset": tables[1]}])
    assert names(named) == ["a · seed 0", "b · seed 0"]


def test_a_base_seed_that_is_the_only_seed_is_no_contradiction() -> None:
    assert names(study({"seed": 5}, seeds=[5])) == ["s · seed 5"]
    with pytest.raises(ValueError, match=r"base\.seed: 5 has no effect"):
        study({"seed": 5}, seeds=[4, 5])


def test_epochs_of_the_base_and_steps_of_an_arm_silence_each_other() -> None:
    assert len(names(study(axes={"local.steps": [1, 5]}))) == 2
    assert len(names(study(arms=[{"local.epochs": 2}, {"local.steps": 5}]))) == 2
    for arms in ({"axes": {"local.steps": [1, 5]}}, {"arms": [{"local.steps": 5}]}):
        with pytest.raises(ValueError, match="state epochs or steps, not both \\(epochs 1, steps"):
            study({"local": {"epochs": 1}}, **arms)


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("rounds=7", "rounds", 7),
        ("rounds = 7", "rounds", 7),
        ("base.rounds=7", "rounds", 7),
        ("local.learning_rate=0.05", "local.learning_rate", 0.05),
        ("local={epochs: 2}", "local", {"epochs": 2}),
        ("local.batch_size=null", "local.batch_size", None),
        ("partitioner=dirichlet(alpha=0.5)", "partitioner", "dirichlet(0.5)"),
        ("model.bias=false", "model", "logistic(bias=false)"),
        ("compression.uplink=qsgd(4)", "compression.uplink", "qsgd(4)"),
    ],
)
def test_a_setting_changes_one_field_of_the_base(
    file: StudyFile, setting: str, path: str, value: Any
) -> None:
    (run,) = read_study(file(HEAD), [setting]).runs()
    assert run.config == changed(BASE, path, value)


def test_settings_apply_in_turn_and_reach_what_the_file_leaves_empty(file: StudyFile) -> None:
    path = file(
        "name: s\nbase: {dataset: digits, model: logistic, clients: 8, cohort: , partitioner: dirichlet(alpha=1)}\n"
    )
    settings = ["rounds=2", "cohort.size=3", "partitioner.alpha=0.25", "rounds=4"]
    (run,) = read_study(path, settings).runs()
    assert (run.config.rounds, run.config.cohort.size) == (4, 3)
    assert run.config.partitioner.label() == "dirichlet(alpha=0.25)"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("rounds", "--set 'rounds': write dotted.path=value"),
        ("=3", "--set '=3': write dotted.path=value"),
        ("rounds=0", "base.rounds: input should be greater than 0, got 0"),
        ("local.lr=1", "base.local.lr: there is no such field"),
        ("rounds.x=1", "--set 'rounds.x=1': there is no field 'rounds.x': what is above it is 3"),
        ("rounds=[", "--set 'rounds=[': line 1, column 2, '[': the bracket that opens here is not closed"),
        ("model=", "base.model: a choice is a name"),
        ("partitioner=iid", "--set 'partitioner=iid': partitioner is an axis of this study"),
        ("partitioner.alpha=2", "--set 'partitioner.alpha=2': partitioner is an axis of this study"),
        ("seed=5", "base.seed: 5 has no effect"),
    ],
)
def test_a_setting_that_cannot_be_applied_says_why(file: StudyFile, setting: str, message: str) -> None:
    path = file(HEAD + "axes: {partitioner: [iid, dirichlet(1)]}\n")
    with pytest.raises(BadInput, match=re.escape(message)):
        read_study(path, [setting])


def test_an_argument_of_a_choice_without_named_arguments_cannot_be_set(file: StudyFile) -> None:
    path = file(HEAD.replace("clients", "partitioner: dirichlet(1), clients"))
    with pytest.raises(BadInput, match=r"write 'dirichlet\(1\)' with the names of its arguments"):
        read_study(path, ["partitioner.alpha=2"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("base:", "base.dataset: this field is required"),
        ("other: 1", "other: there is no such field"),
        ("base: [1, 2]", "there is no field 'rounds': what is above it is [1, 2]"),
        ("base: 3", "there is no field 'rounds': what is above it is 3"),
        ("base: {rounds: 1}\naxes:", "axes: must be a mapping, such as {name: value}, got None"),
        ("base: {rounds: 1}\naxes: 5", "axes: must be a mapping, such as {name: value}, got 5"),
    ],
)
def test_a_setting_does_not_hide_what_is_wrong_with_the_file(
    file: StudyFile, content: str, message: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        read_study(file(f"name: s\n{content}\n"), ["rounds=2"])


def test_stated_seeds_replace_those_of_the_file(file: StudyFile) -> None:
    path = file(HEAD + "seeds: [0, 1]\n")
    assert read_study(path).seeds == [0, 1]
    assert read_study(path, seeds=[5, 6, 7]).seeds == [5, 6, 7]
    assert [run.config.seed for run in read_study(path, seeds=(9,)).runs()] == [9]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: s\nname: t\n", "the key 'name' is stated twice"),
        ("name: s\nbase: {rounds: 3, rounds: 4}\n", "the key 'rounds' is stated twice"),
        ("name: [1\n", "is not valid YAML"),
        ("a: b: c\n", "is not valid YAML"),
        ("name: !!python/object:os.system {}\n", "is not valid YAML"),
        ("{[1]: 2}\n", "is not valid YAML"),
        ("", "must be a mapping with name and base, got nothing"),
        ("- 1\n", "must be a mapping with name and base, got a list"),
        ("just text\n", "must be a mapping with name and base, got a text"),
        ("{}", "name: this field is required\nbase: this field is required"),
        ("name: s\nbase: {}\n", "base.dataset: this field is required\nbase.model: this field is required"),
        (HEAD + "axes:\n", "axes: must be a mapping, such as {name: value}, got None"),
    ],
)
def test_a_file_that_is_no_study_says_why(file: StudyFile, text: str, message: str) -> None:
    path = file(text)
    with pytest.raises(BadInput) as error:
        read_study(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot read the study file .*no\.yaml: No such file"):
        read_study(tmp_path / "no.yaml")
    with pytest.raises(BadInput, match=r"is a folder; a file of YAML is wanted"):
        read_study(tmp_path)
    (tmp_path / "patients.csv").write_text("age,ill\n1,2\n", encoding="utf-8")
    with pytest.raises(
        BadInput, match=r"got a text; `./fedstudy init .*patients\.csv` makes a study of a table"
    ):
        read_study(tmp_path / "patients.csv")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(BadInput, match=r"latin\.yaml is not text in UTF-8, as YAML is: 'utf-8' codec"):
        read_study(tmp_path / "latin.yaml")


def test_yaml_anchors_and_merges_work(file: StudyFile) -> None:
    text = (
        "name: s\n"
        "base: {dataset: digits, model: logistic, clients: 8, rounds: 3, local: &local {epochs: 2, batch_size: 4}}\n"
        "arms:\n"
        "  - name: longer\n"
        "    local: {<<: *local, epochs: 3}\n"
    )
    (run,) = read_study(file(text)).runs()
    assert (run.config.local.epochs, run.config.local.batch_size) == (3, 4)


def test_paths_are_relative_to_the_study_file(
    file: StudyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("a,y\n1,2\n")
    monkeypatch.chdir("/")
    path = file(
        "name: s\nbase: {dataset: {name: table, path: data/x.csv, target: y}, model: linear, clients: 2, rounds: 1}\n"
    )
    for config in (read_study(path), StudyConfig.model_validate(str(path)), StudyConfig.model_validate(path)):
        assert config.base.dataset.arguments["path"] == str(tmp_path / "data" / "x.csv")


def test_own_functions_beside_the_study_file_are_found(tmp_path: Path) -> None:
    (tmp_path / "own_beside_study.py").write_text("def halves(pool, num_clients, generator): ...\n")
    path = tmp_path / "study.yaml"
    path.write_text(HEAD.replace("clients", "partitioner: 'own_beside_study:halves', clients"))
    assert read_study(path).base.partitioner.name == "own_beside_study:halves"


def test_a_study_given_as_a_path_must_exist() -> None:
    with pytest.raises(ValidationError, match="cannot read the study file"):
        StudyConfig.model_validate("no/such/study.yaml")


def test_a_study_passes_through_json_unchanged() -> None:
    config = study({"partitioner": "dirichlet(1)"}, axes={"partitioner.alpha": [0.1, 0.2]}, seeds=[0, 1])
    again = StudyConfig.model_validate_json(config.model_dump_json())
    assert again.runs() == config.runs()


def test_with_value_changes_a_copy() -> None:
    config = RunConfig(**BASE).model_dump()
    before = json.dumps(config)
    assert with_value(config, "local.epochs", 5)["local"]["epochs"] == 5
    assert json.dumps(config) == before


def test_a_json_schema_can_be_made_and_takes_a_path_or_a_study() -> None:
    schema = StudyConfig.model_json_schema()
    assert json.dumps(schema)
    assert {"type": "string"}.items() <= schema["anyOf"][0].items()
