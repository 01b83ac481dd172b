"""The positive class of a measure, which is about one class and all others."""

from __future__ import annotations

from federated.metrics.measures.measure import Classes, slug


def positive_class(classes: Classes, stated: str | None, field: str) -> int:
    """The class that is stated; of two, unless stated, the rarer one, and the last of two equally frequent ones.

    Raises ValueError where there are more than two and none is stated, and where no class has the name.
    """
    if stated is not None:
        return classes.number(stated, f"{field}.positive")
    if len(classes.names) != 2:
        raise ValueError(
            f"{field}: there are {len(classes.names):,} classes; state the one that it is about, such as positive: "
            f"{classes.names[0]!r}"
        )
    return 0 if classes.counts[0] < classes.counts[1] else 1


def name_of(classes: Classes, which: int) -> str:
    """The class as part of the name of a metric; with its number where two classes would have one name."""
    names = [slug(name) for name in classes.names]
    return names[which] if names.count(names[which]) == 1 else f"{names[which]}.{which}"
