"""Interactive charts as still pictures: panels side by side, one row a main metric, with a legend below."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from copy import deepcopy
from typing import Any

from federated.foundation.texts import distinct, in_a_line
from federated.report.figures.glyphs import drawable
from federated.report.figures.vega_spec import Spec, arms_drawn

_WIDTH, _HEIGHT, _BETWEEN = 1000, 280, 60
_SCALE = 1.3
"""Dots a pixel of the specification."""
_LONGEST_NAME, _LETTER, _SYMBOL = 60, 7, 40
_MOST_BANDS = 12
"""Arms up to which the ranges of their seeds can be told apart."""
_FONT = "DejaVu Sans, Liberation Sans, sans-serif"


def still(rows: Sequence[Sequence[Spec]], note: str) -> Spec | None:
    """One specification of fixed size for charts that `spec_of` made; None where there are none. note: above the
    legend."""
    if not any(rows):
        return None
    specs = [spec for row in rows for spec in row]
    drawn = set[str]().union(*map(arms_drawn, specs))
    names = {arm: _name(arm) for arm in _looks(specs, "color") if arm in drawn}
    in_legend = {
        row["arm"] for spec in specs for row in spec["data"]["values"]
    }  # anchors are named on their lines
    legend = {
        "title": note,
        "orient": "bottom",
        "columns": _columns([names[arm] for arm in in_legend]),
        "symbolOpacity": 1,
        "labelLimit": _WIDTH,
        "titleLimit": _WIDTH,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 12,
    }
    scales = {
        channel: _scale(specs, channel, names, in_legend) for channel in ("color", "shape", "strokeDash")
    }
    panels = [_panel(spec, len(row), names) for row in rows for spec in row]
    for layer in (layer for panel in panels for layer in panel["layer"]):
        for channel, scale in scales.items():
            if "scale" in (old := layer["encoding"].get(channel, {})):
                own = None if channel == "strokeDash" else legend
                layer["encoding"][channel] = {**old, "scale": scale, "legend": own}
    made = iter(panels)
    return {
        "params": specs[0]["params"],
        "config": {**specs[0]["config"], "font": _FONT, "background": "white"},
        "vconcat": [
            {"hconcat": [next(made) for _ in row], "resolve": {"scale": {"y": "shared"}}}
            for row in rows
            if row
        ],
    }


def png_of(spec: Spec) -> bytes:
    """The picture of a specification of fixed size."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(spec, scale=_SCALE))


def _panel(spec: Spec, panels: int, names: Mapping[str, str]) -> Spec:
    made = deepcopy({name: spec[name] for name in ("data", "transform", "encoding", "layer")})
    if len(names) > _MOST_BANDS:
        made["layer"] = [layer for layer in made["layer"] if layer["mark"]["type"] != "area"]
    for part in (made, *made["layer"]):
        for row in part.get("data", {}).get("values", ()):
            row["arm"] = names[row["arm"]]
    return {**made, "width": _WIDTH // panels - _BETWEEN, "height": _HEIGHT}


def _scale(
    specs: Sequence[Spec], channel: str, names: Mapping[str, str], shown: Container[str]
) -> dict[str, list[Any]]:
    """One scale of a channel for all panels, so that colours and markers share a legend. names: in its order."""
    looks = _looks(specs, channel)
    arms = [arm for arm in names if arm in shown and arm in looks]
    return {"domain": [names[arm] for arm in arms], "range": [looks[arm] for arm in arms]}


def _looks(specs: Sequence[Spec], channel: str) -> dict[str, Any]:
    """Arm -> its colour, marker or dashes in any of the charts."""
    encodings = (layer["encoding"].get(channel, {}) for spec in specs for layer in spec["layer"])
    scales = [encoding["scale"] for encoding in encodings if "scale" in encoding]
    return {arm: look for scale in scales for arm, look in zip(scale["domain"], scale["range"], strict=True)}


def _name(arm: str) -> str:
    return distinct(drawable(in_a_line(arm)), _LONGEST_NAME)


def _columns(names: Sequence[str]) -> int:
    return max(1, min(4, len(names), _WIDTH // (_LETTER * max(map(len, names)) + _SYMBOL)))
