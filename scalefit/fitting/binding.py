"""A law bound to the sizes of a table: a flat parameter vector, its bounds, and back.

Shapes: B batch, P flat parameters, S sizes, R curves, T evaluations, U coordinates of a curve.
Log-scaled parameters are fitted as natural logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.laws.law import Curves, Law, SizeLines
from scalefit.table.fit_data import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
SAME = 1e-9
"""Share of a model size up to which another is the same."""


def law_resource(law: Law, data: FitData, resource: Array, params: Array) -> Array:
    """Return the resource a law sees: closed offsets in flops see compute per parameter.

    It is divided by the table's FLOPs per parameter and sample, so that closed offsets are written
    at one sample whichever resource is used. `resource` has shape (Q, R, ...), `params` (R,).
    """
    if law.intensive and data.resources == ("flops",):
        return resource / (data.flops_per_sample * params).reshape((1, -1) + (1,) * (resource.ndim - 2))
    return resource


def own_unit(law: Law, data: FitData, params: Array) -> Array:
    """Return log10 of what a law divides the table's resource by at sizes (R,)."""
    one = np.ones((1, len(params)))
    return np.asarray(-np.log10(law_resource(law, data, one, params)[0]))


@dataclass(frozen=True)
class BoundLaw:
    """A law and the sizes it was bound to, shape (S,) ascending."""

    law: Law
    sizes: Array

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Flat names, `E[7B]` for a size's own."""
        out: list[str] = []
        for param in self.law.params:
            out += [f"{param.name}[{format_quantity(size)}]" for size in self.sizes] if param.per_size else [param.name]
        return tuple(out)

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Where each parameter lies in the flat vector."""
        found, at = {}, 0
        for param in self.law.params:
            width = len(self.sizes) if param.per_size else 1
            found[param.name] = slice(at, at + width)
            at += width
        return found

    @cached_property
    def flat_index(self) -> NDArray[np.intp]:
        """Where the parameters of each size lie in the flat vector, shape (S, p)."""
        every = np.arange(len(self.sizes))
        return np.stack(
            [self.columns[one.name].start + (every if one.per_size else 0 * every) for one in self.law.params], 1
        )

    @cached_property
    def log_scaled(self) -> NDArray[np.bool_]:
        """Which flat parameters are logarithms, shape (P,)."""
        return np.concatenate([np.full(self.width(param.name), param.scale == "log") for param in self.law.params])

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Bounds on the fitted scale, two of shape (P,)."""
        low = np.concatenate([np.full(self.width(p.name), p.bounds[0]) for p in self.law.params])
        high = np.concatenate([np.full(self.width(p.name), p.bounds[1]) for p in self.law.params])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.log_scaled, np.log(low), low), np.where(self.log_scaled, np.log(high), high)

    def width(self, name: str) -> int:
        """Return how many flat parameters have a name: one, or one a size."""
        part = self.columns[name]
        return part.stop - part.start

    def external(self, theta: Array) -> Array:
        """Undo the logarithms; shape kept."""
        return np.where(self.log_scaled, np.exp(np.where(self.log_scaled, theta, 0.0)), theta)

    def internal(self, values: dict[str, Any]) -> Array:
        """Return the flat vector of named values, moved just inside the bounds."""
        flat = np.empty(len(self.log_scaled))
        for param in self.law.params:
            flat[self.columns[param.name]] = values[param.name]
        flat[self.log_scaled] = np.log(np.maximum(flat[self.log_scaled], 1e-300))
        low, high = self.bounds
        return np.minimum(np.maximum(flat, low), high)

    def values(self, theta: Array) -> dict[str, Array]:
        """Return named values of a batch (B, P): shared ones as (B, 1), per size as (B, S)."""
        outer = self.external(theta)
        return {name: outer[..., part] for name, part in self.columns.items()}

    def _row(self, params: Array) -> NDArray[np.intp]:
        """Return which size each of model sizes (n,) is, as exactly as `is_fitted` asks, or the next larger one."""
        index = np.searchsorted(self.sizes, params * (1 - SAME))
        return np.asarray(index.clip(0, len(self.sizes) - 1))

    def at(self, theta: Array, params: Array) -> dict[str, Array]:
        """Return named values for given model sizes (n,); a per-size parameter needs a size it was fitted on.

        Raises
        ------
        FitError
            If a size is unseen and the law has a free parameter per size.
        """
        values = self.values(theta)
        if not self.law.per_size:
            return values
        index = self._row(params)
        unseen = params[~np.isclose(self.sizes[index], params, rtol=SAME)]
        if len(unseen):
            seen = ", ".join(format_quantity(size) for size in self.sizes)
            raise FitError(
                f"law {self.law.name!r} has a free {', '.join(self.law.per_size)} for each model size and was fitted on {seen}; "
                f"it says nothing about {format_quantity(unseen[0])}. Choose a law with a closed-form offset (saturating-linear, ...), "
                "or give the first steps of the new size with --anchor."
            )
        return {p.name: values[p.name][..., index] if p.per_size else values[p.name] for p in self.law.params}

    def log_loss(self, theta: Array, params: Array, resource: Array) -> Array:
        """Return log10 L for points: `params` (n,), `resource` (Q, n) as the law sees it, `theta` (P,) or (B, P)."""
        return self.law.log_loss(self.at(theta, params), params, resource)

    def slopes(self, theta: Array, params: Array, resource: Array) -> Array:
        """Return d log10 L of points by the parameters of their own size, on the fitted scale, shape (p, n)."""
        values = self.at(theta, params)
        gradient = self.law.slopes(values, params, resource)
        return np.stack(
            [
                np.broadcast_to(gradient[one.name] * (values[one.name] if one.scale == "log" else 1.0), params.shape)
                for one in self.law.params
            ]
        )

    def jacobian(self, theta: Array, params: Array, resource: Array) -> Array:
        """Return d log10 L / d theta for points, shape (n, P), `theta` (P,)."""
        out = np.zeros((len(params), len(theta)))
        index = self._row(params)
        out[np.arange(len(params))[:, None], self.flat_index[index]] = self.slopes(theta, params, resource).T
        return out

    def k(self, theta: Array, size: float) -> tuple[float, Array, NDArray[np.bool_]]:
        """Return k at a size, its derivative by theta (P,), and on which of theta it depends (P,).

        Raises
        ------
        FitError
            If the law has no k(N), or none for this size.
        """
        if self.law.line is None:
            raise FitError(f"law {self.law.name!r} has no k(N); fit a line law such as 'saturating'.")
        at = int(np.argmin(np.abs(self.sizes - size)))
        seen = bool(np.isclose(self.sizes[at], size, rtol=SAME))
        values = self.external(theta)[self.flat_index[at]]
        # What an unseen size has of its own is not known; k may not need it.
        known = {
            p.name: np.array([v if seen or not p.per_size else np.nan])
            for p, v in zip(self.law.params, values, strict=True)
        }
        k, _, by = self.law.line(known, np.array([float(size)]))
        if np.isnan(k).any():
            self.at(theta, np.array([float(size)]))
        slope, depends = np.zeros(len(theta)), np.zeros(len(theta), bool)
        for param, where in zip(self.law.params, self.flat_index[at], strict=True):
            part = by[param.name][0] if param.name in by else 0.0
            if not isinstance(part, float):
                scale = float(known[param.name][0]) if param.scale == "log" else 1.0
                slope[where], depends[where] = float(np.ravel(part)[0]) * scale, True
        return float(np.ravel(k)[0]), slope, depends

    def start(self, data: FitData) -> Array:
        """Return the start that the law computes from the data, shape (P,)."""
        law = self.law
        assert law.start is not None
        seen = law_resource(law, data, data.resource, data.params)
        if law.line is not None:
            return self.internal(law.start(size_lines(data, seen[0])))
        index, present = data.size_index, data.present
        curves = [
            Curves(float(size), seen[:, index == s][:, present[index == s]], data.loss[index == s][present[index == s]])
            for s, size in enumerate(self.sizes)
        ]
        return self.internal(law.start(curves))


def size_lines(data: FitData, resource: Array) -> SizeLines:
    """Return each size's straight line in log-log space, every point weighing as in L (by L squared)."""
    x = np.log10(resource)
    floor = 0.5 / np.where(np.isfinite(data.eval_size), data.eval_size, 1e4)[:, None]
    loss = np.maximum(data.loss, floor)
    z = np.empty((len(x), 3, x.shape[1]))
    z[:, 0], z[:, 1], z[:, 2] = 1.0, x, np.log10(loss)
    sums = (z * (data.weight * loss**2)[:, None]) @ z.swapaxes(1, 2)
    if not data.ordered:
        member = (data.size_index[None, :] == np.arange(len(data.sizes))[:, None]).astype(float)
        sums = (member @ sums.reshape(len(sums), 9)).reshape(-1, 3, 3)
    n, sx, sy, sxx, sxy = sums[:, 0, 0], sums[:, 0, 1], sums[:, 0, 2], sums[:, 1, 1], sums[:, 1, 2]
    centre, level = sx / n, sy / n
    spread = np.maximum(sxx - sx * centre, 1e-12)
    return SizeLines(data.sizes, (sxy - sx * level) / spread, centre, level, spread, n, float(x[data.present].max()))
