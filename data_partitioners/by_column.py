"""Natural skew: a continuous property of the examples is cut into bands."""

from __future__ import annotations

import numpy as np

from data_partitioners.assignment import equal_sizes
from data_partitioners.partition import Partition, Pool, by_owner, numbered, stated_number
from data_partitioners.skew import Skew


def by_column(column: str, strictness: float = 1.0) -> Skew:
    """Clients hold bands of a continuous property: the first its lowest values, the last its highest.

    Examples are put in order of strictness z + (1 - strictness) e, z the standardised property and e ~ N(0, 1), and cut
    into bands of equal size (or the sizes stated before in `compose`), as in flwr-datasets' ContinuousPartitioner.
    Equal values are in random order.

    column: a column of a table, features or not; "target" for the target of a regression; for arrays [N, features]
        the number of the feature.
    strictness: from 0 (random) to 1 (bands that do not overlap).
    """
    if not 0 <= strictness <= 1:
        raise ValueError(f"strictness must be from 0 to 1, got {strictness}")

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        number = stated_number(num_clients, pool, "by_column")
        z = _standardised(_values(pool, column), column)
        score = strictness * z + (1 - strictness) * generator.standard_normal(pool.size)
        shuffled = generator.permutation(pool.size)
        line = shuffled[np.argsort(score[shuffled], kind="stable")]
        sizes = equal_sizes(pool.size, number) if sizes is None else sizes
        owners = np.full(pool.size, -1, np.int64)
        owners[line[: sizes.sum()]] = np.repeat(np.arange(number), sizes)
        return numbered(by_owner(owners, number))

    return Skew("by_column", deal=deal, keeps_sizes=True)


def _values(pool: Pool, column: str) -> np.ndarray:
    """The property of each example, float64 [N]. Raises ValueError where it is not there or not whole."""
    if column == "target" and pool.targets is not None and pool.targets.ndim == 1:
        return pool.targets.astype(np.float64)
    if pool.column is None:
        raise ValueError(f"partitioner: by_column needs a data set with columns, to find {column!r} in it")
    values = pool.column(column)
    if missing := int((~np.isfinite(values)).sum()):
        raise ValueError(
            f"partitioner: by_column: the column {column!r} is missing or infinite in {missing} of "
            f"{len(values)} examples; by_client over a column of bands could have one for them"
        )
    return values


def _standardised(values: np.ndarray, column: str) -> np.ndarray:
    spread = values.std()
    if not spread > 0:
        raise ValueError(f"partitioner: by_column: the column {column!r} is {values[0]:g} in every example")
    return np.asarray((values - values.mean()) / spread)
