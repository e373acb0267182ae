"""From a runs table to the arrays a fit sees, in one fixed, recorded order.

select -> drop X <= 0 -> clip by step value -> merge seeds -> weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scalefit.errors import FitError, TableError, UsageError, nearest
from scalefit.table.io import RunTable
from scalefit.table.schema import RESOURCES
from scalefit.table.select import Source, Where, by_series, default_resource, select

Array = NDArray[np.float64]
WEIGHTS = ("uniform", "size", "binomial")


@dataclass(frozen=True)
class FitData:
    """Curves as padded matrices: R merged runs of at most T evaluations.

    Attributes
    ----------
    params : ndarray, shape (R,)
        Model size of each curve [parameters].
    resource : ndarray, shape (Q, R, T)
        Compute [FLOPs] and/or data [prompts], in the order of `resources`; 1 where absent.
    loss : ndarray, shape (R, T)
        1 - pass@1.
    weight : ndarray, shape (R, T)
        Weight of the squared residual; 0 where absent.
    eval_size : ndarray, shape (R,)
        Problems per evaluation times merged runs; nan where unknown.
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

    @property
    def name(self) -> str:
        """Series and evaluation, as answers name it."""
        return f"{self.series} on {self.record['eval']}"

    @property
    def caveat(self) -> str | None:
        """What the loss is, in a sentence, where it is not 1 - pass@1 of an evaluation as it was logged."""
        said = self.record.get("loss_convention")
        return None if said is None else f"the loss is {said}"

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
        for array in (self.params, self.resource, self.loss, self.weight):
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
        return replace(
            self,
            params=self.params[rows],
            resource=self.resource[:, rows],
            loss=self.loss[rows],
            weight=weight,
            eval_size=self.eval_size[rows],
            runs=tuple(np.asarray(self.runs)[rows].tolist()),
        )


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
    x : {"samples", "flops"}, optional
        Resource; by default the first that is present and varies.
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
    chosen = select(runs, where)
    if x is not None and x not in RESOURCES:
        raise UsageError(f"--x {x}: {nearest(x, RESOURCES)}")
    resources = ("flops", "samples") if both else (x or default_resource(chosen.frame),)
    record = {
        "merge": merge,
        "where": dict(where or {}),
        "resources": list(resources),
        "clip": clip,
        "weights": weights,
    }
    if "loss_convention" in chosen.metadata:
        record["loss_convention"] = str(chosen.metadata["loss_convention"])
    return [
        _matrices(part, series, resources, weights, {**record, "eval": evaluation})
        for series, evaluation, part in by_series(_spent(chosen, resources, clip))
    ]


def _spent(runs: RunTable, resources: tuple[str, ...], clip: int) -> pd.DataFrame:
    """Return the rows after the start and after `clip` steps."""
    frame = runs.frame
    for name in resources:
        if name not in frame:
            raise TableError(f"{runs.path}: column {name!r} is missing; the fit asked for needs it.")
    keep = np.logical_and.reduce([frame[name].to_numpy() > 0 for name in resources])
    if clip:
        keep &= frame["step"].to_numpy() > clip
    if not keep.any():
        raise FitError(
            f"{runs.path}: no row with {' and '.join(resources)} > 0 and step > {clip} is left; its last step is {frame['step'].max()}, lower --clip."
        )
    return frame if keep.all() else frame[keep]


def _matrices(
    part: pd.DataFrame, series: str, resources: tuple[str, ...], weights: str, record: dict[str, Any]
) -> FitData:
    """Merge seeds (same size and set-up, same step) and pad the curves to one length."""
    setup = [name for name in ("params", "group_size", "reuse") if name in part and part[name].notna().all()]
    if not record["merge"]:
        setup.append("run_id")
    columns = [*(name for name in RESOURCES if name in part), "loss", *(["eval_size"] if "eval_size" in part else [])]
    merged = part.groupby([*setup, "step"], sort=True, observed=True)
    mean = merged[columns].mean()
    count = merged.size().to_numpy()
    code = mean.index.to_frame(index=False).groupby(setup, sort=False, observed=True).ngroup().to_numpy()
    rows, lengths = int(code.max()) + 1, np.bincount(code)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    column = np.arange(len(code)) - starts[code]
    shape = (rows, int(lengths.max()))

    def matrix(values: NDArray[Any], fill: float) -> Array:
        out = np.full(shape, fill)
        out[code, column] = values
        return out

    loss = matrix(mean["loss"].to_numpy(float), 0.5)
    params = np.asarray(mean.index.get_level_values("params"), float)[starts]
    size = np.full(rows, np.nan)
    if "eval_size" in mean:
        size = mean["eval_size"].to_numpy(float)[starts] * np.maximum.reduceat(count, starts)
    weight = matrix(np.ones(len(code)), 0.0)
    if weights == "size":
        weight = _equal_per_size(params, weight > 0)
    elif weights == "binomial":
        if not np.isfinite(size).all():
            raise TableError("weights by binomial error need a column 'eval_size'; add it or use uniform weights.")
        half = 0.5 / size[:, None]
        rate = np.clip(loss, half, 1 - half)
        weight = weight * size[:, None] / (rate * (1 - rate))
        weight = weight / weight[weight > 0].mean()
    order = np.argsort(params, kind="stable")
    counts = np.maximum.reduceat(count, starts)
    return FitData(
        series=series,
        resources=resources,
        params=params[order],
        resource=np.stack([matrix(mean[name].to_numpy(float), 1.0) for name in resources])[:, order],
        loss=loss[order],
        weight=weight[order],
        eval_size=size[order],
        runs=tuple(int(counts[row]) for row in order),
        record=record,
        flops_per_sample=_flops_per_sample(mean.reset_index()),
    )


def _equal_per_size(params: Array, present: NDArray[np.bool_]) -> Array:
    """Give each size the same total weight, mean weight 1."""
    sizes, index = np.unique(params, return_inverse=True)
    counts = np.bincount(index, weights=present.sum(1))[index]
    return np.where(present, present.sum() / len(sizes) / np.maximum(counts, 1)[:, None], 0.0)


def _flops_per_sample(part: pd.DataFrame) -> float:
    if "flops" not in part or "samples" not in part:
        return 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = part["flops"].to_numpy(float) / (part["params"].to_numpy(float) * part["samples"].to_numpy(float))
    ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
    return float(np.median(ratio)) if len(ratio) else 1.0
