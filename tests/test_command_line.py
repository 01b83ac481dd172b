"""The command line: what a person types, what they see, and every bad input with one clear error."""

import csv

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("home")


def _table(tmp_path, rows=40, **changes):
    columns = {"age": np.arange(rows), "site": np.arange(rows) % 4, "ill": np.arange(rows) % 2, **changes}
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    return {"name": "table", "path": "people.csv", "target": "ill"}


def _npz(tmp_path, **arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return "arrays(path='data.npz')"


def _own(tmp_path, code, function):
    """A module of the user's own beside the study, with a name that no other test uses."""
    module = f"own_{abs(hash(tmp_path))}"
    (tmp_path / f"{module}.py").write_text(code)
    return f"{module}:{function}"


INPUTS = np.zeros((30, 2), np.float32)
LABELS = np.arange(30) % 3

# What is wrong -> (base or a function of the folder that makes it, what the message must say)
BAD = {
    "unknown key": ({"epochs": 3}, "base.epochs: there is no such field; did you mean 'base.local.epochs'?"),
    "unknown key below": (
        {"local": {"lr": 0.1}},
        "base.local.lr: there is no such field; fields here: epochs, steps, batch_size,",
    ),
    "unknown partitioner": (
        {"partitioner": "dirichlett(1)"},
        "no partitioner 'dirichlett'; did you mean 'dirichlet'",
    ),
    "unknown data set": ({"dataset": "digit"}, "no dataset 'digit'; did you mean 'digits'"),
    "alpha 0": ({"partitioner": "dirichlet(0)"}, "alpha must be a finite number > 0, got 0"),
    "alpha negative": (
        {"partitioner": {"name": "dirichlet", "alpha": -1}},
        "alpha must be a finite number > 0, got -1",
    ),
    "zero rounds": ({"rounds": 0}, "base.rounds: input should be greater than 0, got 0"),
    "more clients than examples": (
        {"clients": 5000},
        "clients: 5000 clients are more than the 1437 training examples",
    ),
    "cohort larger than the federation": (
        {"cohort": {"size": 6}},
        "cohort.size: 6 is larger than the federation of 5",
    ),
    "missing file": ({"dataset": "arrays(path=nowhere.npz)"}, "nowhere.npz"),
    "missing target column": (
        lambda folder: {"dataset": {**_table(folder), "target": "sick"}},
        "target column 'sick' is not in people.csv; its columns are: age, site, ill",
    ),
    "missing client column": (
        lambda folder: {"dataset": {**_table(folder), "client": "clinic"}},
        "'clinic' is not in people.csv",
    ),
    "empty class": (
        lambda folder: {"dataset": _npz(folder, inputs=INPUTS, targets=np.where(LABELS == 1, 0, LABELS))},
        "class 1 has no examples",
    ),
    "class of one example": (
        lambda folder: {"dataset": _npz(folder, inputs=INPUTS, targets=np.r_[LABELS[:-1] % 2, 2])},
        "the class '2' has 1 example",
    ),
    "NaN in features": (
        lambda folder: {
            "dataset": _npz(folder, inputs=np.where(np.eye(30, 2) > 0, np.nan, 0.0), targets=LABELS)
        },
        "inputs holds NaN or infinite values in 2 examples, the first is example 0",
    ),
    "no natural clients": (
        {"partitioner": "by_client", "clients": None},
        "by_client needs a data set with client ids",
    ),
    "no number of clients": ({"clients": None}, "clients: iid needs a number of clients"),
    "module that is not there": ({"model": "nowhere.models:make"}, "cannot import 'nowhere.models:make'"),
    "function that is not there": (
        lambda folder: {"model": _own(folder, "x = 1\n", "make")},
        "has no attribute 'make' that is a function or class defined in it",
    ),
    "own module with a syntax error": (
        lambda folder: {"model": _own(folder, "def make(:\n", "make")},
        "invalid syntax",
    ),
    "own model that is none": (
        lambda folder: {"model": _own(folder, "def make(input_shape, num_outputs): return 3\n", "make")},
        "returned a int, not a torch.nn.Module",
    ),
    "own data that is none": (
        lambda folder: {"dataset": _own(folder, "def load(): return 'data'\n", "load")},
        "load returned a str",
    ),
    "own module that fails when imported": (
        lambda folder: {"model": _own(folder, "\n\nx = {}['y']\ndef make(s, n): ...\n", "make")},
        ".py, line 3)",
    ),
    "own data that fails": (
        lambda folder: {"dataset": _own(folder, "def load():\n    return 1 / 0\n", "load")},
        "load cannot be loaded: ZeroDivisionError: division by zero (own_",
    ),
    "own partitioner that fails": (
        lambda folder: {
            "partitioner": _own(folder, "def deal(pool, clients, generator):\n    {}['x']\n", "deal")
        },
        ":deal: KeyError: 'x' (own_",
    ),
    "batch of one under batch normalisation": (
        lambda folder: {
            "model": _own(
                folder,
                "from torch import nn\n\ndef make(input_shape, num_outputs):\n"
                "    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, num_outputs))\n",
                "make",
            ),
            "local": {"batch_size": 286},
        },
        "cannot train on a batch of one example (batch normalisation?), and client 2 with 287 examples",
    ),
    "model that does not fit": (
        {"model": "cnn"},
        "cnn needs images [channels, height >= 16, width >= 16], got [1, 8, 8]",
    ),
    "metric that is not measured": (
        {"stop": {"metric": "generalisation/client_accuracy", "target": 0.5}},
        "stop.metric: 'generalisation/client_accuracy' is not measured here; "
        "did you mean 'generalisation/test_accuracy'? allowed: main, train/loss",
    ),
    "unseen clients that are all": (
        lambda folder: {
            "dataset": {**_table(folder), "client": "site"},
            "partitioner": "by_client",
            "clients": None,
            "holdout": {"unseen_clients": 4},
        },
        "holdout.unseen_clients: 4 of 4 clients leaves none to train",
    ),
}

BAD_STUDIES = {
    "unknown path of an axis": (
        {"axes": {"partitoner": ["iid"]}},
        "there is no field 'partitoner'; did you mean",
    ),
    "duplicate arms": ({"axes": {"partitioner": ["iid", {"name": "iid"}]}}, "duplicate arms"),
    "bad value of an axis": (
        {"axes": {"partitioner": ["iid", "dirichlet(-1)"]}},
        "alpha must be a finite number > 0, got -1",
    ),
    "empty axis": ({"axes": {"rounds": []}}, "axes.rounds: at least one value is needed"),
    "no seeds": ({"seeds": []}, "seeds"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("verb", ["run", "preview"])
def test_bad_input_is_one_clear_error_before_anything_runs(command, study, tmp_path, home, what, verb):
    base, message = BAD[what]
    code, out, err = command(verb, study(**(base(tmp_path) if callable(base) else base)))
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err
    assert not (home / "mlflow.db").exists()


@pytest.mark.parametrize("what", BAD_STUDIES)
def test_bad_study_is_one_clear_error(command, study, what):
    top, message = BAD_STUDIES[what]
    code, out, err = command("preview", study(top))
    assert code == 2
    assert message in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "rounds"], "write dotted.path=value"),
        (["--set", "rounds=-1"], "base.rounds"),
        (["--set", "model.depth=3"], "depth"),
        (["--seeds", "a"], "--seeds 'a'"),
        (["--seeds", "5-2"], "--seeds '5-2'"),
    ],
)
def test_bad_options_are_explained(command, study, arguments, message):
    code, _, err = command("preview", study(), *arguments)
    assert code == 2
    assert message in err


def test_missing_study_file_is_explained(command, tmp_path):
    code, _, err = command("run", tmp_path / "nowhere.yaml")
    assert code == 2
    assert "nowhere.yaml" in err


def test_preview_shows_arms_and_partitions_and_trains_nothing(command, study, home):
    path = study({"axes": {"partitioner": ["iid", "dirichlet(0.1)"]}, "seeds": [3, 4]})
    code, out, _ = command("preview", path)
    assert code == 0
    assert "2 arms x 2 seeds = 4 runs" in out
    assert "dirichlet(alpha=0.1)" in out
    assert "650" in out  # parameters of a logistic regression from 64 pixels to 10 classes
    assert "label Hellinger, weighted mean" in out
    assert len(list((home / "previews" / "small").glob("*.png"))) == 4
    page = (home / "previews" / "small" / "preview.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert "dirichlet(alpha=0.1)" in page
    assert not (home / "mlflow.db").exists()


def test_a_preview_warns_too(command, study):
    code, out, _ = command("preview", study(local={"batch_size": 500}))
    assert code == 0
    assert "warning: local.batch_size: 5 of 5 clients hold fewer than 500 training examples" in out


def test_a_preview_says_what_is_promised_with_its_noise(command, study):
    """Noise of twice the clipping norm, over 3 of 5 clients that are heard: sqrt(parameters) x 2 / 3 times the norm."""
    cohort = {"size": 3, "weighting": "uniform"}
    private = {"mechanism": "central_gaussian(1, 2)", "delta": 1e-5}
    code, out, _ = command("preview", study(cohort=cohort, privacy=private, rounds=2))
    assert code == 0
    (said,) = [line for line in out.splitlines() if line.startswith("privacy: ")]
    assert "noise_multiplier=2" in said
    assert "at delta 1e-05 after round 2 (one client" in said
    assert (
        f"{650**0.5 * 2 / 3:.3g} times as long as the clipping norm" in said
    )  # 64 x 10 weights and 10 intercepts
    assert not [line for line in command("preview", study())[1].splitlines() if line.startswith("privacy: ")]


def test_a_preview_lists_arms_that_cannot_run_too(command, study, tmp_path, home):
    """285 to 287 examples a client: batches of 286 leave one example over, and not those of 32."""
    base = BAD["batch of one under batch normalisation"][0](tmp_path)
    path = study({"axes": {"local.batch_size": [286, 32]}}, model=base["model"], rounds=7)
    code, out, err = command("preview", path)
    assert code == 1  # as `run` ends once it has run the other arm
    assert err == (
        "error: 1 of 2 arms cannot run: batch_size=286; `run` would run the others and end with exit code 1 too\n"
    )
    assert command("run", path, "--forecast")[::2] == (1, err)
    shown = [line for line in out.split("How unlike")[0].splitlines() if line.startswith("│")]
    cannot, can = (
        next(line for line in shown if line.startswith(f"│ batch_size={size} ")) for size in (286, 32)
    )
    assert [cell.strip() for cell in cannot.split("│")[2:4]] == ["7", "cannot run: see the warnings"]
    assert [cell.strip() for cell in can.split("│")[2:4]] == ["7", "5"]
    assert "[batch_size=286]" in next(line for line in out.splitlines() if line.startswith("warning: model:"))
    page = (home / "previews" / "small" / "preview.html").read_text(encoding="utf-8")
    assert "Model inputs of a column" not in page  # images have no columns


def test_a_preview_writes_every_column_where_it_shows_a_few(command, study, tmp_path, home):
    narrow = study(dataset=_table(tmp_path), clients=3)
    assert "all columns" not in command("preview", narrow)[1]
    features = {f"feature {at}": np.arange(40) + at for at in range(20)}
    code, out, _ = command("preview", study(dataset=_table(tmp_path, **features), clients=3))
    file = home / "previews" / "small" / "columns.csv"
    assert code == 0
    assert "and 10 more" in out  # of age, site and 20 features, beside the target; twelve are shown
    assert f"all columns  {file}" in out
    with file.open(encoding="utf-8", newline="") as opened:
        header, *rows = csv.reader(opened)
    assert header == ["column", "read as", "values", "missing", "model inputs"]
    assert [row[0] for row in rows] == ["age", "site", "ill", *features]
    assert rows[-1] == ["feature 19", "number", "19 to 58", "", "1"]


def test_a_preview_counts_running_statistics_apart(command, study, tmp_path):
    """Batch normalisation of 64 values has 128 parameters and 128 statistics; 64 x 10 + 10 of the layer."""
    base = BAD["batch of one under batch normalisation"][0](tmp_path)
    code, out, _ = command("preview", study(model=base["model"]))
    assert code == 0
    row = next(line for line in out.splitlines() if line.startswith("│ small "))
    assert [cell.strip() for cell in row.split("│")[4:6]] == ["778 + 128 running statistics", "0.004"]


def test_a_forecast_is_shown_and_leaves_nothing(command, study, home):
    path = study({"axes": {"compression.uplink": ["none", "sign"]}}, local={"batch_size": 500})
    code, out, _ = command("run", path, "--forecast")
    assert code == 0
    assert "forecast: 2 runs, about" in out
    # down: two arms x 2 rounds x 5 clients x (8 + 4 x 650) bytes
    assert "MB up, 0.0522 MB down" in out
    assert "warning: local.batch_size: 5 of 5 clients hold fewer than 500 training examples" in out
    assert "warning: seeds: 1 decide nothing" in out
    assert "no privacy guarantee" in out
    assert not (home / "mlflow.db").exists()


def test_a_previewed_partition_is_saved_and_studied_again(command, study, home, tmp_path):
    code, out, _ = command("preview", study(), "--save", tmp_path / "made" / "p.npz")
    assert (code, (tmp_path / "made" / "p.npz").is_file()) == (0, True)
    again = ("--set", f"partitioner={{name: from_file, path: {tmp_path / 'made' / 'p.npz'}}}")
    code, out, _ = command("preview", study(), *again)
    assert (code, "from_file(path=p.npz)" in out) == (0, True)
    code, _, err = command("preview", study(), "--save", tmp_path / "p.txt")
    assert (code, "must end in .npz or .csv" in err) == (2, True)


def test_settings_and_seeds_change_the_study(command, study):
    code, out, _ = command("preview", study(), "--set", "rounds=7", "--set", "clients=9", "--seeds", "0-2,5")
    assert code == 0
    assert "1 arm x 4 seeds = 4 runs" in out
    assert " 7 " in out
    assert " 9 " in out


def test_list_shows_every_registered_name_with_its_parameters(command):
    from federated.extension_points.kinds import KINDS

    code, out, _ = command("list")
    assert code == 0
    for kind in KINDS:
        for name in kind.factories:
            assert f"  {name}(" in out
    assert "dirichlet(alpha, min_size=0, balance=false, like=fedstudy, bins=10)" in out


def test_list_of_one_name_is_its_whole_docstring_and_of_no_name_an_error(command):
    code, out, _ = command("list", "top_k")
    assert code == 0
    assert "Stich et al. 2018" in out
    assert "fraction  number  must be stated" in " ".join(out.split("\n"))
    for word in ("trained", "trained part"):  # the field is called by the first
        code, out, _ = command("list", word)
        assert (code, "lora(" in out) == (0, True)
    code, _, err = command("list", "top_q")
    assert code == 2
    assert "'top_q' is neither a kind" in err
    assert "did you mean 'top_k'?" in " ".join(err.split("\n"))


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--network=5g", "network: there is no network '5g'; known: 3g, 4g"),
        (
            "--network=4g(uplink_mbps=0)",
            "network: 4g: uplink_mbps must be a finite number of Mbit/s > 0, got 0",
        ),
        ("--target=nan", "target: must be a finite number, got nan"),
        ("--target=high", "Invalid value for '--target'"),
    ],
)
def test_compare_refuses_a_network_or_target_that_is_none(command, option, message):
    code, _, err = command("compare", "nothing", option)
    assert code == 2
    assert message in err


@pytest.mark.slow
@pytest.mark.usefixtures("used_home")
def test_compare_without_such_a_study_says_which_there_are(command):
    code, _, err = command("compare", "nothing")
    assert code == 2
    assert "there is no study 'nothing' in MLflow" in err


def test_an_arm_that_the_study_does_not_have_is_refused_before_anything_runs(command, study):
    code, _, err = command("run", str(study({"axes": {"partitioner": ["iid"]}})), "--arm", "skewed")
    assert code == 2
    assert "--arm 'skewed' is not an arm of the study; allowed: iid" in err


def test_without_a_server_of_ones_own_a_pool_is_refused(study, command, used_home, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    code, _, errors = command("run", study(), "--workers", "pool:north")
    assert code == 2
    assert "error: workers: pool:NAME needs a Prefect server that workers know: set PREFECT_API_URL" in errors
    code, _, errors = command("run", study(), "--workers", "0")
    assert (code, "error: workers: '0' must be a number of runs at a time" in errors) == (2, True)
