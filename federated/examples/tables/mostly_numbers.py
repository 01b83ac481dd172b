"""Text columns that are mostly numbers: the cells that are not, and the remedy."""

from __future__ import annotations

import re

import numpy as np

from federated.examples.tables.number_like import NumberLike, few_bounds, few_units, number_like
from federated.foundation.texts import quoted, shortened
from federated.preprocessing.number_marks import PLAIN, Marks

_MOST_CELLS = 3
_MOST_TO_NAME = 5
_GROUP = re.compile("([. '\u00a0\u202f])[0-9]{3},")


class Numbers:
    """A column of text most of which are numbers. found: text -> how it is one, None where it is none."""

    def __init__(self, texts: list[str], counts: np.ndarray, units: bool, marks: Marks) -> None:
        """counts: cells of each text. units: whether `5 kg` is one. marks: how the file writes numbers."""
        found = {text: number_like(text, marks) for text in texts}
        doubtful = {"unit"} if not units or not few_units(found) else set()
        doubtful |= set() if few_bounds(found) else {"bound"}
        self.marks = marks
        self.found: dict[str, NumberLike | None] = {
            text: None if each and each.style in doubtful else each for text, each in found.items()
        }
        self.strange = [text for text in texts if (n := self.found[text]) is None or n.style != "plain"]
        are = np.array([self.found[text] is not None for text in texts])
        self.share = float(counts[are].sum() / counts.sum())
        self.different = len({each.number for each in self.found.values() if each is not None})

    def styles(self) -> set[str]:
        """Of the numbers that are not plain, and `none` where some texts are no numbers."""
        return {each.style if (each := self.found[text]) else "none" for text in self.strange}

    def of_style(self, style: str) -> list[str]:
        """The texts that are numbers in this style."""
        return [text for text in self.strange if (n := self.found[text]) and n.style == style]


def mostly_numbers(
    texts: list[str], counts: np.ndarray, marks: Marks | None, units: bool = True
) -> Numbers | None:
    """The facts about a text column with at least half numbers; None for any other column.

    marks: how the file writes numbers; None where it is no text file.
    """
    numbers = Numbers(texts, counts, units, marks or Marks())
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
    """The remedy: in the study file, where the data set is CSV with these options, or in the data."""
    if not numbers.strange:
        return (
            "name it in `numeric`" if options else "store it as numbers (`numeric` of a `table` reads it so)"
        )
    if not options:
        bounds = "".join(f", {_bound(numbers)}" for _ in numbers.of_style("bound")[:1])
        return f"turn it into numbers, with nothing where there is none{bounds}"
    styles = numbers.styles()
    cures = [_marks(numbers, styles)] if styles & {"decimal point", "decimal comma", "thousands"} else []
    if "bound" in styles:
        cures.append(f"{_bound(numbers)} in the file (as a missing value it would be lost)")
    if "unit" in styles:
        cures.append("take what stands around the numbers off in the file")
    if "other signs" in styles:
        cures.append("write plain digits and minus signs in the file")
    return " and ".join([*cures, *_words(numbers)])


def _bound(numbers: Numbers) -> str:
    text = numbers.of_style("bound")[0]
    found = numbers.found[text]
    assert found is not None
    return f"write a number such as {found.number} for {quoted(text)}"


def _marks(numbers: Numbers, styles: set[str]) -> str:
    """The remedy for numbers written with other marks than the stated ones."""
    marks = numbers.marks
    if "decimal point" in styles:
        return _points(numbers)
    if "decimal comma" in styles:
        groups = {found[1] for text in numbers.strange if (found := _GROUP.search(text))}
        thousands = [f'`thousands: "{mark}"`' for mark in sorted(groups)[:1]]
        if marks.decimal == ",":
            return f"state {thousands[0]}" if thousands else "write it as the other numbers in the file"
        instead = ' instead of `thousands: ","`' if marks.thousands == "," else ""
        return "state " + " and ".join(['`decimal: ","`', *thousands]) + instead
    text = numbers.of_style("thousands")[0]
    mark = re.sub("[-+0-9]", "", text)[0]
    if marks.thousands is not None:
        return f'write its thousands with the `thousands: "{marks.thousands}"` that is stated, in the file'
    unsure = mark in ",." and not any(each.count(mark) > 1 for each in numbers.strange)
    other = f' (or `decimal: "{mark}"` if {text} is {text.replace(mark, ".")})' if unsure else ""
    return f'state `thousands: "{mark}"`{other}'


def _points(numbers: Numbers) -> str:
    """Of numbers with a decimal point where another decimal mark is stated."""
    texts, marks = numbers.of_style("decimal point"), numbers.marks
    groups = [text for text in texts if re.fullmatch(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+", text.strip())]
    if marks.thousands is None and len(groups) == len(texts):
        return f'state `thousands: "."` (or name it in `numeric` if {texts[0]} has a decimal point)'
    if all(PLAIN.fullmatch(text.strip()) for text in numbers.found):
        return "name it in `numeric` if the point is its decimal mark"
    return f'write {texts[0]} with the `decimal: "{marks.decimal}"` that is stated, in the file'


def _words(numbers: Numbers) -> list[str]:
    """The remedies for texts that are not numbers. A text with a digit may hold more than a missing value."""
    words = [text for text in numbers.strange if numbers.found[text] is None]
    values = [text for text in words if any(character.isdigit() for character in text)]
    cures = []
    if len(words) > _MOST_TO_NAME:
        where = " or name them in `missing_values`" if not values else ""
        return [f"correct {len(words):,} different texts in the file{where}"]
    if values:
        shown = ", ".join(quoted(shortened(text, 40)) for text in values)
        cures.append(f"write a number for {shown} in the file (as a missing value it would be lost)")
    if empty := [text for text in words if text not in values]:
        shown = ", ".join(f'"{shortened(text, 40)}"' for text in empty)
        cures.append(f"state `missing_values: [{shown}]` if that is what it stands for")
    return cures
