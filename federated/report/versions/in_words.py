"""The history of a study in sentences: whether the newest is as the earlier ones, and since when what is as it is."""

from __future__ import annotations

from collections.abc import Sequence

from federated.metrics.names import metric_label
from federated.report.statistics.paired import Interval
from federated.report.text.numbers_as_text import decimals_of, number
from federated.report.text.phrases import counted, every, first_few
from federated.report.versions.history import History, PastStudy, Point, Trend

_DIGITS = 8
"""Of a study's id in a command."""


def history_sentences(history: History) -> list[str]:
    """The newest study among the earlier ones, the last changes, missed bands, failures."""
    newest = history.studies[history.newest]
    if len(history.studies) == 1:
        said = [f"{history.name} ran once, {newest.version.said}: there is nothing before it to go by."]
    else:
        said = [*_within(history), *_changes(history)]
    return [*said, *_other_settings(history), *_bands(history), *_failures(history), *_limits(history)]


def _within(history: History) -> list[str]:
    """Whether the newest means are among the earlier ones."""
    at = history.newest
    last = at == len(history.studies) - 1
    which = f"The newest study{'' if last else ' with a finished run'} ({history.studies[at].version.said})"
    known = [(trend, within) for trend in history.trends if (within := trend.is_within(at)) is not None]
    if not known:
        return [f"{which} has no arm that finished in an earlier study with the same settings."]
    outside = [trend for trend, within in known if not within]
    most = max(len(trend.earlier(at)) for trend, _ in known)
    arms, earlier = counted(len(known), "arm"), f"the {most} earlier ones" if most > 1 else "the earlier one"
    if not outside:
        where = f"in {every(len(known), 'arm')}" if len(known) == len(history.trends) else f"in {arms}"
        return [f"{which} is within what {earlier} gave {where}."]
    named = first_few([_outside(trend, at) for trend in outside])
    return [f"{which} is outside what {earlier} gave in {len(outside)} of {arms}: {named}."]


def _outside(trend: Trend, at: int) -> str:
    """`iid: test accuracy 0.905, earlier 0.911 to 0.913`."""
    newest, ends = trend.newest(at), trend.range_before(at)
    mean = None if newest is None else newest.mean
    return f"{trend.arm}: {metric_label(trend.metric)} {_value(mean, trend)}, earlier {_ends(ends, trend)}"


def _ends(ends: Interval | None, trend: Trend) -> str:
    if ends is None:
        return number(None)
    low, high = (_value(end, trend) for end in ends)
    return low if low == high else f"{low} to {high}"


def _value(value: float | None, trend: Trend) -> str:
    return number(value, decimals_of(trend.metric, value))


def _changes(history: History) -> list[str]:
    """The arms by the study since which their scores are what they are, the latest change first."""
    at, same = history.newest, list[str]()
    changed: dict[tuple[int, int], list[str]] = {}
    for trend in history.trends:
        found = trend.last_change(at)
        if found is None or not trend.earlier(at):
            continue
        before, since = found
        if before is None:
            same.append(trend.arm)
        else:
            changed.setdefault((before.at, since.at), []).append(_step(trend, before, since))
    said = [
        _change(history.studies[places[0]], history.studies[places[1]], arms)
        for places, arms in sorted(changed.items(), reverse=True)
    ]
    if same:
        which = (
            "every arm is"
            if not changed and len(same) > 1
            else f"{first_few(same)} {'are' if len(same) > 1 else 'is'}"
        )
        said.append(f"In all studies with the same settings {which} the same, seed by seed.")
    return said


def _step(trend: Trend, before: Point, since: Point) -> str:
    data = ", with other data" if before.data and since.data and before.data != since.data else ""
    return f"{trend.arm} ({_value(before.mean, trend)} to {_value(since.mean, trend)}{data})"


def _change(before: PastStudy, since: PastStudy, arms: Sequence[str]) -> str:
    same_code = before.version.commit == since.version.commit
    where = "at the same commit" if same_code else f"from {before.version.said}"
    name = since.version.label
    command = f"./fedstudy compare {name}@{before.run_id[:_DIGITS]} {name}@{since.run_id[:_DIGITS]}"
    return f"Changed with {since.version.said}, {where}: {first_few(arms)}. `{command}` compares the two."


def _other_settings(history: History) -> list[str]:
    """The studies in which some arm had other settings, which do not count."""
    others = {point.at for trend in history.trends for point in trend.points if not point.alike}
    if not others:
        return []
    studies = counted(len(others), "study", "studies")
    return [f"{studies} had other settings in some arm: they are drawn hollow and not counted."]


def _bands(history: History) -> list[str]:
    """The figures outside their bands in the newest study, and the studies that missed any."""
    newest = history.studies[history.newest]
    missed = [study for study in history.studies if study.missed]
    others = _dates([study for study in missed if study is not newest])
    if newest.missed:
        return [f"Figures of the newest study outside their bands: {first_few(newest.missed)}.", *others]
    return [
        *(["The figures of the newest study are all in their bands."] if newest.bands == "held" else []),
        *others,
    ]


def _dates(missed: Sequence[PastStudy]) -> list[str]:
    if not missed:
        return []
    dates = first_few([study.version.when for study in reversed(missed)])
    return [f"{counted(len(missed), 'other study', 'other studies')} missed a band: {dates}."]


def _failures(history: History) -> list[str]:
    """The studies of which something failed, and what still runs."""
    failed = [study for study in reversed(history.studies) if study.failed]
    running = [study.version.when for study in history.studies if study.running]
    said = []
    if failed:
        dates = first_few(
            [f"{study.version.when} ({study.failed_runs} of {len(study.results)})" for study in failed]
        )
        said.append(
            f"Runs failed in {counted(len(failed), 'study', 'studies')}, and are left out of every number: {dates}."
        )
    return [*said, *([f"Still running: {first_few(running)}."] if running else [])]


def _limits(history: History) -> list[str]:
    if not history.left_out:
        return []
    return [
        f"Only the newest {len(history.studies)} were read; {history.left_out:,} older ones are in MLflow."
    ]
