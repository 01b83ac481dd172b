"""The metrics of a run: every one is in the dictionary, and what is counted is what lies on disk."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from federated import rounds
from federated.config.run import RunConfig
from federated.evaluation.constant import constant_metrics
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.extension_points.kinds import NETWORK
from federated.foundation.errors import BadInput
from federated.machine.torch_threads import torch_threads
from federated.metrics.dictionary import METRICS, metric_of
from federated.metrics.dictionary.of_measures import ASKED
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import Observers, advance, begun
from federated.study.further.prices import Prices
from federated.study.tuning.section import Tuning
from flows.federated_study import federated_study
from tasks.tracking.server.store import connect
from tasks.tracking.studies.comparison import compare_again
from tests.conftest import NORMALISED
from tests.test_flows import _study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "used_home"),
]


@pytest.mark.nightly
def test_finished_runs_are_timed_on_another_network_as_if_they_had_run_on_it():
    """Live and after the fact, from MLflow's numbers, to the bit; and MLflow keeps what the runs said."""
    seconds = "system/simulated_seconds_total"

    def curves(outcome):
        return [
            list(zip(*map(np.ndarray.tolist, run.curve(seconds)), strict=True)) for run in outcome.results
        ]

    live = federated_study(_study(name="timed", network="4g(spread=0.5)", compression={"uplink": "qsgd(4)"}))
    assert [len(curve) for curve in curves(live)] == [4, 4]
    assert curves(compare_again(["timed"], NETWORK.bind("4g(spread=0.5)"))) == curves(live)
    slower = compare_again(["timed"], NETWORK.bind("3g(spread=0.5, compute=1)"), target=0.2)
    assert all(a[-1][1] > b[-1][1] for a, b in zip(curves(slower), curves(live), strict=True))
    assert {run.parameters["network"] for run in slower.results} == {"3g"}
    assert "Simulated network: 3g (uplink_mbps 1.6," in slower.found.costs.text.note
    assert "test accuracy ≥ 0.2" in slower.report.read_text(encoding="utf-8")
    assert slower.report.name == "report-network-3g-spread=0.5-compute=1.0-target-0.2.html"
    assert slower.report.parent == live.report.parent
    assert live.report.name == "report.html"
    assert "Simulated network: 4g" in live.report.read_text(encoding="utf-8"), "its own report stays"
    assert curves(compare_again(["timed"])) == curves(live)
    artifacts = {file.path for file in connect().list_artifacts(live.parent_run_id)}
    assert artifacts >= {"to_target.json", "bytes_and_time.png"}


def test_what_mlflow_counts_is_what_lies_on_disk(tmp_path):
    """Every round, both ways: the metrics are the lengths of the payloads that the run wrote to files."""
    ways = {"uplink": "chain(top_k(0.1), qsgd(4), entropy)", "downlink": "difference(qsgd(4))"}
    outcome = federated_study(_study(name="dumped", seeds=[0], compression={**ways, "dump": str(tmp_path)}))
    (result,) = outcome.results
    for way in ("uplink", "downlink"):
        found = dict.fromkeys(range(1, 5), 0)
        for file in tmp_path.glob(f"*/round-*/{way}-*.bin"):
            found[int(file.parent.name.removeprefix("round-"))] += len(file.read_bytes())
        history = connect().get_metric_history(result.run_id, f"communication/{way}_bytes")
        assert {metric.step: metric.value for metric in history} == found
        total = connect().get_metric_history(result.run_id, f"communication/{way}_bytes_total")[-1]
        assert total.value == sum(found.values()) > 0


@pytest.mark.nightly
def test_a_study_that_compares_networks_is_not_timed_on_another():
    arms = [{"network": "3g"}, {"network": "4g"}]
    outcome = federated_study(_study(name="networks", seeds=[0], arms=arms))
    slow, fast = (run.final("system/simulated_seconds_total") for run in outcome.results)
    assert slow > fast
    with pytest.raises(BadInput, match="compares networks of its own"):
        compare_again(["networks"], NETWORK.bind("4g"))


OWN_CODE = """
import numpy as np
from torch import nn

def load(size):
    numbers = np.random.default_rng(0)
    x = numbers.standard_normal((size, 3)).astype("float32")
    return x, (x.sum(axis=1) > 0).astype(int), np.arange(size) % 4

class Net(nn.Module):
    def __init__(self, input_shape, num_outputs, width=5):
        super().__init__()
        self.first, self.last = nn.Linear(input_shape[0], width), nn.Linear(width, num_outputs)

    def forward(self, x):
        h = self.first(x).relu()
        return self.last(h) if h.sum() > 0 else self.last(-h)  # cannot be exported
"""


def test_own_data_and_own_model_from_a_folder_outside_the_project(tmp_path):
    (tmp_path / "my_own_code.py").write_text(OWN_CODE)
    (tmp_path / "study.yaml").write_text(
        "name: own\n"
        "base:\n"
        "  dataset: my_own_code:load(size=200)\n"
        "  model: {name: 'my_own_code:Net', width: 7}\n"
        "  partitioner: by_client\n"
        "  rounds: 2\n"
    )
    outcome = federated_study(tmp_path / "study.yaml")
    (result,) = outcome.results
    assert result.parameters["dataset"] == "my_own_code:load"
    assert result.parameters["model.width"] == "7"
    tags = connect().get_run(result.run_id).data.tags
    assert tags["model_format"] == "pickle"
    model = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model")
    assert set(model.predict(np.ones((2, 3), np.float32))["label"]) <= {"0", "1"}


OF_OTHER_MACHINES = {
    f"{family}/{what}" for family in ("system", "bill") for what in ("gpu_seconds", "energy_joules")
}
"""Metrics that need a GPU, or counters of energy that this process may read."""


@pytest.mark.nightly
def test_the_dictionary_of_metrics_is_complete(own, tmp_path):
    pytest.importorskip(
        "peft", reason="rules for adapters have metrics of their own; make finetune installs it"
    )
    held_out = {
        "holdout": {"client": 0.2, "unseen_clients": 5, "validation": 0.1},
        "evaluation": {"every": 2, "personalisation": True},
        "seeds": [0],
    }
    prices = Prices(core_hour=1.0, co2_per_kwh=0.3, watts_per_core=10.0)
    digits = federated_study(
        _study(name="dictionary", network="4g", **held_out).model_copy(update={"prices": prices})
    )
    line = federated_study(
        _study(name="dictionary-line", dataset="linear(size=100)", model="linear", **held_out)
    )
    compression = {
        "uplink": "error_feedback(top_k(0.1))",
        "downlink": "difference(qsgd(4))",
    }
    normalised = f"{own(NORMALISED)}:model"
    two_ways = federated_study(
        _study(name="dictionary-ways", model=normalised, compression=compression, seeds=[0])
    )
    file = tmp_path / "partition.npz"
    np.savez(file, example=np.arange(1797), client=np.arange(1797) % 6)
    aimed = federated_study(
        _study(
            name="dictionary-aimed",
            partitioner="target_heterogeneity(0.4)",
            algorithm="scaffold",
            cohort={"sampling": "unreliable(uniform, 0.3)"},
            compression={"uplink": "qsgd(4)"},
            seeds=[0],
        )
    )
    listed = federated_study(
        _study(
            name="dictionary-file",
            partitioner={"name": "from_file", "path": str(file)},
            clients=None,
            privacy={
                "mechanism": "central_gaussian(norm=1, quantile=0.5, count_noise=5)",
                "target_epsilon": 50,
            },
            cohort={"weighting": "uniform"},
            seeds=[0],
        )
    )
    clustered = federated_study(
        _study(
            name="dictionary-clusters",
            partitioner="label_permutation(groups=2)",
            algorithm="ifca(clusters=2)",
            seeds=[0],
        )
    )
    alone = [
        federated_study(_study(name=f"dictionary-alone-{at}", training="local", seeds=[0], **data))
        for at, data in enumerate(({}, {"dataset": "linear(size=100)", "model": "linear"}))
    ]
    attacked = _attacked(tmp_path)
    noisy = {
        "privacy": "central_gaussian(norm=1, noise_multiplier=0.1)",
        "cohort": {"weighting": "uniform"},
    }
    tuning = {"budget": 2, "rounds": 1, "space": {"local.learning_rate": [0.1, 0.2]}, "repeats": 1}
    tuned = federated_study(
        _study(name="dictionary-tuned", holdout={"tuning": 0.2}, seeds=[0], **noisy).model_copy(
            update={"prices": prices, "tuning": Tuning.model_validate(tuning)}
        )
    )
    logged = set()
    for outcome in (*alone, digits, line, two_ways, aimed, listed, clustered, attacked, tuned):
        for run_id in (outcome.results[0].run_id, outcome.parent_run_id):
            logged |= set(connect().get_run(run_id).data.metrics)
    larger = {"mechanism": "central_gaussian(1, 1)", "extrapolate": {"clients": 1000, "cohort": 100}}
    measured = {"mechanism": "clip(0.5)", "canaries": 20}
    adapters = {"model": "mlp(hidden=[8, 8])", "trained": "lora(rank=1)", "compression": {}}
    for changes in (
        {"privacy": larger},
        {"privacy": measured},
        {"privacy": "dp_sgd(noise_multiplier=1, norm=1)", "local": {"batch_size": 8, "steps": 2}},
        {"transport": "secure_aggregation(clip=1)"},
        {"model": "mlp(hidden=[4])", "trained": "head"},
        *({**adapters, "aggregator": rule} for rule in ("lora_residual", "lora_svd")),
    ):
        logged |= _logged_at_once(
            _study(cohort={"weighting": "uniform"}, seeds=[0], **changes).runs()[0].config
        )
    for config in _of_labels_and_asked_measures(tmp_path, held_out):
        logged |= _measured_at_once(config)
    assert set(METRICS) - OF_OTHER_MACHINES <= logged
    assert [name for name in logged if metric_of(name) is None] == []


def _attacked(folder):
    """A study whose run is attacked in every way that there is, and what it leaves behind."""
    numbers = np.random.default_rng(0)
    images, classes = numbers.integers(0, 256, (2_300, 1, 4, 4), np.uint8), np.arange(2_300) % 4
    np.savez(folder / "images.npz", inputs=images, targets=classes)
    outcome = federated_study(
        _study(
            name="dictionary-leakage",
            seeds=[0],
            dataset={"name": "arrays", "path": str(folder / "images.npz")},
            partitioner="dirichlet(1.0)",
            holdout={"client": 0.5, "test": 0.1},
            model="mlp(hidden=[4])",
            clients=5,
            cohort={"size": 1, "sampling": "in_turn", "weighting": "uniform"},
            privacy="central_gaussian(noise_multiplier=1, norm=1)",
            rounds=5,
            leakage={"membership": {"shadows": 2}, "inversion": {"clients": 1, "iterations": 2}},
        )
    )
    (run,) = outcome.results
    files = {each.path for each in connect().list_artifacts(run.run_id)}
    assert {"leakage.json", "leakage_roc.json", "membership.png", "inversion.png"} <= files
    assert mlflow.artifacts.load_text(f"runs:/{run.run_id}/leakage.json").startswith('{"columns":["client",')
    assert list(outcome.found.reconstructions) == [f"{run.arm}, seed 0"]
    page = outcome.report.read_text(encoding="utf-8")
    assert "Was this example trained on?" in page
    assert "as released, by search" in page
    return outcome


def _of_labels_and_asked_measures(folder, held_out):
    """Configs with several labels, and with every measure that only a study asks for."""
    numbers = np.random.default_rng(0)
    frame = pd.DataFrame(numbers.normal(size=(400, 3)), columns=["a", "b", "height"])
    frame["left"], frame["right"] = numbers.integers(2, size=(2, 400))
    frame["ill"] = np.where(frame["a"] > 0, "CLASS", "no")
    frame.to_csv(folder / "asked.csv", index=False)
    labels = {"target": ["left", "right"], "task": "multilabel"}
    illness = {"target": "ill", "task": "classification"}
    height = {"target": "height", "task": "regression"}
    asked = {
        name: [
            each.name for each in ASKED if name in each.targets and not each.name.startswith(("f1", "quan"))
        ]
        for name in ("classification", "regression")
    }
    for task, measures, more in (
        (labels, [], held_out),
        (labels, [], {"training": "local"}),
        *(
            (task, [], {"algorithm": "ditto", "holdout": {"client": 0.2}})
            for task in (labels, illness, height)
        ),
        (illness, [*asked["classification"], "f1(CLASS)"], {}),
        (height, [*asked["regression"], "quantile_loss(0.5)"], {}),
    ):
        dataset = {"name": "table", "path": str(folder / "asked.csv"), "numeric": ["a", "b"]} | task
        base = {
            "dataset": {**dataset, "categorical": []},
            "model": "linear",
            "clients": 10,
            "rounds": 1,
            **more,
        }
        base.pop("seeds", None)
        if measures:
            base["evaluation"] = {"metric": measures}
        yield RunConfig.model_validate(base)
    sentences = pd.DataFrame({"who": list("abcd") * 50, "line": ["to be or not to be", "that is it"] * 100})
    sentences.to_csv(folder / "lines.csv", index=False)
    words = {"name": "next_token", "path": str(folder / "lines.csv"), "text": "line", "client": "who"}
    for more in (held_out, {"training": "local"}, {"algorithm": "ditto", "holdout": {"client": 0.2}}):
        base = {
            "dataset": {**words, "length": 6},
            "model": "lstm(embedding=2, hidden=3, layers=1)",
            "clients": 10,
            "rounds": 1,
            **more,
        }
        base.pop("seeds", None)
        yield RunConfig.model_validate(base)


def _measured_at_once(config):
    """The names of all that evaluation finds of a model before its first round."""
    setup = prepare(config)
    state = initial_state(setup)
    found = (evaluate(state, setup), generalisation(state, setup).metrics, constant_metrics(setup))
    return {name for each in found for name in each}


def _logged_at_once(config):
    """The names of all that a run logs in its first two rounds and after them."""
    setup, found = prepare(config), set()
    silent = Observers(lambda course: None, lambda history: None, lambda course: None)
    course = begun(Course(initial_state(setup)), setup, silent)
    course = advance(course, setup, [1, 2], silent, lambda course: None)
    for _, metrics in course.history:
        found |= set(metrics)
    return found


def test_threads_that_are_asked_for_do_not_tear_a_product_apart(monkeypatch):
    """With one client a round there is one part, and a product by several threads adds up in another order."""
    original, within = rounds.run_round, []
    monkeypatch.setattr(
        rounds, "run_round", lambda *a: within.append(torch.get_num_threads()) or original(*a)
    )
    with torch_threads(2):
        federated_study(_study(seeds=[0], rounds=1, cohort={"size": 1}, orchestration={"threads": 3}))
        assert torch.get_num_threads() == 2
    assert within == [1]
