"""The rules of the rooms: who may import whom, where randomness comes from, and how long a file may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("flows", "tasks", "federated", "data_partitioners")
"""From the top: each may import those after it."""
LONGEST, LONGEST_OF_TESTS = 260, 500


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Every node of a tree; to walk through all files takes a second, and a dozen rules do."""
    return tuple(ast.walk(tree))


@cache
def names_of_imports(tree: ast.AST) -> tuple[str, ...]:
    return tuple(imports(tree))


def breaking(rule: Callable[[Path], bool], *folders: str) -> list[str]:
    """The files that break a rule. One test a rule, not one a file and rule: that would be thousands."""
    return [short(path) for path in files(*(folders or LAYERS)) if not rule(path)]


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported module, wherever the import stands; a relative one stays within its room."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(tree: ast.AST) -> set[str]:
    return {name.partition(".")[0] for name in names_of_imports(tree)}


def dotted(node: ast.AST) -> str:
    """`np.random.rand` of the attribute it is written as; empty where it is something else."""
    if isinstance(node, ast.Attribute):
        above = dotted(node.value)
        return above and f"{above}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


TYPES = {"Generator", "SeedSequence", "BitGenerator"}
"""Names of numpy.random that draw nothing."""
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
TORCH_STATE = {
    "manual_seed",
    "seed",
    "set_rng_state",
    "get_rng_state",
    "default_generator",
    "cuda.manual_seed",
}


def global_randomness(tree: ast.AST) -> list[str]:
    """What draws from, or sets, a generator that no function of `federated.foundation.randomness` made."""
    found = [name for name in names_of_imports(tree) if name.split(".")[0] in ("random", "secrets")]
    found += [
        name
        for name in names_of_imports(tree)
        if name.startswith("numpy.random.") and name.split(".")[2] not in TYPES
    ]
    for node in nodes_of(tree):
        name = dotted(node)
        below = name.removeprefix("torch.")
        numpys = name.startswith(("np.random.", "numpy.random.")) and name.split(".")[2] not in TYPES
        torchs = below in TORCH_STATE or below.startswith(("cuda.manual_seed", "random."))
        if numpys or (torchs and name != below):
            found.append(name)
        elif isinstance(node, ast.Call) and dotted(node.func).startswith("torch."):
            called = dotted(node.func).removeprefix("torch.").removesuffix("_like")
            if called in TORCH_DRAWS and not any(keyword.arg == "generator" for keyword in node.keywords):
                found.append(dotted(node.func))
    return found


def defines_flows_or_tasks(tree: ast.AST) -> bool:
    for node in nodes_of(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
                if name.rpartition(".")[2] in ("flow", "task"):
                    return True
    return False


def postpones_annotations(tree: ast.AST) -> bool:
    return "__future__.annotations" in names_of_imports(tree)


def test_the_rooms_are_there() -> None:
    for folder in LAYERS:
        assert (ROOT / folder / "__init__.py").is_file()
        assert len(files(folder)) > 2


def imports_downwards(path: Path) -> bool:
    above = LAYERS[: LAYERS.index(short(path).split("/")[0])]
    return not rooms(tree_of(path)) & {*above, "tests", "benchmarks"}


def test_imports_go_one_way() -> None:
    assert breaking(imports_downwards) == []


def test_only_flows_and_tasks_know_prefect() -> None:
    assert breaking(lambda path: "prefect" not in rooms(tree_of(path)), *LAYERS[2:]) == []


def test_only_tracking_knows_mlflow() -> None:
    knowing = breaking(lambda path: "mlflow" not in rooms(tree_of(path)))
    assert [path for path in knowing if not path.startswith("tasks/tracking/")] == []
    assert knowing, "nothing imports MLflow: the search is broken"


def test_only_scaling_out_knows_ray() -> None:
    knowing = breaking(lambda path: "ray" not in rooms(tree_of(path)))
    assert knowing, "nothing imports Ray: the search is broken"
    assert [path for path in knowing if not path.startswith("tasks/scale_out/")] == []


def reads_markup(tree: ast.AST) -> bool:
    """Whether a console of rich's is made, or text is read as its markup: `[red]` in a name would be a colour."""
    names = [
        name
        for name in names_of_imports(tree)
        if name.startswith(("rich.console", "rich.markup", "rich.text"))
    ]
    for node in nodes_of(tree):
        if isinstance(node, ast.Call) and dotted(node.func).endswith(("TextColumn", "from_markup")):
            plain = any(k.arg == "markup" and ast.unparse(k.value) == "False" for k in node.keywords)
            names += [] if plain else [dotted(node.func)]
    return bool(names)


def prints(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Call) and dotted(node.func) == "print" for node in nodes_of(tree))


def test_one_place_prints_and_takes_no_text_for_markup() -> None:
    assert breaking(lambda path: not reads_markup(tree_of(path))) == ["flows/terminal/screen.py"]
    assert breaking(lambda path: not prints(tree_of(path))) == []


def test_partitioners_know_arrays_and_the_libraries_that_cluster_and_turn_them() -> None:
    allowed = {*sys.stdlib_module_names, "numpy", "sklearn", "scipy", "threadpoolctl", "data_partitioners"}
    assert breaking(lambda path: rooms(tree_of(path)) <= allowed, "data_partitioners") == []


def annotations_stay(tree: ast.AST) -> bool:
    return not (defines_flows_or_tasks(tree) and postpones_annotations(tree))


def test_flows_and_tasks_have_annotations_that_prefect_can_read() -> None:
    assert breaking(lambda path: annotations_stay(tree_of(path))) == []


def test_random_numbers_come_from_one_place() -> None:
    assert breaking(lambda path: not global_randomness(tree_of(path))) == [
        "federated/foundation/randomness.py",
        "federated/foundation/seed_hashing.py",  # and what its generators start from
    ]


def short_and_titled(path: Path) -> bool:
    lines = path.read_text(encoding="utf-8").splitlines()
    return len(lines) < LONGEST and bool(ast.get_docstring(tree_of(path)))


def test_files_are_short_and_say_what_they_are() -> None:
    assert breaking(short_and_titled, *LAYERS, "benchmarks") == []


def test_titles_of_modules_name_their_subject_first() -> None:
    """A title such as "Who trains in a round" is a riddle to whoever does not know the answer."""
    headless = re.compile(r"(What|Whatever|Who|Whoever|Whom|Whose|Whether|Which|How|Where|When)\b")
    titles = {short(path): ast.get_docstring(tree_of(path)) or "" for path in files(*LAYERS)}
    assert [path for path, title in titles.items() if headless.match(title)] == []


def sets_torch_threads(tree: ast.AST) -> bool:
    """Whether it names the function of torch that does, called or handed on."""
    names = {dotted(node).rpartition(".")[2] for node in nodes_of(tree)} | {
        name.rpartition(".")[2] for name in names_of_imports(tree)
    }
    return bool(names & {"set_num_threads", "set_num_interop_threads"})


def test_the_threads_of_torch_have_one_owner() -> None:
    found = [short(path) for path in files(*LAYERS) if sets_torch_threads(tree_of(path))]
    assert found == ["federated/machine/torch_threads.py"]


def compares_kinds_of_training(tree: ast.AST) -> bool:
    """Whether the field `training` is compared with one of its values, instead of asking what the kind decides."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            within = [part for side in sides for part in ast.walk(side)]
            values = {part.value for part in within if isinstance(part, ast.Constant)}
            named = any(dotted(side).rpartition(".")[2] == "training" for side in sides)
            if named and values & {"federated", "centralised", "local"}:
                return True
    return False


def test_no_line_compares_kinds_of_training() -> None:
    assert [short(path) for path in files(*LAYERS) if compares_kinds_of_training(tree_of(path))] == []


def test_no_python_lies_outside_the_rooms() -> None:
    outside = {short(path) for path in ROOT.glob("*.py")} | {
        short(path) for path in files("studies", "mlflow")
    }
    assert outside == set()


def test_mlflow_is_the_real_one_from_the_root() -> None:
    code = "import importlib.util; print(importlib.util.find_spec('mlflow').origin)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert Path(found.strip()).parts[-3:] == ("site-packages", "mlflow", "__init__.py")
    assert (ROOT / "mlflow").is_dir()


def test_tests_lie_flat() -> None:
    assert {path.parent.name for path in files("tests")} == {"tests"}
    assert all(path.name.startswith("test_") or path.name == "conftest.py" for path in files("tests"))
    assert (
        breaking(lambda path: path.read_text(encoding="utf-8").count("\n") <= LONGEST_OF_TESTS, "tests") == []
    )


def test_no_test_is_marked_for_a_group_of_xdist() -> None:
    """pytest 9.2 and pytest-xdist 3.8 leave such groups apart without a word; a worker takes whole files instead."""
    word = "xdist" + "_group"
    assert breaking(lambda path: word not in path.read_text(encoding="utf-8"), "tests") == []
    assert "--dist loadfile --no-loadscope-reorder" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import flows.run", {"flows"}),
        ("from tasks import rounds", {"tasks"}),
        ("def f():\n    from mlflow import x\n", {"mlflow"}),
        ("if TYPE_CHECKING:\n    import prefect as p\n", {"prefect"}),
        ("import numpy as np, torch.nn", {"numpy", "torch"}),
        ("from . import sibling", set()),
    ],
)
def test_the_search_for_imports_finds_them(source: str, found: set[str]) -> None:
    assert rooms(ast.parse(source)) == found


@pytest.mark.parametrize(
    "source",
    [
        "np.random.rand(3)",
        "np.random.seed(0)",
        "np.random.default_rng(0)",
        "numpy.random.shuffle(x)",
        "from numpy.random import rand",
        "from numpy.random import default_rng",
        "import random",
        "from random import choice",
        "import secrets",
        "torch.manual_seed(0)",
        "torch.cuda.manual_seed_all(0)",
        "torch.default_generator",
        "torch.random.fork_rng()",
        "torch.randn(3)",
        "torch.rand_like(x)",
        "torch.normal(0, 1, (3,))",
    ],
)
def test_the_search_for_global_randomness_finds_it(source: str) -> None:
    assert global_randomness(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "def f(g: np.random.Generator) -> None: g.random(3)",
        "from numpy.random import Generator",
        "from federated.foundation.randomness import generator",
        "torch.randn(3, generator=g)",
        "torch.zeros(3)",
        "np.randomised",
    ],
)
def test_the_search_for_global_randomness_lets_the_rest_pass(source: str) -> None:
    assert global_randomness(ast.parse(source)) == []


@pytest.mark.parametrize(
    ("decorator", "found"),
    [
        ("@flow", True),
        ("@task(name='x')", True),
        ("@prefect.flow(retries=1)", True),
        ("@cached_property", False),
    ],
)
def test_the_search_for_flows_and_tasks_finds_them(decorator: str, found: bool) -> None:
    source = f"from __future__ import annotations\n{decorator}\ndef f(): ...\n"
    assert defines_flows_or_tasks(ast.parse(source)) == found
    assert postpones_annotations(ast.parse(source))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from rich.console import Console", True),
        ("import rich.markup", True),
        ("TextColumn('{task.description}')", True),
        ("TextColumn('{task.description}', markup=True)", True),
        ("Text.from_markup('[red]x')", True),
        ("TextColumn('{task.description}', markup=False)", False),
        ("from rich.table import Table", False),
    ],
)
def test_the_search_for_markup_finds_it(source: str, found: bool) -> None:
    assert reads_markup(ast.parse(source)) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("torch.set_num_threads(1)", True),
        ("Pool(initializer=torch.set_num_threads)", True),
        ("from torch import set_num_threads as set_them", True),
        ("torch.get_num_threads()", False),
    ],
)
def test_the_search_for_owners_of_threads_finds_them(source: str, found: bool) -> None:
    assert sets_torch_threads(ast.parse(source)) is found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('config.training == "federated"', True),
        ('if "local" != training: pass', True),
        ('setup.config.training in ("local", "centralised")', True),
        ("config.kind.has_server", False),
        ('federation.training == "x"', False),
    ],
)
def test_the_search_for_compared_kinds_of_training_finds_them(source: str, found: bool) -> None:
    assert compares_kinds_of_training(ast.parse(source)) is found
