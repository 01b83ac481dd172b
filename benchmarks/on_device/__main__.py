"""`python -m benchmarks.on_device`: run all steps, each in a process with a limit, or show what was found."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.on_device.given import Given, Skipped
from benchmarks.on_device.steps import STEPS, Step
from benchmarks.on_device.table import markdown

_ROOT = Path(__file__).parents[2]
_LEAST = 15.0  # seconds that are worth to begin a step with
_PATIENCE = 4  # times as long for everything on a CPU, where it is a dry run beside other work
_TOLD = 4000
RESULTS = "results.json"


def main() -> None:
    """Do what the arguments say."""
    asked = _arguments()
    if asked.what == "table":
        print(markdown(json.loads(asked.file.read_text(encoding="utf-8"))))
    elif asked.what == "step":
        _step(asked)
    else:
        sys.exit(_run(asked))


def _run(asked: argparse.Namespace) -> int:
    """All steps, one after another; 1 where one of them failed. What is known is written after each."""
    asked.out.mkdir(parents=True, exist_ok=True)
    begun, patience = time.perf_counter(), 1 if asked.device == "cuda" else _PATIENCE
    steps = [step for step in STEPS if not asked.steps or step.name in asked.steps]
    results: dict[str, Any] = {
        "quick": asked.quick,
        "device": asked.device,
        "packages": _packages(),
        "steps": {},
    }
    for step in steps:
        left = asked.budget * patience - (time.perf_counter() - begun)
        results["steps"][step.name] = _one(step, min(step.seconds * patience, left), asked)
        results["seconds"] = round(time.perf_counter() - begun, 1)
        _write(asked.out / RESULTS, results)
        (asked.out / "results.md").write_text(markdown(results), encoding="utf-8")
        _say(step.name, results["steps"][step.name])
    print(markdown(results))
    return int(any(found["state"] == "failed" for found in results["steps"].values()))


def _one(step: Step, seconds: float, asked: argparse.Namespace) -> dict[str, Any]:
    """A step in a process of its own. What it had found is kept where it fails or is stopped."""
    if seconds < _LEAST:
        return {"state": "skipped", "why": "no time was left"}
    answer, log = asked.out / f"{step.name}.json", asked.out / f"{step.name}.log"
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.on_device", "step", step.name, str(asked.out)]
    command += ["--device", asked.device, "--seconds", str(seconds), *(["--quick"] if asked.quick else [])]
    command += [] if asked.data is None else ["--data", str(asked.data)]
    started = time.perf_counter()
    state, why = "done", ""
    with log.open("w", encoding="utf-8") as file:
        try:
            done = subprocess.run(command, cwd=_ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=seconds)
            if done.returncode:
                state, why = "failed", f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            state, why = "stopped", f"at its limit of {seconds:.0f} s"
    found = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else {}
    if "skipped" in found:
        state, why = "skipped", found.pop("skipped")
    told = {} if state == "done" else {"why": why}
    if state in ("failed", "stopped"):
        told["end_of_output"] = log.read_text(encoding="utf-8", errors="replace")[-_TOLD:]
    return {"state": state, "seconds": round(time.perf_counter() - started, 1), **told, "found": found}


def _step(asked: argparse.Namespace) -> None:
    """In the process of a step: measure, and write the answer whenever there is more of it."""
    (step,) = (each for each in STEPS if each.name == asked.name)
    answer = asked.out / f"{step.name}.json"
    # Less than the process has, as it has begun already.
    given = Given(asked.device, asked.quick, asked.data, asked.out, asked.seconds - 10)
    try:
        for found in step.measure()(given):
            _write(answer, found)
    except Skipped as why:
        _write(answer, {"skipped": str(why)})


def _write(file: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, as the process may be stopped at any time."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, file)


def _say(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['state']} {found.get('why', '')} ({found.get('seconds', 0)} s)", flush=True)
    if "end_of_output" in found:
        print(found["end_of_output"][-1500:], flush=True)


def _packages() -> dict[str, str]:
    """What the script installed and could not, as it says in its environment."""
    return {
        name: os.environ.get(name, "")
        for name in ("ON_DEVICE_PACKAGES", "PFL_PACKAGES", "ON_DEVICE_NOT_INSTALLED")
    }


def _arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_device", description=__doc__)
    ways = parser.add_subparsers(dest="what", required=True)
    run, step, table = ways.add_parser("run"), ways.add_parser("step"), ways.add_parser("table")
    run.add_argument("out", type=Path, help="folder for results.json, results.md and logs")
    run.add_argument("--budget", type=float, default=540, help="seconds in all")
    run.add_argument("--steps", nargs="*", choices=[each.name for each in STEPS], help="these alone")
    step.add_argument("name", choices=[each.name for each in STEPS])
    step.add_argument("out", type=Path)
    step.add_argument("--seconds", type=float, required=True)
    for each in (run, step):
        each.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
        each.add_argument("--quick", action="store_true", help="as little work as shows that each step runs")
        each.add_argument("--data", type=Path, help="folder with fashion-mnist and cifar-10-batches-bin")
    table.add_argument("file", type=Path, help="a results.json")
    return parser.parse_args(given)


if __name__ == "__main__":
    main()
