"""Batched Levenberg-Marquardt for line laws: many fits in one vectorised call.

Within a curve a line law has only the coordinates k, E (and the bend), so the normal equations of a
whole fit are assembled from a small matrix a curve. Shapes as in `scalefit.fitting.bound`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.bound import BoundLaw, law_resource
from scalefit.laws.law import LN10, bend
from scalefit.table.prepare import FitData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """AR(1) noise: lag-1 correlation and each curve's stationary standard deviation [loss]."""

    rho: float
    sigma: Array


@dataclass(frozen=True)
class Solution:
    """A batch of fits: `theta` (B, P), `cost` (B,) = half the weighted sum of squares, `normal` (B, P, P)."""

    theta: Array
    cost: Array
    normal: Array
    converged: NDArray[np.bool_]


class LineProblem:
    """The least-squares problem of a line law on given curves."""

    def __init__(self, bound: BoundLaw, data: FitData, objective: str = "loss", noise: Noise | None = None) -> None:
        self.bound, self.law = bound, bound.law
        assert bound.law.line is not None
        self.coordinates, self.coordinates_gradient = bound.law.line
        self.x = np.log10(law_resource(bound.law, data, data.resource, data.params)[0])
        self.index = np.searchsorted(bound.sizes, data.params)
        self.linear = objective == "loss"
        floor = 0.5 / np.where(np.isfinite(data.eval_size), data.eval_size, 1e4)[:, None]
        self.y = data.loss if self.linear else np.log10(np.maximum(data.loss, floor))
        self.present = data.present
        self.full = bool(self.present.all())
        weight = data.weight
        self.root = np.sqrt(weight)
        self.rho = 0.0
        if noise is not None:
            self.rho = noise.rho
            self.root = self.present / (noise.sigma[:, None] * np.sqrt(1 - noise.rho**2))
        self.plain = self.full and self.rho == 0.0 and bool((self.root == 1).all())

    def whiten(self, z: Array) -> Array:
        """Weight and decorrelate along the last axis."""
        if self.plain:
            return z
        scaled = z * self.root
        if self.rho == 0.0:
            return scaled
        out = np.empty_like(scaled)
        out[..., 1:] = scaled[..., 1:] - self.rho * scaled[..., :-1]
        out[..., 0] = scaled[..., 0] * np.sqrt(1 - self.rho**2)
        return out if self.full else out * self.present

    def curves(self, theta: Array, values: dict[str, Array] | None = None) -> tuple[Array, Array, Array]:
        """Return the fitted curves (B, R, T), k of each curve (B, R, 1), and the resource term h (B or 1, R, T)."""
        values = self.bound.values(theta) if values is None else values
        k, E = self.coordinates(values, self.bound.sizes)
        h = self.x
        if self.law.bends:
            h = bend(self.x, np.log10(values["X_bend"])[..., None])[0]
        k, E = k[:, self.index, None], E[:, self.index, None]
        log = E - k * h
        return (np.exp(np.minimum(log * LN10, 3.0)) if self.linear else log), k, h

    def cost(self, theta: Array, y: Array | None = None) -> Array:
        """Return half the sum of squares, shape (B,)."""
        fitted, _, _ = self.curves(theta)
        r = self.whiten((self.y if y is None else y) - fitted)
        return np.asarray(0.5 * np.einsum("brt,brt->b", r, r))

    def local(self, values: dict[str, Array]) -> Array:
        """Return the derivatives of each curve's coordinates (k, E, ln X_bend) by theta, shape (B, R, U, P)."""
        gradient = self.coordinates_gradient(values, self.bound.sizes)
        B, S = len(next(iter(values.values()))), len(self.bound.sizes)
        out = np.zeros((B, S, 3 if self.law.bends else 2, len(self.bound.names)))
        every = np.arange(S)
        for param in self.law.params:
            part = self.bound.columns[param.name]
            if param.name == "X_bend":
                out[:, :, 2, part.start] = 1.0
                continue
            for row, slope in enumerate(gradient[param.name]):
                if param.scale == "log":
                    slope = slope * values[param.name]
                if param.per_size:
                    out[:, every, row, part.start + every] = slope
                else:
                    out[:, :, row, part.start] = slope
        return out[:, self.index]

    def _slopes(self, fitted: Array, k: Array, h: Array, values: dict[str, Array]) -> list[Array]:
        """Return the derivatives of the curves by their coordinates, each (B, R, T)."""
        by_E = LN10 * fitted if self.linear else np.ones_like(fitted)
        parts = [-by_E * h, by_E]
        if self.law.bends:
            parts.append(-by_E * k * bend(self.x, np.log10(values["X_bend"])[..., None])[1])
        return parts

    def normal(self, theta: Array, y: Array | None = None) -> tuple[Array, Array, Array]:
        """Return cost (B,), descent direction's right side (B, P) and normal matrix (B, P, P)."""
        values = self.bound.values(theta)
        fitted, k, h = self.curves(theta, values)
        r = self.whiten((self.y if y is None else y) - fitted)
        parts = self._slopes(fitted, k, h, values)
        u = np.empty((*fitted.shape[:2], len(parts), fitted.shape[2]))
        for row, part in enumerate(parts):
            u[:, :, row] = self.whiten(part)
        small = u @ u.swapaxes(-1, -2)
        right = u @ r[..., None]
        G = self.local(values)
        B, P = theta.shape
        flat = G.reshape(B, -1, P)
        A = flat.swapaxes(1, 2) @ (small @ G).reshape(B, -1, P)
        g = (right.reshape(B, 1, -1) @ flat)[:, 0]
        return 0.5 * np.einsum("brt,brt->b", r, r), g, A

    def jacobian(self, theta: Array) -> Array:
        """Return the unweighted derivative of the curves, shape (R, T, P), for one theta (P,)."""
        values = self.bound.values(theta[None])
        fitted, k, h = self.curves(theta[None], values)
        u = np.stack(self._slopes(fitted, k, h, values), axis=-1)[0]
        return np.asarray(u @ self.local(values)[0])

    def solve(
        self,
        start: Array,
        y: Array | None = None,
        held: NDArray[np.bool_] | None = None,
        iterations: int = 200,
        tolerance: float = 1e-9,
    ) -> Solution:
        """Minimise from `start` (B, P); `held` parameters stay where they are; deterministic."""
        low, high = self.bound.bounds
        theta = np.array(start, float)
        B, P = theta.shape
        damping = np.full(B, 1e-8)
        active = np.ones(B, bool)
        diagonal = np.arange(P)
        free = np.ones(P) if held is None else (~held).astype(float)
        cost, g, A = self.normal(theta, y)
        for _ in range(iterations):
            mask = free * ~(((theta <= low) & (g < 0)) | ((theta >= high) & (g > 0)))
            gm = g * mask
            M = A * (mask[:, :, None] * mask[:, None, :])
            main = M[:, diagonal, diagonal]
            M[:, diagonal, diagonal] = np.where(mask > 0, main * (1 + damping[:, None]) + 1e-300, 1.0)
            try:
                step = np.linalg.solve(M, gm[..., None])[..., 0]
            except np.linalg.LinAlgError:
                step = np.stack([np.linalg.lstsq(m, v, rcond=None)[0] for m, v in zip(M, gm, strict=True)])
            step[~np.isfinite(step)] = 0.0
            # What the step is expected to gain says that a minimum is reached; the step is taken, not evaluated.
            done = active & (damping <= 1e-2) & ((step * gm).sum(1) <= tolerance * cost)
            theta = np.where(done[:, None], np.minimum(np.maximum(theta + step, low), high), theta)
            active &= ~done
            if not active.any():
                break
            trial = np.minimum(np.maximum(theta + step * active[:, None], low), high)
            new_cost, new_g, new_A = self.normal(trial, y)
            better = new_cost <= cost * (1 + 1e-15)
            gain = cost - new_cost
            # A small gain under heavy damping is a short step, not a minimum.
            settled = better & (gain <= tolerance * cost) & (damping <= 1e-2)
            take = better & active
            theta = np.where(take[:, None], trial, theta)
            A = np.where(take[:, None, None], new_A, A)
            g = np.where(take[:, None], new_g, g)
            cost = np.where(take, new_cost, cost)
            damping = np.where(better, np.maximum(damping * 0.1, 1e-12), np.maximum(damping * 30, 1e-6))
            active &= ~(settled | (damping > 1e12))
            if not active.any():
                break
        return Solution(theta, cost, A, ~active)
