"""The parts shared by all charts: the two parameters set by the page, styles of arms, ticks, tooltips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from federated.report.figures.vega_looks import CONFIG, as_dash, as_shape
from federated.report.findings.strokes import Stroke

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

_PARAMETERS = [{"name": "picked", "value": ""}, {"name": "hidden", "value": []}]
SHOWN = {"filter": "indexof(hidden, datum.arm) < 0"}
PALE = {"condition": {"test": "picked === '' || picked === datum.arm", "value": 1}, "value": 0.1}
PALE_INTERVAL = {"condition": {"test": "picked === datum.arm", "value": 1}, "value": 0.3}
PALE_BAND = {"condition": {"test": "picked === datum.arm", "value": 0.22}, "value": 0.06}


def spec_of(rows: Rows, looks: Mapping[str, Stroke], layers: list[Spec], encoding: Spec) -> Spec:
    """A chart of layers, each with the arms' colours, dashes and markers."""
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    dashes = {"domain": arms, "range": [as_dash(looks[arm].line) for arm in arms]}
    shapes = {"domain": arms, "range": [as_shape(looks[arm].marker) for arm in arms]}
    styles = {
        "color": colour_by_arm(looks),
        "strokeDash": {"field": "arm", "type": "nominal", "scale": dashes, "legend": None},
        "shape": {"field": "arm", "type": "nominal", "scale": shapes, "legend": None},
    }
    kinds = {"line": ("color", "strokeDash"), "point": ("color", "shape")}
    for layer in layers:
        wanted = {name: styles[name] for name in kinds.get(layer["mark"]["type"], ("color",))}
        layer["encoding"] = {**wanted, **layer["encoding"]}
    return {
        "width": "container",
        "height": 340,
        "autosize": {"type": "fit", "contains": "padding"},
        "params": _PARAMETERS,
        "data": {"values": rows},
        "transform": [SHOWN],
        "encoding": encoding,
        "layer": layers,
        "config": CONFIG,
    }


def arms_drawn(spec: Spec) -> set[str]:
    """The arms that a chart has marks of, in its own data or in a layer's: what its legend has to name."""
    of_layers = (layer["data"]["values"] for layer in spec["layer"] if "data" in layer)
    return {row["arm"] for rows in (spec["data"]["values"], *of_layers) for row in rows}


def colour_by_arm(looks: Mapping[str, Stroke]) -> Spec:
    """The arms' colours, without a legend: the page has one for all charts."""
    scale = {"domain": list(looks), "range": [look.colour for look in looks.values()]}
    return {"field": "arm", "type": "nominal", "scale": scale, "legend": None}


def tooltip(amounts: Sequence[str]) -> list[Spec]:
    """The tooltip of a mark: arm, score with its ends, and these fields."""
    ends = [{"field": "low", "format": ".4~f"}, {"field": "high", "format": ".4~f"}]
    score = [{"field": "score", "format": ".4~f"}, *ends]
    return [
        {"field": "arm"},
        *score,
        *({"field": name, "format": ".4~g", "title": name} for name in amounts),
    ]


def ticks(values: Sequence[float]) -> Spec:
    """1, 2 and 5 times powers of ten: what a logarithmic axis can be read by."""
    lowest, highest = np.floor(np.log10(min(values))), np.ceil(np.log10(max(values)))
    powers = 10.0 ** np.arange(lowest, highest + 1)
    steps = (1, 2, 5) if highest - lowest <= 3 else (1,)
    return {"format": "~g", "values": [float(f"{step * power:.6g}") for power in powers for step in steps]}


def plain_number(value: Any) -> float | None:
    """The number in a form that JSON can hold."""
    return None if value is None or not np.isfinite(value) else float(value)
