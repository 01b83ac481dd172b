"""Every client gets a random sample of the same size."""

from __future__ import annotations

from data_partitioners.skew import Skew, random_deal


def iid() -> Skew:
    """Shuffle the examples and deal them out; sizes differ by at most one."""
    return Skew("iid", deal=random_deal("iid"), keeps_sizes=True)
