"""The findings on the sites of an arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from federated.report.joining.differences import Difference


@dataclass(frozen=True)
class Joined:
    """What joining does for one site: with all others minus alone.

    alone, together: the means over the seeds that both have. gain: the sites of an arm are one family of tests.
    megabytes: that the site sent and received; None where it does not train.
    """

    site: str
    alone: float | None
    together: float | None
    gain: Difference
    megabytes: float | None


@dataclass(frozen=True)
class Left:
    """What it costs that some sites leave, which are one or a group.

    others: what the remaining sites lose, on the mean of their own held-out examples. itself: what those that leave
    lose where they use the model of the others. Both are with all minus without, and each a family over all that leave.
    rounds, megabytes, seconds: of training again without them, the mean over the seeds that finished.
    """

    sites: tuple[str, ...]
    others: Difference
    itself: Difference
    rounds: float
    megabytes: float
    seconds: float | None


@dataclass(frozen=True)
class Copy:
    """A site of which this share of the examples is another's too."""

    site: str
    other: str
    share: float


@dataclass(frozen=True)
class Apart:
    """A site on whose examples the model that the others trained does far worse than on those of every other site.

    score: on its examples, of the model that was trained without it. usual: the mean of the other sites' such scores.
    """

    site: str
    score: float
    usual: float


@dataclass(frozen=True)
class Valued:
    """The Shapley value of a site to the others, by the mean score on their own held-out examples.

    error: one standard error of the sampling of permutations, over all seeds together; None where the value is exact.
    """

    site: str
    others: Difference
    error: float | None


@dataclass(frozen=True)
class Joining:
    """The sites of one arm. metric: by which sites are scored, on their own held-out examples.

    delta: the smallest difference in it that matters, 0 where none is known (see `Rules`); delta_of: the metric that
    the study's is of. one_round: whether the sites that train alone have one best round, which is chosen for all.
    """

    arm: str
    metric: str
    delta: float
    joined: Sequence[Joined]
    left: Sequence[Left]
    copies: Sequence[Copy]
    apart: Sequence[Apart] = ()
    values: Sequence[Valued] = ()
    delta_of: str = ""
    one_round: bool = False

    @property
    def is_delta_stated(self) -> bool:
        """Whether delta is as the study states it, and not worked out from that of another measure."""
        return self.metric == self.delta_of.replace("/test_", "/client_")

    def left_by(self, site: str) -> Left | None:
        """What it costs that this site alone leaves."""
        return next((each for each in self.left if each.sites == (site,)), None)

    @property
    def groups(self) -> list[Left]:
        """Those that leave together."""
        return [each for each in self.left if len(each.sites) > 1]
