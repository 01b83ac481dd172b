"""A low-rank adapter as a folder: peft reads it beside the pretrained model, and the answers are the run's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from federated.config.run import RunConfig
from federated.run.setup import initial_state, prepare
from tasks.tracking.models.adapter import why_none, write_adapter
from tests.test_huggingface_delivered import _evaluated, _rows
from tests.test_pretrained_folders import bert, content_of, roberta, texts

pytest.importorskip("peft", reason="the extra `make finetune` is not installed")
pytestmark = pytest.mark.slow  # peft alone takes seconds to import

CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "a head of ours": (bert, {}, {}),
    "the head of transformers": (bert, {"head": "own"}, {}),
    "clients of two ranks, the first state": (bert, {"pooling": "cls"}, {"rank": [1, 2]}),
    "A frozen, dense layers of one block": (
        bert,
        {"pooling": "max"},
        {"rank": 2, "freeze": "A", "targets": ["*.layer.1.*.dense"]},
    ),
    "pairs of bytes, the last state": (roberta, {"pooling": "last"}, {"rank": 2, "alpha": 3.0}),
    "a head of two layers": (roberta, {"head": "own"}, {"rank": 2}),
}
PADDING = {bert: "[PAD]", roberta: "<pad>"}


def outputs_of(folder: Path, base: Path, rows: list[Any]) -> torch.Tensor:
    """What the code in the folder's README gives, as a reader of it runs it."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    stated = r'folder, base = "adapter", ".*"'
    code, count = re.subn(stated, f"folder, base = {str(folder)!r}, {str(base)!r}", code)
    assert count == 1
    found: dict[str, Any] = {}
    exec(code, found)
    outputs: torch.Tensor = found["outputs"](rows)
    return outputs


@pytest.mark.parametrize("case", CASES)
def test_peft_gives_the_answers_of_evaluation(case: str, tmp_path: Path) -> None:
    make, model, trained = CASES[case]
    file, base = texts(tmp_path / "texts.csv"), make(tmp_path / "pretrained")
    (base / "tokenizer_config.json").write_text(json.dumps({"pad_token": PADDING[make]}))
    stated = content_of(file, base, **model) | {
        "clients": 2,
        "trained": {"name": "lora", "rank": 2, **trained},
    }
    config = RunConfig.model_validate(stated)
    setup = prepare(config)
    start = initial_state(setup)
    moved = 0.3 * torch.randn(len(start.parameters), generator=torch.Generator().manual_seed(0))
    state = replace(start, parameters=start.parameters + moved)
    given = setup.whole_model, state.parameters, setup.federation.examples, setup.readout
    assert why_none(config.model_dump(mode="json")) is None
    write_adapter(tmp_path / "adapter", config.model_dump(mode="json"), *given)

    rows = _rows(file)
    expected = _evaluated(setup, state)
    found = outputs_of(tmp_path / "adapter", base, rows)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6, rtol=1e-6)
    assert (found[:-1] - found[1:]).abs().max() > 1e-3  # answers are of the texts
    said = json.loads((tmp_path / "adapter" / "answers.json").read_text())
    assert said["answers"]["classes"] == list(setup.federation.examples.classes or ())
    assert not any(str(tmp_path) in each.read_text() for each in (tmp_path / "adapter").glob("*.[jm]*"))
    for name, size in {"adapter_model.safetensors": 12_000, "head.safetensors": 500}.items():
        assert (
            not (tmp_path / "adapter" / name).exists() or (tmp_path / "adapter" / name).stat().st_size < size
        )


WITHOUT: dict[str, tuple[dict[str, Any], str]] = {
    "full": ({"model": "mlp"}, "it was trained as 'full'"),
    "a model of ours": (
        {"model": "mlp", "trained": "lora"},
        "its model is 'mlp', whose frozen weights are in no folder",
    ),
    "a residual": (
        {"trained": "lora", "aggregator": "lora_residual"},
        "aggregator lora_residual adds a matrix to each frozen weight",
    ),
}


@pytest.mark.parametrize("case", WITHOUT)
def test_where_there_is_no_adapter_the_reason_is_said(case: str, tmp_path: Path) -> None:
    changes, reason = WITHOUT[case]
    given = (
        changes
        if "model" in changes
        else content_of(texts(tmp_path / "t.csv"), bert(tmp_path / "b")) | changes
    )
    said = why_none(
        RunConfig.model_validate({"dataset": "digits", "rounds": 1, **given}).model_dump(mode="json")
    )
    assert said is not None
    assert said.startswith(reason)


@pytest.mark.nightly
def test_the_adapter_of_a_study_comes_back_by_the_command_line(
    command: Any, tmp_path: Path, home: Path
) -> None:
    file, base = texts(tmp_path / "texts.csv"), bert(tmp_path / "pretrained")
    stated = content_of(file, base) | {"clients": 2, "trained": "lora(rank=2)"}
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({"name": "words", "base": stated}))
    assert command("run", study)[0] == 0
    logged = mlflow.search_runs(experiment_names=["words"])
    (of_lora,), (of_study,) = (
        logged["run_id"][logged["tags.fedstudy.kind"] == kind] for kind in ("run", "study")
    )
    code, said, _ = command("export", of_lora, "--out", tmp_path / "there" / "adapter")
    assert (code, "its README.md says how to load it" in said) == (0, True)
    rows = _rows(file)
    model = mlflow.pyfunc.load_model(f"runs:/{of_lora}/model")
    (base / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    frame = pd.DataFrame({"text": rows})
    shares = outputs_of(tmp_path / "there" / "adapter", base, rows).softmax(1).numpy()
    np.testing.assert_allclose(
        model.predict(frame)[["probability of down", "probability of up"]], shares, atol=1e-6
    )

    refused = {
        (of_study, "--out", tmp_path / "none"): "so it is not one federated run; a study has several",
        (of_lora, "--out", tmp_path / "there"): f"out: {tmp_path / 'there'} is there already",
        ("nowhere", "--out", tmp_path / "none"): "model: 'nowhere' is not in MLflow at",
        ("0" * 32, "--out", tmp_path / "none"): f"model: '{'0' * 32}' is not in MLflow at",
    }
    for arguments, message in refused.items():
        code, _, err = command("export", *arguments)
        assert (code, message in err, "Traceback" in err) == (2, True, False), err
    assert not (tmp_path / "none").exists()
