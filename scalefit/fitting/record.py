"""Save fits to `fit.json` and load them; a loaded fit refits from its own record to the same numbers."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scalefit.errors import FitError, LawError, UsageError, nearest
from scalefit.fitting.check import find_contradiction, find_schema_fault, find_shape_fault
from scalefit.fitting.fit import Fit, Specification
from scalefit.fitting.misfit import misfit_of
from scalefit.json_names import once
from scalefit.laws import get_law, name_of
from scalefit.numerics.ar1 import Noise
from scalefit.output import as_plain, write_text
from scalefit.places import FILE, find_place
from scalefit.provenance import versions
from scalefit.table.fit_data import FitData
from scalefit.table.remote import address_of, sha256_of_table
from scalefit.table.schema import FIT

_PARQUET = b"PAR1"
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
FORMAT, VERSION = FIT, 2
_MANY = 1_000_000
"""Losses from which on a file is written without line breaks."""


def as_record(fit: Fit) -> dict[str, Any]:
    """Return a fit as plain data; an infinite variance or open interval end is null.

    Raises
    ------
    LawError
        If its law has no place from which it could be loaded.
    """
    data = fit.data
    return dict(
        as_plain(
            {
                "law": name_of(fit.law),
                "series": data.series,
                "status": fit.verdict,
                "notes": fit.notes,
                "parameters": {name: asdict(estimate) for name, estimate in fit.params.items()},
                "specification": asdict(fit.specification),
                "theta": fit.theta,
                "covariance": fit.covariance,
                "noise": {"rho": fit.noise.rho, "sigma": fit.noise.sigma},
                "r2": fit.r2,
                "cost": fit.cost,
                "dof": fit.dof,
                "intervals": {name: list(ends) for name, ends in fit.intervals.items()},
                "misfit": fit.misfit.record(),
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
                    "run_loss": data.run_loss if data.merged else None,
                    "run_curve": data.run_curve if data.merged else None,
                },
            }
        )
    )


def from_record(record: dict[str, Any]) -> Fit:
    """Rebuild a fit from its record.

    Raises
    ------
    FitError
        If parts of it contradict each other, or its law cannot be imported.
    """
    try:
        law = get_law(record["law"])
    except LawError as error:
        raise FitError(str(error)) from None
    if (wrong := find_shape_fault(record, law)) is not None:
        raise FitError(wrong)
    raw = record["data"]
    runs = {} if raw["run_loss"] is None else {"run_loss": np.array(raw["run_loss"], float)}
    if runs:
        runs["run_curve"] = np.array(raw["run_curve"], np.intp)
    data = FitData(
        series=record["series"],
        resources=tuple(raw["resources"]),
        params=np.array(raw["params"], float),
        resource=np.array(raw["resource"], float),
        loss=np.array(raw["loss"], float),
        weight=np.array(raw["weight"], float),
        eval_size=np.array(raw["eval_size"], float),
        runs=tuple(raw["runs"]),
        record=raw["record"],
        flops_per_sample=raw["flops_per_sample"],
        **runs,
    )
    covariance = np.array(record["covariance"], float)
    fit = Fit(
        law,
        data,
        Specification(**record["specification"]),
        np.array(record["theta"], float),
        np.where(np.isnan(covariance), np.inf, covariance),
        Noise(record["noise"]["rho"], np.array(record["noise"]["sigma"], float)),
        # That a law misses its sizes is no word of the search.
        "converged" if record["status"] == "misfit" else record["status"],
        tuple(record["notes"]),
        record["r2"],
        record["cost"],
        record["dof"],
        {
            name: (-np.inf if low is None else low, np.inf if high is None else high)
            for name, (low, high) in record["intervals"].items()
        },
    )
    if "misfit" in record:
        fit.__dict__["misfit"] = misfit_of(record["misfit"])
    if (wrong := find_contradiction(fit, record)) is not None:
        raise FitError(wrong)
    return fit


def _seal(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a fit's fields but the one that holds it."""
    rest = {name: value for name, value in record.items() if name != "record_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def save_fits(fits: Sequence[Fit], path: str | Path, origin: dict[str, Any] | None = None) -> None:
    """Write fits to a file, a FIFO or an open stream."""
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "made_with": versions(),
            "origin": origin or {},
            "fits": [{**record, "record_sha256": _seal(record)} for record in map(as_record, fits)],
        },
        # A line a number is read well and costs 70 bytes of memory each.
        indent=1 if sum(fit.data.run_loss.size for fit in fits) < _MANY else None,
    )
    write_text(path, text + "\n", stream=True)


def origin_of(table: str | Path, out: str | Path) -> dict[str, str]:
    """Return which table a fit in the file `out` is of: its path seen from there or its address, and the hash of its content."""
    if (address := address_of(table)) is not None:
        return {"path": address, "sha256": sha256_of_table(address)}
    place = find_place(out)
    folder = Path.cwd() if place.streams else place.target.parent
    path = Path(os.path.relpath(Path(table).resolve(), folder)).as_posix()
    return {"path": path, "sha256": sha256_of_table(table)}


def what_would_be_lost(out: str | Path, origin: Mapping[str, str]) -> str | None:
    """Return in words what lies where a table's fit is to be written, if it is no fit of the same table.

    The same table has the same path, whatever it holds by now, or the same content.
    """
    place = find_place(out)
    if place.kind != FILE or not place.target.stat().st_size:
        return None
    try:
        content = json.loads(place.target.read_text(encoding="utf-8"))
        known = content["format"] == FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        return "something that is no fit of scalefit's"
    theirs = content.get("origin")
    if not isinstance(theirs, dict) or "path" not in theirs:
        return "a fit that does not say of which table"
    same = any(theirs.get(name) == origin[name] for name in ("path", "sha256"))
    return None if same else f"the fit of another table, {theirs['path']}"


def load_fits(path: str | Path) -> list[Fit]:
    """Read every fit of a file, checked before use: structure, shapes, bounds, intervals, and the digests written in it.

    Raises
    ------
    FitError
        If it is no fit of this version, or is damaged or edited; with the first thing that is wrong.
    """
    path = Path(path)
    _check_place(path)
    try:
        content = parse_strictly(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise FitError(f"{path}: not a whole fit file (no text); {_again(path)}") from None
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FitError(f"{path}: not a whole fit file ({what}); {_again(path)}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FitError(f"{path}: not a scalefit fit; make one with `scalefit fit RUNS`.")
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise FitError(f"{path}: fit file version {version!r:.40}, this scalefit reads {VERSION}; {_again(path)}")
    if (wrong := find_schema_fault(content)) is not None:
        raise FitError(f"{path}: {wrong}; {_again(path)}")
    found = []
    for at, record in enumerate(content["fits"]):
        try:
            found.append(from_record(record))
        except FitError as error:
            # What a law of one's own needs, it says itself.
            rest = "" if record["law"] in str(error) and ":" in record["law"] else f"; {_again(path)}"
            raise FitError(f"{path}: $.fits[{at}]: {str(error).rstrip('.')}{rest}") from None
        if record.get("record_sha256", seal := _seal(record)) != seal:
            raise FitError(f"{path}: $.fits[{at}]: was changed after it was written; {_again(path)}")
    return found


def _check_place(path: Path) -> None:
    """Raise FitError where there is no file, or one that is a runs table by its ending or its first bytes."""
    if path.is_dir():
        if is_table(path):
            raise FitError(f"{path}: a directory, of a runs table and no fit; make one with `scalefit fit {path}`.")
        raise FitError(f"{path}: a directory, not a fit; name the file in it, or make one with `scalefit fit RUNS`.")
    if not path.exists():
        raise FitError(f"{path}: no such fit; make one with `scalefit fit RUNS --out {path}`.")
    if not path.is_file():
        raise FitError(f"{path}: {find_place(path).kind}, not a fit; make one with `scalefit fit RUNS`.")
    if is_table(path):
        raise FitError(f"{path}: a runs table, not a fit; make one with `scalefit fit {path}`.")


def is_table(path: Path) -> bool:
    """Say whether something is there that is a runs table by its ending or its first bytes, or a folder of Parquet parts."""
    if not path.is_file():
        return path.is_dir() and any(path.glob("*.parquet"))
    with open(path, "rb") as file:
        if file.read(len(_PARQUET)) == _PARQUET:
            return True
    if path.suffix == ".json":
        return False
    from scalefit.table.load import FORMATS, ending

    return ending(path).removesuffix(".gz") in {*FORMATS} - {".json"}


def _again(path: Path) -> str:
    # What has another ending may be anything; nobody should be told to write over it.
    return f"fit again with `scalefit fit RUNS --out {path if path.suffix == '.json' else 'fit.json'}`."


def parse_strictly(text: str) -> Any:
    """Parse JSON as its standard has it: no name twice, no NaN, no number beyond a float; raises ValueError."""

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"the number {digits[:20]} is beyond a float")
        return value

    def whole(digits: str) -> int:
        if len(digits) > 18:
            raise ValueError(f"the number {digits[:20]}... has {len(digits)} digits")
        return int(digits)

    def constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    found = json.loads(text, parse_float=number, parse_int=whole, parse_constant=constant, object_pairs_hook=once)
    if _HALF.search(text):
        try:
            json.dumps(found, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("text in it holds half a character") from None
    return found


def pick_fits(fits: Sequence[Fit], series: str | None, evaluation: str | None, path: str | Path) -> list[Fit]:
    """Return the fits of a series and of an evaluation; None is any.

    Raises
    ------
    UsageError
        If there is none, with the nearest.
    """
    for what, wanted, name in (("series", series, series_of), ("eval", evaluation, evaluation_of)):
        if wanted is not None:
            known = list(dict.fromkeys(map(name, fits)))
            if wanted not in known:
                raise UsageError(f"{path} has no {what} {wanted!r}; {nearest(wanted, known)}")
            fits = [fit for fit in fits if name(fit) == wanted]
    return list(fits)


def pick_fit(fits: Sequence[Fit], series: str | None, evaluation: str | None, path: str | Path) -> Fit:
    """Return the fit of a series and an evaluation, which must be one; errors are those of `pick_fits`."""
    found = pick_fits(fits, series, evaluation, path)
    if len(found) > 1:
        names = [f"{series_of(fit)} on {evaluation_of(fit)}" for fit in found]
        what = "series" if len(set(map(series_of, found))) > 1 else "eval"
        raise UsageError(f"{path} holds {', '.join(names)}; name one by {what}.")
    return found[0]


def series_of(fit: Fit) -> str:
    """Return the series that was fitted."""
    return fit.data.series


def evaluation_of(fit: Fit) -> str:
    """Return the evaluation whose loss was fitted."""
    return str(fit.data.record["eval"])
