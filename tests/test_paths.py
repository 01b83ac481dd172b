"""A relative path in a study means one file, wherever it stands and from wherever it is looked at."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from federated.extension_points.kinds import DATASET
from federated.foundation.errors import BadInput
from federated.study.absolute_paths import Place, anchored
from federated.study.study import Run, StudyConfig, read_study

TABLE = {"name": "table", "path": "year1.csv", "target": "y"}
BASE: dict[str, Any] = {"dataset": TABLE, "model": "logistic", "clients": 4, "rounds": 1}
LISTING = "example,client\n" + "".join(f"{example},{example % 4}\n" for example in range(20))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The study's folder, and the working one, which holds other files of the same names."""
    for name, rows in (("study", 20), ("work", 7)):
        folder = tmp_path / name
        (folder / "sub").mkdir(parents=True)
        for file in ("year1.csv", "year2.csv", "sub/year1.csv"):
            (folder / file).write_text("a,y\n" + "1,2\n" * rows)
        (folder / "who.csv").write_text(LISTING)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "study", tmp_path / "work"


def written(folder: Path, **content: Any) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "base": BASE, **content}))
    return path


def paths_of(run: Run) -> list[str]:
    """Every text in the run's config that is a path."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, str) and (value.endswith(".csv") or "/" in value):
            found.append(value)
        for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(each)

    look(run.config.model_dump(mode="json"))
    return found


PLACES: list[tuple[dict[str, Any], list[list[str]]]] = [
    ({}, [["year1.csv"]]),
    ({"axes": {"dataset.path": ["year1.csv", "year2.csv"]}}, [["year1.csv"], ["year2.csv"]]),
    ({"axes": {"dataset": ["table('year2.csv', target=y)"]}}, [["year2.csv"]]),
    (
        {"axes": {"dataset": ["table('year2.csv', y)"], "dataset.path": ["sub/year1.csv"]}},
        [["sub/year1.csv"]],
    ),
    (
        {
            "arms": [
                {"name": "a"},
                {"name": "b", "dataset.path": "year2.csv"},
                {"dataset": {**TABLE, "path": "./who.csv"}},
            ]
        },
        [["year1.csv"], ["year2.csv"], ["who.csv"]],
    ),
    ({"axes": {"partitioner": ["from_file('who.csv')"]}}, [["year1.csv", "who.csv"]]),
    (
        {"axes": {"partitioner": ["iid", {"name": "from_file", "path": "who.csv"}]}},
        [["year1.csv"], ["year1.csv", "who.csv"]],
    ),
    (
        {
            "base": {**BASE, "partitioner": "from_file('year2.csv')"},
            "axes": {"partitioner.path": ["who.csv"]},
        },
        [["year1.csv", "who.csv"]],
    ),
    (
        {"base": {**BASE, "partitioner": ["from_file('who.csv')", "label_noise(0.1)"]}},
        [["year1.csv", "who.csv"]],
    ),
    (
        {"base": {**BASE, "partitioner": "from_file('who.csv') + label_noise(0.1)"}},
        [["year1.csv", "who.csv"]],
    ),
    (
        {
            "base": {**BASE, "partitioner": ["from_file('year2.csv')", "label_noise(0.1)"]},
            "axes": {"partitioner.parts.from_file.path": ["who.csv"]},
        },
        [["year1.csv", "who.csv"]],
    ),
    (
        {"axes": {"partitioner": [[{"name": "from_file", "path": "who.csv"}, "label_noise(0.1)"]]}},
        [["year1.csv", "who.csv"]],
    ),
    ({"base": {**BASE, "compression": {"dump": "out"}}}, [["year1.csv", "out"]]),
    ({"arms": [{"rounds": 2, "compression.dump": "out"}]}, [["year1.csv", "out"]]),
    ({"arms": [{"rounds": 2, "compression": {"dump": "../out"}}]}, [["year1.csv", "../out"]]),
]


@pytest.mark.parametrize(("content", "expected"), PLACES, ids=lambda value: json.dumps(value)[:60])
def test_paths_are_of_the_study_file_wherever_they_stand(
    folders: tuple[Path, Path], content: dict[str, Any], expected: list[list[str]]
) -> None:
    study = read_study(written(folders[0], **content))
    resolved = [[str((folders[0] / path).resolve()) for path in paths] for paths in expected]
    assert [paths_of(run) for run in study.runs()] == resolved


@pytest.mark.parametrize("content", [content for content, _ in PLACES], ids=str)
def test_a_study_that_was_read_is_the_same_in_any_folder(
    folders: tuple[Path, Path], content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read_study(written(folders[0], **content))
    runs, dumped, kept = study.runs(), study.model_dump(mode="json"), pickle.dumps(study)
    artifact = yaml.safe_dump(dumped)
    (other := folders[1] / "other").mkdir()
    monkeypatch.chdir(other)
    (other / "copy.yaml").write_text(artifact)
    for again in (
        study,
        StudyConfig.model_validate(dumped),
        StudyConfig.model_validate_json(json.dumps(dumped)),
        pickle.loads(kept),
        read_study(other / "copy.yaml"),
    ):
        assert [run.name for run in again.runs()] == [run.name for run in runs]
        assert [run.config.run_key() for run in again.runs()] == [run.config.run_key() for run in runs]
        assert [run.config.arm_key() for run in again.runs()] == [run.config.arm_key() for run in runs]
    assert study.only([runs[0].arm]).runs()[0].config == runs[0].config


def test_a_path_as_the_flow_takes_it_means_the_same(folders: tuple[Path, Path]) -> None:
    path = written(folders[0], axes={"dataset.path": ["year2.csv"]})
    for given in (path, str(path), "../study/study.yaml"):
        assert paths_of(StudyConfig.model_validate(given).runs()[0]) == [str(folders[0] / "year2.csv")]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("dataset.path=year2.csv", "year2.csv"),
        ("base.dataset.path=sub/year1.csv", "sub/year1.csv"),
        ("dataset=table('year2.csv', target=y)", "year2.csv"),
        ("dataset={name: table, path: year2.csv, target: y}", "year2.csv"),
    ],
)
def test_a_path_on_the_command_line_is_of_the_working_folder(
    folders: tuple[Path, Path], setting: str, expected: str
) -> None:
    study = read_study(written(folders[0]), [setting])
    assert paths_of(study.runs()[0]) == [str(folders[1] / expected)]


def test_only_what_the_command_line_states_is_of_the_working_folder(folders: tuple[Path, Path]) -> None:
    study = read_study(written(folders[0], axes={"rounds": [2]}), ["compression.dump=out"])
    assert paths_of(study.runs()[0]) == [str(folders[0] / "year1.csv"), str(folders[1] / "out")]


def test_a_study_that_arrives_filled_in_is_of_the_working_folder_where_it_is_read(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = StudyConfig.model_validate({"name": "s", "base": BASE, "axes": {"dataset.path": ["year2.csv"]}})
    monkeypatch.chdir(folders[0])
    assert paths_of(study.runs()[0]) == [str(folders[1] / "year2.csv")]


def test_home_is_filled_in_once(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FEDSTUDY_HOME", "HOME"):
        monkeypatch.setenv(name, str(folders[1]))
    ways = ["$FEDSTUDY_HOME/year1.csv", "${FEDSTUDY_HOME}/year2.csv", "~/year2.csv", "$HOME/year1.csv"]
    arms = [
        {"rounds": 1 + at, "dataset.path": way} for at, way in enumerate([*ways, "${HOME}/sub/year1.csv"])
    ]
    study = read_study(written(folders[0], arms=arms))
    for name in ("FEDSTUDY_HOME", "HOME"):
        monkeypatch.setenv(name, "/elsewhere")
    assert [paths_of(run) for run in study.runs()] == [
        [str(folders[1] / name)]
        for name in ("year1.csv", "year2.csv", "year2.csv", "year1.csv", "sub/year1.csv")
    ]


SECRETS = (
    "$API_TOKEN",
    "${API_TOKEN}",
    "x-$API_TOKEN.csv",
    "/data/$API_TOKEN/x.csv",
    "$FEDSTUDY_HOME_KEY",
    "$HOMES",
)


@pytest.mark.parametrize("path", SECRETS)
@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("dataset", lambda path: {"base": {**BASE, "dataset": {**TABLE, "path": path}}}),
        ("partitioner", lambda path: {"base": {**BASE, "partitioner": {"name": "from_file", "path": path}}}),
        ("compression.dump", lambda path: {"base": {**BASE, "compression": {"dump": path}}}),
        ("table.path", lambda path: {"axes": {"dataset.path": ["year1.csv", path]}}),
        ("dataset", lambda path: {"arms": [{"name": "a", "dataset": f"table('{path}', target=y)"}]}),
    ],
)
def test_any_other_variable_is_refused_by_its_name_and_never_shown(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, path: str, field: str, content: Any
) -> None:
    for name in ("API_TOKEN", "FEDSTUDY_HOME_KEY", "HOMES"):
        monkeypatch.setenv(name, "s3cret")
    for read in (
        lambda: read_study(written(folders[0], **content(path))).runs(),
        lambda: StudyConfig.model_validate({"name": "s", "base": BASE, **content(path)}).runs(),
    ):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 - either of two classes
            read()
        said = str(refused.value)
        assert "s3cret" not in said
        assert field in said
        assert f"{path[path.index('$') :].partition('.')[0].partition('/')[0]} is not filled in" in said


def test_a_file_or_folder_that_has_a_dollar_in_its_name_is_itself(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("mine", "s3cret")
    folder = folders[0] / "a$mine-b"
    folder.mkdir()
    for name in ("cost$mine.csv", "year1.csv"):
        (folder / name).write_text("a,y\n1,2\n")
    study = read_study(
        written(folder, arms=[{"dataset.path": "cost$mine.csv"}, {"compression.dump": "not there yet"}])
    )
    expected = [[str(folder / "cost$mine.csv")], [str(folder / "year1.csv"), str(folder / "not there yet")]]
    assert [paths_of(run) for run in study.runs()] == expected
    again = StudyConfig.model_validate(study.model_dump(mode="json"))
    assert [paths_of(run) for run in again.runs()] == expected


def test_the_home_of_nobody_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(BadInput, match=r"dataset.*~nobody-is-called-so stands for no folder"):
        read_study(
            written(folders[0], base={**BASE, "dataset": {**TABLE, "path": "~nobody-is-called-so/x.csv"}})
        )


def test_a_study_is_the_same_through_a_link_and_a_relative_name(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folders[0], axes={"dataset.path": ["year2.csv"]})
    expected = [str(folders[0] / "year2.csv")]
    assert paths_of(read_study(Path("../study/study.yaml")).runs()[0]) == expected
    monkeypatch.chdir(folders[0])
    assert paths_of(read_study(Path("study.yaml")).runs()[0]) == expected


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"base": 3, "axes": [1], "arms": "x"},
        {"base": {"dataset": "table(", "compression": 3, "stop": None}},
        {"base": BASE, "axes": {"dataset.path": "year1.csv", 3: [1], "dataset.path.x": [{}]}},
        {"base": BASE, "axes": {"nothing.path": ["a"], "": ["b"], "model.path": ["c"]}},
        {
            "base": BASE,
            "arms": [3, {"dataset": "nope:f(1)"}, {"dataset": "table(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)"}],
        },
        {"base": {"dataset": {"name": "table", "path": 3}, "partitioner": ["iid", 4, None]}},
    ],
)
def test_what_cannot_be_read_is_left_for_the_check_of_the_study(
    content: dict[str, Any], tmp_path: Path
) -> None:
    made = anchored(content, Place(tmp_path))
    axes = content.get("axes")
    assert made.get("arms") == content.get("arms")
    if not isinstance(axes, dict) or "dataset.path" not in axes:
        assert made.get("axes") == axes


def test_texts_that_are_no_paths_stay(tmp_path: Path) -> None:
    base = {**BASE, "dataset": {**TABLE, "target": "year1.csv", "client": "sub/year1.csv"}}
    made = anchored({"base": base}, Place(tmp_path))["base"]["dataset"]
    assert made == {**base["dataset"], "path": str(tmp_path / "year1.csv")}
    assert anchored({"base": {"dataset": "digits", "model": "mlp([8])"}}, Place(tmp_path)) == {
        "base": {"dataset": "digits", "model": "mlp([8])"}
    }


def test_every_data_set_with_a_path_is_covered() -> None:
    takes_a_path = {name for name in DATASET.factories if "path" in DATASET.hints(name)}
    assert takes_a_path == {"idx", "table", "arrays", "windows", "text", "next_token", "images"}
    assert all(DATASET.hints(name)["path"] is Path for name in takes_a_path)


NAMES: list[tuple[dict[str, Any], list[str]]] = [
    ({"axes": {"dataset.path": ["year1.csv", "year2.csv"]}}, ["path=year1.csv", "path=year2.csv"]),
    (
        {"axes": {"dataset.path": ["year1.csv", "sub/year1.csv", "year2.csv"]}},
        ["path=study/year1.csv", "path=sub/year1.csv", "path=year2.csv"],
    ),
    (
        {"axes": {"dataset": ["table('year1.csv', y)", "table('sub/year1.csv', y)"], "rounds": [1]}},
        [
            "table(path=study/year1.csv, target=y) · rounds=1",
            "table(path=sub/year1.csv, target=y) · rounds=1",
        ],
    ),
    (
        {"axes": {"partitioner": ["from_file('who.csv')", "from_file('sub/who.csv') + label_noise(0.1)"]}},
        ["from_file(path=study/who.csv)", "from_file(path=sub/who.csv) + label_noise(rate=0.1)"],
    ),
    (
        {
            "base": {**BASE, "partitioner": ["from_file('who.csv')", "label_noise(0.1)"]},
            "axes": {"partitioner.parts.from_file.path": ["who.csv", "sub/who.csv"]},
        },
        ["path=study/who.csv", "path=sub/who.csv"],
    ),
    (
        {"arms": [{"rounds": 2, "compression.dump": "a/out"}, {"rounds": 3, "compression.dump": "b/out"}]},
        ["dump=a/out · rounds=2", "dump=b/out · rounds=3"],
    ),
    (
        {"axes": {"dataset.path": ["year1.csv", "sub/year1.csv"]}, "anchors": "local"},
        [
            "path=study/year1.csv",
            "path=sub/year1.csv",
            "local · path=study/year1.csv",
            "local · path=sub/year1.csv",
        ],
    ),
    (
        {"axes": {"dataset": [{"name": "own:rows", "folder": "a/x"}, {"name": "own:rows", "folder": "b/x"}]}},
        ["rows(folder=a/x)", "rows(folder=b/x)"],
    ),
    (
        {
            "axes": {
                "dataset": [
                    {"name": "own:rows", "more": ["a/x", "b/x"]},
                    {"name": "own:rows", "text": "/a/b/x"},
                ]
            }
        },
        ["rows(more=['a/x', 'b/x'])", "rows(text=/a/b/x)"],
    ),
]


@pytest.mark.parametrize(("content", "expected"), NAMES, ids=lambda value: json.dumps(value)[:60])
def test_arms_are_named_by_what_tells_their_paths_apart(
    folders: tuple[Path, Path], content: dict[str, Any], expected: list[str]
) -> None:
    """The config, which MLflow's parameters and the run key are made of, keeps the whole path."""
    (folders[0] / "sub" / "who.csv").write_text(LISTING)
    (folders[0] / "own.py").write_text(
        "from pathlib import Path\n"
        "def rows(folder: Path = Path('.'), more: list[Path] | None = None, text: str = ''): ...\n"
    )
    study = read_study(written(folders[0], **content))
    assert [run.arm for run in study.runs()] == expected
    for run in study.runs():
        assert all(Path(path).is_absolute() for path in paths_of(run))
        assert [alone.config for alone in study.only([run.arm]).runs()] == [run.config]
