"""A person's own code: found and read without running it, run only where it is theirs, each study's its own."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from federated.config.run import RunConfig
from federated.foundation.errors import BadInput
from federated.run.setup import prepare
from federated.study.study import StudyConfig, read_study
from federated.user_code.permission import PRIVATE
from federated.user_code.source import allow

ROOT = Path(__file__).parents[1]
NET = """
from pathlib import Path
from torch import nn
Path({witness!r}).touch()
class Net(nn.Module):
    def __init__(self, input_shape, num_outputs, width: int = {width}):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_outputs))
    def forward(self, x):
        return self.body(x)
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def study(folder: Path, **base: Any) -> Path:
    stated = {"dataset": "digits", "model": "linear", "clients": 3, "rounds": 1, **base}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({"name": "s", "base": stated}))
    return path


def net(folder: Path, width: int = 4) -> str:
    return NET.format(witness=str(folder / "executed"), width=width)


def built(path: Path) -> Any:
    return read_study(path).base.model.build()((64,), 10)


def test_reading_a_study_runs_nothing_of_the_persons(folder: Path) -> None:
    write(folder, nets=net(folder))
    path = study(folder, model={"name": "nets:Net", "width": 5})
    config = read_study(path)
    StudyConfig.model_validate(config.model_dump(mode="json"))
    pickle.loads(pickle.dumps(config)).runs()
    StudyConfig.model_json_schema()
    assert [run.config.model.label() for run in config.runs()] == ["Net(width=5)"]
    assert not (folder / "executed").exists()
    prepare(config.runs()[0].config)
    assert (folder / "executed").exists()


def test_nor_does_an_import_of_the_package_it_is_in(folder: Path) -> None:
    witness = f"open({str(folder / 'executed')!r}, 'w').close()\n"
    write(folder, **{"mine/__init__": witness, "mine/nets": net(folder)})
    (config,) = read_study(study(folder, model="mine.nets:Net")).runs()
    assert not (folder / "executed").exists()
    assert prepare(config.config).initial_parameters.numel() == 64 * 4 + 4 + 4 * 10 + 10


KINDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "dataset": lambda name: {"dataset": name},
    "partitioner": lambda name: {"partitioner": name},
    "part": lambda name: {"partitioner": ["iid", name]},
    "encoder": lambda name: {"partitioner": {"name": "by_cluster", "encoder": name}},
    "model": lambda name: {"model": name},
    "algorithm": lambda name: {"algorithm": name},
    "uplink": lambda name: {"compression": {"uplink": name}},
    "downlink": lambda name: {"compression": {"downlink": name}},
    "inner": lambda name: {"compression": {"uplink": {"name": "error_feedback", "inner": name}}},
    "privacy": lambda name: {"privacy": name},
    "schedule": lambda name: {"local": {"schedule": name}},
    "network": lambda name: {"network": name},
}
FOREIGN = {
    "subprocess:check_output": "subprocess is Python's own",
    "os:system": "os is Python's own",
    "posix:system": "posix is Python's own",
    "builtins:eval": "builtins is Python's own",
    "os.path:join": "os is Python's own",
    "torch.hub:load": "torch is an installed package",
    "numpy:load": "numpy is an installed package",
    "federated.machine.folders:home": "federated is fedstudy's own",
    "flows.command_line:main": "flows is fedstudy's own",
    "helper:system": "helper.py has no attribute 'system' that is a function or class defined in it",
    "helper:imported": "helper.py has no attribute 'imported'",
    "helper:os": "helper.py has no attribute 'os'",
    "helper:alias": "helper.py has no attribute 'alias'",
    "helper:__import__": "helper.py has no attribute '__import__'",
    "helper:__getattr__": "helper.py has no attribute '__getattr__'",
    "helper:Box.method": "cannot import 'helper:Box.method'",
    "helper:Box().method": "cannot",
    "helper:os.system": "cannot import 'helper:os.system'",
    "..helper:f": "cannot import",
    "/tmp/helper:f": "cannot import",
    "helper::f": "cannot import",
    "helper:": "cannot import",
    "nowhere:f": "No module named 'nowhere' (looked for nowhere.py beside the study file",
}
HELPER = """
import os, sys
from os import system
from subprocess import check_output as imported
alias = system
open({witness!r}, 'w').close()
def __getattr__(name): return system
class Box:
    def method(self): ...
"""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("model", name) for name in FOREIGN),
        *((kind, name) for kind in KINDS for name in ("os:system", "helper:os")),
    ],
)
def test_what_is_not_the_persons_own_is_refused_in_a_line(folder: Path, kind: str, name: str) -> None:
    write(folder, helper=HELPER.format(witness=str(folder / "executed")))
    with pytest.raises(BadInput) as error:
        read_study(study(folder, **KINDS[kind](name)))
    message = str(error.value).removeprefix(f"{folder / 'study.yaml'}:\n")
    assert FOREIGN[name] in message or "cannot read" in message
    assert "\n" not in message
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["os:system", "subprocess:check_output", "torch.hub:load"])
def test_nor_is_it_taken_from_a_study_that_arrives_filled_in(folder: Path, kind: str, name: str) -> None:
    content = {"dataset": "digits", "model": "linear", "clients": 3, "rounds": 1, **KINDS[kind](name)}
    with pytest.raises(ValueError, match="cannot use"):
        StudyConfig.model_validate({"name": "s", "base": content})
    with pytest.raises(ValueError, match="cannot use"):
        RunConfig.model_validate(content)


def test_a_study_that_arrives_filled_in_brings_no_code_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, nets=net(folder))
    dumped = read_study(study(folder, model="nets:Net")).model_dump(mode="json")
    monkeypatch.chdir(folder)
    config = StudyConfig.model_validate(dumped)
    with pytest.raises(
        BadInput, match=r"model: cannot use 'nets:Net': a study that was not read from a file"
    ):
        prepare(config.runs()[0].config)
    assert not (folder / "executed").exists()
    monkeypatch.setenv("FEDSTUDY_OWN_CODE", "other,nets")
    monkeypatch.syspath_prepend(str(folder))
    prepare(StudyConfig.model_validate(dumped).runs()[0].config)
    sys.modules.pop("nets")


@pytest.mark.parametrize(
    ("allowed", "module", "expected"),
    [
        ("mine", "mine", True),
        ("mine", "mine.models", True),
        ("mine", "mines", False),
        ("mine.models", "mine", False),
        ("mine.models", "mine.models.deep", True),
        ("a,mine", "mine", True),
        (" a , mine ", "mine", True),
        ("", "mine", False),
        (",", "mine", False),
    ],
)
def test_prefixes_are_names_of_packages(
    monkeypatch: pytest.MonkeyPatch, allowed: str, module: str, expected: bool
) -> None:
    from federated.user_code.source import is_allowed

    monkeypatch.setenv("FEDSTUDY_OWN_CODE", allowed)
    assert is_allowed(module) is expected


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ("a:mine", "perhaps a;"),
        ("mine:net", "perhaps mine;"),
        ("torch/hub.py", "perhaps torch.hub;"),
        ("./mine.py", "perhaps mine;"),
        ("torch.*", "perhaps torch;"),
        ("*", "module or package;"),
        ("mine.", "perhaps mine;"),
        ("a mine", "module or package;"),
        ("mine-models", "module or package;"),
        ("other, class", "'class'"),
        ("", "module or package;"),
    ],
)
def test_what_is_no_name_of_a_module_is_refused_and_allows_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stated: str, meant: str
) -> None:
    write(folder, mine="", other="", a="")
    with pytest.raises(BadInput, match=r"--allow-code .*write the dotted name of a module") as refused:
        allow([stated], folder)
    assert meant in str(refused.value)
    assert "FEDSTUDY_OWN_CODE" not in os.environ
    if stated:
        monkeypatch.setenv("FEDSTUDY_OWN_CODE", stated)
        with pytest.raises(BadInput, match=r"\(or in FEDSTUDY_OWN_CODE\): write the dotted name"):
            allow([], folder)
        with pytest.raises(BadInput, match="write the dotted name of a module"):
            read_study(study(folder, model={"name": "torch.nn:Linear"}))


def test_a_module_that_is_allowed_must_be_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSTUDY_OWN_CODE", "")
    write(folder, mine="raise SystemExit", **{"parts/deep": "raise SystemExit"})
    write(Path(), here="raise SystemExit")
    allow(["mine", "parts", "parts.deep, here", "torch.hub", "numpy._core._multiarray_umath"], folder)
    stated = "mine,parts,parts.deep,here,torch.hub,numpy._core._multiarray_umath"
    assert os.environ["FEDSTUDY_OWN_CODE"] == stated
    for name in ("mime", "mine.deep", "parts.deeper", "torch.hug", "torch.hub.load"):
        with pytest.raises(BadInput, match=f"--allow-code '{name}': there is no such module or package"):
            allow(["mine", name], folder)
    assert os.environ["FEDSTUDY_OWN_CODE"] == stated


def test_an_installed_package_is_used_where_it_is_allowed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = study(folder, model={"name": "torch.nn:Linear"})
    monkeypatch.setenv("FEDSTUDY_OWN_CODE", "torch")
    assert "torch.nn:Linear" in read_study(path).base.model.own_code()


def test_each_study_has_its_own_modules(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for place, width in ((folder, 4), (other, 7)):
        write(
            place,
            nets=f"from helper import WIDTH\n{net(place)}\ndef make(s, n):\n    return WIDTH, Net(s, n)\n",
        )
        write(place, helper=f"WIDTH = {width}\n")
    before = list(sys.path), sorted(name for name in sys.modules if not name.startswith(PRIVATE))
    first, second = (
        read_study(study(place, model="nets:make")).base.model.build() for place in (folder, other)
    )
    assert (first((64,), 10)[0], second((64,), 10)[0], first((64,), 10)[0]) == (4, 7, 4)
    after = list(sys.path), sorted(name for name in sys.modules if not name.startswith(PRIVATE))
    assert before == after


def test_imports_between_own_modules_work_in_every_form(folder: Path) -> None:
    write(
        folder,
        a="def make(s, n):\n    import pack.deep.leaf\n"
        "    from pack import other\n    from pack.deep import leaf as l\n"
        "    import helper, json, random as r\n"
        "    last = __name__.split('.')[-1]\n"
        "    return pack.deep.leaf.VALUE, other.VALUE, l.VALUE, helper.VALUE, r.random.__name__, last\n",
        helper="VALUE = 'h'\n",
        random="raise SystemExit('mine')\n",
        **{
            "pack/__init__": "from .deep.leaf import VALUE as up\n",
            "pack/other": "from pack import up\nVALUE = up + '!'\n",
            "pack/deep/leaf": "VALUE = 'leaf'\n",
        },
    )
    assert built(study(folder, model="a:make")) == ("leaf", "leaf!", "leaf", "h", "random", "a")


def test_a_module_that_is_called_as_one_of_pythons_is_the_persons_and_nobody_elses(folder: Path) -> None:
    import random

    write(folder, random="def make(s, n):\n    return 'mine'\n", torch="raise RuntimeError('not this one')\n")
    assert built(study(folder, model="random:make")) == "mine"
    assert sys.modules["random"] is random
    import torch

    assert torch.zeros(1).sum() == 0


def test_the_study_folder_comes_before_the_working_one(folder: Path) -> None:
    write(
        Path.cwd(),
        nets="def make(s, n):\n    return 'working'\n",
        more="def make(s, n):\n    return 'more'\n",
    )
    write(folder, nets="def make(s, n):\n    return 'beside'\n")
    assert built(study(folder, model="nets:make")) == "beside"
    assert built(study(folder, model="more:make")) == "more"


def test_arms_and_copies_of_a_study_keep_its_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, nets=net(folder))
    path = folder / "study.yaml"
    base = {"dataset": "digits", "model": "nets:Net", "clients": 3, "rounds": 1}
    path.write_text(yaml.safe_dump({"name": "s", "base": base, "axes": {"model.width": [3, 6]}}))
    config = read_study(path)
    monkeypatch.chdir("/")
    for again in (config, config.only(["width=6"]), pickle.loads(pickle.dumps(config))):
        assert prepare(again.runs()[-1].config).initial_parameters.numel() == 64 * 6 + 6 + 6 * 10 + 10


def test_a_run_has_the_code_that_was_read_whatever_becomes_of_the_file(folder: Path) -> None:
    write(folder, nets="from helper import VALUE\ndef make(s, n):\n    return VALUE\n", helper="VALUE = 1\n")
    path = study(folder, model="nets:make")
    sent = pickle.dumps(read_study(path))
    write(folder, helper="VALUE = 2\n")
    assert pickle.loads(sent).base.model.build()((64,), 10) == 1
    assert built(path) == 2
    (folder / "nets.py").unlink()
    (folder / "helper.py").unlink()
    assert pickle.loads(sent).base.model.build()((64,), 10) == 1


@pytest.mark.slow
def test_another_process_finds_the_code_in_what_it_is_sent(folder: Path) -> None:
    write(folder, nets=net(folder))
    (folder / "sent").write_bytes(pickle.dumps(read_study(study(folder, model="nets:Net"))))
    (folder / "nets.py").unlink()
    code = (
        f"import pickle\nconfig = pickle.loads(open({str(folder / 'sent')!r}, 'rb').read())\n"
        "print(sum(p.numel() for p in config.base.model.build()((64,), 10).parameters()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(64 * 4 + 4 + 4 * 10 + 10)
