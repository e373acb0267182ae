"""Pictures of the report, to hover: plain numbers in, what `web/page.js` draws out. Nothing is fitted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scalefit.plotting.page import SIZES
from scalefit.plotting.shades import OPAQUE, band_names, named, share_of_darkness
from scalefit.plotting.words import axis_words
from scalefit.units import format_amount, format_quantity

LOSS = "loss, 1 − pass@1"
LEAST = 1e-3
"""Loss that is drawn for one of 0, on an axis of logarithms."""
MOST_DOTS = 160
"""Points of a curve that are drawn; of more, these many evenly."""
Spec = dict[str, Any]


def _axes(x: str, y: str, *, log_x: bool = True, log_y: bool = False, write: str = "quantity") -> Spec:
    return {"x": {"label": x, "log": log_x, "write": write}, "y": {"label": y, "log": log_y}, "marks": [], "legend": []}


def _resource(found: Mapping[str, Any], **more: Any) -> Spec:
    name = found["resource"]
    write = "flops" if name == "flops" else "quantity"
    spec = _axes(axis_words(name, found.get("units")), LOSS, write=write, **more)
    spec["y"]["word"] = "loss"
    return spec


def colours_of(sizes: Sequence[float]) -> dict[float, str]:
    """Return the colour of each size by its name in the style sheet, in order."""
    every = sorted(set(sizes))
    places = np.linspace(0, SIZES - 1, len(every)).round().astype(int) if len(every) > 1 else [SIZES - 1]
    return {size: f"s{at}" for size, at in zip(every, places, strict=True)}


def draw_curves(found: Mapping[str, Any]) -> Spec:
    """Return every run with the law: fitted solid, predicted unseen dashed with its three 95 % bands; `found` as from `holdouts`."""
    spec = _resource(found, log_y=True)
    sizes = sorted({curve["params"] for curve in found["curves"]})
    colours, share = colours_of(sizes), share_of_darkness(found)
    lines = [
        (curve, part, curve[part]) for curve in found["curves"] for part in ("fitted", "extrapolated") if curve[part]
    ]
    few = sum(1 for _ in lines) < 3
    for prefix, dark in reversed(OPAQUE.items()):
        for curve, part, line in lines:
            if prefix and not (few or part == "extrapolated"):
                continue
            band = {name: line[f"{prefix}{name}"] for name in ("low", "high")}
            mark = {"kind": "band", "x": line["x"], **band, "colour": colours[curve["params"]], "dark": share * dark}
            spec["marks"].append(mark)
    for curve in found["curves"]:
        x, loss = thinned(curve["x"], curve["loss"])
        mark = {"kind": "dots", "x": x, "y": np.maximum(loss, LEAST), "colour": colours[curve["params"]]}
        spec["marks"].append(mark | {"label": format_quantity(curve["params"])})
    for curve, part, line in lines:
        said = "the law" if part == "fitted" else "predicted unseen"
        mark = {"kind": "line", "x": line["x"], "y": line["loss"], "low": line["low"], "high": line["high"]}
        mark |= {"colour": colours[curve["params"]], "dash": part == "extrapolated"}
        spec["marks"].append(mark | {"label": f"{format_quantity(curve['params'])}, {said}"})
    every = np.concatenate([np.asarray(curve["loss"], float) for curve in found["curves"]])
    # Bands may reach to nothing; what was measured is what is looked at.
    spec["y"]["range"] = [0.85 * max(float(every.min()), LEAST), min(1.08 * max(float(every.max()), LEAST), 1.0)]
    spec["legend"] = [{"label": format_quantity(size), "colour": colours[size], "mark": "dot"} for size in named(sizes)]
    for prefix, name in band_names([found]).items():
        spec["legend"].append(
            {"label": f"95 %, {name}", "colour": "soft", "mark": "band", "dark": 1.5 * OPAQUE[prefix]}
        )
    return spec


def say_curves(found: Mapping[str, Any]) -> str:
    """Return in words what `draw_curves` shows."""
    said = []
    for curve in found["curves"]:
        x, loss = np.asarray(curve["x"], float), np.asarray(curve["loss"], float)
        tenth = max(len(loss) // 10, 1)
        said.append(f"{format_quantity(curve['params'])} from {loss[:tenth].mean():.2f} to {loss[-tenth:].mean():.2f}")
        reach = format_amount(float(x.max()), found["resource"])
    shown = said if len(said) <= 12 else [*said[:6], "…", *said[-5:]]
    return f"Loss against {axis_words(found['resource'], found.get('units'))}, up to {reach}: {'; '.join(shown)}."


def thinned(x: Any, y: Any) -> tuple[Any, Any]:
    """Return points, of many some."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) <= MOST_DOTS:
        return x, y
    some = np.linspace(0, len(x) - 1, MOST_DOTS).round().astype(int)
    return x[some], y[some]


def draw_slopes(found: Mapping[str, Any]) -> Spec:
    """Return k(N) of each cut with its band, and each size's own slope with its interval."""
    spec = _axes("model size [parameters]", "slope k(N)")
    for law, colour in zip(found["laws"], ("link", "thin", "soft"), strict=False):
        if np.isfinite(np.asarray(law["low"], float)).all():
            band = {"x": law["params"], "low": law["low"], "high": law["high"]}
            spec["marks"].append({"kind": "band", **band, "colour": colour, "dark": 0.18})
        spec["marks"].append(
            {"kind": "line", "x": law["params"], "y": law["k"], "colour": colour, "label": law["name"]}
        )
        spec["legend"].append({"label": f"fitted on {law['name']}", "colour": colour, "mark": "line"})
    own = found["each size alone"]
    ends = {"low": own["low"], "high": own["high"], "colour": "ink"}
    spec["marks"].append({"kind": "errors", "x": own["params"], **ends, "width": 1})
    spec["marks"].append({"kind": "dots", "x": own["params"], "y": own["k"], **ends, "size": 4, "dark": 1})
    spec["legend"].append({"label": "each size alone", "colour": "ink", "mark": "dot"})
    top = max(*np.asarray(own["high"], float), *(float(np.max(law["k"])) for law in found["laws"]))
    spec["y"]["range"] = [min(0.0, float(np.min(own["low"]))), 1.2 * top]
    return spec


def draw_residuals(params: Sequence[float], x: Sequence[Any], residual: Sequence[Any], resource: str) -> Spec:
    """Return what the law leaves, one line a size."""
    write = "flops" if resource == "flops" else "quantity"
    spec, colours = _axes(axis_words(resource), "loss minus law", write=write), colours_of(params)
    for size, at, left in zip(params, x, residual, strict=True):
        seen, off = thinned(at, left)
        spec["marks"].append(
            {"kind": "line", "x": seen, "y": off, "colour": colours[size], "label": format_quantity(size)}
        )
    spec["marks"].append({"kind": "level", "at": 0.0, "colour": "soft"})
    spec["legend"] = [
        {"label": format_quantity(one), "colour": colours[one], "mark": "line"} for one in named(sorted(set(params)))
    ]
    return spec


def draw_correlation(lags: Any, measured: Any, model: Any) -> Spec:
    """Return the autocorrelation of the residuals beside that of the AR(1) noise the intervals allow for."""
    spec = _axes("evaluations apart", "correlation of what the law leaves", log_x=False, write="plain")
    spec["marks"] = [
        {"kind": "bars", "x": lags, "y": measured, "colour": "soft"},
        {"kind": "line", "x": lags, "y": model, "colour": "thin", "label": "AR(1) as fitted"},
        {"kind": "level", "at": 0.0, "colour": "soft"},
    ]
    spec["legend"] = [
        {"label": "measured", "colour": "soft", "mark": "line"},
        {"label": "AR(1) as fitted", "colour": "thin", "mark": "line"},
    ]
    return spec


def draw_profile(values: Any, lost: Any, limit: float, name: str) -> Spec:
    """Return how much worse the fit gets as one parameter moves, with the line of its 95 % interval."""
    spec = _axes(name, "2 × log-likelihood lost")
    keep = np.asarray(lost) < 6 * limit
    x, y = np.asarray(values)[keep], np.asarray(lost)[keep]
    spec["marks"] = [
        {"kind": "line", "x": x, "y": y, "colour": "link"},
        {"kind": "level", "at": limit, "colour": "not"},
    ]
    return spec


def draw_plan(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """Return each size's loss at a budget with the intervals of the law's mean curve and of a new run."""
    known = [row for row in rows if row["loss"] is not None]
    x, loss = [row["params"] for row in known], [row["loss"] for row in known]
    spec = _axes("model size [parameters]", LOSS)
    spec["y"]["word"] = "loss"
    ends = {name: [row[name] for row in known] for name in ("low", "high", "run_low", "run_high")}
    spec["marks"] = [
        {"kind": "errors", "x": x, "low": ends["run_low"], "high": ends["run_high"], "colour": "link", "width": 1},
        {"kind": "errors", "x": x, "low": ends["low"], "high": ends["high"], "colour": "link", "width": 5},
        {
            "kind": "dots",
            "x": x,
            "y": loss,
            "low": ends["low"],
            "high": ends["high"],
            "colour": "ink",
            "size": 4,
            "dark": 1,
        },
    ]
    spec["legend"] = [
        {"label": "95 %, the law's mean curve (thick)", "colour": "link", "mark": "band", "dark": 1},
        {"label": "95 %, a new run (thin)", "colour": "link", "mark": "line"},
    ]
    return spec


def say_plan(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return in words what `draw_plan` shows."""
    known = [f"{format_quantity(row['params'])} {row['loss']:.3f}" for row in rows if row["loss"] is not None]
    return f"Loss of each size at this compute: {', '.join(known)}."


def draw_forecast(curve: Sequence[Mapping[str, float]], resource: str, x: Any, loss: Any) -> Spec:
    """Return a run so far with what it is forecast to do, in 50 and 95 % bands and that of an evaluation."""
    spec = _resource({"resource": resource})
    columns = {name: [row[name] for row in curve] for name in curve[0]}
    for low, high, dark in (("eval_low95", "eval_high95", 0.07), ("low95", "high95", 0.15), ("low50", "high50", 0.34)):
        band = {"low": columns[low], "high": columns[high], "colour": "link", "dark": dark}
        spec["marks"].append({"kind": "band", "x": columns[resource], **band})
    seen, off = thinned(x, loss)
    spec["marks"].append({"kind": "dots", "x": seen, "y": off, "colour": "ink", "label": "measured"})
    line = {"kind": "line", "x": columns[resource], "y": columns["loss"], "colour": "link", "dash": True}
    spec["marks"].append(line | {"low": columns["low95"], "high": columns["high95"], "label": "forecast"})
    spec["legend"] = [
        {"label": "measured", "colour": "ink", "mark": "dot"},
        {"label": "forecast", "colour": "link", "mark": "dash"},
        {"label": "half lie there", "colour": "link", "mark": "band", "dark": 0.5},
        {"label": "95 %", "colour": "link", "mark": "band", "dark": 0.25},
        {"label": "95 % of evaluations", "colour": "link", "mark": "band", "dark": 0.12},
    ]
    return spec


def draw_groups(rows: Sequence[Mapping[str, Any]], resource: str) -> Spec:
    """Return the loss of each group size by budget, as `study_rollouts` compares them."""
    spec = _resource({"resource": resource})
    sizes = [arm["group_size"] for arm in rows[0]["arms"]]
    colours = colours_of(sizes)
    for at, size in enumerate(sizes):
        arm = {name: [row["arms"][at][name] for row in rows] for name in ("loss", "low", "high")}
        x = [row["budget"] for row in rows]
        ends = {"low": arm["low"], "high": arm["high"], "colour": colours[size]}
        spec["marks"].append({"kind": "errors", "x": x, **ends, "width": 1})
        spec["marks"].append({"kind": "line", "x": x, "y": arm["loss"], **ends, "label": f"{size} rollouts"})
    spec["legend"] = [{"label": f"{size} rollouts a prompt", "colour": colours[size], "mark": "line"} for size in sizes]
    return spec


def draw_scores(rows: Sequence[Mapping[str, Any]], x: str) -> Spec:
    """Return the scores of systems against their size or cost, with their 95 % intervals."""
    spec = _axes({"params": "model size [parameters]", "cost": "cost [the table's unit]"}[x], "score")
    ends = {name: [row[name] for row in rows] for name in ("low", "high")}
    at, score = [row[x] for row in rows], [row["score"] for row in rows]
    spec["marks"] = [{"kind": "errors", "x": at, **ends, "colour": "link", "width": 2}]
    for row in rows:
        mark = {"kind": "dots", "x": [row[x]], "y": [row["score"]], "low": [row["low"]], "high": [row["high"]]}
        spec["marks"].append(mark | {"colour": "link", "size": 4, "dark": 1, "label": row["system"]})
    spec["y"]["range"] = [max(min(ends["low"]) - 0.02, 0.0), min(max(score + ends["high"]) + 0.02, 1.0)]
    return spec
