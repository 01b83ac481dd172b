"""Several skews combined in one partition: sizes, then labels, clients or clusters, then transforms."""

from __future__ import annotations

import numpy as np

from data_partitioners.partition import Partition, Partitioner, Pool
from data_partitioners.skew import Skew


def compose(parts: tuple[Partitioner, ...]) -> Skew:
    """Several partitioners in one, `quantity_dirichlet(0.5) + dirichlet(0.1) + noise(0.1)`: sizes, labels, changes.

    At most one part decides how many examples each client gets (quantity skew), at most one which ones (label skew,
    natural clients, clusters), and any number change them (features, labels), in the order in which they
    stand. Without the first, sizes follow from the second; without the second, each client gets a random sample.
    Stated sizes are kept exactly; label skews that cannot keep them, and natural clients, are refused after them.

    A list of partitioners in a study file, or their sum as above, is short for this. Parts draw numbers of their
    own: to change one, or to add one at the end, leaves what the others draw as it was, and `compose([x])` is x.
    """
    if not parts:
        raise ValueError("parts must be at least one partitioner, got none")
    skews = [as_skew(part) for part in parts]
    _check_order(skews)
    sizing = next((skew for skew in skews if skew.sizes), None)
    dealing = next((skew for skew in skews if skew.deal), None)
    if sizing and dealing and not dealing.keeps_sizes:
        raise ValueError(
            f"{dealing.name} decides by itself how many examples each client gets, so {sizing.name} cannot go "
            "before it; leave out one of them"
        )
    return Skew(
        name=(dealing or sizing or skews[0]).name,
        sizes=sizing.sizes if sizing else None,
        deal=dealing.deal if dealing else None,
        transforms=tuple(draw for skew in skews for draw in skew.transforms),
        keeps_sizes=dealing is None or dealing.keeps_sizes,
    )


def as_skew(partitioner: Partitioner) -> Skew:
    """A plain function, such as one of the user's own, as a skew that decides who gets which examples."""
    if isinstance(partitioner, Skew):
        return partitioner
    function = getattr(partitioner, "func", partitioner)  # of a functools.partial
    name = getattr(function, "__qualname__", type(function).__name__).partition(".")[0]

    def deal(
        pool: Pool, num_clients: int | None, sizes: np.ndarray | None, generator: np.random.Generator
    ) -> Partition:
        made = partitioner(pool, num_clients, generator)
        if not isinstance(made, Partition):
            raise ValueError(
                f"partitioner: {name} must return a Partition to be composed, got {type(made).__name__}"
            )
        return made

    return Skew(name, deal=deal)


_STEPS = (
    "how many examples each client gets",
    "which examples each client gets",
    "what happens to the examples",
)


def _steps(skew: Skew) -> list[int]:
    decided = [skew.sizes is not None, skew.deal is not None, bool(skew.transforms)]
    return [step for step, decides in enumerate(decided) if decides]


def _check_order(skews: list[Skew]) -> None:
    """Raises ValueError where a part decides what one before it has decided, or comes too late for it."""
    reached: tuple[int, str] = (-1, "")
    for skew in skews:
        first, last = _steps(skew)[0], _steps(skew)[-1]
        if first < reached[0]:
            raise ValueError(
                f"{skew.name} decides {_STEPS[first]}, so it must stand before {reached[1]}, which decides "
                f"{_STEPS[reached[0]]}"
            )
        if first == reached[0] < 2:
            raise ValueError(
                f"both {reached[1]} and {skew.name} decide {_STEPS[first]}; leave out one of them"
            )
        reached = (last, skew.name)
