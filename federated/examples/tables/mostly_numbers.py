"""Columns of text that are mostly numbers: which cells are not, and what cures it."""

from __future__ import annotations

import re

import numpy as np

from federated.examples.tables.number_like import NumberLike, few_units, number_like
from federated.foundation.texts import quoted, shortened

_MOST_CELLS = 3
_MOST_TO_NAME = 5


class Numbers:
    """A column of text most of which are numbers. found: text -> how it is one, None where it is none."""

    def __init__(self, texts: list[str], counts: np.ndarray, units: bool) -> None:
        """counts: cells of each text. units: whether `5 kg` is one."""
        found = {text: number_like(text) for text in texts}
        if not units or not few_units(found):
            found = {text: None if each and each.style == "unit" else each for text, each in found.items()}
        self.found: dict[str, NumberLike | None] = found
        self.strange = [text for text in texts if (each := found[text]) is None or each.style != "plain"]
        are = np.array([found[text] is not None for text in texts])
        self.share = float(counts[are].sum() / counts.sum())
        self.different = len({each.number for each in found.values() if each is not None})

    def styles(self) -> set[str]:
        """Of the numbers that are not plain, and `none` where some texts are no numbers."""
        return {each.style if (each := self.found[text]) else "none" for text in self.strange}


def mostly_numbers(texts: list[str], counts: np.ndarray, units: bool = True) -> Numbers | None:
    """What is known of a column of text at least half of which are numbers; None for any other."""
    numbers = Numbers(texts, counts, units)
    return numbers if numbers.share >= 0.5 and numbers.different >= 2 else None


def cells_in_words(codes: np.ndarray, texts: list[str], numbers: Numbers) -> str:
    """`12 cells do not fit, such as '?' in row 3; `, rows from 1.

    codes: the place of each cell's text among texts, int [N]; -1 where it is missing.
    """
    if not numbers.strange:
        return ""
    place = {text: at for at, text in enumerate(texts)}
    strange = np.isin(codes, [place[text] for text in numbers.strange])
    firsts = sorted(
        (int(np.flatnonzero(codes == place[text])[0]), text) for text in numbers.strange[:_MOST_CELLS]
    )
    shown = ", ".join(f"{quoted(text)} in row {row + 1}" for row, text in firsts)
    count = int(strange.sum())
    return f"{count:,} {'cell does' if count == 1 else 'cells do'} not fit, such as {shown}; "


def cure(numbers: Numbers, options: bool = True) -> str:
    """What to do about it: in the study file, where the data set is CSV with these options, or in the data."""
    if not numbers.strange:
        return (
            "name it in `numeric`" if options else "store it as numbers (`numeric` of a `table` reads it so)"
        )
    if not options:
        return "turn it into numbers, with nothing where there is none"
    styles, cures = numbers.styles(), []
    if "decimal comma" in styles:
        grouped = any(re.search("[. '\u00a0\u202f][0-9]{3},", text) for text in numbers.strange)
        cures.append('state `decimal: ","`' + (' and `thousands: "."`' if grouped else ""))
    elif "thousands" in styles:
        text = next(each for each in numbers.strange if (n := numbers.found[each]) and n.style == "thousands")
        mark = re.sub("[-+0-9]", "", text)[0]
        cures.append(f'state `thousands: "{mark}"`')
        if mark in ",." and not any(each.count(mark) > 1 for each in numbers.strange):
            cures[-1] += f' (or `decimal: "{mark}"` if {text} is {text.replace(mark, ".")})'
    if "unit" in styles:
        cures.append("take what stands around the numbers off in the file")
    if "other signs" in styles:
        cures.append("write plain digits and minus signs in the file")
    if "none" in styles:
        words = [text for text in numbers.strange if numbers.found[text] is None]
        if len(words) <= _MOST_TO_NAME:
            shown = ", ".join(f'"{shortened(text, 40)}"' for text in words)
            cures.append(f"state `missing_values: [{shown}]` if that is what it stands for")
        else:
            cures.append(
                f"correct {len(words):,} different texts in the file or name them in `missing_values`"
            )
    return " and ".join(cures)
