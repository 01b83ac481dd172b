"""The unit of a guarantee and the assumption that it rests on, in words."""

from __future__ import annotations

from federated.participation import SamplingLaw
from federated.privacy.privacy import Participated


def unit_in_words(unit: str, participated: Participated) -> str:
    """Whose data may differ between the two runs that a guarantee compares."""
    if unit == "example":
        return "one example of one client added or removed"
    if unit == "update":
        return "what one client sends replaced by anything else that it could send, towards the server too"
    if participated.law is SamplingLaw.POISSON:
        return "one client added or removed"
    return "one client's updates replaced by zeros"  # where one more would change the cohorts of all others


def assumption(participated: Participated, *, amplified: bool) -> str:
    """What is assumed of who takes part. amplified: the guarantee rests on that nobody knows it, under POISSON."""
    of = f"{participated.clients:,} clients"
    if amplified and participated.law is SamplingLaw.POISSON:
        return (
            f"Poisson sampling: each of {of} takes part in each of {participated.rounds:,} rounds on its own with "
            f"probability {participated.share:.4g}, and nobody knows who did"
        )
    return (
        f"no amplification by sampling: each of {of} takes part in at most {participated.most:,} of "
        f"{participated.rounds:,} rounds, and everybody may know in which"
    )
