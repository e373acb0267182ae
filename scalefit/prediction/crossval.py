"""Cross-validation on held-out sizes, with baselines that any law must beat.

Modes: `zero-shot` (the held-out size contributes nothing), `anchored` (its first points set its
offset and are not scored), `prefix` (the first part of every run is fitted, the rest predicted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError, nearest
from scalefit.fitting.describe import PLAIN
from scalefit.fitting.fit import fit_data
from scalefit.fitting.left import left_by
from scalefit.fitting.whiteness import judge_whiteness
from scalefit.laws import LAWS, OFFSET_FORMS, get_law
from scalefit.laws.clocks import CLOSED_CLOCKS
from scalefit.laws.law import Law
from scalefit.prediction.ensemble import LEAST_SIZES, Anchor
from scalefit.prediction.groups import GROUPS, MANY, group_sizes
from scalefit.prediction.scores import LEVELS, of_evaluations, score, score_held_out
from scalefit.progress import steps
from scalefit.table.io import RunTable, as_runs
from scalefit.table.prepare import FitData, Prepared, prepare
from scalefit.units import format_quantity

Array = NDArray[np.float64]
MODES = ("zero-shot", "anchored", "prefix")
AVERAGE = "average"
"""The name of the default: closed laws averaged by held-out score, and the trend of the sizes."""
ONE_OUT, TWO_OUT = "leave one out", "leave largest two out"
"""Names of folds."""
COMPARED = (
    AVERAGE,
    *(form.name for form in OFFSET_FORMS),
    "power-k-linear",
    "log-k-linear",
    *(law.name for law in CLOSED_CLOCKS),
)
"""Laws that are compared where none are named: all that speak about sizes they have not seen."""


def cross_validate_data(
    data: FitData, law: Law | str = AVERAGE, mode: str = "zero-shot", *, points: int = 10, share: float = 0.25
) -> pd.DataFrame:
    """Cross-validate on prepared curves; see `cross_validate`."""
    if mode not in MODES:
        raise UsageError(f"--mode {mode}: {nearest(mode, MODES)}")
    chosen = _chosen(law)
    law = AVERAGE if chosen is None else chosen.name
    if mode == "prefix":
        return _prefix(data, chosen or get_law("saturating"), share)
    if chosen is not None and chosen.per_size:
        raise FitError(
            f"law {law!r} has a free {', '.join(chosen.per_size)} for each size, so it says nothing about a held-out size. "
            f"Use a closed offset ({', '.join(form.name for form in OFFSET_FORMS)}, or {AVERAGE!r}), or --mode prefix."
        )
    if len(data.sizes) < LEAST_SIZES + (chosen is None):
        raise FitError(
            f"series {data.series!r} has {len(data.sizes)} sizes; {mode} cross-validation of {law!r} needs {LEAST_SIZES + (chosen is None)}; "
            "--mode prefix holds out the rest of each run instead, of any number of sizes."
        )
    rows = []
    points = points if mode == "anchored" else 0
    folds = _folds(data, LEAST_SIZES + 1 + (chosen is None))
    for fold, sizes, train in steps(
        folds, lambda one: f"{law}: {format_quantity(one[1][0])} of {data.series} held out"
    ):
        row = score_held_out(chosen, train, data, sizes, points)
        if row is not None:
            about = {"series": data.series, "law": law, "mode": mode, "fold": fold}
            rows.append({**about, "params": float(sizes[0]), "params_high": float(sizes[-1]), **row})
    if not rows:
        raise FitError(f"series {data.series!r}: no run is longer than the {points} anchor points; lower --points.")
    found = pd.DataFrame(rows)
    if (found["params"] == found["params_high"]).all():
        return found.drop(columns="params_high")
    found.attrs["notes"] = [
        f"{data.name}: {len(data.sizes)} sizes are held out in {GROUPS} groups of neighbours, a row each; r2 is within the group"
    ]
    return found


def _folds(data: FitData, least: int) -> Iterator[tuple[str, Array, FitData]]:
    """Yield each size (or group of neighbours) with the others to fit, then the two largest with those below both where there are more than `least`."""
    groups = group_sizes(data.sizes, MANY)
    fold = ONE_OUT if len(groups) == len(data.sizes) else "leave one group out"
    for sizes in groups:
        yield fold, sizes, data.keep(~np.isin(data.params, sizes))
    if len(groups) > least:
        below = data.keep(data.params < groups[-2][0])
        for sizes in groups[-2:]:
            yield TWO_OUT, sizes, below


def _chosen(law: Law | str) -> Law | None:
    """Return the law asked for; None for the average."""
    if isinstance(law, str) and law not in LAWS and law != AVERAGE and ":" not in law:
        raise UsageError(f"no law {law!r}; {nearest(law, [*LAWS, AVERAGE])}")
    return None if law == AVERAGE else get_law(law)


def _prefix(data: FitData, law: Law, share: float) -> pd.DataFrame:
    """Fit the first `share` of every run and predict the rest of each."""
    if not 0 < share < 1:
        raise UsageError(f"--share {share}: must lie between 0 and 1.")
    lengths = data.present.sum(1)
    first = np.maximum((share * lengths).astype(np.int64), 3)
    train = data.keep(np.ones(len(data.params), bool), first=first)
    fit = fit_data(law, train)
    rows = []
    for i, size in enumerate(data.params):
        rest = data.present[i] & (np.arange(data.present.shape[1]) >= first[i])
        resource, loss = data.resource[:, i, rest], data.loss[i, rest]
        if len(loss) < 3:
            continue
        bands = {level: fit.run_bands(i, resource, level) for level in LEVELS}
        row: dict[str, Any] = score(10.0 ** bands[0.95].log, loss, of_evaluations(bands))
        begin = train.present[i]
        anchor = Anchor(float(size), data.resource[:, i, begin], data.loss[i, begin])
        row["rmse_last_value"] = score(np.full(len(loss), anchor.loss[-1]), loss)["rmse"]
        line = np.polyfit(np.log10(anchor.resource[0]), np.log10(np.maximum(anchor.loss, 1e-4)), 1)
        row["rmse_own_power"] = score(10.0 ** np.polyval(line, np.log10(resource[0])), loss)["rmse"]
        rows.append(
            {
                "series": data.series,
                "law": law.name,
                "mode": "prefix",
                "fold": f"first {share:.0%}",
                "params": float(size),
                **row,
            }
        )
    if not rows:
        raise FitError(
            f"series {data.series!r}: no run has three evaluations after its first {share:.0%}, so that there is nothing to "
            "predict; --mode zero-shot holds out whole sizes."
        )
    return pd.DataFrame(rows)


def cross_validate(
    runs: RunTable,
    law: Law | str = AVERAGE,
    x: str | None = None,
    mode: str = "zero-shot",
    where: Mapping[str, str | float] | None = None,
    *,
    size: str | None = None,
    points: int = 10,
    share: float = 0.25,
) -> pd.DataFrame:
    """Hold data out, predict it, and score the prediction within each size.

    Parameters
    ----------
    runs : RunTable
        A validated table.
    law : Law or str
        A law (one's own too, see `law`), or "average" for the default prediction.
    x : str, optional
        Resource.
    mode : {"zero-shot", "anchored", "prefix"}
        What is held out.
    where : mapping, optional
        Column to value.
    size : {"params", "active_params"}, optional
        Column that is the model size, in `where` too.
    points : int
        First evaluations of the held-out size that `anchored` may see.
    share : float
        Part of every run that `prefix` may see.

    Returns
    -------
    pandas.DataFrame
        One row a fold: rmse, r2 (within the size), end_bias (last tenth) of the size's curve, the mean of its seeds;
        cover50, cover95 (what share of the evaluations of every held-out run by itself, `runs` of them, lies in the band
        of one evaluation of a new run, anchored on that run's own first points; in prefix mode the curve in its own
        band), run95 (zero-shot: what share of the held-out runs' own lines lies in the 95 % band of a new run), and the
        baselines' rmse. Beyond 30 sizes neighbours are held out together, `params` to `params_high`, and
        `attrs["notes"]` says so. What cannot be answered is in `attrs["unanswered"]`, by name.
    """
    prepared = prepare(as_runs(runs, size=size), x, where)
    return _each(prepared, lambda data: cross_validate_data(data, law, mode, points=points, share=share))


def compare_series(
    runs: RunTable, laws: tuple[Law | str, ...] = (), x: str | None = None, where: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Rank laws in every series that can bear it, as `compare_laws`; the others are named in `attrs["unanswered"]`."""
    return _each(prepare(runs, x, where), lambda data: compare_laws(data, laws))


def _each(prepared: Prepared, ask: Callable[[FitData], pd.DataFrame]) -> pd.DataFrame:
    """Ask each series; what cannot be answered is named with its reason and does not refuse the rest."""
    tables, errors = [], {}
    for data in steps(prepared):
        evaluation = str(data.record["eval"])
        try:
            table = ask(data)
        except FitError as error:
            errors[f"{data.series} on {evaluation}"] = error
            continue
        table.insert(1, "eval", evaluation)
        tables.append(table)
    if not tables:
        raise next(iter(errors.values()))
    found = pd.concat(tables, ignore_index=True)
    found.attrs["notes"] = [note for table in tables for note in table.attrs.get("notes", ())]
    found.attrs["unanswered"] = {**{name: str(error) for name, error in errors.items()}, **prepared.unanswered}
    return found


def compare_laws(data: FitData, laws: tuple[Law | str, ...] = ()) -> pd.DataFrame:
    """Rank laws by their zero-shot score, in-sample criteria beside it; the average is left out, and said, where sizes are too few for it.

    Returns
    -------
    pandas.DataFrame
        One row a law: held_out_rmse (mean over folds), largest_rmse, end_bias, cover95; of its fit to all points by least
        squares aic, bic, r2, and whether what it leaves is white: left_lag1, the lag-1 autocorrelation along the curves,
        and white_p, the chance of what is left if it were white (`judge_whiteness`). The average has none of the latter.
    """
    rows, wanted = [], tuple(laws or COMPARED)
    few = len(data.sizes) < LEAST_SIZES + 1 and wanted != (AVERAGE,)
    for name in steps([name for name in wanted if not (few and name == AVERAGE)]):
        folds = cross_validate_data(data, name, "zero-shot")
        one = folds[folds["fold"] != TWO_OUT]
        row: dict[str, Any] = {
            "series": data.series,
            "law": one["law"].iloc[0],
            "held_out_rmse": float(np.sqrt((one["rmse"] ** 2).mean())),
            "largest_rmse": float(one["rmse"].iloc[-1]),
            "end_bias": float(one["end_bias"].iloc[-1]),
            "cover95": float(one["cover95"].mean()),
        }
        if name != AVERAGE:
            fit = fit_data(name, data, PLAIN)
            n, P = data.points, len(fit.theta)
            base = n * float(np.log(2 * fit.cost / n))
            white = judge_whiteness(left_by(fit))
            row.update(aic=base + 2 * P, bic=base + P * float(np.log(n)), r2=fit.r2)
            row.update(left_lag1=white.autocorrelation[0], white_p=white.p)
        rows.append(row)
    ranked = pd.DataFrame(rows).sort_values("held_out_rmse", ignore_index=True)
    ranked.attrs.update(folds.attrs)
    if few and AVERAGE in wanted:
        note = f"series {data.series!r}: {AVERAGE} is not compared, which needs {LEAST_SIZES + 1} sizes"
        ranked.attrs["notes"] = [*ranked.attrs.get("notes", ()), note]
    return ranked
