"""The plan of `federated/`: one loose file, rooms in a fixed order, no circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "federated"
ROOMS = (
    "foundation",
    "machine",
    "user_code",
    "choices",
    "metrics",
    "examples",
    "datasets",
    "models",
    "compressors",
    "algorithms",
    "aggregators",
    "privacy",
    "networks",
    "extension_points",
    "config",
    "study",
    "federation",
    "local_training",
    "trials",
    "run",
    "wire",
    "shards",
    "rounds",
    "evaluation",
    "forecast",
    "report",
)
"""From the ground up: a room imports those before it and no others. `rounds` is the loop, a file and not a package."""
MOST_FILES = 12


def files() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in files()}


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of `federated` that are imported, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("federated."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "federated":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def without_typing(tree: ast.Module) -> ast.Module:
    """The module without its `if TYPE_CHECKING:` blocks, which no running program enters."""
    body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        )
    ]
    return ast.Module(body, [])


def room_of(module: str) -> str:
    return module.split(".")[1]


def climbs(module: str, target: str) -> bool:
    """Whether an import goes from a room to one above it."""
    return ROOMS.index(room_of(target)) > ROOMS.index(room_of(module))


def test_the_loop_is_the_one_loose_file() -> None:
    assert [path.name for path in HOUSE.glob("*.py") if path.name != "__init__.py"] == ["rounds.py"]


def test_every_room_has_a_place_in_the_order() -> None:
    found = {path.name for path in HOUSE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()}
    assert found | {"rounds"} == set(ROOMS)


@pytest.mark.parametrize(
    "path", [p for p in files() if p.parent != HOUSE or p.name == "rounds.py"], ids=module_of
)
def test_imports_go_down(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = module_of(path)
    assert [target for target in imported(tree) if target != "federated" and climbs(module, target)] == []


def test_no_circle_of_modules() -> None:
    graph = {
        module_of(path): set(imported(without_typing(ast.parse(path.read_text(encoding="utf-8")))))
        - {module_of(path)}
        for path in files()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_are_small() -> None:
    folders = {path.parent for path in files()}
    large = {
        str(folder.relative_to(ROOT)): count
        for folder in folders
        if (count := len([p for p in folder.glob("*.py") if p.name != "__init__.py"])) > MOST_FILES
    }
    assert large == {}


@pytest.mark.parametrize(
    ("module", "target", "found"),
    [
        ("federated.models.cnn", "federated.run.state", True),
        ("federated.run.state", "federated.models.cnn", False),
        ("federated.rounds", "federated.evaluation.final", True),
        ("federated.report.page.page", "federated.report.figures.style", False),
    ],
)
def test_the_search_for_climbing_imports_finds_them(module: str, target: str, found: bool) -> None:
    assert climbs(module, target) is found
