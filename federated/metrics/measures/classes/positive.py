"""The positive class of a measure, which is about one class and all others."""

from __future__ import annotations

import re

from federated.metrics.by_client import CLIENTS, STATISTICS
from federated.metrics.measures.measure import Classes, slug

_ENDING = re.compile(rf"(^|_)({'|'.join((*STATISTICS, CLIENTS, 'higher_is_better', 'lower_is_better'))})$")


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
    """The class as part of the name of a metric.

    With its number where two classes would have one name, and where the name ends as that of a statistic over clients
    does: `auroc_clients` would be read as a count.
    """
    names = [slug(name) for name in classes.names]
    plain = names.count(names[which]) == 1 and not _ENDING.search(names[which])
    return names[which] if plain else f"{names[which]}.{which}"
