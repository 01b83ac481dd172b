"""The results as Markdown, for `benchmarks/results/` and the README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def markdown(results: Mapping[str, Any]) -> str:
    """All that was found, and what was not, as tables."""
    return "\n".join([*_head(results), "", *_steps(results), *_rivals(results), *_others(results)]) + "\n"


def _head(results: Mapping[str, Any]) -> Iterator[str]:
    facts = _found(results, "facts")
    machine, gpu = facts.get("machine", {}), facts.get("cuda", {})
    yield f"Device: {gpu.get('name') or machine.get('device') or results['device']}; " + ", ".join(
        f"{name} {machine[name]}" for name in ("torch", "numpy", "python", "cpu", "cores") if name in machine
    )
    yield f"Commit {machine.get('commit') or 'not known'}, {machine.get('date', 'no date')}."
    if results["quick"]:
        yield "A quick try that shows that the steps run; its times say nothing."


def _steps(results: Mapping[str, Any]) -> list[str]:
    rows = [
        (name, found["state"], f"{found.get('seconds', 0):.0f}", _cell(found.get("why", "")))
        for name, found in results["steps"].items()
    ]
    return table(("step", "state", "s", "why"), rows)


def _rivals(results: Mapping[str, Any]) -> list[str]:
    rows = [
        (workload, name, *_timing(rival))
        for workload in results["steps"]
        for name, rival in _found(results, workload).get("rivals", {}).items()
    ]
    head = ("workload", "", "s a round", "times fedstudy's", "slowest/quickest", "accuracy")
    return ["", *table(head, rows)] if rows else []


def _timing(rival: Mapping[str, Any]) -> tuple[str, ...]:
    if "seconds_per_round" not in rival:
        return (_cell(rival.get("skipped") or rival.get("failure") or "no pass"), "", "", "")
    ratio = rival.get("times_fedstudy")
    return (
        f"{rival['seconds_per_round']:.4f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{rival['slowest_over_quickest']:.2f}",
        f"{rival['accuracy']:.4f}",
    )


def _others(results: Mapping[str, Any]) -> Iterator[str]:
    stages = [
        (name, *(f"{1000 * seconds:.1f}" for seconds in ours["stages"].values()))
        for name in results["steps"]
        if (ours := _found(results, name).get("rivals", {}).get("fedstudy", {})).get("stages")
    ]
    if stages:
        yield ""
        yield from table(("fedstudy, ms a round", "training", "compression", "aggregation"), stages)
    if rates := _found(results, "facts").get("rates"):
        yield ""
        rows = [
            (name, f"{value:.3g}" if isinstance(value, float) else _cell(value))
            for name, value in rates.items()
        ]
        yield from table(("rate", ""), rows)
    study = _found(results, "study")
    if "times_one_run" in study:
        yield ""
        alone = f"{study['way']}: {study['seconds']:.2f} s, {study['times_one_run']:.1f} times one run"
        batch = f"in one batch: {study['batch_seconds']:.2f} s, {study['batch_times_one_run']:.1f} times"
        yield f"{study['title']}, {alone}; {batch}."
    tests = _found(results, "tests")
    if "counts" in tests:
        yield ""
        yield (
            "Tests marked cuda: "
            + (", ".join(f"{n} {how}" for how, n in tests["counts"].items()) or "none ran")
            + "."
        )
        yield from (f"- failed: `{name}`" for name in tests["failed"])


def _found(results: Mapping[str, Any], step: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = results["steps"].get(step, {}).get("found", {})
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _cell(text: str) -> str:
    """Text that is safe within a cell: one line, and not too long."""
    return " ".join(text.split()).replace("|", "/")[:200]
