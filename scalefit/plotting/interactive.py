"""Pictures of the report, to hover and zoom: plain numbers in, plotly figures out. Nothing is fitted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from scalefit.plotting.shades import OPAQUE, band_names, named, share_of_darkness
from scalefit.units import format_quantity, resource_label

LOSS = "test loss 1 − pass@1"
LAYOUT: dict[str, Any] = {
    "template": "plotly_white",
    "margin": {"l": 64, "r": 16, "t": 24, "b": 56},
    "height": 420,
    "font": {"size": 13},
    "legend": {"orientation": "h", "y": -0.22, "x": 0},
    "hoverlabel": {"namelength": -1},
}
CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}


def _figure(x: str, y: str, *, log_x: bool = True, log_y: bool = False) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(**LAYOUT)
    figure.update_xaxes(title=x, type="log" if log_x else "linear", exponentformat="power")
    figure.update_yaxes(title=y, type="log" if log_y else "linear")
    return figure


def _colours(count: int) -> list[str]:
    return list(sample_colorscale("Viridis", list(np.linspace(0.92, 0.05, max(count, 2)))))[:count]


def _fade(colour: str, share: float = 0.18) -> str:
    return colour.replace("rgb", "rgba").replace(")", f", {share})")


def _bands(figure: go.Figure, found: Mapping[str, Any], colours: Mapping[float, str]) -> None:
    """Draw the bands of all curves, the widest first, so that points and lines lie over them."""
    share = share_of_darkness(found)
    lines = [(curve, curve[part]) for curve in found["curves"] for part in ("fitted", "extrapolated") if curve[part]]
    for prefix, dark in reversed(OPAQUE.items()):
        for curve, line in lines:
            ends = {"x": line["x"], "low": line[f"{prefix}low"], "high": line[f"{prefix}high"]}
            fill = _fade(colours[curve["params"]], share * dark)
            _band(figure, ends, fill, format_quantity(curve["params"]))


def _name_bands(figure: go.Figure, found: Mapping[str, Any]) -> None:
    """Put each band into the legend once."""
    for prefix, name in band_names([found]).items():
        mark = {"symbol": "square", "size": 12, "color": _fade("rgb(60, 60, 60)", 1.5 * OPAQUE[prefix])}
        figure.add_scatter(x=[None], y=[None], mode="markers", name=f"95 %, {name}", marker=mark)


def _band(figure: go.Figure, line: Mapping[str, Any], fill: str, group: str) -> None:
    x, low, high = (np.asarray(line[name], float) for name in ("x", "low", "high"))
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=fill,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )


def draw_curves(found: Mapping[str, Any]) -> go.Figure:
    """Draw every run with the law: fitted solid, predicted unseen dashed with its three 95 % bands; `found` as from `holdouts`."""
    resource = found["resource"]
    figure = _figure(resource_label(resource, found.get("units")), LOSS, log_y=True)
    sizes = sorted({curve["params"] for curve in found["curves"]})
    colours, unnamed = dict(zip(sizes, _colours(len(sizes)), strict=True)), set(named(sizes))
    _bands(figure, found, colours)
    for curve in found["curves"]:
        name, colour = format_quantity(curve["params"]), colours[curve["params"]]
        figure.add_scatter(
            x=curve["x"],
            y=curve["loss"],
            mode="markers",
            name=name,
            legendgroup=name,
            showlegend=curve["params"] in unnamed,
            marker={"color": colour, "size": 5, "opacity": 0.6},
            hovertemplate=f"{name}<br>{resource} %{{x:.4g}}<br>loss %{{y:.3f}}<extra></extra>",
        )
        unnamed.discard(curve["params"])
        for part, dash in (("fitted", "solid"), ("extrapolated", "dash")):
            line = curve.get(part)
            if line is None:
                continue
            said = "law" if part == "fitted" else "predicted unseen"
            figure.add_scatter(
                x=line["x"],
                y=line["loss"],
                mode="lines",
                legendgroup=name,
                showlegend=False,
                line={"color": colour, "dash": dash, "width": 2},
                customdata=np.stack([line[end] for end in ("low", "high", "run_low", "run_high")], 1),
                hovertemplate=f"{name}, {said}<br>{resource} %{{x:.4g}}<br>loss %{{y:.3f}} (95 % %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}; "
                "a new run %{customdata[2]:.3f} to %{customdata[3]:.3f})<extra></extra>",
            )
    _name_bands(figure, found)
    return figure


def draw_slopes(found: Mapping[str, Any]) -> go.Figure:
    """Draw k(N) of each cut with its band, and each size's own slope with its interval."""
    figure = _figure("model size N [parameters]", "slope k(N)")
    for law, colour in zip(found["laws"], _colours(len(found["laws"])), strict=True):
        if np.isfinite(np.asarray(law["low"], float)).all():
            _band(figure, {"x": law["params"], "low": law["low"], "high": law["high"]}, _fade(colour), law["name"])
        figure.add_scatter(
            x=law["params"], y=law["k"], mode="lines", name=law["name"], legendgroup=law["name"], line={"color": colour}
        )
    own = found["each size alone"]
    k, low, high = (np.asarray(own[name], float) for name in ("k", "low", "high"))
    figure.add_scatter(
        x=own["params"],
        y=k,
        mode="markers",
        name="each size alone",
        marker={"color": "#444"},
        error_y={"type": "data", "symmetric": False, "array": high - k, "arrayminus": k - low},
    )
    return figure


def draw_residuals(params: Sequence[float], x: Sequence[Any], residual: Sequence[Any], resource: str) -> go.Figure:
    """Draw what the law leaves, one line a size."""
    figure = _figure(resource_label(resource), "loss minus law")
    for size, at, left, colour in zip(params, x, residual, _colours(len(params)), strict=True):
        name = format_quantity(size)
        figure.add_scatter(
            x=at, y=left, mode="lines+markers", name=name, line={"color": colour, "width": 1}, marker={"size": 3}
        )
    return figure


def draw_correlation(lags: Any, measured: Any, model: Any) -> go.Figure:
    """Draw the autocorrelation of the residuals beside that of the AR(1) noise the intervals allow for."""
    figure = _figure("evaluations apart", "correlation of residuals", log_x=False)
    figure.add_bar(x=lags, y=measured, name="residuals", marker={"color": "#7a9ec2"})
    figure.add_scatter(x=lags, y=model, mode="lines+markers", name="AR(1) as fitted", line={"color": "#b3441e"})
    return figure


def draw_profile(values: Any, lost: Any, limit: float, name: str) -> go.Figure:
    """Draw how much worse the fit gets as one parameter moves, with the line of its 95 % interval."""
    figure = _figure(name, "2 × log-likelihood lost")
    keep = np.asarray(lost) < 6 * limit
    figure.add_scatter(
        x=np.asarray(values)[keep], y=np.asarray(lost)[keep], mode="lines", name="profile", line={"color": "#3b6ea5"}
    )
    figure.add_hline(y=limit, line={"dash": "dot", "color": "#b3441e"}, annotation_text="95 %")
    return figure


def draw_plan(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw each size's loss at a budget with the intervals of the law's mean curve and of a new run."""
    known = [row for row in rows if row["loss"] is not None]
    loss = np.array([row["loss"] for row in known])
    figure = _figure("model size N [parameters]", LOSS)
    for prefix, name, width in (("run_", "95 %, a new run", 1), ("", "95 %, the law's mean curve", 4)):
        figure.add_scatter(
            x=[row["params"] for row in known],
            y=loss,
            mode="markers+lines" if not prefix else "markers",
            name=name,
            line={"color": "#3b6ea5", "width": 1},
            marker={"color": "#3b6ea5"},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.array([row[f"{prefix}high"] for row in known]) - loss,
                "arrayminus": loss - np.array([row[f"{prefix}low"] for row in known]),
                "thickness": width,
                "width": 0 if not prefix else 4,
            },
        )
    return figure


def as_html(figure: go.Figure, name: str) -> str:
    """Return a figure as a piece of a page that has plotly's script already."""
    found: str = figure.to_html(full_html=False, include_plotlyjs=False, config=CONFIG, div_id=name)
    return found


def script() -> str:
    """Return plotly's script, so that the page needs no network."""
    from plotly.offline import get_plotlyjs

    found: str = get_plotlyjs()
    return found
