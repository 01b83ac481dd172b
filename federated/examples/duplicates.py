"""Duplicate examples: counting them across a split, and keeping each group on one side.

Contents are numbers that are equal where examples have the same inputs (`Examples.contents`). Targets play no part: a
model that has seen an example with one label has seen it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_AT_A_TIME = 2**20


def copies_among(contents: np.ndarray, held_out: np.ndarray, training: np.ndarray) -> int:
    """The number of held-out examples with a copy in training. contents: whole numbers [N]; the others: indices.

    Only those held out are sorted as a whole: of a large data set, what this needs beside it is a small part.
    """
    mine = contents[held_out]
    distinct = np.unique(mine)
    seen = np.zeros(len(distinct), bool)
    for start in range(0, len(training) if len(mine) else 0, _AT_A_TIME):
        trained = np.sort(contents[training[start : start + _AT_A_TIME]])
        at = np.minimum(np.searchsorted(distinct, trained), len(distinct) - 1)
        seen[at[distinct[at] == trained]] = True
    return int(np.count_nonzero(seen[np.searchsorted(distinct, mine)]))


def copies_of(
    contents: np.ndarray, held_out: Mapping[str, np.ndarray], training: np.ndarray
) -> dict[str, int]:
    """The same for each of these sets, by its name."""
    return {name: copies_among(contents, indices, training) for name, indices in held_out.items()}


def shares_copied(contents: np.ndarray, held: Sequence[np.ndarray]) -> np.ndarray:
    """The share of each holder's examples that another holds too, float64 [K, K].

    Of the examples whose content it holds once, those that the other holds once: where contents repeat, as in a table
    of a few categories, two holders have the same by chance. 0 where fewer than half of a holder's are held once, as
    that says nothing of copies. contents: whole numbers [N]. held: the indices of each holder's examples.
    """
    once, shares = [_once(contents[each]) for each in held], np.zeros((len(held), len(held)))
    for at, mine in enumerate(once):
        for other, theirs in enumerate(once):
            if at != other and 2 * len(mine) >= max(len(held[at]), 1):
                shares[at, other] = np.isin(mine, theirs).mean()
    return shares


def _once(contents: np.ndarray) -> np.ndarray:
    """The contents that occur once."""
    found, counts = np.unique(contents, return_counts=True)
    return np.asarray(found[counts == 1])


def first_copies(contents: np.ndarray) -> np.ndarray:
    """For each example the first one, in the order of the data set, with the same inputs, int64 [N]."""
    _, first, inverse = np.unique(contents, return_index=True, return_inverse=True)
    return first[inverse]


def with_copies(held_out: np.ndarray, contents: np.ndarray, *, any_held: bool) -> np.ndarray:
    """The mask bool [N] of held-out examples with all copies on one side: held out where the first of them is, or,
    with `any_held`, where any of them is. contents: int [N]."""
    if not any_held:
        return np.asarray(held_out[first_copies(contents)])
    codes = np.unique(contents, return_inverse=True)[1]
    return np.bincount(codes, weights=held_out)[codes] > 0


def own_copies_together(
    kept: Sequence[tuple[np.ndarray, np.ndarray]], contents: np.ndarray, *, any_held: bool = False
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(training, own held-out) examples of participating clients, drawn anew so that copies are on one side.

    Across all of them, copies go where the first is (with `any_held`, all are held out where one is), each at its own
    client. A client that would be left with nothing to train on keeps its examples in training, and so do the others
    their copies of these: its own held-out set is empty.
    """
    if not any(len(own) for _, own in kept):
        return list(kept)
    every = np.concatenate([part for pair in kept for part in pair])
    every.sort()
    is_own = np.zeros(len(contents), bool)
    is_own[np.concatenate([own for _, own in kept])] = True
    is_own[every] = with_copies(is_own[every], contents[every], any_held=any_held)
    left_with_nothing = [
        len(own) + len(training) > 0 and _all(is_own, training, own) for training, own in kept
    ]
    if any(left_with_nothing):
        theirs = [
            part for pair, nothing in zip(kept, left_with_nothing, strict=True) if nothing for part in pair
        ]
        is_own[every] &= ~np.isin(contents[every], contents[np.concatenate(theirs)])
    together = []
    for (training, own), nothing in zip(kept, left_with_nothing, strict=True):
        out, back = is_own[training], ~is_own[own]
        if nothing:
            together.append((np.concatenate([own, training]), own[:0]))
        else:
            together.append(
                (np.concatenate([training[~out], own[back]]), np.concatenate([own[~back], training[out]]))
            )
    return together


def _all(mask: np.ndarray, *parts: np.ndarray) -> bool:
    return all(bool(mask[part].all()) for part in parts)
