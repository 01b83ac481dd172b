"""The last round that stays within a budget of epsilon."""

from __future__ import annotations

from collections.abc import Callable


def last_within(budget: float | None, rounds: int, epsilon_after: Callable[[int], float]) -> int:
    """The last of so many rounds within the budget. None: no budget. epsilon_after: never falls from round to round.

    Raises ValueError where the first is beyond it.
    """
    if budget is None or epsilon_after(rounds) <= budget:
        return rounds
    fits, beyond = 0, rounds
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        fits, beyond = (middle, beyond) if epsilon_after(middle) <= budget else (fits, middle)
    if not fits:
        raise ValueError(
            f"epsilon_budget {budget:g} is less than the first round spends, epsilon {epsilon_after(1):.4g}"
        )
    return fits
