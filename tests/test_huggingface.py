"""Pretrained models of Hugging Face against plain transformers, on small random ones, without a network."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from federated.config.run import RunConfig
from federated.evaluation.outputs import Outputs
from federated.foundation.errors import BadInput
from federated.models import MODELS, initial_module
from federated.models.flat_model import FlatModel
from federated.preprocessing.raw_rows import inputs_of
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from tests.test_pretrained_folders import (
    LENGTH,
    MARKS,
    WIDTH,
    WORDS,
    bert,
    config_of,
    content_of,
    needed,
    roberta,
    texts,
    tokenizers,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("pretrained") / "bert")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return texts(tmp_path_factory.mktemp("texts") / "texts.csv")


def _module(folder: Path, **arguments: Any) -> nn.Module:
    return MODELS["huggingface"](path=str(folder), **arguments)((LENGTH,), 3).eval()


def _tokens() -> Tensor:
    """Three texts of 3, 7 and 5 tokens."""
    tokens = torch.zeros(3, LENGTH, dtype=torch.int64)
    for row, length in enumerate((3, 7, 5)):
        tokens[row, :length] = 5 + (torch.arange(length) * (row + 2)) % len(WORDS)
    return tokens


def _states(folder: Path, tokens: Tensor) -> Tensor:
    """The last states of one text without padding, by plain transformers."""
    model = needed.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    states: Tensor = model(input_ids=tokens[None]).last_hidden_state[0]
    return states


@pytest.mark.parametrize(
    ("pooling", "pooled"),
    [
        ("mean", lambda states: states.mean(0)),
        ("cls", lambda states: states[0]),
        ("last", lambda states: states[-1]),
        ("max", lambda states: states.max(0).values),
    ],
)
def test_outputs_are_a_dense_layer_on_the_pooled_states_of_plain_transformers(folder, pooling, pooled):
    module, tokens = _module(folder, pooling=pooling), _tokens()
    with torch.no_grad():
        found = module(tokens)
        for row, length in enumerate((3, 7, 5)):
            expected = module.head(pooled(_states(folder, tokens[row, :length])))
            torch.testing.assert_close(found[row], expected)


@pytest.mark.parametrize("head", ["linear", "own"])
def test_without_dropout_training_draws_no_number_and_outputs_are_those_of_evaluation(folder, tmp_path, head):
    tokens = _tokens()
    drops = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.5)
    shutil.copytree(folder, folder := tmp_path / "drops")
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | drops))
    module = _module(folder, head=head, dropout=0.0)
    expected, before = module(tokens), torch.get_rng_state()
    torch.testing.assert_close(module.train()(tokens), expected)
    assert torch.equal(torch.get_rng_state(), before)
    other = _module(folder, head=head).train()  # the settings are of one model alone
    assert not torch.equal(other(tokens), other(tokens))
    with pytest.raises(ValueError, match=r"dropout must be from 0 up to 1, without 1, got 1\.5"):
        MODELS["huggingface"](path=str(folder), dropout=1.5)


def test_an_empty_text_has_finite_outputs(folder):
    tokens = torch.cat([_tokens(), torch.zeros(1, LENGTH, dtype=torch.int64)])
    for pooling in ("mean", "cls", "last", "max"):
        assert torch.isfinite(_module(folder, pooling=pooling)(tokens)).all()


def test_the_own_head_is_that_of_transformers_with_its_weights_where_they_fit(folder, tmp_path):
    config = needed.AutoConfig.from_pretrained(folder, num_labels=3)
    classifier = needed.BertForSequenceClassification(config).eval()
    classifier.save_pretrained(tmp_path / "classifier")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path / "classifier" / name)
    tokens = _tokens()
    expected = classifier(input_ids=tokens, attention_mask=(tokens != 0).long()).logits
    torch.testing.assert_close(_module(tmp_path / "classifier", head="own")(tokens), expected)
    other = MODELS["huggingface"](path=str(tmp_path / "classifier"), head="own")((LENGTH,), 4)
    assert other(tokens).shape == (3, 4)


@pytest.mark.parametrize("head", ["linear", "own"])
def test_the_head_alone_is_trained_where_it_is_asked_for(folder, file, head):
    stated = content_of(file, folder, head=head) | {"trained": "head"}
    setup = prepare(RunConfig.model_validate(stated))
    assert setup.whole_model.num_trainable == WIDTH * 2 + 2
    pretrained_words = setup.whole_model.module.trunk.get_parameter(
        ("" if head == "linear" else "bert.") + "embeddings.word_embeddings.weight"
    )
    assert not pretrained_words.requires_grad


@pytest.mark.parametrize("head", ["linear", "own"])
def test_initial_parameters_are_a_function_of_the_seed(folder, head):
    """Also where the weights are read in one and known in another; the pretrained ones are the same for all seeds."""
    vectors = []
    for seed, disturbance in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(disturbance)
        model = MODELS["huggingface"](path=str(folder), head=head)
        vectors.append(FlatModel(initial_module(model, "huggingface", _tokens()[:2], (3,), seed)).vector)
    last = WIDTH * 3  # the weights of the head, before its biases
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0][-last:], vectors[2][-last:])
    assert torch.equal(
        vectors[0][: -last - 3 - WIDTH * (WIDTH + 1)], vectors[2][: -last - 3 - WIDTH * (WIDTH + 1)]
    )


def test_weights_are_in_memory_once_and_no_model_changes_those_of_another(folder):
    one, two = _module(folder), _module(folder)
    assert (
        one.trunk.embeddings.word_embeddings.weight.data_ptr()
        == two.trunk.embeddings.word_embeddings.weight.data_ptr()
    )
    before = copy.deepcopy(two.state_dict())
    flat = FlatModel(one)
    with torch.no_grad():
        flat.vector.add_(1)
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in before.items())
    for parameter in one.trunk.parameters():
        parameter.requires_grad_(False)
    frozen = FlatModel(one)
    assert frozen.vector.numel() == WIDTH * 3 + 3
    shared = frozen.module.trunk.embeddings.word_embeddings.weight
    assert shared.data_ptr() == two.trunk.embeddings.word_embeddings.weight.data_ptr()


def test_full_fine_tuning_with_one_client_is_a_plain_loop_of_transformers(folder, file):
    stated = content_of(file, folder)
    stated["local"] |= {"optimiser": "adamw", "weight_decay": 0.1}
    setup = prepare(RunConfig.model_validate(stated))
    found = train_rounds(initial_state(setup), setup, 1)
    expected = _plain_loop(folder, setup)
    layout, sizes = [name for name, _ in setup.model.layout], [p.numel() for p in setup.model.trainable]
    parts = zip(layout, found.parameters.split(sizes), expected.split(sizes), strict=True)
    for (
        name,
        here,
        there,
    ) in parts:  # attention does not depend on the biases of keys: Adam scales rounding up
        torch.testing.assert_close(
            here, there, rtol=1e-3, atol=0.02 if "key.bias" in name else 1e-5, msg=name
        )
    assert (found.parameters - setup.initial_parameters).abs().max() > 0.05


def _plain_loop(folder: Path, setup: Setup) -> Tensor:
    """The same training with AutoModel, DataLoader-like batches, an attention mask and torch.optim.AdamW."""
    from federated.foundation.randomness import Purpose, generator
    from federated.local_training.steps.batches import epoch_orders

    trunk = needed.AutoModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False).eval()
    head = nn.Linear(WIDTH, 2)
    head.load_state_dict({"weight": setup.model.module.head.weight, "bias": setup.model.module.head.bias})
    steps = torch.optim.AdamW([*trunk.parameters(), *head.parameters()], lr=0.01, weight_decay=0.1)
    inputs, targets = setup.inputs, setup.targets
    numbers = generator(0, Purpose.BATCHES, 0, 0)
    for order in epoch_orders(numbers, setup.trainers.holders.indices[0], 6, 2, None):
        for batch in np.split(order, range(6, len(order), 6)):
            ids = inputs[batch]
            mask = (ids != 0).long()
            states = trunk(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            loss = nn.functional.cross_entropy(head(pooled), targets[batch])
            steps.zero_grad()
            loss.backward()
            steps.step()
    return torch.cat([each.detach().reshape(-1) for each in (*trunk.parameters(), *head.parameters())])


def test_a_head_trained_to_convergence_is_scikit_learns_logistic_regression(folder, file):
    from sklearn.linear_model import LogisticRegression

    setup = prepare(config_of(file, folder))
    module, held = setup.model.module.eval(), setup.trainers.holders.indices[0]
    features: list[Tensor] = []
    module.head.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    with torch.no_grad():
        module(setup.inputs[held])
    labels = setup.targets[held].numpy()
    decay = 0.05  # of scikit-learn's sum of losses; its bias is not penalised, nor is ours
    oracle = LogisticRegression(C=1 / (decay * len(held)), tol=1e-10, max_iter=10_000).fit(
        features[0].numpy(), labels
    )
    head = nn.Linear(WIDTH, 2)
    steps = torch.optim.LBFGS(head.parameters(), max_iter=2000, tolerance_grad=1e-9, tolerance_change=1e-12)

    def loss() -> Tensor:
        steps.zero_grad()
        # two scores a class are one score of scikit-learn's: half the weight on either side
        found = nn.functional.cross_entropy(head(features[0]), torch.from_numpy(labels))
        found = found + decay * (head.weight**2).sum()
        found.backward()
        return found

    steps.step(loss)
    difference = (head.weight[1] - head.weight[0]).detach().numpy()
    np.testing.assert_allclose(difference, oracle.coef_[0], atol=2e-3)


def test_texts_in_a_batch_of_their_length_have_the_outputs_of_the_whole(folder, file):
    setup = prepare(RunConfig.model_validate(content_of(file, folder) | {"evaluation": {"batch_size": 7}}))
    lengths: list[int] = []
    outputs = Outputs(setup)
    outputs._scratch.module.trunk.register_forward_pre_hook(
        lambda _, args, given: lengths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    some = np.array([30, 3, 17, 0, 8, 39, 25, 12, 5, 21])
    found = outputs.of(setup.initial_parameters, some)
    module = setup.model.module.eval()
    with torch.no_grad():
        expected = torch.cat([module(setup.inputs[at : at + 1]) for at in some])
    torch.testing.assert_close(found, expected)
    tokens = sorted((setup.inputs[some] != 0).sum(1).tolist())
    assert lengths == [tokens[6], tokens[-1]]


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bert, roberta])
def test_texts_are_cut_as_the_tokeniser_of_the_model_cuts_them(make, tmp_path, file):
    folder = make(tmp_path / "model")
    setup = prepare(config_of(file, folder))
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.no_padding()
    library.enable_truncation(LENGTH)
    padding = json.loads((folder / "config.json").read_text())["pad_token_id"]
    rows = [line.rpartition(",")[0] for line in file.read_text().splitlines()[1:]]
    expected = [library.encode(row).ids for row in rows]
    expected = [each + [padding] * (LENGTH - len(each)) for each in expected]
    assert setup.inputs.tolist() == expected
    learnt = setup.federation.examples.preprocessing
    served = inputs_of(learnt.name, learnt.values, learnt.arrays, ["good films!", ""])
    for row, ids in zip(["good films!", ""], served.tolist(), strict=True):
        found = library.encode(row).ids
        assert ids == found + [padding] * (LENGTH - len(found))
    assert learnt.values["inputs"] == {bert: "word_pieces", roberta: "library"}[make]


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        ({"inputs": "tfidf"}, r"text \(tfidf\) with model: huggingface.*inputs: model"),
        ({"inputs": "tokens"}, "knows only the tokens of its own tokeniser"),
        ({"inputs": "tokens", "tokenizer": "OTHER"}, "knows only the tokens of its own tokeniser"),
        ({"inputs": "model", "tokenizer": "OTHER"}, "tokenizer is for `inputs: tokens`"),
        ({"inputs": "model", "length": 2}, "length must be at least 3"),
        ({"inputs": "model", "ngrams": 2}, "ngrams must be 1"),
    ],
)
def test_other_tokens_than_the_models_are_refused(dataset, says, folder, file, tmp_path):
    stated = content_of(file, folder)
    dataset = {
        key: str(bert(tmp_path / "other")) if value == "OTHER" else value for key, value in dataset.items()
    }
    stated["dataset"] = {**stated["dataset"], **dataset}
    with pytest.raises(ValueError, match=says):
        RunConfig.model_validate(stated)


def test_tokens_of_a_model_are_for_no_other(folder, file):
    with pytest.raises(
        ValueError, match=r"dataset\.inputs: model is for a model with a tokeniser of its own"
    ):
        RunConfig.model_validate(content_of(file, folder) | {"model": "logistic"})


def test_a_model_of_ones_own_may_have_texts_cut_by_a_tokeniser(folder, file):
    stated = content_of(file, folder) | {
        "model": {"name": "lstm", "vocabulary": len(MARKS + WORDS), "outputs": "last", "hidden": 4}
    }
    stated["dataset"] |= {"inputs": "tokens", "tokenizer": str(folder)}
    by_itself = prepare(RunConfig.model_validate(stated)).inputs
    assert torch.equal(by_itself, prepare(config_of(file, folder)).inputs)


def test_longer_texts_than_the_model_reads_are_refused(folder, file):
    stated = content_of(file, folder)
    stated["dataset"] = {**stated["dataset"], "length": 25}
    with pytest.raises(BadInput, match=r"reads texts of at most 24 tokens, got dataset.length 25"):
        prepare(RunConfig.model_validate(stated))
