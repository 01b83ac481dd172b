"""`python -m benchmarks.faults`: inject every fault, or those named, and print or write the table."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.faults.cut_short import FAULTS as CUT_SHORT
from benchmarks.faults.fault import ROOT, Came, Fault, NotHere, Place
from benchmarks.faults.looking import last
from benchmarks.faults.orchestration import FAULTS as ORCHESTRATION
from benchmarks.faults.processes import FAULTS as PROCESSES
from benchmarks.faults.refusals import FAULTS as REFUSALS
from benchmarks.faults.tracking import FAULTS as TRACKING

FAULTS = [*TRACKING, *REFUSALS, *CUT_SHORT, *PROCESSES, *ORCHESTRATION]
PAGE = ROOT / "docs" / "reliability.md"
_HEADER = "| fault | how injected | what happened | what was lost |\n|---|---|---|---|\n"


def main() -> None:
    """Rows of faults that were not asked for stay as they are in the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="faults, by any part of their names; all unless given")
    parser.add_argument("--write", action="store_true", help=f"put the rows into {PAGE.relative_to(ROOT)}")
    asked = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored by a shell's background job, and its children
    chosen = [each for each in FAULTS if not asked.names or any(name in each.name for name in asked.names)]
    rows = {fault.name: _row(fault, _came(fault)) for fault in chosen}
    if asked.write:
        before, _, table = PAGE.read_text(encoding="utf-8").partition(_HEADER)
        rows = {**{line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines()}, **rows}
        PAGE.write_text(before + _HEADER + "\n".join(rows.values()) + "\n", encoding="utf-8")


def _came(fault: Fault) -> Came:
    print(f"{fault.name} ...", file=sys.stderr, flush=True)
    with TemporaryDirectory(prefix="fault-") as folder:
        place = Place(Path(folder))
        try:
            return fault.inject(place)
        except NotHere as error:
            return Came(f"not tried: {error}", "-")
        except TimeoutError as error:
            return Came(f"went wrong: {last(str(error))}", "-")
        finally:
            place.end()


def _row(fault: Fault, came: Came) -> str:
    row = f"| {fault.name} | {fault.how} | {came.happened} | {came.lost} |"
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
