"""Banded lower triangular Toeplitz matrices C, by their first column c: noise C^-1 Z, whose prefix sums err less.

Of n updates x_t a server that adds them up publishes A x, with A the prefix sums. The matrix mechanism publishes
A (x + C^-1 Z) with Z independent and Gaussian: by post-processing it is as private as C x + Z, the Gaussian mechanism
with the sensitivity of C x. Denisov et al. 2022, "Improved Differential Privacy for SGD via Optimal Private Linear
Operators on Adaptive Streams"; Choquette-Choo et al. 2023, "(Amplified) Banded Matrix Factorization".
"""

from __future__ import annotations

from functools import cache

import numpy as np


def root_of_prefix_sums(rounds: int) -> np.ndarray:
    """First column [rounds] of the C with C C = A, whose entries are those of (1 - x)^(-1/2): 1, 1/2, 3/8, 5/16, ...

    Fichtenberger, Henzinger and Upadhyay 2023, "Constant matters".
    """
    k = np.arange(1, rounds)
    column: np.ndarray = np.cumprod(np.r_[1.0, (2 * k - 1) / (2 * k)])
    return column


@cache
def optimal_column(rounds: int, bands: int) -> np.ndarray:
    """The column [min(bands, rounds)] of norm 1 that makes the mean squared error of n = rounds prefix sums smallest.

    One participation moves C x by the norm of c, so that what is minimised is |c|^2 |A C^-1|_F^2 / n: by L-BFGS in the
    entries after the first, from those of `root_of_prefix_sums`. For 1 band it is 1: independent noise.
    """
    from scipy.optimize import minimize  # half a second, which runs without this mechanism do not spend

    width = min(bands, rounds)
    start = root_of_prefix_sums(width)[1:]
    if width == 1:
        return np.ones(1)
    found = minimize(
        _squared_error, start, (rounds,), "L-BFGS-B", jac=True, options={"ftol": 1e-14, "gtol": 1e-10}
    )
    column = np.r_[1.0, found.x]
    unit: np.ndarray = column / np.linalg.norm(column)
    unit.flags.writeable = False
    return unit


def sensitivity(column: np.ndarray, rounds: int, participations: int, separation: int) -> float:
    """The most by which C x moves where one client's updates, each of norm 1, go from zero to anything.

    The client takes part at most so many times, two of them at least `separation` rounds apart. Entries that are not
    negative and do not rise make the inner product of two columns largest where both lie as far left and as close
    together as they may, so that the worst client takes part in rounds 0, s, 2s, ... with the same update (Kalinin and
    Lampert 2024, "Banded Square Root Matrix Factorization", theorem 2). Columns that do not overlap are orthogonal:
    with s >= bands it is |c| times the root of the participations. Raises ValueError for other entries.
    """
    if (column < 0).any() or (np.diff(column) > 0).any():
        raise ValueError("the entries of a column must be >= 0 and must not rise")
    total = np.zeros(rounds)
    for start in range(0, min(rounds, participations * separation), separation):
        rows = total[start : start + len(column)]
        rows += column[: len(rows)]
    return float(np.linalg.norm(total))


def prefix_errors(column: np.ndarray, rounds: int) -> np.ndarray:
    """Standard deviations [rounds] of the noise in the prefix sums, where Z has |c|, as far as one turn moves C x."""
    squares = np.cumsum(_sums_of_inverse(column, rounds) ** 2)
    errors: np.ndarray = np.linalg.norm(column) * np.sqrt(squares)
    return errors


def noise_deviations(column: np.ndarray, rounds: int) -> np.ndarray:
    """Standard deviations [rounds] of the rows of C^-1 Z, where Z has 1."""
    first = np.zeros(rounds)
    first[0] = 1.0
    deviations: np.ndarray = np.sqrt(np.cumsum(_filtered(column, first) ** 2))
    return deviations


def _squared_error(tail: np.ndarray, rounds: int) -> tuple[float, np.ndarray]:
    """(|c|^2 |A C^-1|_F^2 / n, its gradient) at the entries after the first, which is 1.

    With r the first column of A C^-1 and w_s = 1 - s/n the error is |c|^2 sum w_s r_s^2, and the change of r in c_j is
    minus the first column of A C^-2, j rows further down.
    """
    column = np.r_[1.0, tail]
    sums, weights = _sums_of_inverse(column, rounds), 1 - np.arange(rounds) / rounds
    error, square = float(weights @ sums**2), float(column @ column)
    again, weighted = _filtered(column, sums), weights * sums
    slopes = [weighted[lag:] @ again[: rounds - lag] for lag in range(1, len(column))]
    return square * error, 2 * tail * error - 2 * square * np.array(slopes)


def _sums_of_inverse(column: np.ndarray, rounds: int) -> np.ndarray:
    """The first column [rounds] of A C^-1."""
    return _filtered(column, np.ones(rounds))


def _filtered(column: np.ndarray, values: np.ndarray) -> np.ndarray:
    """C^-1 times values."""
    found = np.zeros_like(values)
    for at, value in enumerate(values):
        before = found[max(0, at - len(column) + 1) : at][::-1]
        found[at] = (value - column[1 : 1 + len(before)] @ before) / column[0]
    return found
