"""Whether what a file says is a fit: its structure by `fit.schema.json`, then one part held against another.

Every function returns what is wrong in words, or raises nothing and returns None; `record` makes the error of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.fit import Fit
from scalefit.fitting.line_fit import runs_with_lines
from scalefit.fitting.point_fit import degrees_of_freedom, share_explained
from scalefit.fitting.status import STOPPED
from scalefit.laws.law import Law
from scalefit.table.fit_data import FitData

Array = NDArray[np.float64]
_SHOWN = 60
_SAME = 1e-6
"""Relative difference of numbers computed twice, on machines whose libraries differ in the last digits."""


@cache
def _validator() -> Any:
    """Return the schema's validator, which passes long lists of plain numbers at once."""
    from jsonschema import Draft202012Validator, validators

    slow = Draft202012Validator.VALIDATORS["items"]

    def items(validator: Any, schema: Any, instance: Any, whole: Any) -> Iterator[Any]:
        if not _plain_numbers(schema, instance):
            yield from slow(validator, schema, instance, whole)

    schema = json.loads(resources.files("scalefit.fitting").joinpath("fit.schema.json").read_text(encoding="utf-8"))
    return validators.extend(Draft202012Validator, {"items": items})(schema)


def _plain_numbers(schema: Any, values: Any) -> bool:
    """Whether a list holds numbers within the schema's bounds, judged as a whole."""
    if (
        not isinstance(values, list)
        or "number" not in schema.get("type", ())
        or not {*map(type, values)} <= {float, int}
    ):
        return False
    if not values:
        return True
    low, high = min(values), max(values)
    return bool(
        low >= schema.get("minimum", low)
        and high <= schema.get("maximum", high)
        and ("exclusiveMinimum" not in schema or low > schema["exclusiveMinimum"])
    )


def find_schema_fault(content: Any) -> str | None:
    """Return where and how a file's content departs from the schema, the first by place; None if it does not."""
    first = min(_validator().iter_errors(content), key=lambda error: [str(at) for at in error.path], default=None)
    if first is None:
        return None
    found = repr(first.instance)
    words = first.message.replace(found, found if len(found) <= _SHOWN else f"{found[:_SHOWN]}...")
    return f"{first.json_path}: {words if len(words) <= 4 * _SHOWN else words[: 4 * _SHOWN] + '...'}"


def find_shape_fault(record: dict[str, Any], law: Law) -> str | None:
    """Return which list of a record has the wrong length beside the others; None if they agree."""
    data = record["data"]
    curves, evaluations = len(data["params"]), len(data["loss"][0]) if data["loss"] else 0
    size = len(record["theta"])
    matrix = (curves, evaluations)
    if len(data["resources"]) != law.resources:
        return f"law {law.name!r} has {law.resources} resource(s), data.resources names {', '.join(data['resources'])}"
    wanted: list[tuple[str, Any, tuple[int, ...]]] = [
        ("data.loss", data["loss"], matrix),
        ("data.weight", data["weight"], matrix),
        ("data.resource", data["resource"], (law.resources, *matrix)),
        ("data.eval_size", data["eval_size"], (curves,)),
        ("data.runs", data["runs"], (curves,)),
        ("noise.sigma", record["noise"]["sigma"], (curves,)),
        ("covariance", record["covariance"], (size, size)),
    ]
    if (data["run_loss"] is None) != (data["run_curve"] is None):
        return "data.run_loss and data.run_curve belong together, one of them is null"
    if data["run_loss"] is not None:
        if sorted(data["run_curve"]) != data["run_curve"] or {*data["run_curve"]} != {*range(curves)}:
            return f"data.run_curve must name each of {curves} curves, in order"
        wanted.append(("data.run_loss", data["run_loss"], (len(data["run_curve"]), evaluations)))
    for name, value, shape in wanted:
        if (wrong := _wrong_length(value, shape)) is not None:
            return f"{name} has {wrong}, its shape must be {' x '.join(map(str, shape))} ({curves} curves of {evaluations} evaluations, {size} parameters)"
    names = BoundLaw(law, np.unique(np.array(data["params"], float))).names
    if size != len(names):
        return f"theta has {size} numbers, law {law.name!r} on these sizes has {len(names)} parameters ({', '.join(names)})"
    if set(record["parameters"]) != set(names):
        return (
            f"parameters are {', '.join(record['parameters'])}, law {law.name!r} on these sizes has {', '.join(names)}"
        )
    if unknown := set(record["intervals"]) - set(names):
        return f"intervals: no parameter {sorted(unknown)[0]!r} in law {law.name!r}"
    return None


def _wrong_length(value: list[Any], shape: tuple[int, ...]) -> str | None:
    if len(value) != shape[0]:
        return f"a list of {len(value)} where {shape[0]} belong"
    if len(shape) > 1:
        return next((wrong for part in value if (wrong := _wrong_length(part, shape[1:])) is not None), None)
    return None


def find_contradiction(fit: Fit, record: dict[str, Any]) -> str | None:
    """Return what in a fit contradicts the rest of it; None if nothing does."""
    data = fit.data
    if data.points != record["points"]:
        return f"points is {record['points']}, the data have {data.points}"
    if not data.present.any(1).all():
        return "data.weight: a curve has no point"
    if data.digest() != record["data"]["sha256"]:
        return "data: the numbers are not those that were fitted (their SHA-256 differs from data.sha256)"
    if (wrong := _runs_fault(data) or _dof_fault(fit)) is not None:
        return wrong
    low, high = fit.bound.bounds
    out = (fit.theta < low - 1e-9) | (fit.theta > high + 1e-9)
    if out.any():
        return f"theta: {fit.bound.names[int(np.argmax(out))]} is outside its law's bounds"
    return (
        _covariance_fault(fit.covariance)
        or _estimates_fault(fit, record)
        or _status_fault(fit)
        or _misfit_fault(fit, record)
        or _law_fault(fit, record["law"])
    )


def _runs_fault(data: FitData) -> str | None:
    """Hold the number of runs of each curve, and the curve, against the runs themselves."""
    counts = np.bincount(data.run_curve, minlength=len(data.params))
    if (off := np.flatnonzero(counts != data.runs)).size:
        at = int(off[0])
        return f"data.runs.{at} is {data.runs[at]}, the data have {counts[at]} run(s) of that curve"
    total = np.zeros_like(data.loss)
    np.add.at(total, data.run_curve, data.run_loss)
    apart = data.present & ~np.isclose(total, counts[:, None] * data.loss, rtol=_SAME, atol=_SAME)
    if apart.any():
        at = int(np.flatnonzero(apart.any(1))[0])
        return f"data.loss.{at} is not the mean of the {counts[at]} run(s) in data.run_loss"
    return None


def _dof_fault(fit: Fit) -> str | None:
    """Hold the degrees of freedom against what runs and parameters leave."""
    count, rows = len(fit.theta), runs_with_lines(fit.law, fit.data, fit.specification)
    if rows is not None:
        could = {max(2.0 * int(rows.sum()) - count, 1.0)}
    else:
        # Whether runs tell their scatter is seen only when they are weighed again, which takes longer than the rest.
        could = {degrees_of_freedom(fit.data.each, fit.noise.rho, known, count) for known in (True, False)}
    if np.isclose(fit.dof, sorted(could), rtol=_SAME).any():
        return None
    return f"dof is {fit.dof:g}, its runs leave {' or '.join(f'{one:g}' for one in sorted(could))} beyond {count} parameters"


def _status_fault(fit: Fit) -> str | None:
    """Hold the status against what it says of the parameters."""
    low, high = fit.bound.bounds
    width = np.where(np.isfinite(high - low), np.minimum(high - low, 10.0), 1.0)
    # As `judge` has it, and a little more, for the solver's last step.
    at = (fit.theta - low <= 2e-6 * width) | (high - fit.theta <= 2e-6 * width)
    endless = ~np.isfinite(np.diag(fit.covariance))
    stopped = any(STOPPED in note for note in fit.notes)
    if stopped != (fit.status == "stopped"):
        return f"status is {fit.status!r}, the notes {'say' if stopped else 'do not say'} that the solver stopped"
    if fit.status == "at-bound" and not (at & endless).any():
        return "status is 'at-bound', no parameter is at a bound of its law"
    if fit.status == "unidentified" and not (endless.any() or _has_open_end(fit)):
        return "status is 'unidentified', every parameter has an interval"
    if fit.status == "converged" and (at & endless).any():
        return f"status is 'converged', {fit.bound.names[int(np.argmax(at & endless))]} is at a bound of its law"
    return None


def _misfit_fault(fit: Fit, record: dict[str, Any]) -> str | None:
    """Hold what is said of the sizes against the sizes, and the status against it."""
    if "misfit" not in record:
        return None
    said = [one.params for one in fit.misfit.sizes]
    if len(said) != len(fit.data.sizes) or not np.allclose(said, fit.data.sizes, rtol=_SAME):
        return "misfit.sizes are not those of the data"
    if record["status"] != fit.verdict:
        missed = f"{len(fit.misfit.missed)} of {len(said)} sizes"
        return f"status is {record['status']!r}, misfit.sizes say that the law misses {missed}: it is {fit.verdict!r}"
    if record["misfit"]["sentence"] != fit.misfit.sentence:
        return "misfit.sentence is not that of its numbers"
    return None


def _has_open_end(fit: Fit) -> bool:
    """Say whether an interval has no end: for a logarithm 0 is none."""
    logs = dict(zip(fit.bound.names, fit.bound.log_scaled, strict=True))
    return any(not np.isfinite(ends).all() or (logs[name] and ends[0] == 0) for name, ends in fit.intervals.items())


def _law_fault(fit: Fit, name: str) -> str | None:
    """Hold R² against that of the law as it is now, where it is not this package's."""
    if ":" not in name:
        return None
    r2, _ = share_explained(fit.bound, fit.data, fit.specification, fit.theta)
    if np.isclose(r2, fit.r2, rtol=_SAME, atol=_SAME):
        return None
    return f"law {name}: R² was {fit.r2:.6g} and is {r2:.6g} by the law as it is now; it was changed after the fit"


def _covariance_fault(covariance: Array) -> str | None:
    variance = np.diag(covariance)
    off = covariance[~np.eye(len(variance), dtype=bool)]
    if not np.isfinite(off).all():
        return "covariance: null off the diagonal"
    if (variance < 0).any():
        return "covariance: a variance is negative"
    scale = np.sqrt(np.where(np.isfinite(variance) & (variance > 0), variance, 1.0))
    scaled = np.where(np.isfinite(covariance), covariance, 0.0) / np.outer(scale, scale)
    if not np.allclose(scaled, scaled.T, rtol=_SAME, atol=_SAME):
        return "covariance: not symmetric"
    known = np.isfinite(variance)
    if known.any() and np.linalg.eigvalsh(scaled[np.ix_(known, known)])[0] < -_SAME:
        return "covariance: not positive (a combination of parameters has a negative variance)"
    return None


def _estimates_fault(fit: Fit, record: dict[str, Any]) -> str | None:
    """Hold the estimates written against those of theta, covariance and intervals, and their ends in order."""
    for name, ends in fit.intervals.items():
        if not ends[0] <= ends[1]:
            return f"intervals.{name}: low {ends[0]:g} is above high {ends[1]:g}"
    for name, computed in fit.params.items():
        written = record["parameters"][name]
        value, low, high = written["value"], written["low"], written["high"]
        if (low is not None and low > value) or (high is not None and high < value):
            return f"parameters.{name}: value {value:g} is outside its interval {low} to {high}"
        for part, number in vars(computed).items():
            there = written[part]
            finite = bool(np.isfinite(number))
            if (there is None) == finite or (finite and not np.isclose(there, number, rtol=_SAME, atol=1e-300)):
                return f"parameters.{name}.{part} is {there}, theta, covariance and intervals give {number:g}"
    return None
