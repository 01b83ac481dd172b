"""What came of a study: what it said, and what MLflow has of it."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from typing import Any

from benchmarks.faults.fault import Place

_LOOK = """
import json, sys
from collections import Counter
from tasks.tracking.server.store import connect
client = connect()
found = []
for run in client.search_runs([one.experiment_id for one in client.search_experiments()]):
    before_and_after_the_report = {"system/study_seconds", "system/peak_memory_mb"}
    names = set(run.data.metrics) - before_and_after_the_report
    steps = [(name, one.step) for name in names for one in client.get_metric_history(run.info.run_id, name)]
    rounds = sorted(step for name, step in steps if name == "train/loss")
    learnt = [name for name in run.data.metrics if not name.startswith("system/")]
    values = {f"{name} {one.step}": one.value for name in learnt
              for one in client.get_metric_history(run.info.run_id, name)}
    found.append({"status": run.info.status, "child": "mlflow.parentRunId" in run.data.tags,
                  "name": run.info.run_name, "values": values,
                  "rounds": rounds, "twice": sum(n > 1 for n in Counter(steps).values()),
                  "time": [run.info.start_time, run.info.end_time],
                  "model": bool(run.outputs and run.outputs.model_outputs),
                  "verdict": "verdict" in run.data.tags})
print("FOUND" + json.dumps(found))
"""


def ended(code: int, said: str) -> str:
    """How a study ended, by its exit code and what it said."""
    traceback = ", a traceback" if "Traceback" in said else ""
    told = sum("does not answer" in line for line in said.splitlines())
    waits = ", the comparison waits for sync" if "waits for MLflow" in said else ""
    failed = len(re.findall(r"^failed ", said, re.MULTILINE))
    lines = "one line" if told == 1 else f"{told} lines"
    return f"exit code {code}, {failed} runs failed, {lines} about it{waits}{traceback}"


def lost(place: Place, runs: int = 4, studies: int = 1) -> str:
    """What is not in MLflow, or twice; "nothing" where all is there once."""
    found = _found(place)
    if isinstance(found, str):
        return f"MLflow cannot be read: {found}"
    children = [run for run in found if run["child"]]
    wrong = []
    if Counter(run["status"] for run in found) != Counter({"FINISHED": runs + studies}):
        wrong.append(f"runs are {dict(Counter(run['status'] for run in found))}")
    if any(run["rounds"] != list(range(1, len(run["rounds"]) + 1)) or not run["rounds"] for run in children):
        wrong.append(f"rounds of {sum(run['rounds'] != sorted(set(run['rounds'])) for run in children)} runs")
    if any(run["twice"] for run in found):
        wrong.append("some values are there twice")
    if not all(run["model"] for run in children):
        wrong.append("a model")
    if sum(run["verdict"] for run in found) != studies:
        wrong.append("a verdict")
    return "; ".join(wrong) or "nothing"


Values = dict[str, dict[str, float]]
"""Of each run, by its name: every value of its metrics, by name and step, but for what a clock measured."""


def values(place: Place) -> Values:
    """What MLflow has of the runs of a study."""
    found = _found(place)
    assert not isinstance(found, str), found
    return {run["name"]: run["values"] for run in found if run["child"]}


def told_in_lines(said: str, words: str) -> str:
    """How many lines have these words."""
    count = sum(words in line for line in said.splitlines())
    return "one line" if count == 1 else f"{count} lines"


def at_a_time(place: Place, after: int) -> int:
    """The most runs that went on side by side, of those that began after a moment in ms since 1970."""
    found = _found(place)
    assert not isinstance(found, str), found
    times: list[tuple[int, int]] = [
        (run["time"][0], run["time"][1]) for run in found if run["child"] and run["time"][0] > after
    ]
    return max(sum(begin <= moment < end for begin, end in times) for moment, _ in times)


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


def _found(place: Place) -> list[dict[str, Any]] | str:
    """What MLflow has of each run; the last line of what went wrong where it cannot be read."""
    looked = place.process([sys.executable, "-c", _LOOK])
    code, said = looked.wait(), place.said(looked)
    if code:
        return last(said)
    found: list[dict[str, Any]] = json.loads(said[said.index("FOUND") + len("FOUND") :])
    return found


def last(said: str) -> str:
    """The last line, as a cell of a table."""
    lines = said.strip().splitlines()
    return lines[-1].replace("|", "/")[:160] if lines else ""
