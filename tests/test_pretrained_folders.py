"""Where pretrained models lie, and what is no model; with small random ones, as transformers writes them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.models import MODELS
from federated.pretrained.folder import folder_of
from federated.pretrained.weights import digest_of, pretrained
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.study.study import read_study
from tasks.checkpoints import first_course, save_checkpoint
from tasks.tracking.runs.digests import weights_tag
from tasks.tracking.studies.same_training import other_weights

needed = pytest.importorskip("transformers", reason="the extra `make finetune` is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="the extra `make finetune` is not installed")

WORDS = [
    "good",
    "bad",
    "film",
    "very",
    "##s",
    "card",
    "lost",
    "my",
    "!",
    "a",
    "i",
    "the",
    "was",
    "is",
    "where",
]
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WIDTH = 16
LENGTH = 12


def bert(folder: Path, seed: int = 0, positions: int = 24) -> Path:
    """A BERT of two layers with WordPiece, without dropout."""
    config = needed.BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _save(needed.BertModel(config), folder)
    made = tokenizers.BertWordPieceTokenizer({word: at for at, word in enumerate(MARKS + WORDS)})
    made.enable_padding(length=20)  # as the files of sentence-transformers have it
    made.save(str(folder / "tokenizer.json"))
    stated = {"pad_token": "[PAD]", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated), encoding="utf-8")
    return folder


def roberta(folder: Path) -> Path:
    """A RoBERTa of one layer with byte-level pairs, whose padding has the number 1."""
    made = tokenizers.ByteLevelBPETokenizer()
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(["good film, bad film", "where is my card"] * 3, 300, 1, False, marks)
    made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    config = needed.RobertaConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=26,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _save(needed.RobertaModel(config), folder)
    made.save(str(folder / "tokenizer.json"))
    stated = {"pad_token": {"content": "<pad>"}, "model_max_length": 24}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated), encoding="utf-8")
    return folder


def _save(model: object, folder: Path) -> None:
    needed.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)  # type: ignore[attr-defined]


def texts(path: Path, count: int = 40) -> Path:
    """A CSV file of texts of one to nine words, whose label one of the words decides."""
    rows = ["text,label"]
    for at in range(count):
        words = [WORDS[(at * 7 + k * 3) % len(WORDS)].strip("#") for k in range(at % 9)]
        rows.append(f"{' '.join([*words, ('good', 'bad')[at % 2], 'film'])},{('up', 'down')[at % 2]}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def content_of(file: Path, folder: Path | str, **model: Any) -> dict[str, Any]:
    return {
        "dataset": {
            "name": "text",
            "path": str(file),
            "text": "text",
            "target": "label",
            "inputs": "model",
            "length": LENGTH,
        },
        "model": {"name": "huggingface", "path": str(folder), **model},
        "holdout": {"test": 0.25},
        "clients": 1,
        "rounds": 1,
        "local": {"epochs": 2, "batch_size": 6, "learning_rate": 0.01},
        "engine": {"name": "loop"},
    }


def config_of(file: Path, folder: Path | str, **model: Any) -> RunConfig:
    return RunConfig.model_validate(content_of(file, folder, **model))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return texts(tmp_path_factory.mktemp("texts") / "texts.csv")


def _without_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (shutil.rmtree, "is not a folder"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json.*it holds: model.safetensors"),
        (_without_weights, "has no weights in safetensors; pytorch_model.bin may run code"),
        (_adapter, "holds an adapter, not a model"),
    ],
)
def test_a_folder_without_a_model_is_refused_before_anything_is_read(change, says, tmp_path, file):
    folder = bert(tmp_path / "model")
    change(folder)
    with pytest.raises(ValueError, match=says):
        config_of(file, folder)


def _stating(folder: Path, **changes: Any) -> None:
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stated, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: _stating(folder, model_type="unheard_of"), "the architecture in .* is not known"),
        (lambda folder: _stating(folder, num_hidden_layers=3), "lacks 16 weights of its own architecture"),
        (lambda folder: _stating(folder, hidden_size=8), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no"), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json must hold an object"),
    ],
)
def test_a_damaged_model_is_refused_in_one_line(change, says, tmp_path, file):
    folder = bert(tmp_path / "model")
    change(folder)
    with pytest.raises(BadInput, match=says) as found:
        prepare(config_of(file, folder))
    assert "\n" not in str(found.value)


def test_code_beside_the_weights_is_not_run(tmp_path, file):
    folder = bert(tmp_path / "model")
    (folder / "own.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n", encoding="utf-8"
    )
    _stating(folder, auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"}, model_type="unheard_of")
    with pytest.raises(BadInput, match="is code that lies beside its weights, which is not run"):
        prepare(config_of(file, folder))
    assert not (tmp_path / "ran").exists()


def test_a_folder_within_an_installed_package_is_a_path_and_nothing_of_it_is_run(tmp_path, file, monkeypatch):
    package = tmp_path / "installed_models"
    bert(package / "small")
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    config = config_of(file, "installed_models:small")
    assert config.model.arguments["path"] == "installed_models:small"
    assert folder_of("installed_models:small") == package / "small"
    with pytest.raises(ValueError, match=r"installed_models:large is not a folder; folders beside it: small"):
        config_of(file, "installed_models:large")
    with pytest.raises(ValueError, match="there is no installed package nowhere_at_all"):
        config_of(file, "nowhere_at_all:small")


def test_models_of_the_hub_come_from_its_cache_and_else_are_one_line(tmp_path, file, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cached = tmp_path / "models--somebody--small"
    bert(cached / "snapshots" / "c0ffee")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("c0ffee", encoding="utf-8")
    config = config_of(file, "somebody/small")
    assert config.model.arguments["path"] == "somebody/small"
    assert prepare(config).inputs.shape == (40, LENGTH)
    with pytest.raises(
        BadInput,
        match=r"there is no folder somebody/else@v2 beside the study, and .* not in the cache of the Hugging Face hub",
    ) as found:
        prepare(config_of(file, "somebody/else@v2"))
    assert "\n" not in str(found.value)
    with pytest.raises(ValueError, match="is neither a folder nor package:folder"):
        config_of(file, "a/b/c")


FETCHED = "from federated.pretrained.folder import folder_of; print(folder_of('somebody/served'))"


def test_what_is_fetched_from_the_hub_is_said_before_and_is_what_is_read_alone(tmp_path):
    """A server with the four answers of the hub that its client asks for."""
    folder = bert(tmp_path / "small")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            listed = [
                {"type": "file", "path": name, "size": len(each), "oid": "0"} for name, each in files.items()
            ]
            known = {
                "id": "somebody/served",
                "sha": "c" * 40,
                "siblings": [{"rfilename": name} for name in files],
            }
            if self.path.startswith("/api/"):
                content = json.dumps(listed if "/tree/" in self.path else known).encode()
            else:
                content = files[self.path.rpartition("/")[2]]
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        stated = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home")}
        found = subprocess.run(
            [sys.executable, "-c", FETCHED],
            cwd=Path(__file__).parents[1],
            env={**os.environ, **stated, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            check=True,
        )
        server.shutdown()
    there = Path(found.stdout.strip())
    read = {name: content for name, content in files.items() if not name.endswith(".bin")}
    assert {file.name: file.read_bytes() for file in there.iterdir()} == read
    size = sum(map(len, read.values())) / 1e6
    assert found.stderr == f"fetching somebody/served from the Hugging Face hub, once: {size:.1f} MB\n"
    assert not [each for each in asked if "somebody/served" not in each or each.endswith(".bin")]


def test_a_local_model_opens_no_connection_and_says_nothing(tmp_path, file, monkeypatch, capfd):
    def refuse(*args: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    prepare(config_of(file, bert(tmp_path / "model"), head="own"))
    assert capfd.readouterr() == ("", "")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match="huggingface needs the package transformers, which is not installed: make finetune"
    ):
        MODELS["huggingface"](path=str(tmp_path))


def test_other_weights_in_the_same_folder_have_another_digest_and_resume_no_checkpoint(tmp_path, file):
    folder = bert(tmp_path / "model")
    config, said = config_of(file, folder), []
    before, setup = digest_of(str(folder)), prepare(config)
    save_checkpoint(Course(initial_state(setup)), setup)
    first_course(prepare(config), True, said.append)
    finished = SimpleNamespace(
        data=SimpleNamespace(tags={"data_digest": "of the texts", **weights_tag(prepare(config))})
    )
    assert (said, other_weights(finished, prepare(config))) == ([], "")
    bert(folder, seed=1)
    assert digest_of(str(folder)) != before
    weight = pretrained(str(folder)).module.embeddings.word_embeddings.weight
    assert not torch.equal(weight, setup.model.module.trunk.embeddings.word_embeddings.weight)
    first_course(prepare(config), True, said.append)
    assert len(said) == 1
    assert (
        other_weights(finished, prepare(config))
        == f"were model {before} and are model {digest_of(str(folder))}"
    )
    assert "weights of model" in said[0]
    assert "it starts afresh" in said[0]


def test_folders_of_a_study_are_relative_to_it_wherever_they_stand_and_names_stay(
    tmp_path, file, monkeypatch
):
    for name in ("one", "two"):
        bert(tmp_path / "models" / name)
    base = content_of(file, "models/one")
    axes = {"model.path": ["models/one", "./models/two", "somebody/three"]}
    (tmp_path / "study.yaml").write_text(
        json.dumps({"name": "s", "base": base, "axes": axes}), encoding="utf-8"
    )
    monkeypatch.chdir(Path(__file__).parent)
    runs = read_study(tmp_path / "study.yaml").runs()
    paths = [str(tmp_path / "models" / "one"), str(tmp_path / "models" / "two"), "somebody/three"]
    assert [run.config.model.arguments["path"] for run in runs] == paths
    assert [run.arm for run in runs] == ["path=one", "path=two", "path=three"]
    assert [run.config.dataset_as_read.arguments["tokenizer"] for run in runs] == paths
    assert {run.config.dataset.arguments["inputs"] for run in runs} == {"model"}
    assert len({run.config.run_key() for run in runs}) == 3
