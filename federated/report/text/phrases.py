"""Short phrases for comparisons, intervals and shares, for tables and sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from federated.report.findings.gap_closed import GapClosed
from federated.report.findings.verdicts import Paired
from federated.report.statistics.by_ranks import least_p
from federated.report.statistics.paired import RATE, ROUNDING
from federated.report.text.numbers_as_text import NOTHING, decimals_of, with_interval
from federated.report.text.table import Table
from federated.study.looks import FEWEST_SEEDS, Looks

_MOST_NAMED = 3


def first_few(words: Sequence[str], most: int = _MOST_NAMED) -> str:
    """`a; b; c; and 2 more`."""
    more = f"; and {len(words) - most} more" if len(words) > most else ""
    return "; ".join(words[:most]) + more


def those_and_few(words: Mapping[str, str], always: Collection[str], most: int = _MOST_NAMED) -> str:
    """The same of arm -> its words, in their order: the arms in `always`, and the first others up to `most` in all."""
    others = [arm for arm in words if arm not in always]
    shown = others[: max(0, most - (len(words) - len(others)))]
    kept = [said for arm, said in words.items() if arm in always or arm in shown]
    return first_few([*kept, *(words[arm] for arm in others[len(shown) :])], len(kept))


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 seed`, `1,000 seeds`. plural: where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def every(number: int, noun: str) -> str:
    """`both arms`, `all 3 arms`; of one `its one arm`."""
    return {1: f"its one {noun}", 2: f"both {noun}s"}.get(number, f"all {number:,} {noun}s")


def capitalised(text: str) -> str:
    """The text with a capital first letter and the others unchanged: `Test R²`."""
    return text[:1].upper() + text[1:]


def share_text(closed: GapClosed) -> str:
    """`0.84 [0.80, 0.88]` of the anchors' gap, `[−∞, ∞]` without bounds; in words where they do not differ."""
    if closed.share is None:
        return "no gap" if closed.seeds else "no shared seed"
    return with_interval(closed.share, closed.interval, 2)


def difference_text(pair: Paired) -> str:
    """`+0.012 [+0.003, +0.021]`; without an interval where there is none."""
    known = [abs(value) for value in (pair.estimate, *(pair.interval or ())) if value is not None]
    decimals = decimals_of(pair.metric, max(known, default=None))
    return with_interval(pair.estimate, pair.interval, decimals, signed=True)


def chances_text(pair: Paired) -> str:
    """`97 / 3 / 0 %`: the probabilities of better, equivalent and worse; a dash where there are none."""
    if pair.chances is None:
        return NOTHING
    return f"{' / '.join(f'{100 * chance:.0f}' for chance in pair.chances)} %"


def chances_table(pairs: Sequence[Paired]) -> Table | None:
    """One row an arm: the probabilities beside the verdict; None where no pair has any."""
    known = [pair for pair in pairs if pair.chances is not None]
    if not known:
        return None
    rows = [[pair.arm, difference_text(pair), chances_text(pair), verdict_text(pair)] for pair in known]
    columns = ["arm", f"minus {known[0].baseline}", "better / equivalent / worse", "verdict"]
    return Table(columns, rows, CHANCES.format(delta=f"{known[0].delta:g}"))


CHANCES = (
    "Probabilities that the mean difference is better than {delta}, within it and worse: they assume that seeds are "
    "independent draws whose differences vary like a normal distribution, and no knowledge beforehand; they hold for "
    "further seeds on these data, not for other data. Unlike verdicts they are not corrected for several arms or looks."
)


def verdict_text(pair: Paired) -> str:
    """`no difference larger than 0.01`, or `inconclusive; 5 more seeds would probably decide`."""
    parts = [_verdict(pair), *(["not paired"] if pair.unpaired else [])]
    if pair.steady and pair.estimate is not None and pair.verdict != "no effect":
        same = "same score" if abs(pair.estimate) <= ROUNDING else "same difference"
        parts.insert(1, f"{same} with every seed")
    return "; ".join(parts)


def _verdict(pair: Paired) -> str:
    if pair.verdict == "no difference":
        return f"no difference larger than {pair.delta:g}"
    if pair.verdict == "no effect":
        return "no effect; identical to the baseline"
    if pair.verdict != "inconclusive":
        return pair.verdict
    if pair.estimate is None:
        return "inconclusive; no shared seed"
    outlook = seeds_needed([pair]).rstrip(".")
    return f"inconclusive; {outlook[:1].lower()}{outlook[1:]}" if outlook else "inconclusive"


def seeds_needed(pairs: Sequence[Paired]) -> str:
    """The number of further seeds that inconclusive arms need: `5 to 15 more seeds would probably decide.`

    With fewer than three seeds it is a lower bound, as there is no estimate of how much seeds differ.
    """
    needed = [pair.more_seeds for pair in pairs]
    if None in needed:
        outlooks = {_no_hope(pair) for pair in pairs}
        return outlooks.pop() if set(needed) == {None} and len(outlooks) == 1 else ""
    least, most = (end(filter(None, needed), default=1) for end in (min, max))
    seeds = counted(most, "more seed")
    if any(pair.count < FEWEST_SEEDS for pair in pairs):
        return f"At least {seeds} {'is' if most == 1 else 'are'} needed."
    return f"{f'{least} to ' if least < most else ''}{seeds} would probably decide."


def _no_hope(pair: Paired) -> str:
    """The outlook where no number of seeds up to 200 is likely to decide."""
    if pair.last_look is not None:
        return f"Probably still inconclusive with {pair.last_look} seeds."
    if pair.next_look is None:
        return "comparison.looks plans no further verdict."
    return f"The next verdict is taken at {pair.next_look} seeds."


def looks_text(pairs: Sequence[Paired], looks: Looks, *, robust: bool = False) -> str:
    """The numbers of seeds at which verdicts are taken, the error rate that they share, and its cost.

    robust: by ranks, where Student's cost holds to a twentieth from ten seeds on (simulated, see the test), and where
    few seeds cannot decide, however clear they are.
    """
    counts = [pair.judged for pair in pairs if pair.judged]
    text = (
        f"Verdicts are taken at {looks.said()} seeds, which share an error rate of 5 %. You may therefore add seeds in "
        "rising order and compare again without raising that rate."
    )
    if not counts or looks.share(look := max(set(counts), key=counts.count)) == 1:
        return text
    if robust and least_p(look) >= RATE * looks.share(look):
        useful = next((each for each in looks.after(look) if least_p(each) < RATE * looks.share(each)), None)
        first = "" if useful is None else f" The first number at which it can is {useful}."
        return f"{text} With {look} seeds a rank test cannot decide unless all seeds are equal.{first}"
    wider, about = _price(looks.share(look), look), "about " if robust else ""
    return (
        f"{text} The cost: with {look} seeds a difference must be {about}{wider:.1f} times as large as in a study that "
        f"is judged once, or the study needs {wider**2:.1f} times the seeds. A study that will be judged only once, at "
        f"{look} seeds, avoids this cost with comparison.looks: [{look}], stated before it runs."
    )


def _price(share: float, seeds: int) -> float:
    """The factor by which a difference must be larger than for a look with the whole error rate."""
    from scipy.stats import t

    return float(t.isf(RATE * share / 2, seeds - 1) / t.isf(RATE / 2, seeds - 1))
