"""Language models: the transformer against torch's own, and federated training of one client against a plain loop."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.config.run import RunConfig
from federated.examples.examples import Examples
from federated.federation.loading import load_examples
from federated.foundation.randomness import Purpose, generator
from federated.local_training.engine import ENGINES
from federated.losses import Readout
from federated.metrics.measures import MEASURES, Predictions
from federated.metrics.tasks import PADDING
from federated.models import MODELS
from federated.models.flat_model import FlatModel
from federated.preprocessing.predictor import Predictor
from federated.preprocessing.raw_next import inputs_of_next
from federated.rounds import train_rounds
from federated.run.setup import Setup, initial_state, prepare
from federated.study.study import read_study
from tasks.tracking.models.folder import write_model

LENGTH, CLASSES, WORDS = 6, 4, 9
SMALL = f"transformer(width=8, heads=2, layers=2, vocabulary={WORDS})"


def _config(folder: Path, model: str, clients: int = 1, **more: Any) -> RunConfig:
    numbers = np.random.default_rng(4)
    tokens, lengths = numbers.integers(1, WORDS, (60, LENGTH)), numbers.integers(1, LENGTH + 1, (60, 1))
    padded = np.arange(LENGTH) >= lengths
    np.savez(
        folder / "next.npz",
        inputs=np.where(padded, 0, tokens),
        targets=np.where(padded, -1, tokens % CLASSES),
        client_ids=np.arange(60) % clients,
    )
    base: dict[str, Any] = {
        "dataset": {"name": "arrays", "path": str(folder / "next.npz"), "padding": -1},
        "partitioner": "by_client",
        "model": model,
        "rounds": 3,
    }
    return RunConfig.model_validate(base | more)


def _batches(setup: Setup, done: int, epochs: int, size: int) -> list[np.ndarray]:
    held, numbers = setup.worker.work.clients[0], generator(setup.config.seed, Purpose.BATCHES, done, 0)
    orders = [numbers.permutation(held) for _ in range(epochs)]
    return [order[at : at + size] for order in orders for at in range(0, len(order), size)]


OPTIMISERS = {
    "sgd": lambda parameters, factor: torch.optim.SGD(parameters, 0.2 * factor, momentum=0.5),
    "adamw": lambda parameters, factor: torch.optim.AdamW(parameters, 0.002 * factor, weight_decay=0.1),
}
LOCAL = {
    "sgd": {"learning_rate": 0.2, "momentum": 0.5},
    "adamw": {"optimiser": "adamw", "learning_rate": 0.002, "weight_decay": 0.1},
}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("model", ["lstm(embedding=3, hidden=5, vocabulary=9)", SMALL])
def test_one_client_trains_as_a_plain_loop_of_torch_does(model: str, optimiser: str, tmp_path: Path) -> None:
    """Three rounds of minibatches, padded texts, gradients clipped, a schedule, the optimiser new in every round."""
    local = {"epochs": 2, "batch_size": 7, "max_gradient_norm": 0.1, "schedule": "cosine"}
    setup = prepare(_config(tmp_path, model, local=local | LOCAL[optimiser]))
    work = setup.worker.work
    module = work.model.independent_module(setup.initial_parameters).train()
    factor, clipped, steps = work.local.schedule.build(), 0, 0
    for done in range(3):
        steps_of = OPTIMISERS[optimiser](module.parameters(), factor(done, 3))
        for rows in map(torch.from_numpy, _batches(setup, done, 2, 7)):
            scores = module(work.inputs[rows]).flatten(0, 1)
            steps_of.zero_grad()
            F.cross_entropy(scores, work.targets[rows].flatten(), ignore_index=PADDING).backward()
            clipped += float(nn.utils.clip_grad_norm_(module.parameters(), 0.1)) > 0.1
            steps_of.step()
            steps += 1
    trained = FlatModel(module)
    trained.load(train_rounds(initial_state(setup), setup, 3).parameters)
    assert 0 < clipped <= steps == 3 * 2 * 7
    assert (trained.vector - setup.initial_parameters).abs().max() > 0.02
    for name, expected in module.named_parameters():
        if not name.endswith("key.bias"):  # its gradient is 0 but for rounding, of which Adam makes steps
            found = trained.module.get_parameter(name)
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5)


def _torch_s_own(model: Any, tokens: Tensor) -> Tensor:
    """The same by nn.TransformerEncoderLayer with the model's weights."""
    states = model.embedding.weight[tokens] + model.positions.weight
    for block in model.blocks:
        attention, dense = block.attention, block.feed_forward
        layer = nn.TransformerEncoderLayer(
            8, 2, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        ).double()
        parts = [attention.query, attention.key, attention.value]
        layer.load_state_dict(
            {
                "self_attn.in_proj_weight": torch.cat([part.weight for part in parts]),
                "self_attn.in_proj_bias": torch.cat([part.bias for part in parts]),
                "self_attn.out_proj.weight": attention.output.weight,
                "self_attn.out_proj.bias": attention.output.bias,
                "linear1.weight": dense[0].weight,
                "linear1.bias": dense[0].bias,
                "linear2.weight": dense[2].weight,
                "linear2.bias": dense[2].bias,
                "norm1.weight": block.attention_norm.weight,
                "norm1.bias": block.attention_norm.bias,
                "norm2.weight": block.feed_forward_norm.weight,
                "norm2.bias": block.feed_forward_norm.bias,
            }
        )
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=torch.float64)
        states = layer(states, src_mask=mask, is_causal=True)
    found: Tensor = model.head(F.layer_norm(states, (8,), model.norm.weight, model.norm.bias))
    return found


def _model(**more: Any) -> Any:
    torch.manual_seed(0)
    stated = {"width": 8, "heads": 2, "layers": 3, "feed_forward": 20}
    model = MODELS["transformer"](**stated | more)((LENGTH,), WORDS - 2).double()
    for parameter in model.parameters():  # what starts at zero or one would hide a mistake
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


TOKENS = torch.from_numpy(np.random.default_rng(1).integers(0, WORDS, (5, LENGTH)))


def test_transformer_is_torch_s_own_with_the_same_weights() -> None:
    model = _model()
    torch.testing.assert_close(model(TOKENS), _torch_s_own(model, TOKENS), rtol=1e-10, atol=1e-12)
    last = _model(outputs="last", vocabulary=WORDS)
    last.load_state_dict(model.state_dict())
    torch.testing.assert_close(last(TOKENS), model(TOKENS)[:, -1], rtol=1e-10, atol=1e-12)


def test_a_position_of_a_transformer_sees_none_behind_it() -> None:
    model, changed = _model(), TOKENS.clone()
    changed[:, 3:] = 0  # as padding
    torch.testing.assert_close(model(TOKENS)[:, :3], model(changed)[:, :3], rtol=0, atol=0)
    assert not torch.allclose(model(TOKENS)[:, 3], model(changed)[:, 3])


def test_tied_weights_are_one_and_learn_from_both_of_their_uses() -> None:
    model = _model(tied=True)
    assert model.head.weight is model.embedding.weight
    hidden: list[Tensor] = []
    model.norm.register_forward_hook(lambda _, given, returned: hidden.append(returned))
    scores = model(TOKENS)
    # class 0 is token 2: tokens 0 and 1 are the padding and the start of a text
    torch.testing.assert_close(scores, hidden[0] @ model.embedding.weight[2:].T, rtol=1e-10, atol=1e-12)
    names = [name for name, _ in FlatModel(model).layout]
    assert "embedding.weight" in names
    assert "head.weight" not in names
    (gradient,) = torch.autograd.grad(scores.square().sum(), model.embedding.weight)
    model.head.weight = nn.Parameter(model.embedding.weight.detach().clone())
    parts = torch.autograd.grad(model(TOKENS).square().sum(), [model.embedding.weight, model.head.weight])
    torch.testing.assert_close(gradient, parts[0] + parts[1], rtol=1e-10, atol=1e-12)


def test_initial_weights_are_gpt_2_s() -> None:
    torch.manual_seed(0)
    model: Any = MODELS["transformer"]()((80,), 76)
    block = model.blocks[1]
    for layer in (model.embedding, model.positions, block.attention.query, block.feed_forward[0], model.head):
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    for layer in (block.attention.output, block.feed_forward[2]):
        assert float(layer.weight.detach().std()) == pytest.approx(0.02 / 8**0.5, rel=0.05)
        assert not layer.bias.any()
    assert sum(parameter.numel() for parameter in model.parameters()) == 823_372


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"feed_forward": 0}, "feed_forward must be at least 1, got 0"),
        ({"width": 10, "heads": 4}, "width must be a multiple of heads, got width 10 and heads 4"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1"),
        ({"vocabulary": 0}, "vocabulary must be at least 1, got 0"),
        ({"tied": True, "vocabulary": 9}, "tied is for the tokens of next_token at every position"),
        ({"tied": True, "outputs": "last"}, "tied is for the tokens of next_token at every position"),
    ],
)
def test_transformer_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS["transformer"](**arguments)
    with pytest.raises(ValueError, match=r"transformer needs tokens \[length\], got inputs \[3, 7\]"):
        MODELS["transformer"]()((3, 7), 4)


@pytest.mark.parametrize("more", ["", ", dropout=0.3"])
def test_vmap_trains_a_transformer_as_the_loop_does(more: str, tmp_path: Path) -> None:
    model = SMALL.replace(")", f"{more})")
    local = {"optimiser": "adamw", "learning_rate": 0.01, "batch_size": 4, "max_gradient_norm": 0.5}
    setup = prepare(_config(tmp_path, model, clients=4, local=local))
    found = [
        ENGINES[name](setup.worker.work, 1)(setup.initial_parameters.clone(), [0, 3, 1], 0)
        for name in ("loop", "vmap")
    ]
    torch.testing.assert_close(found[0].deltas, found[1].deltas, rtol=1e-3, atol=2e-5)
    assert found[0].deltas.abs().max() > 0.01


def _next(folder: Path) -> Examples:
    rows = [{"line": text, "who": who} for text, who in (("abcab ccz", "x"), ("b", "y"), ("abz", "x"))]
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    stated = {"name": "next_token", "path": str(folder / "lines.jsonl"), "text": "line", "length": 4}
    config = RunConfig.model_validate({"dataset": stated, "model": "transformer", "rounds": 1})
    return load_examples(config.dataset)


def test_a_logged_transformer_says_what_comes_next(tmp_path: Path) -> None:
    examples = _next(tmp_path)
    model = FlatModel(
        MODELS["transformer"](width=4, heads=2, layers=1, tied=True)((4,), examples.num_outputs)
    )
    saved = write_model(tmp_path / "logged" / "model", ("next",), model, model.vector, examples, Readout())
    assert saved.how == "pt2"
    predictor = Predictor(tmp_path / "logged" / "model" / "artifacts" / "model")
    answers = predictor.predict(pd.DataFrame({"line": ["abc", ""]}))
    with torch.inference_mode():
        outputs = model.independent_module()(torch.from_numpy(examples.inputs))
    shares = torch.softmax(torch.stack([outputs[0, 3], outputs[0, 0]]).double(), 1).numpy()
    named = [f"probability of {name}" for name in examples.position_classes or ()]
    np.testing.assert_allclose(answers[named].to_numpy(), shares, rtol=1e-5)
    made: dict[str, Any] = {}
    exec(_of_page("continue_text.py"), made)
    text = made["continued"](predictor, "ab", characters=12)
    assert re.fullmatch("ab[abcz ]{12}", text)
    assert text == made["continued"](predictor, "ab", characters=12)
    likely = made["continued"](
        predictor, "ab", characters=1, temperature=1e-3
    )  # the likeliest that has a letter
    best = predictor.predict(["ab"])[named].drop(columns="probability of (other)").idxmax(axis=1)[0]
    assert likely == "ab" + best[-1]


@pytest.mark.filterwarnings("error")
def test_perplexity_of_a_model_that_diverges_is_a_number() -> None:
    measure = MEASURES["perplexity"]()
    targets = torch.tensor([1, 0])
    # losses of ln 4 and ln 4/3 by hand: the geometric mean of 4 and 4/3
    sure = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    assert measure.of(Predictions(sure, targets)) == pytest.approx((4 * 4 / 3) ** 0.5, rel=1e-6)
    wrong = torch.tensor([[2000.0, 0.0], [0.0, 2000.0]])
    assert measure.of(Predictions(wrong, targets)) == pytest.approx(1e100)


PAGE = Path(__file__).parents[1] / "docs" / "language-models.md"
PLAY = """<H3>ACT I</h3><blockquote><i>Enter ADAM</i></blockquote>
<A NAME=speech1><b>ADAM</b></a>
<blockquote><A NAME=1.1.1>Who's  there, <i>[Aside]</i> &amp; why?</A><br>
<A NAME=1.1.2>Speak.</A><br></blockquote>
<A NAME=speech2><b>EVE
</b></a><blockquote><A NAME=1.1.3>I.</A><br></blockquote>
<A NAME=speech3><b>ADAM</b></a><blockquote><A NAME=1.1.4>Good.</A><br></blockquote>
"""


def _of_page(name: str) -> str:
    found = re.search(rf"^```python\n(# {name}\n.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found
    return found[1]


def test_the_lines_of_the_page_write_the_roles_that_speak_twice(tmp_path: Path) -> None:
    for play in ("hamlet", "lear"):
        (tmp_path / play).mkdir()
        (tmp_path / play / "full.html").write_text(PLAY, encoding="iso-8859-1")
    (tmp_path / "write.py").write_text(_of_page("write_shakespeare.py"), encoding="utf-8")
    subprocess.run([sys.executable, tmp_path / "write.py", tmp_path, tmp_path], check=True)
    first = "Who's there, [Aside] & why?\nSpeak."
    assert [json.loads(row) for row in (tmp_path / "shakespeare.jsonl").read_text().splitlines()] == [
        {"role": "hamlet: ADAM", "number": 0, "text": first},
        {"role": "hamlet: ADAM", "number": 2, "text": "Good."},
        {"role": "lear: ADAM", "number": 3, "text": first},
        {"role": "lear: ADAM", "number": 5, "text": "Good."},
    ]
    settings = [f"dataset.path={tmp_path}/shakespeare.jsonl", "holdout.test=0.5", "cohort.size=2"]
    study = read_study(PAGE.parents[1] / "studies" / "shakespeare.yaml", settings)
    federation = prepare(study.runs()[0].config).federation
    assert federation.names == ("hamlet: ADAM", "lear: ADAM")
    # what a role says last is held out
    rows = federation.examples.properties
    assert rows is not None
    assert rows["number"][federation.test].tolist() == [2, 5]


def test_a_space_at_the_end_of_a_beginning_counts() -> None:
    values = {
        "columns": ["x"],
        "unit": "character",
        "lowercase": False,
        "length": 5,
        "vocabulary": [" ", "a"],
    }
    found = inputs_of_next(values, {}, ["a", "a ", "a \n", " ", ""])
    assert found.tolist() == [
        [1, 4, 0, 0, 0],
        [1, 4, 3, 0, 0],
        [1, 4, 3, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    words = inputs_of_next({**values, "unit": "word"}, {}, ["a "])
    assert words.tolist() == [[1, 4, 0, 0, 0]]
