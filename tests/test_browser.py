"""MLflow's real UI in a real browser: a person finds the study, its runs, the report and the comparison."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import yaml

from tests.conftest import with_databases

ROOT = Path(__file__).parents[1]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 60.0
"""Seconds until something has to be seen: the server starts in ten on an idle machine."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed"),
]
STUDY = {
    "name": "seen",
    "description": "Does a person find this?",
    "base": {
        "dataset": "digits",
        "model": "linear",
        "clients": 5,
        "cohort": {"size": 3},
        "rounds": 4,
        "evaluation": {"every": 2},
        "local": {"batch_size": 32},
        "holdout": {"client": 0.2},
    },
    "axes": {"compression.uplink": ["none", "qsgd(bits=4)"]},
    "seeds": [0, 1],
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, new_databases: Path) -> dict[str, str]:
    """A home of its own, and in it a small study that was really run."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "seen.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    home = with_databases(folder / "home", new_databases)
    own = {"FEDSTUDY_HOME": str(home), "PREFECT_HOME": str(folder / "prefect")}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))},
        **own,
    }
    command = [sys.executable, "-m", "flows", "run", str(folder / "seen.yaml")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=240)
    return environment


@pytest.fixture(scope="module")
def address(environment: dict[str, str]) -> Iterator[str]:
    """`python -m flows ui` on a free port; it and what it started are stopped by their process group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "flows", "ui", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    profile = tmp_path_factory.mktemp("profile")
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--disable-background-networking")
    options.add_argument("--window-size=1600,1000")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def keep(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Keep a picture of the page under this name."""
    folder = tmp_path_factory.mktemp("screenshots")
    print(f"screenshots: {folder}")

    def picture(name: str) -> None:
        browser.save_screenshot(str(folder / f"{name}.png"))

    return picture


def test_a_person_finds_the_study_its_runs_its_report_and_the_comparison(
    browser: Any, address: str, keep: Callable[[str], None]
) -> None:
    experiment, parent = _study_of(address)

    _open(browser, f"{address}/#/experiments")
    _see(browser, "seen")
    keep("experiments")

    _open(browser, f"{address}/#/experiments/{experiment}/runs?viewStateShareKey=fedstudy-arms")
    for words in ("Does a person find this?", "Group by: arm", "Arms of the newest study", "none · seed"):
        _see(browser, words)
    _see(browser, "4 matching runs")
    keep("arms")

    _open(browser, f"{address}/#/experiments/{experiment}/runs/{parent}")
    for words in ("Best mean test accuracy", "Child runs", "qsgd(bits=4) · seed 1"):
        _see(browser, words)
    keep("study")

    _open(browser, f"{address}/#/experiments/{experiment}/runs/{parent}/artifacts/report.html")
    frame = _wait(browser, lambda: browser.find_elements("css selector", "iframe"))[0]
    browser.switch_to.frame(frame)
    _see(browser, "Best mean test accuracy")
    _wait(
        browser, lambda: browser.find_elements("css selector", "figure.live svg")
    )  # its scripts run there too
    browser.switch_to.default_content()
    keep("report")

    children = [
        run["info"]["run_id"] for run in _runs(address, experiment) if run["info"]["run_id"] != parent
    ]
    url = f"{address}/#/compare-runs?runs={json.dumps(children)}&experiments={json.dumps([experiment])}"
    _open(browser, url)
    _see(browser, "Comparing 4 Runs")
    keep("comparison")


@pytest.mark.parametrize("width", [1400, 390])
def test_the_report_fits_its_page(
    browser: Any, environment: dict[str, str], width: int, keep: Callable[[str], None]
) -> None:
    (report,) = Path(environment["FEDSTUDY_HOME"]).glob("reports/*/report.html")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        _open(browser, report.as_uri())
        _wait(browser, lambda: browser.find_elements("css selector", "figure.live svg"))
        keep(f"report at {width}")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(_SMALLEST_TEXT) >= 12
        hidden = "return getComputedStyle(document.querySelector('figure.live .still')).display"
        assert browser.execute_script(hidden) == "none"
        _toggle_the_first_arm(browser)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert browser.execute_script(hidden) == "block"  # the picture stands in for the chart on paper
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


_SMALLEST_TEXT = """
return Math.min(...[...document.querySelectorAll('body *')]
    .filter(one => one.getClientRects().length && [...one.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(one => parseFloat(getComputedStyle(one).fontSize)));
"""


def _toggle_the_first_arm(browser: Any) -> None:
    """Its marks leave the charts, and its button says so."""
    marks = "return document.querySelectorAll('[data-chart=by-round] .mark-symbol path').length"
    before = browser.execute_script(marks)
    browser.execute_script("document.querySelector('.legend button').click()")
    _wait(browser, lambda: browser.execute_script(marks) < before)
    assert browser.find_element("css selector", ".legend button").get_attribute("aria-pressed") == "false"


def _study_of(address: str) -> tuple[str, str]:
    """(id of the experiment, id of the parent run)."""
    named = f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=seen"
    with urllib.request.urlopen(named) as answer:
        experiment = str(json.load(answer)["experiment"]["experiment_id"])
    kinds = {
        run["info"]["run_id"]: {tag["key"]: tag["value"] for tag in run["data"]["tags"]}["fedstudy.kind"]
        for run in _runs(address, experiment)
    }
    (parent,) = [run for run, kind in kinds.items() if kind == "study"]
    return experiment, parent


def _runs(address: str, experiment: str) -> list[dict[str, Any]]:
    asked = urllib.request.Request(
        f"{address}/api/2.0/mlflow/runs/search",
        json.dumps({"experiment_ids": [experiment]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked) as answer:
        runs: list[dict[str, Any]] = json.load(answer)["runs"]
    return runs


def _open(browser: Any, url: str) -> None:
    browser.get("about:blank")  # MLflow's pages differ behind the #, which alone loads nothing anew
    browser.get(url)


def _see(browser: Any, words: str) -> None:
    _wait(browser, lambda: words in browser.execute_script("return document.body.innerText"), words)


def _wait(browser: Any, found: Callable[[], Any], what: str = "") -> Any:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if answer := found():
            return answer
        time.sleep(0.2)
    text = browser.execute_script("return document.body.innerText")
    pytest.fail(f"not seen in {PATIENCE:.0f} s: {what or found}; the page says: {text[:2000]}")


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    pytest.fail(f"the UI did not answer at {url} (exit code {server.poll()})")
