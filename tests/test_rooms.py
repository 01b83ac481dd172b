"""The plan of each house, `federated/`, `tasks/tracking/` and `flows/`: rooms in a fixed order, no circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.test_layout import tree_of

ROOT = Path(__file__).parent.parent
HOUSES = {
    "federated": (
        "foundation",
        "machine",
        "user_code",
        "choices",
        "metrics",
        "preprocessing",
        "losses",
        "examples",
        "pretrained",
        "datasets",
        "holdouts",
        "models",
        "trained",
        "compressors",
        "algorithms",
        "optimisers",
        "aggregators",
        "participation",
        "privacy",
        "transports",
        "networks",
        "extension_points",
        "config",
        "study",
        "draft",
        "federation",
        "local_training",
        "trials",
        "run",
        "wire",
        "shards",
        "rounds",
        "evaluation",
        "attacks",
        "segments",
        "coalitions",
        "tuning",
        "forecast",
        "report",
    ),
    "tasks.tracking": ("server", "fewer_requests", "delivery", "reading", "models", "runs", "studies"),
    "flows": (
        "terminal",
        "startup",
        "reference",
        "prefect_runtime",
        "models",
        "deployments",
        "failed_runs",
        "federated_run",
        "batches",
        "overheads",
        "in_processes",
        "work_pool",
        "federated_study",
        "study_run",
        "study_comparison",
        "notebook",
        "draft",
        "command_line",
        "installation",
        "__main__",
    ),
}
"""Each house's rooms, from the ground up: a room imports those before it and no others. A loose file is a room too."""
LOOSE = {
    "federated": {"rounds"},
    "tasks.tracking": set(),
    "flows": {
        "failed_runs",
        "federated_run",
        "batches",
        "overheads",
        "in_processes",
        "federated_study",
        "study_run",
        "study_comparison",
        "draft",
        "command_line",
        "installation",
        "__main__",
    },
}
CALLED_BACK = {("tasks.tracking.delivery.record_kinds", "tasks.tracking.studies.concluding")}
"""Imports within functions that climb: a comparison that waited is made by the delivery of its record."""
MOST_FILES = 12


def files(house: str) -> list[Path]:
    return sorted(ROOT.joinpath(*house.split(".")).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): house for house in HOUSES for path in files(house)}


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of the houses that are imported, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in MODULES or node.module in MODULES:
                    yield full if full in MODULES else str(node.module)


def when_imported(tree: ast.Module) -> ast.Module:
    """What runs when the module is imported: no `if TYPE_CHECKING:` block, which no running program enters."""
    body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        )
    ]
    return ast.Module(body, [])


def room_of(module: str) -> str:
    """The room of a module; "" for the house itself."""
    return module.removeprefix(f"{MODULES[module]}").removeprefix(".").split(".")[0]


def climbs(module: str, target: str) -> bool:
    """Whether an import goes from a room to one above it."""
    if MODULES[module] != MODULES[target] or not room_of(module) or not room_of(target):
        return False
    rooms = HOUSES[MODULES[module]]
    return rooms.index(room_of(target)) > rooms.index(room_of(module))


@pytest.mark.parametrize("house", HOUSES)
def test_every_room_has_a_place_in_the_order(house: str) -> None:
    folder = ROOT.joinpath(*house.split("."))
    packages = {path.name for path in folder.iterdir() if (path / "__init__.py").is_file()}
    loose = {path.stem for path in folder.glob("*.py") if path.name != "__init__.py"}
    assert loose == LOOSE[house]
    assert packages | loose == set(HOUSES[house])


def test_imports_go_down() -> None:
    modules = {module_of(path): path for house in HOUSES for path in files(house)}
    climbing = {
        (module, target)
        for module, path in modules.items()
        for target in imported(tree_of(path))
        if climbs(module, target)
    }
    assert climbing == CALLED_BACK


def test_no_circle_of_modules() -> None:
    graph: dict[str, set[str]] = {}
    for path in (path for house in HOUSES for path in files(house)):
        module = module_of(path)
        graph[module] = {
            target
            for target in imported(when_imported(tree_of(path)))
            if target != module and (module, target) not in CALLED_BACK
        }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_are_small() -> None:
    folders = {path.parent for house in HOUSES for path in files(house)}
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
        ("tasks.tracking.server.store", "tasks.tracking.delivery.sending", True),
        ("flows.federated_study", "flows.command_line", True),
        ("flows.command_line", "federated.rounds", False),
    ],
)
def test_the_search_for_climbing_imports_finds_them(module: str, target: str, found: bool) -> None:
    assert climbs(module, target) is found
