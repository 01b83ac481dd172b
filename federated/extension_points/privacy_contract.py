"""The contract of a person's own privacy mechanism."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from federated.extension_points.client_contract import check_hears, check_names
from federated.extension_points.returned import check_tensor, found_text, tensors
from federated.foundation.errors import OwnCodeFailed
from federated.privacy import Bounded, Gathered, Memory, Participated, PerExample, Privacy
from federated.user_code.containment import contained


def held_privacy(name: str, privacy: Privacy) -> Privacy:
    """A mechanism whose functions return what `Privacy` says. They raise OwnCodeFailed otherwise."""
    what = f"privacy: {name}"
    check_names(f"{name}: hears", privacy.hears)
    check_names(f"{name}: tells", privacy.tells)

    if not isinstance(privacy.per_example, PerExample | None):
        raise OwnCodeFailed(
            f"{what}: per_example must be PerExample(norm, noise_multiplier), got {found_text(privacy.per_example)}"
        )

    def init(num_parameters: int) -> Memory:
        with contained(f"{what}: init fails"):
            memory = tensors(privacy.init(num_parameters), f"{what}: init must return a mapping of tensors")
        check_hears(what, memory, privacy.hears, "hears")
        return memory

    def bound(memory: Memory, updates: Tensor, numbers: Sequence[np.random.Generator]) -> Bounded:
        assert privacy.bound is not None
        with contained(f"{what}: bound fails"):
            found: Any = privacy.bound(memory, updates, numbers)
        if not isinstance(found, Bounded):
            raise OwnCodeFailed(
                f"{what}: bound must return Bounded(updates, changed), got {found_text(found)}"
            )
        check_tensor(found.updates, updates, f"{what}: bound must return updates")
        nobody = torch.empty(len(updates), dtype=torch.bool)
        check_tensor(found.changed, nobody, f"{what}: bound must say whose update it changed,")
        told = tensors(found.told, f"{what}: bound must tell a mapping of tensors")
        if told.keys() != set(privacy.tells):
            raise OwnCodeFailed(
                f"{what}: bound must tell what tells names, {_listed(privacy.tells)}, got {_listed(told)}"
            )
        for key, rows in told.items():
            if rows.dim() != 2 or len(rows) != len(updates) or not rows.is_floating_point():
                raise OwnCodeFailed(
                    f"{what}: bound must tell {key} as floats [{len(updates)}, n], a row for each client, "
                    f"got {found_text(rows)}"
                )
        return found

    def bound_again(memory: Memory, updates: Tensor) -> Tensor:
        assert privacy.bound_again is not None
        with contained(f"{what}: bound_again fails"):
            found: Any = privacy.bound_again(memory, updates)
        check_tensor(found, updates, f"{what}: bound_again must return updates")
        summed: Tensor = found
        return summed

    def release(memory: Memory, gathered: Gathered, numbers: np.random.Generator) -> tuple[Memory, Tensor]:
        assert privacy.release is not None
        with contained(f"{what}: release fails"):
            found: Any = privacy.release(memory, gathered, numbers)
        if not isinstance(found, tuple) or len(found) != 2:
            raise OwnCodeFailed(f"{what}: release must return (memory, update), got {found_text(found)}")
        check_tensor(found[1], gathered.update, f"{what}: release must return an update")
        after = tensors(found[0], f"{what}: release must return a memory that is a mapping of tensors")
        check_hears(what, after, privacy.hears, "hears")
        return after, found[1]

    def guarantee(participated: Participated) -> Any:
        assert privacy.guarantee is not None
        with contained(f"{what}: guarantee fails"):
            from dp_accounting import (
                DpEvent,
            )  # takes a second, and few mechanisms of a person's own guarantee anything

            event: Any = privacy.guarantee(participated)
        several = event if isinstance(event, tuple) and event else (event,)
        if not all(isinstance(each, DpEvent) for each in several):
            raise OwnCodeFailed(
                f"{what}: guarantee must return an event of dp_accounting, got {found_text(event)}"
            )
        return event

    return privacy._replace(
        init=init,
        bound=None if privacy.bound is None else bound,
        bound_again=None if privacy.bound_again is None else bound_again,
        release=None if privacy.release is None else release,
        guarantee=None if privacy.guarantee is None else guarantee,
    )


def _listed(names: Any) -> str:
    return ", ".join(names) or "none"
