"""From a runs table to the arrays a fit sees, in one fixed, recorded order.

select -> drop X <= 0 -> clip by step value -> merge seeds whose grids agree -> weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError, TableError, UsageError, nearest
from scalefit.table.fit_data import FitData, equal_per_size
from scalefit.table.io import RunTable, as_runs
from scalefit.table.ordered import Ordered, Part, Seeds, find_lost, find_seeds, one_run_a_curve
from scalefit.table.resources import choose_resource, unit_of
from scalefit.table.schema import RESOURCES
from scalefit.table.select import Source, Where, find_rows

Array = NDArray[np.float64]
WEIGHTS = ("uniform", "size", "binomial")
SETUP = ("params", "group_size", "reuse")
"""What runs that are seeds of one curve share, where the table says it."""


class Prepared(list[FitData]):
    """Every series and evaluation of a table that has something to fit.

    Attributes
    ----------
    unanswered : dict
        Of the others, by name, why they have nothing.
    """

    def __init__(self, found: Iterable[FitData] = (), unanswered: Mapping[str, str] | None = None) -> None:
        super().__init__(found)
        self.unanswered = dict(unanswered or {})


def prepare(
    runs: Source,
    x: str | None = None,
    where: Where | None = None,
    *,
    both: bool = False,
    clip: int = 0,
    weights: str = "uniform",
    merge: bool = True,
) -> Prepared:
    """Turn a table into one `FitData` a (series, eval).

    Parameters
    ----------
    runs : RunTable, path or data frame
        A runs table.
    x : str, optional
        Resource: a column that grows along the runs; see `choose_resource`.
    where : mapping, optional
        Column to a value or a list of values; see `select`.
    both : bool
        Give flops and samples, for the joint law.
    clip : int
        Drop evaluations with step <= clip.
    weights : {"uniform", "size", "binomial"}
        Equal per point, equal total per model size, or `eval_size / (loss (1 - loss))`.
    merge : bool
        Average runs of the same size and set-up (different seeds); otherwise each run is a curve.

    Raises
    ------
    FitError, UsageError
        If nothing is left or an option makes no sense.
    """
    if weights not in WEIGHTS:
        raise UsageError(f"--weights {weights}: {nearest(weights, WEIGHTS)}")
    runs = as_runs(runs)
    kept = find_rows(runs, where)
    resources = ("flops", "samples") if both else (choose_resource(runs, x, kept),)
    record = {
        "merge": merge,
        "where": dict(where or {}),
        "resources": list(resources),
        "clip": clip,
        "weights": weights,
    }
    spent = _spent(runs, kept, resources, clip)
    lost = find_lost(runs.frame, kept, spent)
    if "size" in runs.metadata:
        record["size"] = str(runs.metadata["size"])
    own = {name: unit for name in resources if name not in RESOURCES and (unit := unit_of(name, runs.metadata))}
    if own:
        record["units"] = own
    if "loss_convention" in runs.metadata:
        record["loss_convention"] = str(runs.metadata["loss_convention"])
    rows = Ordered(runs.frame, spent)
    why = f"{' and '.join(resources)} > 0" + (f" and step > {clip}" if clip else "")
    prepared = Prepared()
    for part in rows.parts():
        without = lost.pop((part.series, part.evaluation), [])
        said = {"left_out": f"{_counted(without)} without {why}"} if without else {}
        prepared.append(_curves(part, resources, weights, {**record, **said}))
    for (series, evaluation), names in lost.items():
        prepared.unanswered[f"{series} on {evaluation}"] = f"{_counted(names)}, all of the series, without {why}"
    return prepared


def _counted(names: list[str]) -> str:
    return (
        f"run {names[0]!r}"
        if len(names) == 1
        else f"{len(names)} runs ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
    )


def _spent(runs: RunTable, kept: NDArray[np.bool_], resources: tuple[str, ...], clip: int) -> NDArray[np.bool_]:
    """Return which of the rows that are kept are after the start and after `clip` steps."""
    frame = runs.frame
    for name in resources:
        if name not in frame:
            raise TableError(f"{runs.path}: column {name!r} is missing; what is asked for needs it.")
        kept = kept & (frame[name].to_numpy(float, na_value=np.nan) > 0)
    if clip:
        kept &= frame["step"].to_numpy() > clip
    if not kept.any():
        raise FitError(
            f"{runs.path}: no row with {' and '.join(resources)} > 0 and step > {clip} is left; its last step is {frame['step'].max()}, lower --clip."
        )
    return kept


def _curves(part: Part, resources: tuple[str, ...], weights: str, record: Mapping[str, Any]) -> FitData:
    """Pad the runs of a series to one length, and merge seeds: same size and set-up, same whole grid."""
    known = {name: part[name][part.starts] for name in SETUP if name in part}
    known = {name: values for name, values in known.items() if not np.isnan(values).any()}
    setup = list(known.values())
    grids = [part.matrix(name, 1.0) for name in resources]
    if record["merge"]:
        seeds = find_seeds(setup, [part.matrix("step", 1.0), *grids], part.lengths)
    else:
        seeds = one_run_a_curve(setup)
    params, counts = setup[0][seeds.heads], seeds.counts
    run_loss = part.matrix("loss", 0.5)[seeds.order]
    loss = seeds.mean(run_loss)
    present = np.arange(loss.shape[1]) < part.lengths[seeds.heads][:, None]
    size = np.full(len(params), np.nan)
    if "eval_size" in part:
        size = _problems(part["eval_size"][part.starts][seeds.order], seeds.curve)
    return FitData(
        series=part.series,
        resources=resources,
        params=params,
        resource=np.stack([grid[seeds.heads] for grid in grids]),
        loss=loss,
        weight=_weigh(weights, present, params, loss, size),
        eval_size=size,
        runs=tuple(counts.tolist()),
        record={**record, "eval": part.evaluation, **_pooled(known)},
        flops_per_sample=_flops_per_sample(part, seeds),
        run_loss=run_loss,
        run_curve=seeds.curve,
    )


def _pooled(setup: Mapping[str, Array]) -> dict[str, list[str]]:
    """Return for the record what differs between runs of one size, if anything."""
    found = []
    for name in setup.keys() - {"params"}:
        order = np.lexsort((setup[name], setup["params"]))
        size, value = setup["params"][order], setup[name][order]
        if ((size[1:] == size[:-1]) & (value[1:] != value[:-1])).any():
            found.append(name)
    found.sort()
    return {"pooled": found} if found else {}


def _problems(size: Array, curve: NDArray[np.intp]) -> Array:
    """Return the problems behind an evaluation of each curve, of runs that do not say it as of those that do."""
    known = np.isfinite(size)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(curve, np.where(known, size, 0.0)) / np.bincount(curve, known)
    return np.asarray(mean * np.bincount(curve))


def _weigh(weights: str, present: NDArray[np.bool_], params: Array, loss: Array, size: Array) -> Array:
    """Return the weight of each point, 0 where there is none."""
    if weights == "size":
        return equal_per_size(params, present)
    if weights == "uniform":
        return present.astype(float)
    if not np.isfinite(size).all():
        raise TableError("weights by binomial error need a column 'eval_size'; add it or use uniform weights.")
    half = 0.5 / size[:, None]
    rate = np.clip(loss, half, 1 - half)
    weight = np.where(present, size[:, None] / (rate * (1 - rate)), 0.0)
    return np.asarray(weight / weight[present].mean())


def _flops_per_sample(part: Part, seeds: Seeds) -> float:
    if "flops" not in part or "samples" not in part:
        return 1.0
    flops, samples = (seeds.mean(part.matrix(name, 0.0)[seeds.order]) for name in ("flops", "samples"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = flops / (part["params"][part.starts][seeds.heads][:, None] * samples)
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    return float(np.median(ratio)) if len(ratio) else 1.0


__all__ = ["FitData", "Prepared", "prepare"]
