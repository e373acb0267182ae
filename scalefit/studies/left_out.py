"""What forms miss of sizes left out, by least squares: what other runs, or another order of what is read, would make of it.

The errors that are told are those of the same prediction as everywhere (`miss_held_out`); this is for resampling, of which a
thousand cost little. Shapes: M runs, S sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.binding import law_resource, size_lines
from scalefit.fitting.one_clock import fit_clock
from scalefit.laws import OFFSET_FORMS
from scalefit.laws.clocks import clock_share
from scalefit.laws.law import Law, SizeLines
from scalefit.studies.readings import Form, Values, gain_forms, offset_forms
from scalefit.studies.untrained import Untrained

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Curve = tuple[Array, Array, Array]
"""Size, log10 X (or the share of its gain made by then) and loss of the points of a curve, (n,) each."""


@dataclass(frozen=True)
class Folds:
    """Which sizes are left out: the top ones together, and each in turn."""

    sizes: Array
    top: Array

    def pooled(self, miss: Callable[[Array], Array | float]) -> Array:
        """Return the root mean square of what is missed of the top, and of each size left out in turn, (2, ...)."""
        each = [np.asarray(miss(self.sizes[[s]])) for s in range(len(self.sizes))]
        top = each[-1] if len(self.top) == 1 else np.asarray(miss(self.top))
        return np.stack([top, np.sqrt(np.mean(np.square(each), axis=0))])


@dataclass(frozen=True)
class Side:
    """What resampling needs of either quantity: what is read, and the curves, of the runs kept."""

    one: Untrained
    folds: Folds

    def forms(self, values: Values) -> list[Form]:
        """Return the forms, those that read first."""
        raise AssertionError("each quantity has its own")

    def misses(self, names: Sequence[str], kept: Mask) -> Array:
        """Return what laws by name miss of the top and of sizes left out in turn, (names, 2), of the runs kept."""
        raise AssertionError("each quantity has its own")

    def shuffled(self, values: Values) -> float:
        """Return the least of what the forms that read miss of sizes left out in turn, these values being read."""
        raise AssertionError("each quantity has its own")

    @cached_property
    def index(self) -> NDArray[np.intp]:
        """The size of each run (M,)."""
        return self.one.data.each.size_index

    @cached_property
    def _x(self) -> Array:
        """log10 of what every run spent, as closed laws see it, (M, T)."""
        each = self.one.data.each
        return np.asarray(np.log10(law_resource(OFFSET_FORMS[0], each, each.resource, each.params)[0]))

    def values(self, kept: Mask | None = None) -> Values:
        """Return what the untrained models of runs kept told, by name."""
        return {one.name: one.of_sizes(self.index, kept) for one in self.one.readings}

    def curves(self, kept: Mask) -> list[Curve]:
        """Return the curves of the runs kept, means of seeds: size (n,), log10 X and loss of the points of each."""
        data = self.one.data
        each, curve = data.each, data.run_curve
        count = np.bincount(curve[kept], minlength=len(data.params))
        mean = np.zeros(data.loss.shape)
        np.add.at(mean, curve[kept], each.loss[kept])
        mean /= np.maximum(count, 1)[:, None]
        seen = data.present & (count > 0)[:, None]
        heads = np.searchsorted(curve, np.arange(len(data.params)))
        return [
            (np.full(int(seen[r].sum()), data.params[r]), self._x[heads[r]][seen[r]], mean[r][seen[r]])
            for r in range(len(data.params))
            if seen[r].any()
        ]


@dataclass(frozen=True)
class Offsets(Side):
    """Offsets, by least squares of sizes' lines."""

    def forms(self, values: Values) -> list[Form]:
        """Return the forms, those that read first."""
        return offset_forms(self.one, values, len(self.folds.sizes) - len(self.folds.top))

    def misses(self, names: Sequence[str], kept: Mask) -> Array:
        """Return what laws by name miss of the top and of sizes left out in turn, (names, 2), of the runs kept."""
        forms = {form.law.name: form.law for form in self.forms(self.values(kept))}
        lines, curves = self._lines(kept), self.curves(kept)
        return np.array([self.folds.pooled(partial(_line_miss, forms[name], lines, curves)) for name in names])

    def shuffled(self, values: Values) -> float:
        """Return the least of what the forms that read miss of sizes left out in turn, these values being read."""
        lines, curves = self._all
        laws = [form.law for form in self.forms(values) if form.reads]
        return min(float(self.folds.pooled(partial(_line_miss, law, lines, curves))[1]) for law in laws)

    @cached_property
    def _all(self) -> tuple[SizeLines, list[Curve]]:
        every = np.ones(len(self.index), bool)
        return self._lines(every), self.curves(every)

    def _lines(self, kept: Mask) -> SizeLines:
        some = self.one.data.each.keep(kept)
        return size_lines(some, law_resource(OFFSET_FORMS[0], some, some.resource, some.params)[0])


def _line_miss(law: Law, lines: SizeLines, curves: list[Curve], out: Array) -> float:
    """Return what a law misses of sizes left out, by least squares of the lines of the others."""
    assert law.start is not None
    assert law.line is not None
    p = law.start(_keep(lines, ~np.isin(lines.params, out)))
    k, E, _ = law.line({name: np.asarray(value) for name, value in p.items()}, out)
    at = dict(zip(out.tolist(), zip(np.ravel(k), np.ravel(E), strict=True), strict=True))
    return _miss(curves, out, lambda size, x: at[size][1] - at[size][0] * x)


@dataclass(frozen=True)
class Gains(Side):
    """Gains, on the clock of all sizes."""

    def forms(self, values: Values) -> list[Form]:
        """Return the forms, those that read first."""
        return gain_forms(self.one, values)

    @cached_property
    def _clock(self) -> Values:
        return fit_clock(self.one.data)

    def _own(self, kept: Mask, start: Array) -> tuple[list[Curve], Array]:
        """Return curves as (size, share of the gain made, loss), and each size's own gain (S,) as a share of its start."""
        # A clock sees compute per parameter, as closed offsets do.
        curves = [(size, clock_share(self._clock, 10.0**x), loss) for size, x, loss in self.curves(kept)]
        sizes = self.one.data.sizes
        product, square = np.zeros(len(sizes)), np.zeros(len(sizes))
        for size, share, loss in curves:
            s = int(np.searchsorted(sizes, size[0]))
            product[s] += share @ (start[s] - loss)
            square[s] += start[s] * (share @ share)
        return curves, product / square

    def misses(self, names: Sequence[str], kept: Mask) -> Array:
        """Return what laws by name miss of the top and of sizes left out in turn, (names, 2), of the runs kept."""
        values = self.values(kept)
        forms = {form.law.name: form for form in self.forms(values)}
        start = 10.0 ** values["pass@1"]
        curves, own = self._own(kept, start)
        return np.array([self._pooled(forms[name], start, curves, own) for name in names])

    def shuffled(self, values: Values) -> float:
        """Return the least of what the forms that read miss of sizes left out in turn, the start being what it was."""
        start = 10.0 ** self.values()["pass@1"]
        curves, own = self._own(np.ones(len(self.index), bool), start)
        return min(float(self._pooled(form, start, curves, own)[1]) for form in self.forms(values) if form.reads)

    def _pooled(self, form: Form, start: Array, curves: list[Curve], own: Array) -> Array:
        assert form.columns is not None
        columns, sizes = np.stack(list(form.columns.values()), 1), self.one.data.sizes

        def miss(out: Array) -> float:
            train = ~np.isin(sizes, out)
            held = columns @ np.linalg.lstsq(columns[train], own[train], rcond=None)[0]
            at = dict(zip(sizes.tolist(), zip(start, held, strict=True), strict=True))
            return _miss(
                curves, out, lambda size, share: np.log10(np.maximum(at[size][0] * (1 - at[size][1] * share), 1e-3))
            )

        return self.folds.pooled(miss)


def _miss(curves: list[Curve], out: Array, log_loss: Callable[[float, Array], Array]) -> float:
    """Return the root mean square of loss missed at the points of sizes left out."""
    off = [10.0 ** np.minimum(log_loss(float(size[0]), x), 0.5) - loss for size, x, loss in curves if size[0] in out]
    return float(np.sqrt(np.mean(np.square(np.concatenate(off)))))


def _keep(lines: SizeLines, some: Mask) -> SizeLines:
    arrays = {name: getattr(lines, name)[some] for name in ("params", "slope", "centre", "level", "spread", "count")}
    return replace(lines, **arrays)
