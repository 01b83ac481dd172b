"""What is read from the source of own code: signatures, decorators, digests, mistakes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from federated.config.user_choices import check_own_code, own_code
from federated.extension_points.kinds import COMPRESSOR, MODEL, PARTITIONER
from federated.foundation.errors import BadInput
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.study.study import StudyConfig, read_study
from federated.user_code.permission import PRIVATE
from tasks.checkpoints import first_course, save_checkpoint
from tests.test_own_code import built, net, study, write


@pytest.mark.parametrize(
    ("source", "call", "message"),
    [
        (
            "def f(a): ...",
            "nets:f",
            "nets:f cannot be a model: it takes a, and is called with input_shape, num_outputs",
        ),
        ("def f(): ...", "nets:f", "it takes nothing"),
        (
            "def f(*, input_shape, num_outputs): ...",
            "nets:f",
            "it takes input_shape, num_outputs, and is called",
        ),
        ("def f(s, n, width): ...", "nets:f", "the argument 'width' is required"),
        (
            "def f(s, n, width=1): ...",
            "nets:f(depth=2)",
            "there is no argument 'depth'; did you mean 'width'? allowed: width",
        ),
        (
            "def f(s, n, width: int = 1): ...",
            "nets:f(width=x)",
            "nets:f.width: input should be a valid integer",
        ),
        ("def f(s, n, act: Literal['a', 'b'] = 'a'): ...", "nets:f(act=c)", "input should be 'a' or 'b'"),
        ("class F:\n    def __init__(self, s, n, w): ...", "nets:F", "the argument 'w' is required"),
        ("class B:\n    def __init__(self, s): ...\nclass F(B): ...", "nets:F", "it takes s, and is called"),
        ("class F: ...", "nets:F", "it takes nothing"),
        ("async def f(s, n): ...", "nets:f", "has no attribute 'f'"),
        ("f = lambda s, n: None", "nets:f", "has no attribute 'f'"),
        ("def f(s, n:\n", "nets:f", "cannot import 'nets:f': "),
        ("x = '\\x00'\n\0", "nets:f", "cannot import 'nets:f': "),
    ],
)
def test_mistakes_in_own_functions_are_seen_before_anything_runs(
    folder: Path, source: str, call: str, message: str
) -> None:
    write(folder, nets=f"open({str(folder / 'executed')!r}, 'w').close()\n{source}\n")
    with pytest.raises(BadInput) as error:
        read_study(study(folder, model=call))
    assert message in str(error.value)
    assert not (folder / "executed").exists()


def test_types_and_defaults_are_read_from_the_source(folder: Path) -> None:
    write(
        folder,
        nets="from __future__ import annotations\nfrom pathlib import Path\nimport typing\nWIDE = 3\n"
        "def f(s, n, width: int = 4, rate: 'float | None' = None, *, hidden: list[int] = [1], path: Path = Path('x'),\n"
        "      sizes: typing.Optional[tuple[int, ...]] = None, wide=WIDE, odd: Strange = 1):\n"
        "    return width, rate, hidden, path, sizes, wide\n",
    )
    choice = read_study(
        study(folder, model="nets:f('8', rate=1, hidden=['2'], path='w.pt', sizes=[1, 2])")
    ).base.model
    assert choice.arguments == {
        "width": 8,
        "rate": 1.0,
        "hidden": [2],
        "path": str(folder / "w.pt"),
        "sizes": [1, 2],
        "odd": 1,
    }
    assert choice.label() == "f(width=8, rate=1.0, hidden=[2], path=w.pt, sizes=[1, 2])"


def test_a_decorated_function_takes_what_its_decorator_says(folder: Path) -> None:
    write(
        folder,
        nets="import functools\ndef wide(function):\n    @functools.wraps(function)\n    def inner(s, n, **more):\n"
        "        return sorted(more)\n    return inner\n@wide\ndef f(s): ...\n"
        "@functools.lru_cache\ndef g(s, n, width=2):\n    return width\n",
    )
    assert built(study(folder, model="nets:f(any=1)")) == ["any"]
    assert built(study(folder, model="nets:g(width=3)")) == 3


DECORATORS = {
    "plain": "def deco(f):\n    def inner(*given, **stated):\n        return f(*given, **stated)\n    return inner\n",
    "object": "class deco:\n    def __init__(self, f):\n        self.f = f\n"
    "    def __call__(self, *given, **stated):\n        return self.f(*given, **stated)\n",
    "partial": "from functools import partial as deco\n",
}


@pytest.mark.parametrize("what", DECORATORS)
def test_a_decorator_from_a_module_beside_it_makes_what_is_the_persons_own(folder: Path, what: str) -> None:
    write(
        folder,
        helpers=DECORATORS[what],
        nets="from helpers import deco\n@deco\ndef f(s, n, width=1):\n    return s, n, width\n",
    )
    assert built(study(folder, model="nets:f(width=3)")) == ((64,), 10, 3)


def test_a_decorator_makes_nothing_of_pythons_the_persons_own(folder: Path) -> None:
    write(
        folder,
        helpers="import subprocess\ndef deco(f):\n    return subprocess.check_output\n",
        nets="from helpers import deco\n@deco\ndef f(s, n): ...\n",
    )
    with pytest.raises(ValueError, match="it comes from subprocess, not from nets"):
        built(study(folder, model="nets:f"))


def test_the_names_of_own_modules_are_shown_as_the_person_wrote_them(folder: Path) -> None:
    write(folder, helpers="def g(s, n): ...\n", nets="from helpers import g as f\ndef h(s, n): ...\n")
    write(folder, late="from helpers import nothing\ndef f(s, n): ...\n")
    write(folder, swapped="def f(s, n): ...\nfrom helpers import g as f\n")
    write(folder, shown="class C: ...\nraise RuntimeError(C)\ndef f(s, n): ...\n")
    for module, said in (
        ("late", "'nothing' from 'helpers'"),
        ("swapped", "it comes from helpers, not from swapped"),
        ("shown", "<class 'shown.C'>"),
    ):
        with pytest.raises(ValueError, match=re.escape(said)) as error:
            built(study(folder, model=f"{module}:f"))
        assert PRIVATE not in str(error.value)


def test_what_a_module_makes_of_a_name_while_it_runs_is_looked_at_again(folder: Path) -> None:
    write(folder, nets="def f(s, n): ...\nfrom os import path as f\n")
    with pytest.raises(ValueError, match=r"cannot use 'nets:f': it comes from|not a function or class"):
        read_study(study(folder, model="nets:f")).base.model.build()
    write(folder, nets="def f(s, n): ...\nfrom subprocess import check_output as f\n")
    with pytest.raises(ValueError, match="it comes from subprocess, not from nets"):
        read_study(study(folder, model="nets:f")).base.model.build()


@pytest.mark.parametrize("ending", ["raise SystemExit(0)", "1 / 0", "import not_there", "raise KeyError"])
def test_a_module_that_fails_is_one_line_that_names_the_field(folder: Path, ending: str) -> None:
    write(folder, nets=f"def f(s, n): ...\n{ending}\n")
    (run,) = read_study(study(folder, model="nets:f")).runs()
    with pytest.raises(BadInput, match=r"^model: cannot import 'nets:f': .*") as error:
        check_own_code(run.config)
    assert "\n" not in str(error.value)


def test_an_own_compressor_is_checked_with_its_way_once_it_may_run(folder: Path) -> None:
    write(
        folder,
        comp="from federated.compressors import COMPRESSORS\nfrom federated.compressors import Compressor\n"
        "def mine(fraction: float = 0.5) -> Compressor:\n    return COMPRESSORS['top_k'](fraction)\n",
    )
    (run,) = read_study(study(folder, compression={"downlink": "comp:mine"})).runs()
    with pytest.raises(BadInput, match="would damage a whole model"):
        check_own_code(run.config)
    (run,) = read_study(study(folder, compression={"uplink": "error_feedback('comp:mine')"})).runs()
    check_own_code(run.config)


def test_the_digest_is_of_the_source_and_of_all_that_it_imports(folder: Path, tmp_path: Path) -> None:
    write(
        folder,
        nets="import helper\ndef f(s, n): ...\n",
        helper="from deep import x\n",
        deep="x = 1\n",
        other="y = 1\n",
    )
    path = study(folder, model="nets:f")
    digests = []
    for file, text in (
        ("other", "y = 2\n"),
        ("deep", "x = 2\n"),
        ("helper", "from deep import x  # \n"),
        ("deep", "x = 1\n"),
    ):
        write(folder, **{file: text})
        digests.append(own_code(read_study(path).base)["nets:f"])
    assert len(set(digests)) == 4
    assert len(digests[0]) == 16
    elsewhere = tmp_path / "moved"
    folder.rename(elsewhere)
    assert own_code(read_study(elsewhere / "study.yaml").base)["nets:f"] == digests[-1]
    assert own_code(read_study(study(elsewhere)).base) == {}


def test_choices_that_say_the_same_are_equal_and_keys_have_no_code_in_them(folder: Path) -> None:
    write(folder, nets=net(folder))
    here = read_study(study(folder, model="nets:Net(width=5)"))
    there = StudyConfig.model_validate(here.model_dump(mode="json"))
    assert here.runs() == there.runs()
    assert here.runs()[0].config.run_key() == there.runs()[0].config.run_key()
    assert MODEL.bind("linear") == read_study(study(folder)).base.model


def test_several_prefixed_kinds_bind_where_their_module_is_gone() -> None:
    for kind in (MODEL, PARTITIONER, COMPRESSOR):
        choice = kind.bind({"name": "gone_for_good:f", "width": 3})
        assert choice.label() == "f(width=3)"
        assert choice.own_code() == {"gone_for_good:f": ""}
        with pytest.raises(
            ValueError, match="brings no code of its own; allow it with FEDSTUDY_OWN_CODE=gone_for_good"
        ):
            choice.build()


def test_a_checkpoint_of_other_code_is_not_gone_on_from(folder: Path, home: Path) -> None:
    source, said = net(folder), list[str]()
    write(folder, nets=source)
    path = study(folder, model="nets:Net")

    def resumed() -> int:
        said.clear()
        return first_course(prepare(read_study(path).base), True, said.append).round

    first = prepare(read_study(path).base)
    save_checkpoint(Course(replace(initial_state(first), round=1)), first)
    assert (resumed(), said) == (1, [])
    write(folder, nets=source.replace("return self.body(x)", "return self.body(x).sin()"))
    assert resumed() == 0
    assert "code of nets:Net" in said[0]
    assert "it starts afresh" in said[0]
    assert "\n" not in said[0]
    write(folder, nets=source)
    assert (resumed(), said) == (1, [])


def test_a_list_of_mappings_is_an_argument_like_any_other(folder: Path) -> None:
    write(
        folder,
        nets="from torch import nn\ndef make(shape, outputs, layers, more=None):\n"
        "    width = layers[0]['units']\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, outputs))\n",
    )
    layers = [{"units": 4}, {"units": 3, "odd": [{"name": 3}]}]
    more = {"a.b": {}, "c/d": None, "name": "x", "deep": [[1, {"e": 2}]]}
    config = read_study(study(folder, model={"name": "nets:make", "layers": layers, "more": more})).base
    flat = config.flat()
    assert flat["model"] == "nets:make"
    assert flat["model.layers"] == layers
    assert flat["model.more.deep"] == [[1, {"e": 2}]]
    assert flat["model.more.a.b"] == {}
    assert prepare(config).initial_parameters.numel() == 64 * 4 + 4 + 4 * 10 + 10
