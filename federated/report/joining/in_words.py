"""Verdicts on sites in words, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence

from federated.report.joining.differences import Difference
from federated.report.joining.found import Copy, Joined, Joining, Left
from federated.report.questions.amounts import gain_text, level_text, measure_label
from federated.report.statistics.paired import Interval
from federated.report.text.numbers_as_text import NOTHING, number
from federated.report.text.phrases import counted
from federated.report.text.table import Table


def joining_sentences(found: Sequence[Joining]) -> list[str]:
    """A sentence for each site of each arm, then those that hurt, the copies, and the groups that leave together."""
    return [sentence for each in found for sentence in _sentences(each, several=len(found) > 1)]


def joining_table(found: Sequence[Joining]) -> Table:
    """A row for each arm and site."""
    several, valued = len(found) > 1, any(each.values for each in found)
    rows = [
        [
            *([each.arm] if several else []),
            joined.site,
            level_text(joined.alone, each.metric),
            level_text(joined.together, each.metric),
            verdict_text(joined, each.metric),
            *_leaving_cells(each, each.left_by(joined.site)),
            *([_shapley_cell(each, joined.site)] if valued else []),
        ]
        for each in found
        for joined in each.joined
    ]
    columns = [
        "site",
        "alone",
        "with all",
        "verdict",
        "value to the others",
        "if it left and used their model",
    ]
    columns += ["Shapley value to the others"] if valued else []
    note = f"{_note(found[0])}{_of_values(found) if valued else ''}" if found else ""
    return Table([*(["arm"] if several else []), *columns], rows, note)


def leaving_table(found: Sequence[Joining]) -> Table:
    """A row for each arm and those that leave: what the others lose, and what it takes to train again."""
    several = len(found) > 1
    rows = [
        [
            *([each.arm] if several else []),
            " and ".join(left.sites),
            _lost_text(left.others, each.metric),
            number(left.rounds, 0),
            number(left.megabytes),
            number(left.seconds),
        ]
        for each in found
        for left in each.left
    ]
    columns = ["withdrawn", "for the others", "rounds", "MB", "seconds"]
    note = (
        "Rounds, MB up and down and seconds of wall time are those of the runs that trained again, from the beginning, "
        "without the sites; the mean over seeds."
    )
    return Table([*(["arm"] if several else []), *columns], rows, note)


def verdict_text(joined: Joined, metric: str) -> str:
    """`joins: gains 3.1 points [1.9, 4.3] for 40 MB`, `should not: loses ...`, `makes no difference: ...`."""
    gain = joined.gain
    if gain.verdict == "better":
        cost = f" for {number(joined.megabytes)} MB" if joined.megabytes else ""
        return f"joins: gains {_size(gain, metric)}{cost}"
    if gain.verdict == "worse":
        return f"should not: loses {_size(gain, metric)}"
    if gain.verdict == "inconclusive":
        return f"undecided: {_signed(gain, metric)}{_outlook(gain)}"
    return f"makes no difference: {_signed(gain, metric)}"


def value_text(others: Difference, metric: str) -> str:
    """`helps: +1.2 points [+0.3, +2.1]`, `hurts: ...`, of a site to the others."""
    word = {"better": "helps", "worse": "hurts", "inconclusive": "undecided"}.get(
        others.verdict, "makes no difference"
    )
    return f"{word}: {_signed(others, metric)}"


def _sentences(found: Joining, *, several: bool) -> list[str]:
    of = f" ({found.arm})" if several else ""
    said = [_verdict_sentence(joined, found.metric, of) for joined in found.joined]
    said += _hurting(found, of)
    for apart in found.apart:
        label, score, usual = (
            measure_label(found.metric),
            level_text(apart.score, found.metric),
            level_text(apart.usual, found.metric),
        )
        said.append(
            f"{apart.site}{of} stands apart: a model that was trained without it has {label} {score} on its examples; "
            f"for the other sites the same is {usual} on average. Wrong labels, a broken sensor or cases of another "
            "kind would show so."
        )
    said += [_copy_sentence(copy, of) for copy in found.copies]
    said += [_group_sentence(left, found.metric, of) for left in found.groups]
    return said


def _verdict_sentence(joined: Joined, metric: str, of: str) -> str:
    whose = f"{joined.site}{of}"
    if joined.gain.verdict == "inconclusive":
        whose = f"Of {whose} it is"
    return f"{whose} {verdict_text(joined, metric)}."


def _hurting(found: Joining, of: str) -> list[str]:
    """The sites whose leaving is a gain, and those that cost the others something by their Shapley value alone."""
    look = "Look at its labels and at what measures its inputs."
    said = {
        left.sites[0]: f"without it they gain {_size(left.others, found.metric)}"
        for left in found.left
        if len(left.sites) == 1 and left.others.verdict == "worse"
    }
    said |= {
        value.site: f"its Shapley value to them is {_signed(value.others, found.metric)}"
        for value in found.values
        if value.others.verdict == "worse" and value.site not in said
    }
    return [f"{site}{of} hurts the others: {how}. {look}" for site, how in said.items()]


def _copy_sentence(copy: Copy, of: str) -> str:
    return f"{copy.site}{of} is a copy of {copy.other}: {100 * copy.share:.0f} % of its examples are the other's too."


def _group_sentence(left: Left, metric: str, of: str) -> str:
    """What the others lose where several sites leave, in the sense of `_lost_text`."""
    lost = _lost_text(left.others, metric)
    verb = lost.replace("loses ", "would lose ").replace("gains ", "would gain ")
    if lost.startswith("undecided"):
        said = f"it is undecided whether the others would lose{lost.removeprefix('undecided')}"
    else:
        said = f"the others {verb if verb != lost else f'would lose {lost}'}"
    return f"If {' and '.join(left.sites)}{of} left together, {said}."


def _leaving_cells(found: Joining, left: Left | None) -> list[str]:
    if left is None:
        return [NOTHING, NOTHING]
    return [value_text(left.others, found.metric), _lost_text(left.itself, found.metric)]


def _shapley_cell(found: Joining, site: str) -> str:
    """`helps: +1.2 points [+0.3, +2.1]`, with the error of the sampling where there is one."""
    value = next((each for each in found.values if each.site == site), None)
    if value is None:
        return NOTHING
    sampled = (
        ""
        if value.error is None
        else f", sampling ±{gain_text(value.error, None, found.metric, signed=False)}"
    )
    return f"{value_text(value.others, found.metric)}{sampled}"


def _of_values(found: Sequence[Joining]) -> str:
    sampled = any(value.error is not None for each in found for value in each.values)
    how = (
        "over random orders in which the sites join; sampling is one standard error of that, over all seeds together"
        if sampled
        else "over all orders in which the sites could join, so that copies share what they add"
    )
    return (
        " The Shapley value is what a site adds to those that joined before it, on the same mean of the others' "
        f"examples, on average {how}."
    )


def _lost_text(found: Difference, metric: str) -> str:
    """What is lost, with all minus without; in words where it is nothing."""
    if found.estimate is None:
        return NOTHING
    if found.verdict == "better":
        return f"loses {_size(found, metric)}"
    if found.verdict == "worse":
        return f"gains {_size(found, metric)}"
    what = "undecided" if found.verdict == "inconclusive" else "nothing that matters"
    return f"{what}: {_signed(found, metric)}"


def _signed(found: Difference, metric: str) -> str:
    """A difference as a gain: above 0 is for the better, also of an error, of which less is better."""
    return NOTHING if found.gain is None else gain_text(found.gain, found.gain_interval, metric)


def _size(found: Difference, metric: str) -> str:
    """The size of a difference whose direction is said in words."""
    assert found.estimate is not None
    ends = found.interval
    if found.estimate < 0 and ends is not None:
        ends = Interval(-ends.high, -ends.low)
    return gain_text(abs(found.estimate), ends, metric, signed=False)


def _outlook(found: Difference) -> str:
    if found.more_seeds is None:
        return ""
    return f"; {counted(found.more_seeds, 'more seed')} would probably decide"


def _note(found: Joining) -> str:
    delta = f"no difference is one smaller than {found.delta:g}"
    if found.delta and not found.is_delta_stated:
        delta = (
            f"no difference is one smaller than {number(found.delta)}: comparison.delta, which is of "
            f"{measure_label(found.delta_of)}, times the variance of the targets of all sites' held-out examples"
        )
    if not found.delta:
        delta = (
            f"comparison.delta is of {measure_label(found.delta_of)}, so that here no difference is only one of "
            "nothing with every seed"
        )
    round_alone = (
        " Alone, all sites have one best round, by their pooled examples." if found.one_round else ""
    )
    return (
        f"Of each site the {measure_label(found.metric)} on its own held-out examples, which are the same in every "
        "column: alone, each site trains by itself; with all, all sites train; the value to the others is what the "
        "other sites would lose, on the mean of their own held-out examples, were it to leave. Gains and losses are "
        "above 0 where something is gained or lost, whichever way the measure is better, and paired by seed, with "
        "95 % intervals of that site alone; verdicts are corrected by Holm's rule over the sites of an "
        f"arm, and {delta}. MB: what the site sent and received.{round_alone}"
    )
