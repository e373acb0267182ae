"""Save fits to `fit.json` and load them; a loaded fit refits from its own record to the same numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scalefit.errors import FitError, UsageError, nearest
from scalefit.fitting.fit import Fit, Specification
from scalefit.fitting.lines import Noise
from scalefit.laws import get_law
from scalefit.provenance import as_plain, replace_file, versions
from scalefit.table.prepare import FitData

FORMAT, VERSION = "scalefit-fit", 1


def as_record(fit: Fit) -> dict[str, Any]:
    """Return a fit as plain data; an infinite variance or open interval end is null."""
    data = fit.data
    return dict(
        as_plain(
            {
                "law": fit.law.name,
                "series": data.series,
                "status": fit.status,
                "notes": fit.notes,
                "parameters": {name: asdict(estimate) for name, estimate in fit.params.items()},
                "specification": asdict(fit.specification),
                "theta": fit.theta,
                "covariance": fit.covariance,
                "noise": {"rho": fit.noise.rho, "sigma": fit.noise.sigma},
                "r2": fit.r2,
                "cost": fit.cost,
                "dof": fit.dof,
                "profiles": {name: list(ends) for name, ends in fit.profiles.items()},
                "points": data.points,
                "data": {
                    "sha256": data.digest(),
                    "resources": data.resources,
                    "params": data.params,
                    "resource": data.resource,
                    "loss": data.loss,
                    "weight": data.weight,
                    "eval_size": data.eval_size,
                    "runs": data.runs,
                    "record": dict(data.record),
                    "flops_per_sample": data.flops_per_sample,
                },
            }
        )
    )


def from_record(record: dict[str, Any]) -> Fit:
    """Rebuild a fit from its record."""
    raw = record["data"]

    def array(value: Any, missing: float) -> Any:
        return (
            np.array(json.loads(json.dumps(value).replace("null", "NaN")), float)
            if missing != missing
            else np.where(np.isnan(filled := array(value, np.nan)), missing, filled)
        )

    data = FitData(
        series=record["series"],
        resources=tuple(raw["resources"]),
        params=np.array(raw["params"], float),
        resource=np.array(raw["resource"], float),
        loss=np.array(raw["loss"], float),
        weight=np.array(raw["weight"], float),
        eval_size=array(raw["eval_size"], np.nan),
        runs=tuple(raw["runs"]),
        record=raw["record"],
        flops_per_sample=raw["flops_per_sample"],
    )
    profiles = {
        name: (ends[0] if ends[0] is not None else -np.inf, ends[1] if ends[1] is not None else np.inf)
        for name, ends in record["profiles"].items()
    }
    return Fit(
        get_law(record["law"]),
        data,
        Specification(**record["specification"]),
        np.array(record["theta"], float),
        array(record["covariance"], np.inf),
        Noise(record["noise"]["rho"], np.array(record["noise"]["sigma"], float)),
        record["status"],
        tuple(record["notes"]),
        record["r2"],
        record["cost"],
        record["dof"],
        profiles,
    )


def save_fits(fits: Sequence[Fit], path: str | Path, origin: dict[str, Any] | None = None) -> None:
    """Write fits beside `path`, then rename."""
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "made_with": versions(),
            "origin": origin or {},
            "fits": [as_record(fit) for fit in fits],
        },
        indent=1,
    )
    replace_file(path, lambda target: Path(target).write_text(text + "\n", encoding="utf-8"))


def load_fits(path: str | Path) -> list[Fit]:
    """Read every fit of a file.

    Raises
    ------
    FitError
        If it is no fit of this version.
    """
    path = Path(path)
    if not path.is_file():
        raise FitError(f"{path}: no such fit; make one with `scalefit fit RUNS --out {path}`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("format") != FORMAT:
            raise FitError(f"{path}: not a scalefit fit; make one with `scalefit fit RUNS`.")
        if content.get("version") != VERSION:
            raise FitError(
                f"{path}: fit file version {content.get('version')}, this scalefit reads {VERSION}; fit again with `scalefit fit RUNS`."
            )
        return [from_record(record) for record in content["fits"]]
    except FitError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise FitError(
            f"{path}: not a whole fit file ({type(error).__name__}: {error}); fit again with `scalefit fit RUNS`."
        ) from error


def pick_series(fits: Sequence[Fit], series: str | None, path: str | Path) -> Fit:
    """Return the fit of a series; with one fit, that one."""
    by_name = {fit.data.series: fit for fit in fits}
    if series is None:
        if len(fits) == 1:
            return fits[0]
        raise UsageError(
            f"{path} holds the series {', '.join(by_name)}; name one (--where series={next(iter(by_name))})."
        )
    if series not in by_name:
        raise UsageError(f"{path} has no series {series!r}; {nearest(series, by_name)}")
    return by_name[series]
