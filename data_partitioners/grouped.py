"""Natural clients merged into silos."""

from __future__ import annotations

import heapq
from typing import Literal

import numpy as np

from data_partitioners.by_client import natural_owners
from data_partitioners.partition import Partition, Pool, by_owner
from data_partitioners.skew import Skew


def grouped(group_size: int | None = None, order: Literal["sorted", "random", "balanced"] = "sorted") -> Skew:
    """Each client is a silo of several natural clients, whole: patients in hospitals, devices at sites.

    The number of silos is the study's `clients`, or follows from group_size. A silo is named after its natural
    clients where they are few, else after its number.

    group_size: natural clients a silo, the last one with what is left; stated instead of `clients`.
    order: "sorted": neighbours in the sorted order of ids come together. "random": any. "balanced": the largest
        natural client first, each to the silo with the fewest examples so far.
    """
    if group_size is not None and group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        owners, names = natural_owners(pool, "grouped")
        number = _number_of_silos(num_clients, group_size, len(names))
        held = np.bincount(owners, minlength=len(names))
        if order == "balanced":
            silos = _balanced(held, number)
        else:
            line = np.arange(len(names)) if order == "sorted" else generator.permutation(len(names))
            silos = np.empty(len(names), np.int64)
            silos[line] = _runs(len(names), number, group_size)
        return Partition(by_owner(silos[owners], number), _silo_names(silos, names, number))

    return Skew("grouped", deal=deal)


_MOST_IN_A_NAME = 3


def _number_of_silos(num_clients: int | None, group_size: int | None, natural: int) -> int:
    follows = None if group_size is None else -(-natural // group_size)
    number = num_clients if num_clients is not None else follows
    if number is None:
        raise ValueError("clients: grouped needs a number of clients, or a group_size")
    if follows not in (None, number):
        raise ValueError(
            f"clients: {num_clients} was asked for, but {natural} natural clients in groups of {group_size} make "
            f"{follows}; leave out `clients` or group_size"
        )
    if number > natural:
        raise ValueError(f"clients: {number} silos are more than the {natural} natural clients")
    return number


def _runs(natural: int, number: int, group_size: int | None) -> np.ndarray:
    """The silo of each place in line: runs of group_size, or of sizes that differ by at most one."""
    places = np.arange(natural)
    return places // group_size if group_size is not None else places * number // natural


def _balanced(held: np.ndarray, number: int) -> np.ndarray:
    """The silo of each natural client, largest first, each to the emptiest silo so far."""
    silos = np.empty(len(held), np.int64)
    fullness = [(0, 0, silo) for silo in range(number)]  # (examples, natural clients, silo)
    for client in np.argsort(-held, kind="stable").tolist():
        examples, clients, silo = heapq.heappop(fullness)
        silos[client] = silo
        heapq.heappush(fullness, (examples + int(held[client]), clients + 1, silo))
    return silos


def _silo_names(silos: np.ndarray, names: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The natural clients' names joined by "+" where all silos are small enough for that."""
    if np.bincount(silos, minlength=number).max() > _MOST_IN_A_NAME:
        return tuple(map(str, range(number)))
    joined: list[list[str]] = [[] for _ in range(number)]
    for silo, name in zip(silos.tolist(), names, strict=True):
        joined[silo].append(name)
    return tuple(map("+".join, joined))
