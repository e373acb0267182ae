"""What a fit sees of a series: runs as padded matrices, seeds merged to curves, and what has to be known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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

        That the loss is not 1 - pass@1 of an evaluation as it was logged, that the sizes are not `params`, which set-ups
        of one size share its law, and which runs are left out.
        """
        said = []
        if "loss_convention" in self.record:
            said.append(f"the loss is {self.record['loss_convention']}")
        if self.size_name != "params":
            said.append(f"model sizes are {self.size_name}")
        if pooled := self.record.get("pooled"):
            among = " and ".join(pooled)
            said.append(f"runs of one size that differ in {among} share one law here; choose among them with --where")
        if "left_out" in self.record:
            said.append(f"left out: {self.record['left_out']}")
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
            weight = equal_per_size(self.params[rows], weight > 0)
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


def equal_per_size(params: Array, present: NDArray[np.bool_]) -> Array:
    """Give each size the same total weight, mean weight 1."""
    sizes, index = np.unique(params, return_inverse=True)
    counts = np.bincount(index, weights=present.sum(1))[index]
    return np.where(present, present.sum() / len(sizes) / np.maximum(counts, 1)[:, None], 0.0)
