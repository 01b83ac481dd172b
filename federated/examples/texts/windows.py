"""Texts cut into windows, of which each next unit is predicted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from federated.examples.texts.fit import Units
from federated.machine.large_arrays import blocks_of, room
from federated.metrics.tasks import PADDING
from federated.preprocessing.raw_next import CLASS_SHIFT, OTHER, START


class Windows(NamedTuple):
    """inputs: int64 [N, length]. targets: class numbers [N, length], PADDING beyond the end of a text. owners: the
    number of the text that a window is of, int64 [N]."""

    inputs: np.ndarray
    targets: np.ndarray
    owners: np.ndarray


def most_frequent(units: Units, size: int) -> list[int]:
    """The numbers of at most so many units, the most frequent first, of as frequent ones in alphabetical order."""
    times = np.bincount(units.numbers, minlength=len(units.names))
    order = sorted(np.flatnonzero(times).tolist(), key=lambda number: (-times[number], units.names[number]))
    return order[:size]


def windows_of(units: Units, vocabulary: list[int], length: int) -> Windows:
    """Each unit is the target of one position, whose input is the unit before it, or the mark of a text's start."""
    number_of = np.full(len(units.names), OTHER, np.int64)
    number_of[vocabulary] = np.arange(len(vocabulary)) + OTHER + 1
    sizes = np.diff(units.ends, prepend=0)
    each = -(-sizes // length)
    owners = np.repeat(np.arange(len(sizes)), each)
    offsets = (np.arange(len(owners)) - np.repeat(np.cumsum(each) - each, each)) * length
    inputs, targets = (room((len(owners), length), np.int64) for _ in range(2))
    firsts = units.ends[owners] - sizes[owners]
    for rows in blocks_of(inputs):
        within = offsets[rows, None] + np.arange(length)
        there = within < sizes[owners[rows], None]
        places = np.where(there, firsts[rows, None] + within, 0)
        targets[rows] = np.where(there, number_of[units.numbers[places]] - CLASS_SHIFT, PADDING)
        before = number_of[units.numbers[np.maximum(places - 1, 0)]]
        inputs[rows] = np.where(there, np.where(within == 0, START, before), 0)
    return Windows(inputs, targets, owners)
