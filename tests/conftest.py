"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pytest
import requests
import torch
import yaml
from torch import Tensor, nn

from federated.compressors import CohortState, Compressor
from federated.config.run import LocalTraining, RunConfig
from federated.extension_points.kinds import COMPRESSOR
from federated.local_training.steps.work import LocalWork, Precision
from federated.losses import Loss, usual_loss
from federated.machine.files import alone
from federated.machine.folders import of_installation
from federated.metrics.tasks import TASKS
from federated.models import MODELS
from federated.models.flat_model import FlatModel
from federated.run.setup import Setup, prepare

# Each test process keeps to one core, and so do its children. Two threads inside one product, beside another busy
# process, wait for each other more than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a GPU are skipped where there is none.

    Files with slow tests come first: a worker takes whole files, and no worker should begin a long one last.
    """
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays: no garbage collection need walk over it, in the middle of a test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the classical data sets; a test that asks for it is skipped where there is none."""
    folder = os.environ.get("FEDSTUDY_TEST_DATA")
    if not folder:
        pytest.skip("FEDSTUDY_TEST_DATA is not set to a folder of real data sets")
    path = Path(folder).expanduser()
    if not path.is_dir():
        pytest.fail(f"FEDSTUDY_TEST_DATA is {folder!r}, which is not a folder")
    return path


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory: pytest.TempPathFactory, new_databases: Path) -> Iterator[None]:
    """A Prefect API for the flows of a module, set up as the command line does it.

    Not of a whole test process: a later test would ask it where it means to start a server, or to have none.
    """
    folder = with_databases(tmp_path_factory.mktemp("prefect"), new_databases)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSTUDY_HOME", str(folder))
        patch.delenv("PREFECT_API_URL", raising=False)
        patch.setenv("PREFECT_HOME", str(folder / "prefect"))
        database = f"sqlite+aiosqlite:///{folder / 'prefect.db'}"
        patch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", database)
        from flows.prefect_runtime.runtime import configure, prefect_api

        configure()
        with prefect_api() as prefect:
            prefect.wait()
            yield


@pytest.fixture(scope="session")
def new_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the empty databases that `make install` keeps; made once for all tests where it kept none."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, made = shared / "new-databases", shared / "new-databases-home"
    with alone(shared / "new-databases.lock"):
        if not folder.exists():
            kept = [of_installation(Path(name).stem, "tables.db") for name in DATABASES]
            if not all(file.is_file() for file in kept):
                kept = _made_databases(made)
            partial = folder.with_suffix(".partial")
            partial.mkdir(exist_ok=True)
            for name, file in zip(DATABASES, kept, strict=True):
                shutil.copyfile(file, partial / name)
            partial.rename(folder)
    return folder


def _made_databases(home: Path) -> list[Path]:
    """The same made by another process, which pretends that the home is its installation."""
    environment = {**os.environ, "FEDSTUDY_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
        environment.pop(name, None)
    command = [sys.executable, "-c", _MAKE_DATABASES, str(home)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    return [next(home.glob(f"share/fedstudy/{Path(name).stem}-*-tables.db")) for name in DATABASES]


ROOT = Path(__file__).parents[1]
DATABASES = ("mlflow.db", "prefect.db")
# sys.prefix: where an installation keeps them.
_MAKE_DATABASES = (
    "import sys; sys.prefix = sys.argv[1]; from flows.installation import keep_tables; keep_tables()"
)


def with_databases(folder: Path, new_databases: Path) -> Path:
    """The folder of a home, which has both databases and nothing in them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DATABASES:
        shutil.copyfile(new_databases / name, folder / name)
    return folder


@contextmanager
def default_signals() -> Iterator[None]:
    """Start children within that a signal ends, also where the tests themselves were started to ignore it.

    A child inherits what its parent ignores: the hang-up under nohup, the interrupt in a shell's background.
    """
    ended_by = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    ignored = [each for each in ended_by if signal.getsignal(each) == signal.SIG_IGN]
    for each in ignored:
        signal.signal(each, signal.SIG_DFL)
    try:
        yield
    finally:
        for each in ignored:
            signal.signal(each, signal.SIG_IGN)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for everything that a study leaves behind, tracking store included."""
    folder = tmp_path / "home"
    monkeypatch.setenv("FEDSTUDY_HOME", str(folder))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield folder
    # MLflow keeps the address it was given in the environment; the next test must not inherit it.
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture
def used_home(home: Path, new_databases: Path) -> Path:
    """The same with the databases of MLflow and Prefect in it."""
    return with_databases(home, new_databases)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call the command line in this process: (exit code, what it printed, its errors)."""
    from flows.command_line import main

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flows", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return call


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Path]:
    """Write a study file whose base is changed by keyword arguments."""

    def write(top: Mapping[str, Any] | None = None, **base: Any) -> Path:
        content = {
            "name": "small",
            "base": {"dataset": "digits", "model": "logistic", "clients": 5, "rounds": 2, **base},
            **(top or {}),
        }
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study's folder; the working one is another."""
    monkeypatch.delenv("FEDSTUDY_OWN_CODE", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


@pytest.fixture
def local_work() -> Callable[..., LocalWork]:
    """Make the work of a small federation: clients of very different sizes, normal inputs, random targets.

    model: a module, or the name of a registered model, which is made with `arguments`. loss: None for
    the task's usual one. weighted: examples have weights, exponential ones.
    """

    def make(
        model: nn.Module | str,
        task: str = "classification",
        dtype: torch.dtype = torch.float64,
        shape: tuple[int, ...] = (4,),
        sizes: tuple[int, ...] = (7, 1, 12, 5, 1, 30),
        precision: Precision = "float32",
        arguments: dict[str, Any] | None = None,
        loss: Loss | None = None,
        weighted: bool = False,
        **local: Any,
    ) -> LocalWork:
        numbers, total = np.random.default_rng(0), sum(sizes)
        inputs = torch.from_numpy(numbers.standard_normal((total, *shape))).to(dtype)
        targets = torch.from_numpy(numbers.integers(3, size=total))
        if task == "regression":
            targets = torch.from_numpy(numbers.standard_normal((total, 3))).to(dtype)
        if task == "multilabel":
            targets = torch.from_numpy(numbers.integers(2, size=(total, 3))).to(dtype)
        clients = np.split(numbers.permutation(total), np.cumsum(sizes)[:-1])
        with torch.random.fork_rng():
            torch.manual_seed(1)
            module = MODELS[model](**(arguments or {}))(shape, 3) if isinstance(model, str) else model
            for parameter in module.parameters():  # a function of the seed, and none at zero
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5 if parameter.dim() > 1 else 0.1)
        flat = FlatModel(module.to(dtype))
        return LocalWork(
            flat,
            loss or usual_loss(TASKS[task]),
            inputs,
            targets,
            clients,
            LocalTraining(**local),
            10,
            3,
            precision,
            torch.from_numpy(numbers.exponential(size=total)).to(dtype) if weighted else None,
        )

    return make


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write the source of a module of the user's own, which is allowed and can be imported; returns its name."""

    def write(source: str) -> str:
        name = f"own_{uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        allowed = os.environ.get("FEDSTUDY_OWN_CODE", "")
        monkeypatch.setenv("FEDSTUDY_OWN_CODE", f"{allowed},{name}".strip(","))
        monkeypatch.syspath_prepend(str(tmp_path))
        return name

    return write


def runs_of(client: Any, study: str) -> list[Any]:
    """MLflow's runs of a study, in the order in which they began: the study's own first."""
    experiment = client.get_experiment_by_name(study).experiment_id
    return list(client.search_runs([experiment], order_by=["attributes.start_time ASC"]))


def outcome_of(client: Any, run: Any) -> tuple[str, dict[str, float], list[str]]:
    """(status, newest metrics, names of its files) of one of MLflow's runs."""
    files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
    return run.info.status, dict(run.data.metrics), files


def codec(text: str) -> Compressor:
    """The compressor of a study file's text."""
    return COMPRESSOR.bind(text).build()


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    """One generator a client."""
    return [np.random.default_rng([seed, client]) for client in range(count)]


def deltas(num_clients: int, num_parameters: int, seed: int = 0) -> Tensor:
    """Updates whose magnitudes differ by orders, with exact zeros among them."""
    numbers = np.random.default_rng([seed, num_clients, num_parameters])
    rows = numbers.standard_normal((num_clients, num_parameters)) * 10 ** numbers.uniform(
        -4, 1, num_parameters
    )
    rows[numbers.random(rows.shape) < 0.1] = 0
    return torch.from_numpy(rows.astype(np.float32))


def normal(num_clients: int, num_parameters: int, seed: int = 0) -> Tensor:
    """Updates of standard normal coordinates."""
    numbers = np.random.default_rng([seed, num_clients, num_parameters])
    return torch.from_numpy(numbers.standard_normal((num_clients, num_parameters)).astype(np.float32))


def sent(compressor: Compressor, updates: Tensor, seed: int = 0, state: CohortState | None = None) -> Tensor:
    """What the server reads of these updates."""
    state = compressor.init(*updates.shape) if state is None else state
    payloads, _ = compressor.encode(state, updates, generators(len(updates), seed))
    return compressor.decode(payloads, updates.shape[1])


NORMALISED = """
from torch import nn
def model(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))
"""
"""The source of a user's own model with running statistics."""


ADAPTED = "own_adapted_model"
_ADAPTED_SOURCE = """
import torch
from torch import nn
class Adapted(nn.Module):
    def __init__(self, base, rank, frozen):
        super().__init__()
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False).requires_grad_("A" not in frozen)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.normal_(self.lora_B.weight, std=0.1)
        self.scaling = {"default": 1.5}
    def forward(self, x):
        return self.base_layer(x) + 1.5 * self.lora_B(self.lora_A(x))
class PapersOwn(nn.Module):
    def __init__(self):
        super().__init__()
        self.base = nn.Linear(64, 9).requires_grad_(False)
        self.lora_A, self.lora_B = nn.Parameter(torch.randn(64, 4) / 8), nn.Parameter(torch.zeros(4, 9))
    def forward(self, x):
        return self.base(x) + x @ self.lora_A @ self.lora_B
def papers_own(input_shape, num_outputs):
    return nn.Sequential(nn.Flatten(), PapersOwn(), nn.Linear(9, num_outputs))
def adapted(input_shape, num_outputs, rank: int = 2, frozen: str = ""):
    first, second = nn.Linear(64, 9), nn.Linear(9, 13)
    return nn.Sequential(
        nn.Flatten(), Adapted(first, rank, frozen), nn.Tanh(), Adapted(second, rank, frozen), nn.Linear(13, num_outputs)
    )
"""


@pytest.fixture(scope="module")
def adapted_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's own module ADAPTED, which is allowed and can be imported: models with low-rank adapters."""
    folder: Path = tmp_path_factory.mktemp("own")
    (folder / f"{ADAPTED}.py").write_text(_ADAPTED_SOURCE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDSTUDY_OWN_CODE", f"{os.environ.get('FEDSTUDY_OWN_CODE', '')},{ADAPTED}".strip(","))
        patch.syspath_prepend(str(folder))
        yield


def config_of(**changes: object) -> RunConfig:
    """A small run of digits, with these changes."""
    base = {"dataset": "digits", "model": "mlp(hidden=[8])", "clients": 6, "cohort": {"size": 3}, "rounds": 4}
    steps = {"local": {"batch_size": 16, "learning_rate": 0.1}, "engine": {"name": "loop"}}
    return RunConfig.model_validate({**base, **steps, **changes})


class Request(NamedTuple):
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[str]:
    """Answer every request with what the function gives; the address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = answer(Request(self.command, self.path, dict(self.headers), body))
            self.send_response(given.status)
            for name, value in {**given.headers, "Content-Length": str(len(given.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(given.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *said: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def forwarded(request: Request, to: str) -> Answer:
    """What another server answers to the same request."""
    own = ("host", "content-length", "connection")
    headers = {name: value for name, value in request.headers.items() if name.lower() not in own}
    heard = requests.request(request.method, f"{to}{request.path}", data=request.body, headers=headers)
    return Answer(heard.status_code, heard.content, {"Content-Type": heard.headers.get("Content-Type", "")})


QUADRATICS = """
import numpy as np
from torch import nn
from federated.examples.examples import Examples

def load(copies=4):
    \"\"\"One example is one client's whole loss: the mean of (x w - x b)^2 with x = sqrt(a / 2).\"\"\"
    x = np.array([0.5**0.5] + [1.0] * copies + [1.0, 1.0], np.float32)
    y = np.array([0.0] + [3.0] * copies + [3.0, 3.0], np.float32)
    held = np.array([0] + [1] * copies + [0, 1])
    test = np.array([False] * (1 + copies) + [True] * 2)
    return Examples("quadratics", x[:, None], y, None, client_ids=held, test=test)

def three():
    \"\"\"Three clients, a = (1, 2, 1), b = (0, 3, -1), who hold 1, 4 and 2 examples.\"\"\"
    x, b = np.array([0.5**0.5, 1.0, 0.5**0.5], np.float32), np.array([0.0, 3.0, -1.0], np.float32)
    held = np.array([0, 1, 1, 1, 1, 2, 2, 0, 1, 2])
    test = np.arange(10) >= 7
    return Examples("three", x[held][:, None], (x * b)[held], None, client_ids=held, test=test)

def silent_at_first():
    return lambda done, rounds: float(done > 0)

def model(input_shape, num_outputs):
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
"""


@pytest.fixture
def quadratics(own: Callable[[str], str]) -> Callable[..., Setup]:
    """The two clients; each takes a step for every example it holds: 1 and 4."""
    name = own(QUADRATICS)

    def make(data: str = "load", schedule: str | None = None, **changes: object) -> Setup:
        content: dict[str, Any] = {
            "dataset": f"{name}:{data}",
            "model": f"{name}:model",
            "partitioner": "by_client",
            "algorithm": "scaffold",
            "cohort": {"weighting": "uniform"},
            "local": {"batch_size": 1, "learning_rate": 0.1},
            "rounds": 3,
            "engine": {"name": "loop"},
        }
        content |= changes
        if schedule:
            content["local"] = {**content["local"], "schedule": f"{name}:{schedule}"}
        return prepare(RunConfig.model_validate(content))

    return make
