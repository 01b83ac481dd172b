"""Short phrases for comparisons, intervals and shares, for tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from federated.report.findings.gap_closed import GapClosed
from federated.report.findings.verdicts import Paired
from federated.report.statistics.by_ranks import least_p
from federated.report.statistics.paired import RATE, ROUNDING, Interval
from federated.study.looks import FEWEST_SEEDS, Looks


def share_text(closed: GapClosed) -> str:
    """`0.84 [0.80, 0.88]` of the anchors' gap, `[−∞, ∞]` without bounds; in words where they do not differ."""
    if closed.share is None:
        return "anchors do not differ" if closed.seeds else "no shared seed"
    ends = "" if closed.interval is None else f" [{closed.interval.low:.2f}, {closed.interval.high:.2f}]"
    return f"{closed.share:.2f}{ends}".replace("-", "−").replace("inf", "∞")


def verdict_text(pair: Paired) -> str:
    """`no difference larger than 0.01`, or `inconclusive, 5 more seeds would probably decide`."""
    told = [_verdict_text(pair), *([same] if (same := _sameness(pair)) else [])]
    return "; ".join(told) + (" (not paired)" if pair.unpaired else "")


def _verdict_text(pair: Paired) -> str:
    if pair.verdict == "no difference":
        return f"no difference larger than {pair.delta:g}"
    if pair.verdict == "no effect":
        return "no effect: identical to the baseline with every seed"
    if pair.verdict != "inconclusive":
        return pair.verdict
    if pair.estimate is None:
        return "inconclusive, no shared seed"
    if pair.more_seeds is None:
        return f"inconclusive, {_no_hope(pair)}"
    seeds = f"{pair.more_seeds} more seed{'' if pair.more_seeds == 1 else 's'}"
    if pair.count < FEWEST_SEEDS:
        return f"inconclusive, at least {seeds} needed"
    return f"inconclusive, {seeds} {'like these would' if pair.steady else 'would probably'} decide"


def _no_hope(pair: Paired) -> str:
    """The outlook where no look up to 200 seeds is likely to decide."""
    if pair.last_look is not None:
        return f"and so probably with {pair.last_look} seeds"
    return _beyond(pair)


def _beyond(pair: Paired) -> str:
    return (
        "there is no further look"
        if pair.next_look is None
        else f"the plan's next look is at {pair.next_look} seeds"
    )


def _sameness(pair: Paired) -> str:
    """The observation that every seed has the same difference, though the models differ."""
    if not pair.steady or pair.estimate is None or pair.verdict == "no effect":
        return ""
    return (
        "equal scores with every seed"
        if abs(pair.estimate) <= ROUNDING
        else "the same difference with every seed"
    )


def seeds_needed(pairs: Sequence[Paired]) -> str:
    """`, 5 to 15 more seeds would probably decide`; with fewer than three nobody knows by how much seeds differ."""
    needed = [pair.more_seeds for pair in pairs]
    if None in needed:
        beyond = {None if pair.last_look else _beyond(pair) for pair in pairs}
        told = beyond.pop() if len(beyond) == 1 else None
        return f", {told}" if told else ""
    least, most = (end(filter(None, needed), default=1) for end in (min, max))
    seeds = f"{most} more seed{'' if most == 1 else 's'}"
    if any(pair.count < FEWEST_SEEDS for pair in pairs):
        return f", at least {seeds} needed"
    return f", {f'{least} to ' if least < most else ''}{seeds} would probably decide"


def looks_text(pairs: Sequence[Paired], looks: Looks, *, robust: bool = False) -> str:
    """The timing of verdicts, the error that it guards against, and its cost where most arms were judged.

    robust: by ranks, where Student's price holds to a twentieth from ten seeds on (simulated, see the test), and where
    few seeds cannot decide, however clear they are.
    """
    counts = [pair.judged for pair in pairs if pair.judged]
    text = (
        f"Verdicts are taken at {looks.said()} seeds, each with its share of an error rate of 5 %: "
        "whoever adds seeds in rising order and judges again errs no more often for it."
    )
    if not counts or looks.share(look := max(set(counts), key=counts.count)) == 1:
        return text
    if robust and least_p(look) >= RATE * looks.share(look):
        useful = next((each for each in looks.after(look) if least_p(each) < RATE * looks.share(each)), None)
        ahead = "" if useful is None else f"; the first look at which they can is at {useful}"
        return f"{text} By ranks {look} seeds of which not all are equal decide nothing at this look{ahead}."
    wider, about = _price(looks.share(look), look), "about " if robust else ""
    return (
        f"{text} The price: with {look} seeds a difference must be {about}{wider:.1f} times as large as for a single "
        f"look at that number, which is as good as {wider**2:.1f} times the seeds; a study that will be judged only "
        f"once buys it back with comparison.looks: [{look}], stated before it runs."
    )


def _price(share: float, seeds: int) -> float:
    """The factor by which a difference must be larger than for a look with the whole error rate."""
    from scipy.stats import t

    return float(t.isf(RATE * share / 2, seeds - 1) / t.isf(RATE / 2, seeds - 1))


def difference_text(pair: Paired) -> str:
    """`+0.012 [+0.003, +0.021]`; without an interval where there is none."""
    if pair.estimate is None:
        return "–"
    return f"{signed(pair.estimate)} {interval_text(pair.interval)}".rstrip()


def interval_text(interval: Interval | None) -> str:
    """`[+0.003, +0.021]`, or nothing."""
    return "" if interval is None else f"[{signed(interval.low)}, {signed(interval.high)}]"


def signed(value: float) -> str:
    """Three decimals and a sign; a zero has none."""
    return "0.000" if abs(value) < 0.0005 else f"{value:+.3f}".replace("-", "−")
