"""Scores against what a training of each arm costs, by its bill; of studies that state prices."""

from __future__ import annotations

from federated.metrics.names import metric_label
from federated.report.figures.arms.curve_charts import LOG_FROM
from federated.report.figures.vega_spec import (
    PALE,
    PALE_INTERVAL,
    Rows,
    Spec,
    plain_number,
    spec_of,
    ticks,
    tooltip,
)
from federated.report.findings.by_seed import interval_over_seeds
from federated.report.findings.findings import Report


def by_cost(report: Report, metric: str) -> Spec | None:
    """A main metric over money, anchors included; None where fewer than two arms have a price or all cost the same."""
    rows: Rows = []
    for bill in report.bills:
        runs = [run for run in report.results if run.arm == bill.of]
        if bill.money is None or runs[0].main_metric != metric:
            continue
        mean, interval = interval_over_seeds(runs, metric)
        low, high = interval or (None, None)
        score = {"score": plain_number(mean), "low": plain_number(low), "high": plain_number(high)}
        rows.append({"arm": bill.of, **score, "cost": bill.money, "kg CO2": bill.co2})
    amounts = [float(row["cost"]) for row in rows]
    if len(rows) < 2 or max(amounts) == min(amounts):
        return None
    currency = report.prices.currency if report.prices else ""
    logarithmic = min(amounts) > 0 and max(amounts) / min(amounts) > LOG_FROM
    scale = {"type": "log", "nice": False, "padding": 20} if logarithmic else {"zero": False, "padding": 20}
    title = f"cost of one training{f', {currency}' if currency else ''}"
    along: Spec = {"field": "cost", "type": "quantitative", "scale": scale, "title": title}
    if logarithmic:
        along["axis"] = ticks(amounts)
    up = {"type": "quantitative", "scale": {"zero": False, "padding": 12}, "title": metric_label(metric)}
    layers: list[Spec] = [
        {
            "mark": {"type": "rule", "strokeWidth": 1.2},
            "encoding": {"y": {**up, "field": "low"}, "y2": {"field": "high"}, "opacity": PALE_INTERVAL},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 110},
            "encoding": {
                "y": {**up, "field": "score"},
                "opacity": PALE,
                "tooltip": tooltip(["cost", "kg CO2"]),
            },
        },
    ]
    return spec_of(rows, report.looks, layers, {"x": along})
