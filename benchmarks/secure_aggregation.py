"""`python -m benchmarks.secure_aggregation`: what a round of secure aggregation costs in bytes and time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import description
from federated.foundation.randomness import Purpose, generator
from federated.transports import Meeting
from federated.transports.secure_aggregation.exchange import Options, attendance_of, parties_of
from federated.transports.secure_aggregation.fixed_point import levels_of
from federated.transports.secure_aggregation.messages import Step
from federated.transports.secure_aggregation.packed import signed
from federated.transports.secure_aggregation.playing import play
from federated.transports.secure_aggregation.server import Server


@dataclass(frozen=True)
class Round:
    """A round: bytes that a client sends and receives besides the model, means over those that stay; CPU seconds of all
    parties, of them the server's; and whether the sum was the sum."""

    clients: int
    neighbours: int
    threshold: int
    dropped: int
    update_bytes: int
    other_up_bytes: int
    down_bytes: int
    seconds: float
    server_seconds: float
    exact: bool


def measure(clients: int, size: int, dropped: int, bits: int) -> Round:
    """A round of so many clients, of whom the first `dropped` share keys and never send their update."""
    everybody = np.arange(clients)
    lost = everybody < dropped
    numbers = [generator(0, Purpose.CLIENT_NOISE, client) for client in range(clients)]
    meeting = Meeting(0, 0, everybody, lost, b"model", numbers)
    attendance = attendance_of(Options(bits, 2 / 3, None, "sharing", 0.0), size, meeting)
    bound = levels_of(bits)
    integers = {
        client: numbers[client].integers(-bound, bound + 1, size) for client in range(dropped, clients)
    }
    started = time.process_time()
    parties, server = parties_of(attendance, meeting)
    spent = _timed(server)
    sent = {client: row.astype(np.uint32) for client, row in integers.items()}
    played = play(parties, server, sent, attendance.silent)
    seconds = time.process_time() - started
    total = signed(played.total, attendance.terms.bits)
    messages = [dict(played.messages.up[client]) for client in integers]
    update, step = len(messages[0]["update"]), Step.UPDATE.name.lower()
    return Round(
        clients,
        attendance.terms.neighbours,
        attendance.terms.threshold,
        dropped,
        update,
        _mean(sum(len(sent) for name, sent in told.items() if name != step) for told in messages),
        _mean(sum(len(message) for _, message in played.messages.down[client]) for client in integers),
        seconds,
        sum(spent),
        bool(np.array_equal(total, np.sum(list(integers.values()), axis=0))),
    )


def _timed(server: Server) -> list[float]:
    """The CPU seconds of each call of the server's methods, which are appended as it is called."""
    spent: list[float] = []

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(messages: Sequence[bytes]) -> Any:
            started = time.process_time()
            found = method(messages)
            spent.append(time.process_time() - started)
            return found

        return run

    for name in ("keys_advertised", "keys_shared", "updates_masked", "survivors_confirmed", "unmasked"):
        setattr(server, name, timed(getattr(server, name)))
    return spent


def _mean(sizes: Any) -> int:
    return round(float(np.mean(list(sizes))))


def table(rounds: Sequence[Round]) -> Table:
    """The rounds as a table."""
    columns = ("clients", "neighbours", "threshold", "dropped out", "update, kB", "else up, kB", "down, kB")
    shown = Table(*columns, "CPU s, all", "of a client, ms", "of the server, s", "exact")
    for each in rounds:
        own = (each.seconds - each.server_seconds) / each.clients
        sizes = (each.update_bytes, each.other_up_bytes, each.down_bytes)
        shown.add_row(
            *map(str, (each.clients, each.neighbours, each.threshold, each.dropped)),
            *(f"{size / 1e3:.1f}" for size in sizes),
            f"{each.seconds:.2f}",
            f"{own * 1e3:.1f}",
            f"{each.server_seconds:.2f}",
            str(each.exact),
        )
    return shown


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.secure_aggregation", description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[10, 25, 50, 100, 200])
    parser.add_argument("--parameters", type=int, default=44_000)
    parser.add_argument("--bits", type=int, default=16)
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    measure(10, 1_000, 0, given.bits)  # imports
    rounds = [
        measure(clients, given.parameters, dropped, given.bits)
        for clients in given.clients
        for dropped in (0, clients // 10)
    ]
    Console(width=160).print(table(rounds))
    machine = description(threads=1)
    print(json.dumps(machine))
    if given.json:
        found = {
            "machine": machine,
            "parameters": given.parameters,
            "rounds": [asdict(each) for each in rounds],
        }
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
