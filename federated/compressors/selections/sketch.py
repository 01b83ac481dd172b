"""Count sketch: a small table in which every coordinate is added up several times."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts, Reduced, Reduction, Restorer, Row
from federated.compressors.pipeline import pipeline
from federated.compressors.selections.selection import checked_fraction, largest, share_of
from federated.compressors.values.rotation import signs_of
from federated.foundation.randomness import seeded

_HASHES = b"count sketch"
_CLEAR = 20
_MOST_ROWS = 1000  # a median of more is no clearer, and takes as many passes over the model
_TOGETHER = 2**14  # numbers of every row, which the processor's cache holds


def sketch(fraction: float, keep: float = 0.01, rows: int = 5) -> Compressor:
    """Send a count sketch of `fraction` x P numbers; the server reads out the largest coordinates, `keep` x P at most.

    Charikar et al. 2002: each of `rows` rows adds every coordinate, with a random sign, to one of its columns; the
    estimate of a coordinate is the median over the rows, each of which errs by ||x|| / sqrt(columns) at most in the
    root mean square. Of the largest estimates those count that stand out of this noise by their square, at least
    20 ||x||^2 / numbers sent (3.6 standard errors of the median of five), the norm being read from the sketch as well.
    Without that, what is read is mostly noise, and error feedback adds it up without end: Rothchild et al. 2020
    ask for such heavy coordinates, too (HeavyMix). An update without any is lost. All clients use the same hashes.
    Biased. Raises ValueError for fewer than three rows, of which none outvotes the one in which two coordinates meet.

    Differs: a hash shifts each stretch of as many coordinates as there are columns by a random number, instead of
    sending each coordinate anywhere, and all rows share one sign a coordinate. Two coordinates still meet in a row
    with a probability of 1 / columns at most, independently from row to row, which is all that the bound asks for;
    but neighbours meet neighbours, so that errors come in stretches. A shift is a copy, where random places are
    cache misses.

    Rothchild et al. 2020, "FetchSGD", adds the clients' sketches up and keeps momentum and error at the server, in
    the sketch. Here each client's is read on its own and `error_feedback` keeps the error at the client, so that any
    algorithm may follow; what is small at every client but large in the sum is lost here and found there.
    """
    checked_fraction(fraction), checked_fraction(keep, "keep")
    if rows < 3:
        raise ValueError(f"rows must be at least 3, got {rows}")
    if rows > _MOST_ROWS:
        raise ValueError(f"rows must be at most {_MOST_ROWS}, got {rows}")

    def columns(num_parameters: int) -> int:
        return max(share_of(fraction, num_parameters) // rows, 1)

    def reduce(state: Row, row: np.ndarray, generator: np.random.Generator) -> Reduced:
        width = columns(row.size)
        signs, shifts = _hashes(row.size, rows, width)
        scale = np.abs(row).max(initial=0) or np.float32(1)
        table = _table(row / scale * signs, shifts, width)
        top = np.finfo(np.float32).max
        numbers = np.clip(table * np.float64(scale), -top, top).astype(np.float32)
        return Reduced(numbers.reshape(-1), b"", state)

    def read(content: memoryview, num_parameters: int) -> tuple[Restorer, memoryview]:
        width = columns(num_parameters)

        def restore(numbers: np.ndarray) -> np.ndarray:
            signs, shifts = _hashes(num_parameters, rows, width)
            estimates = _estimates(numbers.reshape(rows, width), shifts)[:num_parameters]
            kept = largest(np.abs(estimates), share_of(keep, num_parameters))
            kept = kept[_stand_out(estimates[kept], numbers.reshape(rows, width))]
            row = np.zeros(num_parameters, np.float32)
            row[kept] = estimates[kept] * signs[kept]
            return row

        return Restorer(rows * width, restore), content

    return pipeline(Parts(Reduction(b"k", reduce, read)))


@lru_cache(maxsize=4)
def _hashes(size: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """(signs float32 [P], shifts int64 [rows, stretches], below `columns`): the same for everybody."""
    generator = seeded(_HASHES)
    shifts = generator.integers(columns, size=(rows, -(-size // columns)))
    return signs_of(generator, size), shifts


def _table(signed: np.ndarray, shifts: np.ndarray, width: int) -> np.ndarray:
    """[rows, width]: row r is the sum of all stretches, each turned by its shift."""
    stretches = np.zeros((shifts.shape[1], width), np.float32)
    stretches.reshape(-1)[: signed.size] = signed
    table = np.zeros((len(shifts), width), np.float32)
    together = max(_TOGETHER // width, 1)
    for start in range(0, len(stretches), together):
        part = stretches[start : start + together]
        windows = _windows(part)
        starts = np.arange(len(part)) * 2 * width
        for line, of_row in zip(table, shifts[:, start : start + together], strict=True):
            turned = windows[starts + of_row]
            line += turned[0] if len(turned) == 1 else turned.sum(axis=0)
    return table


def _windows(lines: np.ndarray) -> np.ndarray:
    """Every turn of lines [n, width], as a view of each line twice: at 2 x width x i + s is line i turned by s."""
    width = lines.shape[1]
    return sliding_window_view(np.concatenate([lines, lines], axis=1).reshape(-1), width)


def _estimates(table: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """The median over the rows of what each says of every coordinate, before its sign; in whole stretches."""
    width = table.shape[1]
    windows = [_windows(line[None]) for line in table]
    back = (width - shifts) % width
    estimates = np.empty((shifts.shape[1], width), np.float32)
    together = max(_TOGETHER // width, 1)
    for start in range(0, len(estimates), together):
        part = slice(start, start + together)
        estimates[part] = _median([view[of_row[part]] for view, of_row in zip(windows, back, strict=True)])
    return estimates.reshape(-1)


def _stand_out(estimates: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Whether each estimate is clear of what the others add to it; the energy of any row is ||x||^2 in the mean."""
    energy = np.median(np.einsum("rc,rc->r", table, table, dtype=np.float64))
    clear: np.ndarray = np.square(estimates, dtype=np.float64) * table.size >= _CLEAR * energy
    return clear


def _median(lines: list[np.ndarray]) -> np.ndarray:
    """The median of arrays, element by element, by comparisons of whole arrays alone.

    Of half of them and two more, neither the least nor the largest can be in the middle of all: both are dropped, and
    the next array takes part.
    """
    among, rest = lines[: len(lines) // 2 + 2], lines[len(lines) // 2 + 2 :]
    while len(among) > 2:
        among = [*_without_extremes(among), *rest[:1]]
        rest = rest[1:]
    median: np.ndarray = among[0] if len(among) == 1 else among[0] / 2 + among[1] / 2
    return median


def _without_extremes(among: list[np.ndarray]) -> list[np.ndarray]:
    """Sorted element by element as far as needed to leave out the least and the largest."""
    least, others = among[0], []
    for each in among[1:]:
        others.append(np.maximum(least, each))
        least = np.minimum(least, each)
    most, kept = others[0], []
    for each in others[1:]:
        kept.append(np.minimum(most, each))
        most = np.maximum(most, each)
    return kept
