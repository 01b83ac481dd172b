"""Sequences of targets: from arrays, a person's own function or texts to the loss, the measures and the model back."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor, nn
from torch.nn import functional as F

from federated.config.run import RunConfig
from federated.evaluation.constant import constant_metrics
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.evaluation.outputs import Outputs
from federated.examples.user_data import as_examples
from federated.federation.data_table import data_read
from federated.federation.fingerprint import heterogeneity_metrics, label_table
from federated.federation.loading import load_examples
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.losses import LOSSES, of_positions
from federated.metrics.tasks import PADDING
from federated.models.flat_model import FlatModel
from federated.preprocessing.predictor import Predictor
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from tasks.tracking.models.folder import write_model

LENGTH, TAGS, WORDS = 5, 3, 12
NUMBERS = np.random.default_rng(3)
TOKENS = NUMBERS.integers(1, WORDS, size=(120, LENGTH))
LENGTHS = NUMBERS.integers(1, LENGTH + 1, size=120)
PADDED = np.arange(LENGTH) >= LENGTHS[:, None]
TAGGED = np.where(PADDED, -1, TOKENS % TAGS)
SITES = np.repeat(list("abcd"), 30)


def _file(folder: Path) -> Path:
    np.savez(folder / "tags.npz", inputs=np.where(PADDED, 0, TOKENS), targets=TAGGED, client_ids=SITES)
    return folder / "tags.npz"


def _config(folder: Path, **more: Any) -> RunConfig:
    model = f"lstm(embedding=3, hidden=6, layers=1, vocabulary={WORDS})"
    base: dict[str, Any] = {
        "dataset": {"name": "arrays", "path": str(_file(folder)), "padding": -1},
        "partitioner": "by_client",
        "model": model,
        "rounds": 2,
        "local": {"learning_rate": 1.0, "batch_size": 8},
        "holdout": {"client": 0.3, "unseen_clients": 1},
    }
    return RunConfig.model_validate(base | more)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    asked = {"metric": ["accuracy", "log_loss", "perplexity"], "personalisation": {"epochs": 1}}
    return prepare(_config(tmp_path_factory.mktemp("tags"), evaluation=asked))


def test_arrays_are_recognised_and_padding_is_said(setup: Setup) -> None:
    examples = setup.federation.examples
    assert (examples.task.name, examples.position_classes) == ("sequence", ("0", "1", "2"))
    np.testing.assert_array_equal(examples.targets, np.where(PADDED, PADDING, TAGGED))
    found = data_read("tags", examples).found
    counted, padded = int((~PADDED).sum()), int(PADDED.sum())
    assert f"sequences of 5 positions with one of 3 classes each, {counted:,} positions in all" in found
    assert f"without {padded:,} of padding" in found
    assert setup.config.dataset.build()().digest == examples.digest


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "cross_entropy(label_smoothing=0.2)"])
def test_the_loss_is_the_mean_over_positions_that_count(loss: str) -> None:
    name, _, argument = loss.partition("(label_smoothing=")
    made = LOSSES[name](**({"label_smoothing": float(argument[:-1])} if argument else {}))
    outputs = torch.randn(7, LENGTH, TAGS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    targets = torch.from_numpy(np.where(PADDED, PADDING, TAGGED)[:7])
    flat, kept = targets.flatten(), targets.flatten() >= 0
    each = made.of_each(outputs.flatten(0, 1)[kept], flat[kept])
    found = of_positions(made)(outputs, targets)
    assert float(found) == pytest.approx(float(each.mean()), rel=1e-12)
    if loss == "cross_entropy":
        assert float(found) == pytest.approx(
            float(F.cross_entropy(outputs.flatten(0, 1), flat, ignore_index=PADDING)), rel=1e-12
        )
    outputs.requires_grad_()
    (gradient,) = torch.autograd.grad(of_positions(made)(outputs, targets), outputs)
    assert not gradient[targets < 0].any()
    factors = torch.arange(7, dtype=torch.float64)
    by_hand = float((each * factors.repeat_interleave((targets >= 0).sum(1))).sum()) / int(kept.sum())
    assert float(of_positions(made)(outputs, targets, factors)) == pytest.approx(by_hand, rel=1e-12)
    assert float(of_positions(made)(outputs[:1], torch.full((1, LENGTH), PADDING))) == 0.0


def _of(setup: Setup, parameters: Tensor, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes and probabilities of the counted positions, and of which example each is."""
    outputs = Outputs(setup).of(parameters, indices).double()
    targets = setup.federation.examples.targets[indices]
    kept = targets >= 0
    return targets[kept], torch.softmax(outputs, 2).numpy()[kept], np.nonzero(kept)[0]


def test_measures_are_scikit_learn_s_on_the_positions_that_count(setup: Setup) -> None:
    state = train_rounds(initial_state(setup), setup, 2)
    metrics, federation = evaluate(state, setup), setup.federation
    every = list(range(TAGS))
    for name, indices in federation.held_out_sets().items():
        true, shares, _ = _of(setup, state.parameters, indices)
        assert metrics[f"generalisation/{name}_accuracy"] == accuracy_score(true, shares.argmax(1))
        expected = log_loss(true, shares, labels=every)
        assert metrics[f"generalisation/{name}_log_loss"] == pytest.approx(expected, rel=1e-12)
        assert metrics[f"generalisation/{name}_perplexity"] == pytest.approx(math.exp(expected), rel=1e-12)
    of_clients = [_of(setup, state.parameters, held) for held in federation.own_held_out]
    each = [log_loss(true, shares, labels=every) for true, shares, _ in of_clients]
    assert metrics["generalisation/client_perplexity_mean"] == pytest.approx(np.exp(each).mean(), rel=1e-12)
    final = generalisation(state, setup)
    assert final.clients["perplexity"][:3] == pytest.approx(np.exp(each), rel=1e-12)
    assert final.clients["held_out_examples"][:3] == [len(held) for held in federation.own_held_out]
    assert final.clients["held_out_positions"][:3] == [len(true) for true, _, _ in of_clients]
    assert final.confusion is not None
    assert final.confusion.table().sum() == len(_of(setup, state.parameters, federation.test)[0])
    assert final.personalised is not None
    assert np.isfinite(final.personalised.gains).all()


def test_the_constant_answer_is_that_of_the_training_positions(setup: Setup) -> None:
    federation, examples = setup.federation, setup.federation.examples
    trained = examples.targets[federation.training]
    shares = np.bincount(trained[trained >= 0], minlength=TAGS) / (trained >= 0).sum()
    test = examples.targets[federation.test]
    counted = test[test >= 0]
    found = constant_metrics(setup)
    assert found["generalisation/test_constant_accuracy"] == (counted == shares.argmax()).mean()
    expected = log_loss(counted, np.tile(shares, (len(counted), 1)), labels=[0, 1, 2])
    assert found["generalisation/test_constant_log_loss"] == pytest.approx(expected, rel=1e-12)
    assert found["generalisation/test_constant_perplexity"] == pytest.approx(math.exp(expected), rel=1e-12)


def test_clients_are_as_unlike_as_the_classes_of_their_positions(setup: Setup) -> None:
    federation = setup.federation
    held = [federation.examples.targets[each] for each in federation.clients]
    expected = [np.bincount(each[each >= 0], minlength=TAGS) for each in held]
    np.testing.assert_array_equal(label_table(federation).counts, expected)
    assert 0 <= heterogeneity_metrics(federation)["heterogeneity/label_jensen_shannon_bits_mean"] < 0.1


@pytest.mark.parametrize("training", ["federated", "local"])
def test_a_step_is_torch_s_own(training: str, tmp_path: Path) -> None:
    """One full batch of one client: the parameters less the gradient of torch's loss with ignore_index."""
    config = _config(
        tmp_path, training=training, local={"learning_rate": 0.5, "epochs": 1, "batch_size": None}
    )
    setup = prepare(config)
    work = setup.worker.work
    held = work.clients[0]
    module = work.model.twin()
    at = torch.from_numpy(held)
    loss = F.cross_entropy(
        module.module(work.inputs[at]).flatten(0, 1), work.targets[at].flatten(), ignore_index=PADDING
    )
    updates = setup.worker.train(setup.initial_parameters, [0], 0)
    torch.testing.assert_close(updates.deltas[0], -0.5 * module.gradient(loss), rtol=1e-4, atol=1e-7)
    assert float(updates.losses[0]) == pytest.approx(float(loss.detach()), rel=1e-5)


class Tagger(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(WORDS, 4), nn.Linear(4, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.head(self.words(tokens))
        return found


def test_vmap_trains_as_the_loop_does_and_hand_written_kernels_are_left_out(
    setup: Setup,
) -> None:
    from federated.local_training.engine import ENGINES

    work = setup.worker.work
    torch.manual_seed(0)
    work = work._replace(model=FlatModel(Tagger(TAGS)))
    trained = [ENGINES[name](work, 1)(work.model.vector.clone(), [0, 1, 2], 0) for name in ("loop", "vmap")]
    torch.testing.assert_close(trained[0].deltas, trained[1].deltas, rtol=1e-4, atol=1e-6)
    dense = work._replace(
        model=FlatModel(nn.Linear(4, TAGS)), inputs=torch.zeros(len(work.inputs), LENGTH, 4)
    )
    for name in ("stacked", "im2col"):
        with pytest.raises(ValueError, match="its loss"):
            ENGINES[name](dense, 1)


def test_vmap_takes_an_lstm_without_a_word_of_torch_s(setup: Setup) -> None:
    from federated.local_training.engine import ENGINES

    start, cohort = setup.initial_parameters.clone(), [0, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ENGINES["vmap"](setup.worker.work, 1)(start, cohort, 0)
    expected = ENGINES["loop"](setup.worker.work, 1)(start, cohort, 0)
    torch.testing.assert_close(found.deltas, expected.deltas, rtol=1e-4, atol=1e-6)


def test_a_person_s_own_data_may_be_texts_with_a_padding_of_their_kind() -> None:
    words = np.where(PADDED, "", np.array(["noun", "verb", "other"])[TAGGED])
    found = as_examples({"inputs": TOKENS, "targets": words, "padding": ""}, "mine")
    assert found.position_classes == ("noun", "other", "verb")
    assert (found.targets == PADDING).sum() == PADDED.sum()
    assert found.output_shape == (LENGTH, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"targets": TAGGED}, "there is a -1; if -1 fills short sequences up, state padding: -1"),
        ({"targets": TAGGED, "padding": "x"}, "padding is 'x', and targets are int64"),
        (
            {"targets": TAGGED[:, 0], "padding": -1},
            r"targets of sequences must be \[N, length\], got \[120\]",
        ),
        ({"targets": TAGGED + 0.5, "padding": -1}, "must be whole numbers or texts, got float64"),
        ({"targets": np.full_like(TAGGED, -1), "padding": -1}, "all targets are -1, which is the padding"),
        (
            {"targets": np.where(np.arange(120)[:, None] == 7, -1, TAGGED), "padding": -1},
            "example 7 has no position",
        ),
        ({"targets": np.eye(2, dtype=int)[TOKENS[:, 0] % 2]}, "of one-hot targets take the argmax"),
        ({"targets": TOKENS[:, :2] * 1000}, "for a class at every position state `padding`"),
        (
            {"targets": TOKENS[:, :2] * 10**10, "padding": -1},
            "below 1,000,000, but there is a 110000000000",
        ),
        (
            {"targets": TAGGED, "padding": -1, "classes": ["a", "b"]},
            "class numbers 0 ... 1, but there is a 2",
        ),
    ],
)
def test_targets_that_are_no_sequences_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        as_examples({"inputs": TOKENS, **given}, "mine")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"loss": "mse"}, "loss: mse is not for sequence; use cross_entropy or focal"),
        (
            {"loss": {"name": "cross_entropy", "class_weights": "balanced"}},
            "class_weights are not for sequences: weights are of whole examples",
        ),
        ({"evaluation": {"metric": "r2"}}, "R² is a measure of regression|R2 is a measure of regression"),
        ({"partitioner": "dirichlet(alpha=1)", "clients": 3}, "partitioner"),
        ({"target": {"standardise": True}}, "target.standardise is for regression"),
        ({"algorithm": "fedlc"}, "algorithm: fedlc"),
        (
            {"model": f"lstm(vocabulary={WORDS}, outputs=last)"},
            r"must return outputs \[2, 5, 3\], got \[2, 3\]",
        ),
    ],
)
def test_what_does_not_go_with_sequences_is_refused(
    tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        prepare(_config(tmp_path, **more))


@pytest.mark.parametrize("target", ["y", ["y", "z"]])
def test_a_table_has_no_sequences(target: Any, tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [0, 1, 2], "z": [0, 1, 2]}).to_csv(
        tmp_path / "some.csv", index=False
    )
    stated = {"name": "table", "path": str(tmp_path / "some.csv"), "target": target, "task": "sequence"}
    config = RunConfig.model_validate({"dataset": stated, "model": "linear", "rounds": 1})
    with pytest.raises(
        BadInput, match="task: sequence has one at each position of an example; use `next_token`"
    ):
        load_examples(config.dataset)


def test_clients_models_of_their_own_stand_beside_the_global_one(tmp_path: Path) -> None:
    setup = prepare(_config(tmp_path, algorithm="ditto"))
    state = train_rounds(initial_state(setup), setup, 1)
    found, federation = evaluate(state, setup), setup.federation
    true, shares, _ = _of(setup, state.parameters, np.concatenate(federation.own_held_out))
    assert found["generalisation/global_accuracy"] == accuracy_score(true, shares.argmax(1))
    assert "generalisation/personalisation_gain" in generalisation(state, setup).metrics


TEXTS = ["abcab", "b", "", "cc  aabz"]


def _texts(folder: Path) -> Path:
    rows = [{"line": text, "who": who} for text, who in zip(TEXTS, ["x", "y", "y", "x"], strict=True)]
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / "lines.jsonl"


def _next(folder: Path, **more: Any) -> Any:
    stated = {"name": "next_token", "path": str(_texts(folder)), "text": "line", "client": "who", "length": 4}
    return load_examples(
        RunConfig.model_validate({"dataset": stated | more, "model": "lstm", "rounds": 1}).dataset
    )


def test_each_character_is_predicted_once_from_those_before_it(tmp_path: Path) -> None:
    examples = _next(tmp_path)
    # most frequent first, as frequent ones by the alphabet: a 4, b 4, c 3, space 1, z 1
    assert examples.position_classes == ("(other)", "a", "b", "c", " ", "z")
    a, b, c, space, z, none = 1, 2, 3, 4, 5, PADDING
    expected = [[a, b, c, a], [b] + 3 * [none], [b] + 3 * [none], [c, c, space, a], [a, b, z, none]]
    np.testing.assert_array_equal(examples.targets, expected)
    start, shift = 1, 2
    inputs = [
        [start, a + shift, b + shift, c + shift],
        [a + shift, 0, 0, 0],
        [start, 0, 0, 0],
        [start, c + shift, c + shift, space + shift],
        [a + shift, a + shift, b + shift, 0],
    ]
    np.testing.assert_array_equal(examples.inputs, inputs)
    assert examples.client_ids is not None
    assert examples.client_ids.tolist() == ["x", "x", "y", "x", "x"]
    assert examples.properties is not None
    assert examples.properties["row"].tolist() == [1, 1, 2, 4, 4]
    assert any("left out: 1 text of 4 without a unit" in warning for warning in examples.reading.warnings)
    few = _next(tmp_path, size=2)
    assert few.position_classes == ("(other)", "a", "b")
    assert few.targets[3].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("name", ["some.csv", "some.jsonl"])
def test_a_file_may_hold_texts_alone(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"line": ["abcab", "ccab"]})
    if name.endswith("csv"):
        frame.to_csv(tmp_path / name, index=False)
    else:
        frame.to_json(tmp_path / name, orient="records", lines=True)
    examples = _next(tmp_path, path=str(tmp_path / name), client=None)
    assert examples.properties is not None
    assert examples.properties["row"].tolist() == [1, 1, 2]
    assert len(examples.targets) == 3


@pytest.mark.slow
def test_texts_get_the_next_character_from_a_logged_model(tmp_path: Path) -> None:
    examples = _next(tmp_path)
    torch.manual_seed(0)
    model = FlatModel(prepare_model(examples))
    from federated.losses import Readout

    saved = write_model(tmp_path / "logged" / "model", ("next",), model, model.vector, examples, Readout())
    assert saved.how == "pt2"
    predictor = Predictor(tmp_path / "logged" / "model" / "artifacts" / "model")
    with torch.inference_mode():
        outputs = model.independent_module()(torch.from_numpy(examples.inputs))
    # a text that ends where a position stands: what evaluation has there
    answers = predictor.predict(pd.DataFrame({"line": ["abc", "", "cc"]}))
    there = torch.stack([outputs[0, 3], outputs[0, 0], outputs[3, 2]])
    shares = torch.softmax(there.double(), 1).numpy()
    named = [f"probability of {name}" for name in examples.position_classes or ()]
    np.testing.assert_allclose(answers[named].to_numpy(), shares, rtol=1e-5)
    assert answers["label"].tolist() == [(examples.position_classes or ())[at] for at in shares.argmax(1)]
    # of a longer text the last units count
    last = predictor.outputs(["zzzzzcabc"])
    torch.testing.assert_close(last, predictor.outputs(["zzzcabc"]))


def prepare_model(examples: Any) -> nn.Module:
    from federated.models import MODELS

    return MODELS["lstm"](embedding=3, hidden=5, layers=1)(examples.inputs.shape[1:], examples.num_outputs)


def test_a_logged_tagger_names_the_class_of_every_position(setup: Setup, tmp_path: Path) -> None:
    examples = setup.federation.examples
    parameters = setup.initial_parameters
    write_model(tmp_path / "logged" / "model", ("tags",), setup.model, parameters, examples, setup.readout)
    predictor = Predictor(tmp_path / "logged" / "model" / "artifacts" / "model")
    answers = predictor.predict(examples.inputs[:6])
    outputs = Outputs(setup).of(parameters, np.arange(6)).double()
    shares, best = torch.softmax(outputs, 2).max(2)
    assert answers.shape == (6, 2 * LENGTH)
    for at in range(LENGTH):
        assert answers[f"label {at + 1}"].tolist() == [str(each) for each in best[:, at].tolist()]
        np.testing.assert_allclose(answers[f"probability {at + 1}"], shares[:, at].numpy(), rtol=1e-5)


OWN_LOSSES = """
from torch.nn import functional as F

def each(outputs, targets):
    assert outputs.dim() == 2 and targets.dim() == 1
    return F.cross_entropy(outputs, targets, reduction="none")

def mean(outputs, targets):
    return F.cross_entropy(outputs, targets)
"""


def test_a_loss_of_one_s_own_sees_positions_and_must_tell_them_apart(tmp_path: Path, own: Any) -> None:
    module = own(OWN_LOSSES)
    setups = [prepare(_config(tmp_path, loss=loss)) for loss in (None, f"{module}:each")]
    states = [train_rounds(initial_state(each), each, 1) for each in setups]
    torch.testing.assert_close(states[0].parameters, states[1].parameters)
    with pytest.raises(OwnCodeFailed, match="or are sequences, so return a loss for each"):
        prepare(_config(tmp_path, loss=f"{module}:mean"))
