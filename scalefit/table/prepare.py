"""From a runs table to the arrays a fit sees, in one fixed, recorded order.

select -> drop X <= 0 -> clip by step value -> merge seeds whose grids agree -> weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError, TableError, UsageError, nearest
from scalefit.table.io import RunTable, as_runs
from scalefit.table.ordered import Ordered, Part, Seeds, find_seeds, one_run_a_curve
from scalefit.table.resources import choose_resource, unit_of
from scalefit.table.schema import RESOURCES, USUAL
from scalefit.table.select import Source, Where, find_rows

Array = NDArray[np.float64]
WEIGHTS = ("uniform", "size", "binomial")
SETUP = ("params", "group_size", "reuse")
"""What runs that are seeds of one curve share, where the table says it."""


@dataclass(frozen=True)
class FitData:
    """Curves as padded matrices: M runs, of which seeds are merged to R curves, of at most T evaluations.

    Attributes
    ----------
    params : ndarray, shape (R,)
        Model size of each curve [parameters].
    resource : ndarray, shape (Q, R, T)
        What was spent, in the order of `resources` and their units; 1 where absent.
    loss : ndarray, shape (R, T)
        1 - pass@1.
    weight : ndarray, shape (R, T)
        Weight of the squared residual; 0 where absent.
    eval_size : ndarray, shape (R,)
        Problems per evaluation times merged runs; nan where unknown.
    run_loss : ndarray, shape (M, T)
        The loss of each run, by curve; `loss` itself where nothing was merged.
    run_curve : ndarray of int, shape (M,)
        The curve of each run, a row of `params`, ascending.
    """

    series: str
    resources: tuple[str, ...]
    params: Array
    resource: Array
    loss: Array
    weight: Array
    eval_size: Array
    runs: tuple[int, ...]
    record: Mapping[str, Any]
    flops_per_sample: float = 1.0
    """Median of flops / (params x samples) in the table [FLOPs]; 1 where it has not both."""
    run_loss: Array = None  # type: ignore[assignment]  # `loss` where none is given
    run_curve: NDArray[np.intp] = None  # type: ignore[assignment]  # one run a curve where none is given

    def __post_init__(self) -> None:
        """Take each curve for a run where runs are not given."""
        if self.run_loss is None:
            object.__setattr__(self, "run_loss", self.loss)
        if self.run_curve is None:
            object.__setattr__(self, "run_curve", np.arange(len(self.params)))

    @property
    def merged(self) -> bool:
        """Whether a curve is the mean of several runs."""
        return self.run_loss is not self.loss

    @cached_property
    def each(self) -> FitData:
        """The runs as they were before any were merged: the units of evidence."""
        if not self.merged:
            return self
        curve = self.run_curve
        return replace(
            self,
            params=self.params[curve],
            resource=self.resource[:, curve],
            loss=self.run_loss,
            weight=self.weight[curve],
            eval_size=self.eval_size[curve] / np.asarray(self.runs, float)[curve],
            runs=(1,) * len(curve),
            run_loss=self.run_loss,
            run_curve=np.arange(len(curve)),
        )

    @property
    def name(self) -> str:
        """Series and evaluation, as answers name it."""
        return f"{self.series} on {self.record['eval']}"

    @property
    def size_name(self) -> str:
        """The table's column that is the model size."""
        return str(self.record.get("size", "params"))

    @property
    def caveats(self) -> list[str]:
        """What has to be known of the numbers, in sentences.

        That the loss is not 1 - pass@1 of an evaluation as it was logged, that the sizes are not `params`, and which
        set-ups of one size share its law.
        """
        said = []
        if "loss_convention" in self.record:
            said.append(f"the loss is {self.record['loss_convention']}")
        if self.size_name != "params":
            said.append(f"model sizes are {self.size_name}")
        if pooled := self.record.get("pooled"):
            among = " and ".join(pooled)
            said.append(f"runs of one size that differ in {among} share one law here; choose among them with --where")
        return said

    @cached_property
    def sizes(self) -> Array:
        """Distinct model sizes, ascending."""
        return np.unique(self.params)

    @cached_property
    def size_index(self) -> NDArray[np.intp]:
        """Index into `sizes`, shape (R,)."""
        return np.searchsorted(self.sizes, self.params)

    @cached_property
    def ordered(self) -> bool:
        """Whether there is one curve a size, smallest first."""
        return len(self.params) == len(self.sizes) and bool((self.params == self.sizes).all())

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Where a point is, shape (R, T)."""
        return self.weight > 0

    @cached_property
    def points(self) -> int:
        """Number of points."""
        return int(self.present.sum())

    def digest(self) -> str:
        """Return a SHA-256 of the numbers."""
        digest = hashlib.sha256()
        runs = (self.run_loss, self.run_curve.astype(np.int64)) if self.merged else ()
        for array in (self.params, self.resource, self.loss, self.weight, *runs):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def keep(self, rows: NDArray[np.bool_] | NDArray[np.intp], first: int | NDArray[np.int64] | None = None) -> FitData:
        """Return the curves chosen, each cut to its first points where asked."""
        weight = self.weight[rows]
        if first is not None:
            limit = np.broadcast_to(np.asarray(first), weight.shape[:1])
            weight = np.where(np.arange(weight.shape[1]) < limit[:, None], weight, 0.0)
        if self.record.get("weights") == "size":
            weight = _equal_per_size(self.params[rows], weight > 0)
        loss = self.loss[rows]
        run_loss, run_curve = self._runs_of(rows) if self.merged else (loss, np.arange(len(loss)))
        return replace(
            self,
            params=self.params[rows],
            resource=self.resource[:, rows],
            loss=loss,
            weight=weight,
            eval_size=self.eval_size[rows],
            runs=tuple(np.asarray(self.runs)[rows].tolist()),
            run_loss=run_loss,
            run_curve=run_curve,
        )

    def _runs_of(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> tuple[Array, NDArray[np.intp]]:
        """Return the losses of the runs of some curves, and which of these each belongs to."""
        curves = np.arange(len(self.params))[rows]
        counts = np.bincount(self.run_curve, minlength=len(self.params))
        starts = (np.cumsum(counts) - counts)[curves]
        curve = np.repeat(np.arange(len(curves)), counts[curves])
        within = np.arange(len(curve)) - (np.cumsum(counts[curves]) - counts[curves])[curve]
        return self.run_loss[starts[curve] + within], curve


def prepare(
    runs: Source,
    x: str | None = None,
    where: Where | None = None,
    *,
    both: bool = False,
    clip: int = 0,
    weights: str = "uniform",
    merge: bool = True,
) -> list[FitData]:
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
    if "size" in runs.metadata:
        record["size"] = str(runs.metadata["size"])
    own = {name: unit for name in resources if name not in RESOURCES and (unit := unit_of(name, runs.metadata))}
    if own:
        record["units"] = own
    if "loss_convention" in runs.metadata:
        record["loss_convention"] = str(runs.metadata["loss_convention"])
    rows = Ordered(runs.frame, _spent(runs, kept, resources, clip))
    columns = {
        name: rows[name] for name in (*SETUP, *USUAL, *resources, "step", "eval_size", "loss") if name in runs.frame
    }
    return [_curves(columns, part, resources, weights, record) for part in rows.parts()]


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


def _curves(
    columns: Mapping[str, Array], part: Part, resources: tuple[str, ...], weights: str, record: Mapping[str, Any]
) -> FitData:
    """Pad the runs of a series to one length, and merge seeds: same size and set-up, same whole grid."""
    known = {name: columns[name][part.starts] for name in SETUP if name in columns}
    known = {name: values for name, values in known.items() if not np.isnan(values).any()}
    setup = list(known.values())
    grids = [part.matrix(columns[name], 1.0) for name in resources]
    if record["merge"]:
        seeds = find_seeds(setup, [part.matrix(columns["step"], 1.0), *grids], part.lengths)
    else:
        seeds = one_run_a_curve(setup)
    params, counts = setup[0][seeds.heads], seeds.counts
    run_loss = part.matrix(columns["loss"], 0.5)[seeds.order]
    loss = seeds.mean(run_loss)
    present = np.arange(loss.shape[1]) < part.lengths[seeds.heads][:, None]
    size = np.full(len(params), np.nan)
    if "eval_size" in columns:
        size = _problems(columns["eval_size"][part.starts][seeds.order], seeds.curve)
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
        flops_per_sample=_flops_per_sample(columns, part, seeds),
        run_loss=run_loss,
        run_curve=seeds.curve,
    )


def _pooled(setup: Mapping[str, Array]) -> dict[str, list[str]]:
    """Return for the record what differs between runs of one size, if anything."""
    sizes = len(np.unique(setup["params"]))
    found = [
        name
        for name, values in setup.items()
        if name != "params" and len(np.unique(np.stack([setup["params"], values]), axis=1).T) > sizes
    ]
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
        return _equal_per_size(params, present)
    if weights == "uniform":
        return present.astype(float)
    if not np.isfinite(size).all():
        raise TableError("weights by binomial error need a column 'eval_size'; add it or use uniform weights.")
    half = 0.5 / size[:, None]
    rate = np.clip(loss, half, 1 - half)
    weight = np.where(present, size[:, None] / (rate * (1 - rate)), 0.0)
    return np.asarray(weight / weight[present].mean())


def _equal_per_size(params: Array, present: NDArray[np.bool_]) -> Array:
    """Give each size the same total weight, mean weight 1."""
    sizes, index = np.unique(params, return_inverse=True)
    counts = np.bincount(index, weights=present.sum(1))[index]
    return np.where(present, present.sum() / len(sizes) / np.maximum(counts, 1)[:, None], 0.0)


def _flops_per_sample(columns: Mapping[str, Array], part: Part, seeds: Seeds) -> float:
    if "flops" not in columns or "samples" not in columns:
        return 1.0
    flops, samples = (seeds.mean(part.matrix(columns[name], 0.0)[seeds.order]) for name in ("flops", "samples"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = flops / (columns["params"][part.starts][seeds.heads][:, None] * samples)
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    return float(np.median(ratio)) if len(ratio) else 1.0
