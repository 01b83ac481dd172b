"""Names that do not exist, values of the wrong shape: the message says what was probably meant, or what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from federated.foundation.errors import BadInput
from federated.study.study import StudyConfig, read_study
from federated.study.yaml_values import values_of

BASE = {"dataset": "digits", "clients": 4, "model": "logistic", "rounds": 2}


def read(folder: Path, base: dict[str, object] | None = None, **top: object) -> StudyConfig:
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "base": BASE | (base or {}), **top}))
    return read_study(path)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (
            {"privacy": {"mechanism": "clip(1)", "noise_multiplier": 1}},
            "base.privacy.noise_multiplier: there is no such field; noise_multiplier is an argument; state it there, "
            r"such as mechanism: central_gaussian\(noise_multiplier=...\)$",
        ),
        (
            {"compression": {"bits": 4}},
            r"base.compression.bits: there is no such field; .* such as uplink: qsgd\(bits=...\)$",
        ),
        ({"rouds": 30}, "base.rouds: there is no such field; did you mean 'base.rounds'?"),
        ({"learning_rate": 0.1}, "base.learning_rate: .*; did you mean 'base.local.learning_rate'?"),
        ({"local": {"lerning_rate": 1}}, "did you mean 'base.local.learning_rate'?"),
        ({"uplink": "qsgd"}, "did you mean 'base.compression.uplink'?"),
        ({"compression": {"uplnk": "none"}}, "did you mean 'base.compression.uplink'?"),
        ({"evaluation": {"evry": 3}}, "did you mean 'base.evaluation.every'?"),
        ({"stop": {"patince": 3}}, "did you mean 'base.stop.patience'?"),
        (
            {"evaluation": {"personalisation": {"epoch": 1}}},
            "did you mean 'base.evaluation.personalisation.epochs'?",
        ),
        ({"seeds": [1]}, "did you mean 'seeds'?"),
        (
            {"xyzzy": 1},
            "base.xyzzy: there is no such field; fields here: dataset, partitioner, .*, device$",
        ),
        ({"partitioner": "dirichlet(alfa=1)"}, "no argument 'alfa'; did you mean 'alpha'\\? allowed: alpha,"),
        ({"model": "mlp hidden=[3]"}, "no model 'mlp hidden=\\[3\\]'; did you mean 'mlp'?"),
        (
            {"cohort": 5},
            "base.cohort: must be a mapping, got 5; fields here: size, fraction, sampling, weighting, without$",
        ),
        ({"model": "mlp(hidden=64)"}, "mlp.hidden: must be a list, such as \\[a, b\\], got 64"),
    ],
)
def test_a_field_of_the_base(tmp_path: Path, base: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(tmp_path, base)


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ({"axis": {}}, "axis: there is no such field; did you mean 'axes'?"),
        ({"seed": [0]}, "seed: there is no such field; did you mean 'seeds'?"),
        ({"rounds": 3}, "rounds: there is no such field; did you mean 'base.rounds'?"),
        ({"comparison": {"baselin": "best"}}, "did you mean 'comparison.baseline'?"),
        ({"axes": {"rouds": [1]}}, "there is no field 'rouds'; did you mean 'rounds'?"),
        ({"axes": {"base.rounds": [1]}}, "there is no field 'base.rounds'; did you mean 'rounds'?"),
        ({"axes": {"batch_size": [1]}}, "did you mean 'local.batch_size'?"),
        ({"axes": {"local/learning_rate": [1]}}, "did you mean 'local.learning_rate'?"),
        ({"arms": [{"cohort.sice": 2}]}, "did you mean 'cohort.size'?"),
        ({"axes": {"local.learning_rate": 0.1}}, "axes.local.learning_rate: must be a list, such as"),
        (
            {"axes": ["partitioner"]},
            "axes: must be a mapping, such as {name: value}, got \\['partitioner'\\]",
        ),
    ],
)
def test_a_field_of_the_study(tmp_path: Path, top: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read(tmp_path, **top)


@pytest.mark.parametrize("seeds", [3, "0-4", [], ["a"], [1.5], [-1], {"a": 1}, None, [[0]], True])
def test_seeds_that_are_no_list_of_whole_numbers(tmp_path: Path, seeds: object) -> None:
    with pytest.raises(
        BadInput, match=r"seeds: must be a (list of whole numbers from 0 on, such as \[0, 1, 2\]|number)"
    ):
        read(tmp_path, seeds=seeds)


def test_seeds_may_be_whole_numbers_in_any_writing(tmp_path: Path) -> None:
    assert read(tmp_path, seeds=[0, 1.0, "2"]).seeds == [0, 1, 2]


def test_an_option_sets_fields_of_the_base_alone(tmp_path: Path) -> None:
    read(tmp_path)
    for setting, said in {
        "seeds=[3]": "seeds is no field of the base run; state --seeds 0-4, or change it in the file",
        "axes.partitioner=[iid]": "axes is no field of the base run; change it in the file",
        "rouds=3": "did you mean 'base.rounds'?",
    }.items():
        with pytest.raises(BadInput, match=said):
            read_study(tmp_path / "s.yaml", [setting])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name: s\nbase:\n  rounds: 2\n   clients: 4\n",
            "line 4, column 11, 'clients: 4': is it indented as its",
        ),
        (
            "name: s\nbase:\n  rounds: 2\n clients: 4\n",
            "line 4, column 2, 'clients: 4': indent this line as its",
        ),
        (
            "name: s\nbase:\n\trounds: 2\n",
            "line 3, column 1, 'rounds: 2': indent with spaces, not with a tab",
        ),
        ("name: s\nbase: {}\nrounds:2\n", "line 3, column 1, 'rounds:2': write `name: value`"),
        ("name: s\nbase:\n  rounds:2\n  clients: 4\n", "has the line before a space after its colon"),
        ("name: s\nbase: {rounds: 2\n", "line 2, column 7, .*the bracket that opens here is not closed"),
        ('name: "s\nbase: {}\n', "line 1, column 7, .*the quotation mark that opens here is not closed"),
        ('name: "a\\d"\n', "line 1, column .*a backslash needs another one"),
        ("name: a: b\n", "line 1, column 8, .*a text with a colon needs quotes"),
        ("name: @s\n", "line 1, column 7, .*put a text that begins with this character in quotes"),
        ("name: s\n---\nname: t\n", "line 2, column 1, '---': a file holds one study"),
        (
            "base: {<<: {rounds: 2}}\nname: s\nname: t\n",
            "line 3, column 1, 'name: t': the key 'name' is stated twice",
        ),
        ("", "must be a mapping with name and base, got nothing"),
    ],
)
def test_a_file_that_is_no_yaml(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=f"(?i){said}") as error:
        read_study(path)
    assert "\n" not in str(error.value)


_NEEDS = r"a call with commas inside \{...\} needs quotes around it, as the commas part what is in there: "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "privacy: {mechanism: dp_sgd(1, 1), epsilon_budget: 4}",
            rf"line 3, column 24, .*{_NEEDS}mechanism: \"dp_sgd\(1, 1\)\"$",
        ),
        (
            "privacy: {mechanism: dp_sgd(norm=1, noise_multiplier=1)}",
            r"mechanism: \"dp_sgd\(norm=1, noise_multiplier=1\)\"$",
        ),
        ("privacy: {mechanism: clip(1), transport: a(b(1, 2), 3)}", r"transport: \"a\(b\(1, 2\), 3\)\"$"),
        (
            "compression: {uplink: top_k(0.1) + qsgd(4, 2)\n    , downlink: none}",
            r"uplink: \"top_k\(0.1\) \+ qsgd\(4, 2\)\"$",
        ),
        ('local: {optimiser: adam(a="x", b=2)}', r"optimiser: 'adam\(a=\"x\", b=2\)'$"),
        (
            "partitioner: [iid, dirichlet(0.1, min_size=3), iid]",
            r"inside \[...\] needs .*: \"dirichlet\(0.1, min_size=3\)\"$",
        ),
        ("local: {a: f(1, 1), b: g(2, 1)}", r"a: \"f\(1, 1\)\"$"),  # and not that 1) is stated twice
        (
            "model: {x: mlp(hidden=[16, 8])}",
            r"a call with commas or brackets inside .* needs quotes around it$",
        ),
    ],
)
def test_a_call_that_braces_part(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"name: s\nbase:\n  {text}\n")
    with pytest.raises(BadInput, match=said):
        read_study(path)


@pytest.mark.parametrize(
    "text",
    [
        "privacy: {mechanism: clip(1)}",
        'privacy: {mechanism: "dp_sgd(1, 1)"}',
        "local: {columns: [mass (kg, height m)]}",
    ],
)
def test_braces_around_what_they_do_not_part(text: str) -> None:
    assert values_of(f"{{{text}}}") == yaml.safe_load(f"{{{text}}}")


def test_a_file_of_data_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text("x,y\n1,0\n2,1\n")
    (tmp_path / "photos").mkdir()
    own = "a folder of images is read by `images`"
    needed = "a CSV or Parquet file, or a folder of Parquet files, is needed"
    for path, said in {
        "patient.csv": f"patient.csv is not a file; did you mean 'patients.csv'\\? {needed}",
        "photos": f"is a folder; {needed}; {own}",
        "https://example.org/patients.csv": "is an address; download it and state the path of the file",
        "data\\patients.csv": "is not a file; write / between folders",
    }.items():
        with pytest.raises(BadInput, match=said):
            read(tmp_path, {"dataset": {"name": "table", "path": path, "target": "y"}})
    with pytest.raises(
        BadInput,
        match=r"is a folder; an \.npz archive or a folder of \.npy files is needed; a folder of images",
    ):
        read(tmp_path, {"dataset": {"name": "arrays", "path": "."}})


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"FEA1", "it is a Feather file; save the table as CSV or Parquet"),
        (b"ARROW1", "it is an Arrow file"),
        (b"\x80\x04\x95", "it is a pickle"),
        (b"MATLAB 5.0 MAT-file", "it is a MATLAB file; the data set `arrays` reads an .npz file"),
        (b"<stata_dta>", "it is a Stata file"),
        (
            b"\x89PNG\r\n",
            "it is an image; the data set `images` reads a folder of them",
        ),
        (b"\xff\xd8\xff\xe0", "it is an image"),
    ],
)
def test_a_file_of_another_format(tmp_path: Path, head: bytes, said: str) -> None:
    (tmp_path / "d.csv").write_bytes(head + bytes(40))
    (run,) = read(tmp_path, {"dataset": {"name": "table", "path": "d.csv", "target": "y"}}).runs()
    with pytest.raises(BadInput, match=said):
        run.config.dataset.build()()
