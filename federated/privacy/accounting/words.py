"""The unit of a guarantee and the assumption that it rests on, in words."""

from __future__ import annotations

from federated.participation import SamplingLaw
from federated.privacy.privacy import LocalSteps, Participated


def unit_in_words(unit: str) -> str:
    """Whose data may differ between the two runs that a guarantee compares.

    The number of clients is the same in both: cohorts, divisor and delta follow from it, and one client more would
    change what all others get.
    """
    if unit == "example":
        return (
            "one example of one client replaced by one that contributes nothing"  # sizes of clients are known
        )
    if unit == "update":
        return "what one client sends replaced by anything else that it could send, towards the server too"
    return "one client's updates there or not, in no sum and no count, with the number of clients fixed and public"


def assumption(participated: Participated, *, amplified: bool, separated: bool = False) -> str:
    """What is assumed of who takes part.

    amplified: the guarantee rests on its staying unknown, under POISSON. separated: it rests on how far apart the
    turns of a client are.
    """
    if participated.local_steps is not None:
        return _of_local_steps(participated, participated.local_steps)
    of = f"{participated.clients:,} clients"
    of += f", {participated.canaries:,} canaries among them," if participated.canaries else ""
    if amplified and participated.law is SamplingLaw.POISSON:
        return (
            f"Poisson sampling: each of {of} takes part in each of {participated.rounds:,} rounds on its own with "
            f"probability {participated.share:.4g}, and nobody knows who did"
        )
    apart = (
        f", with at least {participated.apart:,} rounds from one turn to its next one"
        if separated and participated.most > 1 and participated.apart > 1
        else ""
    )
    return (
        f"no amplification by sampling: each of {of} takes part in at most {participated.most:,} of "
        f"{participated.rounds:,} rounds{apart}, and everybody may know in which"
    )


def stopping(rounds: int) -> str:
    """Why epsilon is that of all rounds where a rule on what is released may end the run before them."""
    return (
        f"stop may end the run earlier, and epsilon is that of all {rounds:,} rounds after any of them: it holds for a "
        "number of rounds that is fixed beforehand, not for one that what was released decides"
    )


def _of_local_steps(participated: Participated, local: LocalSteps) -> str:
    shares = " to ".join(f"{share:.3g}" for share in dict.fromkeys((local.shares.min(), local.shares.max())))
    return (
        "Poisson batches: each example of a client is in each of its local steps on its own with probability "
        f"{shares}, and nobody knows in which; no amplification by sampling of clients: each of "
        f"{participated.clients:,} takes at most {local.steps.max():,} steps in at most {local.turns.max():,} of "
        f"{participated.rounds:,} rounds, and everybody may know in which"
    )
