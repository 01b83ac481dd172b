"""The contract of a user-defined rule by which examples are held out, checked at every call."""

from __future__ import annotations

from typing import Any

import numpy as np

from federated.examples.examples import Examples
from federated.extension_points.returned import found_text
from federated.foundation.errors import OwnCodeFailed
from federated.holdouts import FittedRule, HoldoutRule, SetName
from federated.user_code.containment import contained


def held_holdout(name: str, rule: HoldoutRule) -> HoldoutRule:
    """A rule whose functions return what `HoldoutRule` says. They raise OwnCodeFailed otherwise."""
    what = f"holdout: {name}"

    def fitted(examples: Examples, copies: np.ndarray | None) -> FittedRule:
        with contained(f"{what}: fitted fails"):
            made: Any = rule.fitted(examples, copies)
        if not isinstance(made, FittedRule):
            raise OwnCodeFailed(f"{what}: fitted must return a FittedRule, got {found_text(made)}")

        def split(
            candidates: np.ndarray, share: float, which: SetName, numbers: np.random.Generator
        ) -> np.ndarray:
            with contained(f"{what}: split fails"):
                held_out: np.ndarray = np.asarray(made.split(candidates.copy(), share, which, numbers))
            if held_out.dtype != bool or held_out.shape != candidates.shape:
                raise OwnCodeFailed(
                    f"{what}: split must return bool [{len(candidates)}], whether each example is held out, got "
                    f"{held_out.dtype} {list(held_out.shape)}"
                )
            return held_out

        return made._replace(split=split)

    return rule._replace(fitted=fitted)
