"""The tests that need a device, in a process of pytest's own, and what became of each."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.on_device.given import Answer, Given, Skipped

_ROOT = Path(__file__).parents[2]
_OUTCOME = re.compile(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b")
_TOLD = 4000


def cuda_tests(given: Given) -> Iterator[Answer]:
    """`pytest -m cuda` on the files that have such tests; the whole output is in tests.log."""
    marked = [
        str(file.relative_to(_ROOT))
        for file in sorted((_ROOT / "tests").glob("test_*.py"))
        if "mark.cuda" in file.read_text(encoding="utf-8")
    ]
    if given.device != "cuda" and not given.quick:
        raise Skipped("there is no CUDA device")
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", "-m", "cuda"]
    command += ["--continue-on-collection-errors", *marked]
    log = given.out / "tests.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            code: int | str = process.wait(timeout=given.limit - 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "stopped at its limit"
    yield {"files": marked, **outcomes(log.read_text(encoding="utf-8", errors="replace")), "exit_code": code}


def outcomes(said: str) -> Answer:
    """How many tests ended in which way, the names of those that failed, and the end of what pytest said then."""
    counts: dict[str, int] = {}
    failed = []
    for line in said.splitlines():
        if found := _OUTCOME.match(line):
            counts[found[2].lower()] = counts.get(found[2].lower(), 0) + 1
            if found[2] in ("FAILED", "ERROR"):
                failed.append(found[1])
    answer: Answer = {"counts": counts, "failed": failed}
    if failed or not counts:
        answer["end_of_output"] = said[-_TOLD:]
    return answer
