"""The findings on sites as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federated.report.joining.differences import Difference
from federated.report.joining.found import Joined, Joining


def joining_numbers(found: Sequence[Joining]) -> dict[str, list[Any]]:
    """The same as columns of numbers, a row for each arm and site; {} where no site was judged."""
    rows = [_numbers(each, joined) for each in found for joined in each.joined]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def leaving_numbers(found: Sequence[Joining]) -> dict[str, list[Any]]:
    """The same of those that leave."""
    rows = [
        {
            "arm": each.arm,
            "withdrawn": ", ".join(left.sites),
            **_columns("the others lose", left.others),
            **_columns("they lose themselves", left.itself),
            "rounds": left.rounds,
            "MB": left.megabytes,
            "seconds": left.seconds,
        }
        for each in found
        for left in each.left
    ]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _numbers(found: Joining, joined: Joined) -> dict[str, Any]:
    left = found.left_by(joined.site)
    copy = next((copy for copy in found.copies if copy.site == joined.site), None)
    value = next((value for value in found.values if value.site == joined.site), None)
    return {
        "arm": found.arm,
        "site": joined.site,
        "metric": found.metric,
        "alone": joined.alone,
        "with all": joined.together,
        **_columns("gain", joined.gain),
        "MB": joined.megabytes,
        **_columns("value to the others", None if left is None else left.others),
        **_columns("Shapley value to the others", None if value is None else value.others),
        "Shapley value, sampling error": value and value.error,
        "copy of": copy and copy.other,
        "copied share": copy and copy.share,
        "stands apart": any(apart.site == joined.site for apart in found.apart),
    }


def _columns(name: str, found: Difference | None) -> dict[str, Any]:
    return {
        name: found and found.gain,
        f"{name} low": found and found.gain_interval and found.gain_interval.low,
        f"{name} high": found and found.gain_interval and found.gain_interval.high,
        f"{name}, seeds": found and found.seeds,
        f"{name}, p (Holm)": found and found.p,
        f"{name}, p (equivalence, Holm)": found and found.same_p,
        f"{name}, verdict": found and found.verdict,
    }
