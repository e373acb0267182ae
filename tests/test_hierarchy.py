"""What runs say of a line law, against whole matrices, scipy and the law's own formula."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import scalefit as sf
from scalefit.errors import FitError
from scalefit.fitting import cells
from scalefit.fitting.bands import Bands, bands_of, interval_of_parameters
from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.cells import _scale
from scalefit.fitting.fit import Specification, fit_data
from scalefit.fitting.hierarchy import MISFITS, _widths, make_side
from scalefit.fitting.line_fit import fit_lines
from scalefit.fitting.linear_rows import LinearRows
from scalefit.fitting.run_lines import RunLines, _Lines, _ways_back, fit_run_lines
from scalefit.fitting.scatter import _ends, _share, describe_scatter
from scalefit.fitting.turns import SHARES
from scalefit.fitting.weigh_runs import weigh_runs
from scalefit.laws import get_law
from scalefit.numerics.ar1 import Noise, ar1_noise, covariance, estimate_noise
from scalefit.numerics.intervals import student
from scalefit.numerics.mixtures import Mixture
from scalefit.numerics.scatter import spread_prior
from scalefit.studies.information import Informer, planned_run
from scalefit.table.fit_data import FitData
from tests.conftest import ROOT

SIZES = np.array([1e9, 3e9, 7e9, 2e10, 5e10, 9e10])
TWICE = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5])
TRUTH = {"k_max": 0.17, "N0": 8e9, "E0": 0.05, "E_log": 0.03}


@pytest.fixture
def coarse(monkeypatch):
    """Grids of spreads as they are before they are looked at closely, so that their prior can be told here."""
    monkeypatch.setattr(cells, "ROUNDS", 0)


def some_lines(size=TWICE, scatter=0.06, seed=0):
    """Lines of runs that scatter about a closed law, each known with an error of its own."""
    rng = np.random.default_rng(seed)
    N, M = SIZES[size], len(size)
    k = TRUTH["k_max"] / (1 + TRUTH["N0"] / N) * (1 + scatter * rng.standard_normal(M))
    centre = rng.uniform(3.0, 3.6, M)
    level = BoundLaw(get_law("saturating-linear"), SIZES)
    level = np.array(
        [
            float(level.log_loss(level.internal(TRUTH), np.array([n]), np.array([[10.0**c]]))[0])
            for n, c in zip(N, centre, strict=True)
        ]
    )
    level = level + 0.004 * rng.standard_normal(M)
    errors = rng.uniform(0.002, 0.006, M), rng.uniform(0.0005, 0.002, M)
    noise = Noise(0.3, np.full(M, 0.01))
    return RunLines(N, k, level, centre, errors[0] ** 2, errors[1] ** 2, noise, 100.0, np.zeros((1, M)))


def dense(design, target, V):
    """Coefficients, their covariance and the restricted log-likelihood, by whole matrices."""
    W = np.linalg.inv(V)
    inner = np.linalg.inv(design.T @ W @ design)
    b = inner @ design.T @ W @ target
    left = target - design @ b
    return b, inner, -0.5 * (np.linalg.slogdet(V)[1] - np.linalg.slogdet(inner)[1] + left @ W @ left)


def runs_as_rows(lines, size):
    """Levels moved to their sizes' centres along the sizes' mean slopes, with the error of doing so; and the centres."""
    sizes = np.arange(size.max() + 1)
    centre = np.array([lines.centre[size == s].mean() for s in sizes])
    mean_slope = np.array([lines.slope[size == s].mean() for s in sizes])
    off = lines.centre - centre[size]
    return lines.level - mean_slope[size] * off, lines.level_variance + off**2 * lines.slope_variance, centre


def spread_covariance(variance, scale, size, spread, misfit):
    """Of runs about the law: their errors, their own departures, and those that runs of a size share."""
    shared = (misfit * scale) ** 2 * (size[:, None] == size)
    return np.diag(variance + (spread * scale) ** 2) + shared


def test_cells_of_a_closed_law_weigh_what_whole_matrices_say(coarse):
    """Every cell's coefficients, covariance and weight: all runs' slopes and levels as one correlated regression."""
    law, lines, size = get_law("saturating-linear"), some_lines(), TWICE
    found = weigh_runs(law, lines)
    level, level_variance, centre = runs_as_rows(lines, size)
    np.testing.assert_allclose(found.centre, centre)
    assert found.repeats == 3
    form = LinearRows(law, law.linear, SIZES, centre)
    first = np.unique(size, return_index=True)[1]
    ones = np.ones(len(size))
    finest = np.median(np.sqrt(level_variance))
    priors = {1: spread_prior(0.02, finest), 3: spread_prior(0.02, finest, MISFITS)}
    levels = make_side(level, level_variance, first, ones, 0.02)
    scale = _scale(form, lines, levels, first)[size]
    finest = np.median(np.sqrt(lines.slope_variance) / scale)
    priors |= {0: spread_prior(0.2, finest), 2: spread_prior(0.2, finest, MISFITS)}
    grid, _ = found.profiles["N0"]
    heavy = np.argsort(found.weight)[-30:]
    direct, log_ref = [], []
    slopes, offsets = law.linear.columns(SIZES, found.outer)
    for g in heavy:
        design = np.concatenate([slopes[g], offsets[g] - slopes[g] * centre[:, None]])
        rows = np.concatenate([size, size + len(SIZES)])
        spread = found.spreads[:, g]
        V = np.zeros((18, 18))
        V[:9, :9] = spread_covariance(lines.slope_variance, scale, size, spread[0], spread[2])
        V[9:, 9:] = spread_covariance(level_variance, ones, size, spread[1], spread[3])
        b, inner, log = dense(design[rows], np.concatenate([lines.slope, level]), V)
        np.testing.assert_allclose(found.coefficients[g], b, rtol=1e-6)
        np.testing.assert_allclose(found.covariance[g], inner, rtol=1e-5)
        prior = sum(
            log_mass[np.isclose(values, spread[which], rtol=1e-12)][0] for which, (values, log_mass) in priors.items()
        )
        at = int(np.flatnonzero(grid == found.values[g, 0])[0])
        direct.append(log + prior + np.log(np.gradient(grid)[at]))
        variance = np.concatenate([_of_sizes(V[:9, :9], size), _of_sizes(V[9:, 9:], size)])
        log_ref.append([0.5 * np.linalg.slogdet(design.T / variance @ design)[1], *design.ravel(), *variance])
    heavier = found.weight[heavy] > 1 / 600
    assert heavier.sum() > 20
    # The integral over the coefficients is taken as 1 at the likeliest cell's variances, whichever that is.
    off = []
    for _, *other in log_ref:
        variance = np.array(other[-12:])
        ref = [
            0.5 * np.linalg.slogdet(d.T / variance @ d)[1] for d in (np.reshape(o[1:-12], (12, -1)) for o in log_ref)
        ]
        said = np.array(direct) + ref - np.log(found.weight[heavy])
        off.append(np.ptp(said[heavier]))
    assert min(off) < 1e-6


def _of_sizes(V, size):
    """Variances of the sizes' means about the law."""
    X = np.eye(size.max() + 1)[size]
    return np.diag(np.linalg.inv(X.T @ np.linalg.inv(V) @ X))


def test_precisions_and_means_are_those_of_all_cells():
    law, lines, size = get_law("saturating-linear"), some_lines(), TWICE
    found = weigh_runs(law, lines)
    level, level_variance, _ = runs_as_rows(lines, size)
    precision, weighed = np.zeros(6), np.zeros(6)
    for weight, (_, spread, _, misfit) in zip(found.weight, found.spreads.T, strict=True):
        own = 1 / (level_variance + spread**2)
        total = np.bincount(size, own)
        between = 1 / (1 / total + misfit**2)
        precision += weight * between
        weighed += weight * between * np.bincount(size, own * level) / total
    np.testing.assert_allclose(found.precision[1], precision, rtol=1e-9)
    np.testing.assert_allclose(found.means[1], weighed / precision, rtol=1e-9)


def test_the_scale_of_slopes_is_the_laws_own_slope():
    """Without scatter it is k(N) that the lines were drawn from, however unlike its sizes are; no less than a 20th of the largest."""
    lines = replace(some_lines(scatter=0.0), slope_variance=np.full(9, 1e-12))
    law, first = get_law("saturating"), np.unique(TWICE, return_index=True)[1]
    form = LinearRows(law, law.linear, SIZES, np.full(6, 3.3))
    wanted = TRUTH["k_max"] / (1 + TRUTH["N0"] / SIZES)
    # It is that of the nearest N0 of the coarse grid, whose steps are a factor of 1.4.
    np.testing.assert_allclose(_scale(form, lines, None, first), wanted, rtol=0.1)
    tiny = 1e7 * np.arange(1, 7.0)
    form = LinearRows(law, law.linear, np.append(tiny[:5], 9e10), np.full(6, 3.3))
    few = replace(
        lines,
        slope=0.17 / (1 + 8e9 / np.append(tiny[:5], 9e10)),
        params=np.append(tiny[:5], 9e10),
        slope_variance=np.full(6, 1e-12),
    )
    found = _scale(form, few, None, np.arange(6))
    np.testing.assert_allclose(found[:5], 0.05 * found[5])


def test_sizes_keep_levels_of_their_own_as_their_scatter_is_told(coarse):
    """Each scatter of levels has the share that whole matrices give it; a size's level is pooled accordingly."""
    law, lines, size = get_law("saturating"), some_lines(), TWICE
    found = weigh_runs(law, lines)
    level, variance, _ = runs_as_rows(lines, size)
    spread, log_mass = spread_prior(0.02, np.median(np.sqrt(variance)))
    log = np.array(
        [log_mass[a] + dense(np.eye(6)[size], level, np.diag(variance + one**2))[2] for a, one in enumerate(spread)]
    )
    share = np.exp(log - np.logaddexp.reduce(log))
    assert found.weight.sum() == pytest.approx(1)
    for a, one in enumerate(spread):
        here = np.isclose(found.spreads[1], one, rtol=1e-12)
        # Some 1,200 parts, spread evenly.
        assert found.weight[here].sum() == pytest.approx(share[a], abs=0.004)
        b, inner, _ = dense(np.eye(6)[size], level, np.diag(variance + one**2))
        if here.any():
            np.testing.assert_allclose(found.level[0][here][0], b, rtol=1e-9)
            np.testing.assert_allclose(found.level[1][here][0], np.diag(inner), rtol=1e-9)
    assert not found.spreads[3].any()


BACK = np.stack([np.zeros(6), np.linspace(0.8, 1.2, 6), np.full(6, 3.0)])
"""How far before their centre runs turn: about it, from their first evaluation, from far."""


def fans(turn, seed=0):
    """One run a size, each turning where `BACK` has it."""
    lines = some_lines(np.arange(6), scatter=0.0, seed=seed)
    steeper = 0.15 * lines.slope * np.random.default_rng(seed).standard_normal(6)
    level = lines.level - steeper * BACK[turn]
    return replace(lines, slope=lines.slope + steeper, level=level, back=BACK)


def test_cells_of_runs_that_fan_out_weigh_what_whole_matrices_say(coarse):
    """A run's slope and level depart together: a correlated regression of all slopes and levels, its weight and its pivot."""
    law, lines = get_law("saturating-linear"), fans(1)
    found = weigh_runs(law, lines)
    levels = make_side(lines.level, lines.level_variance, np.arange(6), np.ones(6), 0.02)
    scale = _scale(LinearRows(law, law.linear, SIZES, lines.centre), lines, levels, np.arange(6))
    spreads = {0: spread_prior(0.2, np.median(np.sqrt(lines.slope_variance) / scale))}
    spreads[1] = spread_prior(0.02, np.median(np.sqrt(lines.level_variance)))
    grid, _ = found.profiles["N0"]
    slopes, offsets = law.linear.columns(SIZES, found.outer)
    heavy = np.argsort(found.weight)[-30:]
    direct, designs, variances = [], [], []
    for g in heavy:
        design = np.concatenate([slopes[g], offsets[g] - slopes[g] * lines.centre[:, None]])
        own, back = (found.spreads[0, g] * scale) ** 2, BACK[found.turn[g]]
        V = np.diag(np.append(lines.slope_variance, lines.level_variance + found.spreads[1, g] ** 2))
        V += np.block([[np.diag(own), np.diag(-own * back)], [np.diag(-own * back), np.diag(own * back**2)]])
        b, inner, log = dense(design, np.concatenate([lines.slope, lines.level]), V)
        np.testing.assert_allclose(found.coefficients[g], b, rtol=1e-6)
        np.testing.assert_allclose(found.covariance[g], inner, rtol=1e-5)
        prior = sum(
            mass[np.isclose(values, found.spreads[at, g], rtol=1e-12)][0] for at, (values, mass) in spreads.items()
        )
        at = int(np.flatnonzero(grid == found.values[g, 0])[0])
        direct.append(
            log + prior + np.log(SHARES[found.turn[g]]) + np.log(np.gradient(grid)[at]) - np.log(found.weight[g])
        )
        designs.append(design)
        variances.append(np.append(V.diagonal()[:6], 1 / np.linalg.inv(V).diagonal()[6:]))
    heavier = found.weight[heavy] > 1 / 600
    assert heavier.sum() > 10
    assert (found.spreads[0, heavy] > 0).all()
    # The integral over the coefficients is taken as 1 at the likeliest cell's variances, whichever that is.
    off = [
        np.ptp((direct + np.array([0.5 * np.linalg.slogdet(d.T / v @ d)[1] for d in designs]))[heavier])
        for v in variances
    ]
    assert min(off) < 1e-6


def twice(turn):
    """Two runs of every size that turn so."""
    one, other = (fans(turn, seed) for seed in (0, 1))
    # The second run is of the same grid as the first.
    level = other.level - other.slope * (one.centre - other.centre)
    pairs = {"slope": (one.slope, other.slope), "level": (one.level, level)}
    every = {name: np.stack(pair, 1).ravel() for name, pair in pairs.items()}
    for name in ("params", "centre", "slope_variance", "level_variance"):
        every[name] = np.repeat(getattr(one, name), 2)
    return RunLines(**every, noise=Noise(0.3, np.full(12, 0.01)), dof=100.0, back=np.repeat(BACK, 2, 1))


def test_sizes_depart_about_their_middle_whichever_way_runs_turn(coarse):
    """Repeated runs that fan out, and a misfit of their sizes: one correlated regression of all slopes and levels."""
    law, lines, size = get_law("saturating-linear"), twice(1), np.repeat(np.arange(6), 2)
    found, first = weigh_runs(law, lines), np.arange(0, 12, 2)
    levels = make_side(lines.level, lines.level_variance, first, np.ones(12), 0.02)
    scale = _scale(LinearRows(law, law.linear, SIZES, lines.centre[first]), lines, levels, first)[size]
    slopes, offsets = law.linear.columns(SIZES, found.outer)
    fanned = np.flatnonzero((found.turn > 0) & (found.spreads[2] > 0))
    for g in fanned[np.argsort(found.weight[fanned])[-10:]]:
        design = np.concatenate([slopes[g], offsets[g] - slopes[g] * lines.centre[first][:, None]])
        design = design[np.concatenate([size, size + 6])]
        own, back = np.diag((found.spreads[0, g] * scale) ** 2), lines.back[found.turn[g]]
        V = np.diag(np.append(lines.slope_variance, lines.level_variance + found.spreads[1, g] ** 2))
        V += np.block([[own, -own * back], [-own * back, own * back**2]])
        same = size[:, None] == size
        V[:12, :12] += (found.spreads[2, g] * scale) ** 2 * same
        V[12:, 12:] += found.spreads[3, g] ** 2 * same
        b, inner, _ = dense(design, np.concatenate([lines.slope, lines.level]), V)
        np.testing.assert_allclose(found.coefficients[g], b, rtol=1e-6)
        np.testing.assert_allclose(found.covariance[g], inner, rtol=1e-5)


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("name", ["saturating", "saturating-linear", "power"])
def test_how_runs_turn_is_found(name, turn):
    """From repeated runs alone where sizes have levels of their own; the pivots are where they were put."""
    lines = twice(turn)
    found = weigh_runs(get_law(name), lines)
    assert np.bincount(found.turn, found.weight, 3)[turn] > 0.9
    np.testing.assert_allclose(found.pivot, lines.centre[::2] - BACK)
    # Levels are told where runs turn: both ends of what noise and scatter make of it lie between there and the centre.
    at = found.centre + found.tilt[found.turn == turn]
    assert ((at <= lines.centre[::2] + 1e-9) & (at >= found.pivot[turn] - 1e-9)).all()


def test_a_new_run_of_those_that_fan_out_departs_from_where_they_turn():
    found, x = weigh_runs(get_law("saturating-linear"), fans(1)), np.array([2.0, 3.5, 5.0])
    lines, k = found.lines, found.k(SIZES[2]).mean
    wanted = (found.spreads[0] * k[:, 0])[:, None] * (x - (lines.centre[2] - BACK[found.turn, 2])[:, None])
    np.testing.assert_allclose(found.between_runs(SIZES[2], x), wanted**2 + found.spreads[1][:, None] ** 2)
    # Between sizes, the middle of where theirs turn.
    pivot = (lines.centre - BACK).mean(1)[found.turn]
    wanted = (found.spreads[0] * found.k(4e10).mean[:, 0])[:, None] * (x - pivot[:, None])
    np.testing.assert_allclose(found.between_runs(4e10, x), wanted**2 + found.spreads[1][:, None] ** 2)


def test_a_fitted_run_of_those_that_fan_out_is_known_as_a_normal_distribution_says():
    """Its slope and level by the law, given what was measured of both: the conditional of a normal distribution of four."""
    found, row, x = weigh_runs(get_law("saturating-linear"), fans(1)), 3, np.array([2.0, 4.5])
    lines = found.lines
    k, curve = found.k(SIZES[row]), found.curve(SIZES[row], lines.centre[[row]])
    own = found.own_run(row, x)
    certain = replace(found, covariance=0 * found.covariance).own_run(row, x)
    for g in np.argsort(found.weight)[-5:]:
        back, turned = BACK[found.turn[g], row], (found.spreads[0, g] * k.mean[g, 0]) ** 2
        scatter = np.array([[turned, -turned * back], [-turned * back, turned * back**2 + found.spreads[1, g] ** 2]])
        noise = np.diag([lines.slope_variance[row], lines.level_variance[row]])
        gain = scatter @ np.linalg.inv(scatter + noise)
        told = gain @ [lines.slope[row] - k.mean[g, 0], lines.level[row] - curve.mean[g, 0]]
        left = scatter - gain @ scatter
        to = np.stack([lines.centre[row] - x, np.ones(2)])
        square = (told @ to) ** 2
        np.testing.assert_allclose(certain[g], np.diag(to.T @ left @ to) + square, rtol=1e-6)
        assert (own[g] >= certain[g] * (1 - 1e-9)).all()


def test_a_law_without_shared_parameters_keeps_each_sizes_line(coarse):
    found = weigh_runs(get_law("power"), lines := some_lines())
    level, variance, centre = runs_as_rows(lines, TWICE)
    scale = np.abs([lines.slope[s == TWICE].mean() for s in range(6)])[TWICE]
    spread, log_mass = spread_prior(0.2, np.median(np.sqrt(lines.slope_variance) / scale))
    heights, height_mass = spread_prior(0.02, np.median(np.sqrt(variance)))
    X = np.eye(6)[TWICE]
    one = [dense(X, lines.slope, np.diag(lines.slope_variance + (a * scale) ** 2)) for a in spread]
    two = [dense(X, level, np.diag(variance + e**2)) for e in heights]
    log = (log_mass + [part[2] for part in one])[:, None] + height_mass + [part[2] for part in two]
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    for g in np.argsort(found.weight)[-10:]:
        a, e = (
            int(np.flatnonzero(np.isclose(grid, found.spreads[i, g]))[0]) for i, grid in enumerate((spread, heights))
        )
        assert found.weight[g] == pytest.approx(weight[a, e], rel=1e-6)
        np.testing.assert_allclose(found.slope[0][g], one[a][0], rtol=1e-9)
        np.testing.assert_allclose(found.slope[1][g], np.diag(one[a][1]), rtol=1e-9)
        np.testing.assert_allclose(found.level[0][g], two[e][0], rtol=1e-9)
        np.testing.assert_allclose(found.level[1][g], np.diag(two[e][1]), rtol=1e-9)
    np.testing.assert_allclose(found.precision[0], found.weight @ (1 / found.slope[1]), rtol=1e-9)
    np.testing.assert_allclose(found.means[0], found.weight @ (found.slope[0] / found.slope[1]) / found.precision[0])
    np.testing.assert_allclose(found.centre, centre)


def test_one_run_a_size_has_its_own_line_and_says_nothing_of_another():
    lines = some_lines(np.arange(6))
    found = weigh_runs(get_law("power"), lines)
    x = np.array([3.0, 4.0])
    for row, size in enumerate(SIZES):
        k = found.k(size)
        np.testing.assert_allclose(k.centre, lines.slope[row])
        np.testing.assert_allclose(k.spread, np.sqrt(lines.slope_variance[row]))
        curve, off = found.curve(size, x), x - lines.centre[row]
        np.testing.assert_allclose(curve.centre, lines.level[row] - lines.slope[row] * off)
        np.testing.assert_allclose(curve.spread**2, lines.level_variance[row] + lines.slope_variance[row] * off**2)
    with pytest.raises(FitError, match="says nothing about a size that was not fitted"):
        found.k(4e9)
    assert found.repeats == 0


@pytest.mark.parametrize("name", ["saturating-linear", "saturating", "saturating-crossing", "power-k", "log-k-linear"])
def test_curves_of_a_cell_are_the_laws_own(name):
    """k(N) and the curve of every cell by the law's formula; their spread is linear in the coefficients."""
    law, lines = get_law(name), some_lines()
    found = weigh_runs(law, lines)
    x, size = np.array([2.5, 3.3, 5.0]), SIZES[3]
    k, curve = found.k(size), found.curve(size, x)
    bound = BoundLaw(law, np.array([size]))
    for g in np.argsort(found.weight)[-5:]:
        values = law.linear.parameters(found.coefficients[g], found.outer[g])
        theta = bound.internal({**{p.name: np.zeros(1) for p in law.params if p.per_size}, **values})
        level = bound.log_loss(theta, np.full(3, size), 10.0 ** x[None])
        slope = level[0] - level[1]
        assert k.mean[g, 0] == pytest.approx(slope / (x[1] - x[0]))
        columns, offsets = (
            None if one is None else one[g, 0] for one in law.linear.columns(np.array([size]), found.outer)
        )
        assert k.sd[g, 0] ** 2 == pytest.approx(columns @ found.covariance[g] @ columns)
        if offsets is None:
            at = found.level[0][g, 3], found.level[1][g, 3]
            off = x - found.centre[3]
            np.testing.assert_allclose(curve.mean[g], at[0] - k.mean[g] * off)
            np.testing.assert_allclose(curve.sd[g] ** 2, at[1] + (k.sd[g] * off) ** 2)
        else:
            rows = offsets - columns * x[:, None]
            np.testing.assert_allclose(curve.mean[g], level, rtol=1e-7)
            np.testing.assert_allclose(curve.sd[g] ** 2, np.diag(rows @ found.covariance[g] @ rows.T))


def test_a_new_run_departs_by_scatter_and_misfit_about_its_sizes_centre():
    found = weigh_runs(get_law("saturating-linear"), some_lines())
    x = np.array([3.0, 4.5])
    for size, centre in ((SIZES[2], found.centre[2]), (4e11, found.centre.mean())):
        k = found.k(size).mean
        between = found.between_runs(size, x)
        slope, level, slope_misfit, level_misfit = found.spreads[:, :, None]
        wanted = (slope * k * (x - centre)) ** 2 + (slope_misfit * k * (x - centre)) ** 2 + level**2 + level_misfit**2
        np.testing.assert_allclose(between, wanted)
    assert (found.spreads > 0).any(1).all()


def test_what_a_run_has_of_its_own_is_drawn_to_the_law():
    """Normal priors of the scatters' widths times the run's own line: the posterior's moments about the law's mean."""
    lines, row = some_lines(), 4
    found = weigh_runs(get_law("saturating-linear"), lines)
    x = np.array([3.0, 5.0])
    k = found.k(lines.params[row])
    level = found.curve(lines.params[row], lines.centre[[row]])
    spreads = found.spreads[0][:, None] * np.abs(k.mean), found.spreads[1][:, None]
    measured = (lines.slope[row], lines.slope_variance[row]), (lines.level[row], lines.level_variance[row])
    off, total = 0.0, 0.0
    for law, spread, (own, variance), to in zip(
        (k, level), spreads, measured, (lines.centre[row] - x, 1.0), strict=True
    ):
        share = spread**2 / (spread**2 + variance)
        off = off + share * (own - law.mean) * to
        total = total + (share * variance + ((1 - share) * law.sd) ** 2) * np.square(to)
    np.testing.assert_allclose(found.own_run(row, x), total + off**2)


@pytest.mark.parametrize("name", ["saturating-linear", "saturating", "power"])
def test_drawn_lines_have_the_moments_of_the_mixture(name):
    """Twenty thousand draws: standard errors of 1 % of the spread, held to 4 of them."""
    found = weigh_runs(get_law(name), some_lines())
    k, E = found.draw_lines(SIZES[[1, 4]], 20_000, np.random.default_rng(0))
    assert k.shape == E.shape == (20_000, 2)
    for at, size in enumerate(SIZES[[1, 4]]):
        wanted = found.k(size)
        assert abs(k[:, at].mean() - wanted.centre[0]) < 0.03 * wanted.spread[0]
        assert k[:, at].std() == pytest.approx(wanted.spread[0], rel=0.05)
        for x in (2.0, 5.0):
            curve, drawn = found.curve(size, np.array([x])), E[:, at] - k[:, at] * x
            assert abs(drawn.mean() - curve.centre[0]) < 0.03 * curve.spread[0]
            assert drawn.std() == pytest.approx(curve.spread[0], rel=0.05)


def test_a_grid_that_ends_where_the_likelihood_has_not_is_open():
    """A 95 % limit lies where twice the log-likelihood has lost 3.84."""
    found = weigh_runs(get_law("saturating"), some_lines())
    grid = np.arange(5.0)
    for log, ends in (
        ([-1.9, -1, 0, -1, -1.95], (True, False)),
        ([-2, -1, 0, -1, -1.9], (False, True)),
        ([-9, -1, 0, -1, -9], (False, False)),
    ):
        moved = replace(found, profiles={"N0": (grid, np.array(log) + 40)})
        assert moved.is_open("N0") == ends


def test_parameters_of_a_mixture_are_its_coefficients_and_values():
    found = weigh_runs(get_law("saturating-linear"), some_lines())
    k_max = found.parameter("k_max")
    np.testing.assert_allclose(k_max.mean[:, 0], found.coefficients[:, 0])
    np.testing.assert_allclose(k_max.sd[:, 0] ** 2, found.covariance[:, 0, 0])
    E_log = found.parameter("E_log")
    np.testing.assert_allclose(E_log.sd[:, 0] ** 2, found.covariance[:, 2, 2])
    N0 = found.parameter("N0")
    np.testing.assert_allclose(N0.mean[:, 0], found.values[:, 0])
    np.testing.assert_allclose(np.exp(N0.mean[:, 0]), found.outer[:, 0])
    grid = np.unique(found.values)
    np.testing.assert_allclose(N0.sd[:, 0], 0.5 * np.gradient(grid)[np.searchsorted(grid, found.values[:, 0])])
    assert weigh_runs(get_law("saturating-affine"), some_lines()).parameter("x0") is None


@pytest.mark.parametrize(("sizes", "seeds"), [(40, 1), (30, 3), (100, 2)])
def test_many_runs_tell_their_scatter_as_closely_as_theory_says(sizes, seeds):
    """A standard deviation of n normal units is known to 1 / sqrt(2 n) of itself; ten tables, the mean within 4 of their errors."""
    said, off = [], []
    theory = 0.1 / np.sqrt(2 * (sizes * seeds - 2))
    for seed in range(10):
        rng = np.random.default_rng(seed)
        N = np.repeat(np.geomspace(5e8, 7e10, sizes), seeds)
        k = TRUTH["k_max"] / (1 + TRUTH["N0"] / N)
        M = len(N)
        each = k * (1 + 0.1 * rng.standard_normal(M)) + 1e-3 * rng.standard_normal(M)
        level = 0.05 - 3.2 * k + 0.004 * rng.standard_normal(M)
        errors = np.full(M, 1e-3**2), np.full(M, 1e-6)
        lines = RunLines(
            N, each, level, np.full(M, 4.3), *errors, Noise(0.3, np.full(M, 0.01)), 100.0, np.zeros((1, M))
        )
        found = weigh_runs(get_law("saturating"), lines)
        mean = found.weight @ found.spreads[0]
        said.append(np.sqrt(found.weight @ (found.spreads[0] - mean) ** 2))
        off.append(mean - 0.1)
    assert 0.85 * theory < np.mean(said) < 1.6 * theory
    assert abs(np.mean(off)) < 4 * theory / np.sqrt(10)


def test_a_misfit_is_told_apart_from_two_repeated_runs_on():
    lines = some_lines()
    for size, apart in (
        (np.arange(6), False),
        (np.array([0, 0, 1, 2, 3]), False),
        (np.array([0, 0, 1, 1, 2, 3]), True),
    ):
        value, first = np.arange(len(size)) / 10, np.unique(size, return_index=True)[1]
        side = make_side(value, lines.slope_variance[: len(size)], first, np.full(len(size), 0.1), 0.2)
        assert len(side.misfit) == (1 + MISFITS if apart else 1)
        assert side.known == (len(size) > len(first))
        assert side.misfit[0] == 0
        a, b = np.array([3]), np.array([len(side.misfit) - 1])
        np.testing.assert_allclose(side.variance(a, b)[0], side.groups.variance[3] + (0.1 * side.misfit[-1]) ** 2)


def test_bands_are_those_of_the_law_of_a_run_and_of_an_evaluation():
    """One cell: normal intervals whose variances add."""
    mean = Mixture(np.ones(1), np.array([[-0.5, -0.7]]), np.array([[0.03, 0.04]]))
    run = mean.widened(np.full((1, 2), 0.04**2))
    found = bands_of(np.array([-0.5, -0.7]), mean, run, np.full(2, 0.12**2), 0.95)
    z = 1.959964
    for prefix, wide in (
        ("", [0.03, 0.04]),
        ("run_", [0.05, np.hypot(0.04, 0.04)]),
        ("eval_", [0.13, np.sqrt(0.0176)]),
    ):
        np.testing.assert_allclose(getattr(found, prefix + "low"), found.log - z * np.array(wide), atol=1e-5)
        np.testing.assert_allclose(getattr(found, prefix + "high"), found.log + z * np.array(wide), atol=1e-5)
    off = bands_of(np.array([-0.3, -0.9]), mean, mean, np.zeros(2), 0.1)
    assert off.high[0] == -0.3
    assert off.low[1] == -0.9
    columns = found.columns()
    assert list(columns) == ["loss", "low", "high", "run_low", "run_high", "eval_low", "eval_high"]
    np.testing.assert_allclose(columns["low"], 10**found.low)
    assert (
        bands_of(np.zeros(2), mean, mean.widened(np.ones((1, 2))), np.ones(2), 0.95).columns()["eval_high"] == 1
    ).all()


def test_a_wider_mean_curve_takes_the_other_bands_with_it():
    """What they have beyond it, in variance, they keep; a side that is wide enough stays."""
    log = np.array([-0.5, -0.5])
    bands = Bands(log, log - 3, log + 3, log - 5, log + 5, log - 13, log + 13)
    wide = bands.at_least(np.array([5.0, 1.0]))
    np.testing.assert_allclose(wide.low, log - [5, 3])
    np.testing.assert_allclose(wide.high, log + np.array([5, 3]))
    np.testing.assert_allclose(wide.run_high, log + np.array([np.hypot(4, 5), 5]))
    np.testing.assert_allclose(wide.eval_low, log - [np.sqrt(169 - 9 + 25), 13])
    run = bands.runs_at_least(np.array([9.0, 1.0]))
    np.testing.assert_allclose(run.low, bands.low)
    np.testing.assert_allclose(run.run_low, log - [9, 5])
    np.testing.assert_allclose(run.eval_high, log + np.array([np.hypot(12, 9), 13]))
    endless = replace(bands, high=log + np.inf, run_high=log + np.inf, eval_high=log + np.inf)
    assert (endless.at_least(np.ones(2)).eval_high == np.inf).all()


def curves(count=40, sizes=SIZES[:1], rho=0.6, sigma=0.004, seed=0, runs=1):
    """Runs of straight lines with AR(1) noise, evaluated at unequal lengths."""
    rng = np.random.default_rng(seed)
    N = np.repeat(sizes, runs)
    X = np.geomspace(500, 50_000, count)
    k = 0.17 / (1 + 8e9 / N)
    loss = (
        10.0 ** (0.02 - k[:, None] * np.log10(X))
        + ar1_noise(rng, Noise(rho, np.full(len(N), sigma)), (1, len(N), count))[0]
    )
    resource = np.broadcast_to(X, (1, *loss.shape)).copy()
    return FitData(
        "s", ("samples",), N, resource, loss, np.ones_like(loss), np.full(len(N), 500.0), (1,) * len(N), {"eval": "e"}
    )


def test_a_runs_line_is_that_of_generalised_least_squares():
    """Against scipy with the whole covariance: slope and level, and what noise leaves unknown of both, by Student's t."""
    from scipy.optimize import curve_fit

    data = curves(seed=5)
    found = fit_run_lines(get_law("power"), data, Specification())
    x, y = np.log10(data.resource[0, 0]), data.loss[0]

    def line(x, k, level):
        return 10.0 ** (level - k * (x - found.centre[0]))

    theta, noise = curve_fit(line, x, y, [0.02, -0.1])[0], None
    for _ in range(2):
        J = np.stack([line(x, *theta) * -(x - found.centre[0]), line(x, *theta)]) * np.log(10)
        noise = estimate_noise((y - line(x, *theta))[None], J[None], data.present)
        theta, errors = curve_fit(line, x, y, theta, sigma=covariance(noise, 40), absolute_sigma=True)
    np.testing.assert_allclose([found.slope[0], found.level[0]], theta, rtol=1e-4)
    rho = found.noise.rho
    assert 0.3 < rho < 0.8
    assert found.dof == pytest.approx((40 - 2) * (1 - rho))
    wide = (student(0.95, found.dof) / 1.959964) ** 2
    np.testing.assert_allclose([found.slope_variance[0], found.level_variance[0]], np.diag(errors) * wide, rtol=1e-3)
    assert abs(errors[0, 1]) < 1e-4 * np.sqrt(errors[0, 0] * errors[1, 1])


def test_least_squares_lines_of_the_logarithm_have_errors_of_correlated_noise():
    """Where noise drifts, the lines are those of least squares and their errors the sandwich of its covariance."""
    data = curves(count=60, rho=0.0, sigma=0.0)
    loss = data.loss * 10 ** (0.01 * np.sin(np.arange(60) / 8))
    data = replace(data, loss=loss, run_loss=loss)
    found = fit_run_lines(get_law("power"), data, Specification("log10-loss"))
    assert found.noise.rho > 0.97
    x, y = np.log10(data.resource[0, 0]), np.log10(data.loss[0])
    slope, level = np.polyfit(x - found.centre[0], y, 1)
    np.testing.assert_allclose([found.slope[0], found.level[0]], [-slope, level], rtol=1e-7)
    X = np.stack([-(x - found.centre[0]), np.ones(60)], 1)
    bread = np.linalg.inv(X.T @ X)
    errors = bread @ X.T @ covariance(found.noise, 60) @ X @ bread
    wide = (student(0.95, found.dof) / 1.959964) ** 2
    np.testing.assert_allclose([found.slope_variance[0], found.level_variance[0]], np.diag(errors) * wide, rtol=1e-4)
    assert abs(errors[0, 1]) < 1e-6 * errors[1, 1]
    assert found.dof == max(58 * (1 - found.noise.rho), 1.0)


def test_lines_of_some_runs_are_theirs():
    lines = some_lines()
    rows = np.arange(9) % 2 == 0
    part = lines.keep(rows)
    for name in ("params", "slope", "level", "centre", "slope_variance", "level_variance"):
        np.testing.assert_array_equal(getattr(part, name), getattr(lines, name)[rows])
    assert (part.noise.rho, len(part.noise.sigma), part.dof) == (0.3, 5, 100.0)


@pytest.mark.parametrize(
    ("law", "runs", "dof"),
    [("saturating", 1, 12 - 8), ("saturating-linear", 2, 24 - 4), ("power", 2, 24 - 12), ("power", 1, 1)],
)
def test_degrees_of_freedom_are_slopes_and_levels_beyond_the_parameters(law, runs, dof):
    """Six sizes: two numbers a run less the parameters, however many evaluations a run has; at least one."""
    data = curves(count=12, sizes=SIZES, runs=runs, rho=0.3)
    assert fit_data(law, data).dof == dof


def test_shared_parameters_are_least_squares_of_slopes_and_levels():
    """The optimum of the sizes' means weighed by their precisions, by scipy."""
    from scipy.optimize import least_squares

    data = curves(count=30, sizes=SIZES, runs=2, rho=0.3)
    for name in ("saturating", "saturating-linear"):
        law = get_law(name)
        bound = BoundLaw(law, SIZES)
        found = fit_lines(bound, data, Specification())
        h, closed = found.hierarchy, name == "saturating-linear"

        def residual(shared, bound=bound, h=h, closed=closed):
            rest = {"E0": shared[2], "E_log": shared[3]} if closed else {"E": np.zeros(6)}
            theta = bound.internal({"k_max": shared[0], "N0": np.exp(shared[1]), **rest})
            at = [bound.log_loss(theta, SIZES, 10.0 ** (h.centre + step)[None]) for step in (0.0, 1.0)]
            off = [(h.means[0] - (at[0] - at[1])) * np.sqrt(h.precision[0])]
            return np.concatenate([*off, (h.means[1] - at[0]) * np.sqrt(h.precision[1])] if closed else off)

        start = [0.15, np.log(1e10), 0.0, 0.0][: 4 if closed else 2]
        theirs = least_squares(
            residual, start, x_scale=[0.1, 1, 0.1, 0.1][: len(start)], xtol=1e-14, ftol=1e-14, gtol=1e-14
        )
        np.testing.assert_allclose(found.theta[: len(start)], theirs.x, rtol=1e-4, atol=1e-5)
        errors = np.linalg.inv(theirs.jac.T @ theirs.jac)
        np.testing.assert_allclose(
            found.judgement.covariance[: len(start), : len(start)], errors, rtol=2e-3, atol=1e-12
        )
        if not closed:
            k = found.theta[0] / (1 + np.exp(found.theta[1]) / SIZES)
            np.testing.assert_allclose(found.theta[2:], h.means[1] + k * h.centre)
            by = np.stack([k / found.theta[0], -k * (1 - k / found.theta[0])], 1) * h.centre[:, None]
            wanted = np.diag(1 / h.precision[1]) + by @ errors @ by.T
            np.testing.assert_allclose(found.judgement.covariance[2:, 2:], wanted, rtol=2e-3)
            np.testing.assert_allclose(found.judgement.covariance[:2, 2:], errors @ by.T, rtol=2e-3)
    each = fit_lines(BoundLaw(get_law("power"), SIZES), data, Specification())
    h, V = each.hierarchy, each.judgement.covariance
    np.testing.assert_allclose(each.theta, np.concatenate([h.means[0], h.means[1] + h.means[0] * h.centre]))
    np.testing.assert_allclose(np.diag(V)[:6], 1 / h.precision[0])
    np.testing.assert_allclose(np.diag(V)[6:], 1 / h.precision[1] + h.centre**2 / h.precision[0])
    np.testing.assert_allclose(np.diag(V[:6, 6:]), h.centre / h.precision[0])
    np.testing.assert_allclose(V, V.T)


@pytest.mark.parametrize("noise", ["ar1", "independent"])
def test_a_curve_of_points_is_as_certain_as_generalised_least_squares_of_effective_points(noise):
    """One run about a sigmoid-like curve: scipy's covariance, widened by Student's t at n (1 - rho)/(1 + rho) - P."""
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(1)
    X = np.geomspace(500, 50_000, 60)
    loss = 0.3 + 0.6 * np.exp(-X / 9000) + ar1_noise(rng, Noise(0.5, np.full(1, 0.01)), (1, 1, 60))[0, 0]
    one = np.ones((1, 60))
    data = FitData(
        "s", ("samples",), np.array([1e9]), X[None, None], loss[None], one, np.full(1, 500.0), (1,), {"eval": "e"}
    )
    fit = fit_data("exponential", data, Specification(noise=noise))

    def curve(X, floor, first, log_scale):
        log_scale = np.clip(log_scale, 0, 30)
        return floor + (first - floor) * np.exp(-X / np.exp(log_scale))

    def of(theta):
        return np.log10(curve(X, *theta))

    theta, errors = curve_fit(curve, X, loss, [0.3, 0.9, 9.0])
    rho, n = fit.noise.rho, 60
    if noise == "ar1":
        assert rho > 0.2
        for _ in range(2):
            sigma = covariance(Noise(rho, fit.noise.sigma), n)
            theta, errors = curve_fit(curve, X, loss, theta, sigma=sigma, absolute_sigma=True)
    dof = n * (1 - rho) / (1 + rho) - 3
    wide = student(0.95, dof) / 1.959964
    step = 1e-4 * np.sqrt(np.diag(errors))
    J = np.stack([(of(theta + e) - of(theta - e)) / (2 * e.sum()) for e in np.diag(step)], 1)
    log, se = fit.curve(1e9, X[None])
    np.testing.assert_allclose(log, of(theta), atol=3e-4)
    np.testing.assert_allclose(se, np.sqrt(np.einsum("np,pq,nq->n", J, errors, J)) * wide, rtol=0.03)


def test_scatter_is_told_in_percentiles_of_slope_and_loss():
    data = curves(count=30, sizes=SIZES, runs=2, rho=0.3)
    fit = fit_data("saturating-linear", data)
    told = describe_scatter(fit)
    h = fit.evidence
    parts = (
        told.slope,
        np.log10(1 + np.array(told.level)),
        told.slope_misfit,
        np.log10(1 + np.array(told.level_misfit)),
    )
    for said, spread in zip(parts, h.spreads, strict=True):
        values = np.unique(spread)
        for share, value in zip((0.025, 0.5, 0.975), said, strict=True):
            # Between the values of the grid on either side of the share.
            step = int(np.searchsorted(values, value * (1 - 1e-9)))
            below, above = h.weight[spread < values[max(step - 1, 0)]].sum(), h.weight[spread <= values[step]].sum()
            assert below <= share <= above + 1e-9 or value == values[-1]
    assert told.slope[0] <= told.slope[1] <= told.slope[2]
    assert told.repeats == 6
    assert "sizes depart from the law by" in told.sentence
    single = describe_scatter(fit_data("saturating-linear", curves(count=30, sizes=SIZES, rho=0.3)))
    assert (single.slope_misfit, single.repeats) == (None, 0)
    assert "told apart from misfit of the law only by assumption" in single.sentence
    alone = describe_scatter(fit_data("power", curves(count=30, sizes=SIZES, rho=0.3)))
    assert (alone.slope, alone.level, alone.repeats) == (None, None, 0)
    assert "how far another run would lie from them the data do not say" in alone.sentence


def test_the_scale_of_slopes_weighs_sizes_by_their_errors_and_a_tenth_of_scatter():
    """Twice least squares of the sizes' mean slopes, by scipy, each with its runs' errors and their scatter over the count."""
    from scipy.optimize import least_squares

    lines = some_lines(scatter=0.2, seed=3)
    lines = replace(lines, slope_variance=lines.slope_variance * np.where(TWICE == 2, 900.0, 1.0))
    law, first = get_law("saturating"), np.unique(TWICE, return_index=True)[1]
    counts = np.bincount(TWICE)
    target = np.bincount(TWICE, lines.slope) / counts
    variance = np.bincount(TWICE, lines.slope_variance) / counts**2
    found = np.abs(target)
    for _ in range(2):
        root = np.sqrt(variance + (0.1 * found) ** 2 / counts)

        def residual(p, root=root):
            return (target - p[0] / (1 + np.exp(p[1]) / SIZES)) / root

        p = least_squares(residual, [0.17, np.log(8e9)], xtol=1e-14, ftol=1e-14).x
        found = p[0] / (1 + np.exp(p[1]) / SIZES)
    form = LinearRows(law, law.linear, SIZES, np.full(6, 3.3))
    # At the nearest N0 of the coarse grid.
    np.testing.assert_allclose(_scale(form, lines, None, first), found, rtol=0.05)


def test_a_single_value_of_a_parameter_is_all_but_certain():
    np.testing.assert_array_equal(_widths(np.full(3, 2.0)), [1e-9] * 3)
    np.testing.assert_allclose(_widths(np.array([0.0, 3.0, 1.0, 3.0])), [0.5, 1.0, 0.75, 1.0])


def test_a_parameter_that_is_open_has_no_end_there():
    """Below, a logarithm's parameter may be 0; above, nothing bounds N0, nor what k(N) grows to."""
    law = get_law("saturating")
    found, bound = weigh_runs(law, some_lines()), BoundLaw(law, SIZES)
    grid, _ = found.profiles["N0"]
    theta = bound.internal({"k_max": 0.17, "N0": 8e9, "E": np.full(6, 0.06)})
    whole = interval_of_parameters(bound, found, theta, 0.95)
    closed = np.where(np.arange(len(grid)) == len(grid) // 2, 0.0, -9.0)
    for below, above in ((False, False), (True, False), (False, True)):
        moved = replace(
            found, profiles={"N0": (grid, closed + 9 * below * (grid == grid[0]) + 9 * above * (grid == grid[-1]))}
        )
        ends = interval_of_parameters(bound, moved, theta, 0.95)
        middle = interval_of_parameters(bound, replace(found, profiles={"N0": (grid, closed)}), theta, 0.95)
        assert ends["N0"] == (0.0 if below else middle["N0"][0], np.inf if above else middle["N0"][1])
        assert ends["k_max"] == (middle["k_max"][0], np.inf if above else middle["k_max"][1])
    N0, k_max = found.parameter("N0").interval(0.95), found.parameter("k_max").interval(0.95)
    np.testing.assert_allclose(middle["N0"], np.exp([N0[0][0], N0[1][0]]), rtol=1e-3)
    np.testing.assert_allclose(middle["k_max"], [k_max[0][0], k_max[1][0]], rtol=1e-3)
    np.testing.assert_allclose(
        whole["E[1B]"], [end[0] for end in found.curve(1e9, np.zeros(1)).interval(0.95)], rtol=1e-3
    )


def test_a_runs_own_band_is_about_the_laws_curve_which_is_certain():
    """Of a line law, whose cells disagree: they widen the mean curve's band and not that of a run that was seen."""
    fit = fit_data("saturating-linear", curves(count=30, sizes=SIZES, rho=0.3))
    x = np.array([[800.0, 40_000.0]])
    found = fit.run_bands(2, x, 0.9)
    log, known = fit.mean_curve(float(SIZES[2]), x)
    assert np.abs(known.mean - log).max() > 1e-4
    own = fit.evidence.own_run(2, np.log10(x[0]))
    run = Mixture(known.weight, np.broadcast_to(log, own.shape), np.sqrt(own))
    low, high = run.interval(0.9)
    np.testing.assert_allclose(
        [found.run_low, found.run_high], [np.minimum(low, log), np.maximum(high, log)], atol=2e-5
    )
    noise = fit.evaluation_noise(float(SIZES[2]), log)
    low, high = run.widened(noise).interval(0.9)
    np.testing.assert_allclose([found.eval_low, found.eval_high], [low, high], atol=2e-5)
    low, high = known.interval(0.9)
    np.testing.assert_allclose([found.low, found.high], [np.minimum(low, log), np.maximum(high, log)], atol=2e-5)


def test_percentiles_of_a_spread_are_read_between_its_values_and_0_as_far_as_it_is_0():
    """Half of a value's share lies below it."""
    assert _ends(np.array([0.5, 0.25, 0.25]), np.array([2.0, 0.0, 1.0])) == pytest.approx((0, 1 + 1 / 3, 2))
    assert _ends(np.array([0.25, 0.5, 0.25]), np.array([1.0, 3.0, 1.0])) == pytest.approx((1, 2, 3))
    # The median of a spread that is 0 in half of the cells is 0; in a few less it is not.
    assert _ends(np.array([0.5, 0.5]), np.array([0.0, 1.0]))[1] == 0
    assert _ends(np.array([0.49, 0.51]), np.array([0.0, 1.0]))[1] == pytest.approx((0.5 - 0.245) / 0.5)
    assert _ends(np.array([0.02, 0.98]), np.array([0.0, 1.0]))[0] == pytest.approx((0.025 - 0.01) / 0.5)
    assert _share((0.04, 0.0912, 0.1734)) == "9.1 % [4, 17]"


@pytest.mark.parametrize(
    ("misfit", "repeats", "rest"),
    [
        (0.2, 3, "; sizes depart from the law by 20 % [20, 20] in slope"),
        (0.0, 0, "; one run a size: told apart from misfit of the law only by assumption"),
        (0.0, 1, "; too few repeated runs to tell it apart from misfit of the law"),
    ],
)
def test_scatter_is_told_in_words(misfit, repeats, rest):
    """Slopes by 5 to 15 %, levels by a hundredth of log10 loss: 2.3 %."""
    weight = np.array([0.5, 0.5])
    spreads = np.array([[0.05, 0.15], [0.01, 0.01], [misfit, misfit], [misfit / 10, misfit / 10]])
    evidence = SimpleNamespace(weight=weight, spreads=spreads, known=True, repeats=repeats)
    told = describe_scatter(SimpleNamespace(evidence=evidence, single=False))
    assert told.sentence == f"runs of one size differ by 10 % [5, 15] in slope and 2.3 % [2.3, 2.3] in level{rest}"
    assert told.slope == pytest.approx((0.05, 0.1, 0.15))
    assert told.level == pytest.approx([10**0.01 - 1] * 3)
    assert told.repeats == repeats
    if misfit:
        assert told.slope_misfit == pytest.approx([0.2] * 3)
        assert told.level_misfit == pytest.approx([10**0.02 - 1] * 3)
    else:
        assert told.slope_misfit is told.level_misfit is None
    single = describe_scatter(SimpleNamespace(evidence=evidence, single=True))
    assert single.sentence == (
        "each run has one or two evaluations: their noise and the scatter between runs are one, and told together"
    )
    assert vars(single) == {
        "slope": None,
        "level": None,
        "slope_misfit": None,
        "level_misfit": None,
        "repeats": repeats,
        "sentence": single.sentence,
    }
    evidence.known = False
    assert describe_scatter(SimpleNamespace(evidence=evidence, single=False)).repeats == 0


@pytest.mark.parametrize("objective", ["loss", "log10-loss"])
def test_the_normal_equations_of_runs_are_those_of_differences(objective):
    """Half the squares that each run's line leaves, and their slopes."""
    lines = _Lines(get_law("power"), curves(count=9, sizes=SIZES[:3]), objective)
    theta = lines.start + np.array([0.01, -0.02])

    def left(theta):
        log = theta[:, 1:] - theta[:, :1] * lines.z
        return lines.y - (10**log if objective == "loss" else log)

    cost, g, A = lines.normal(theta)
    np.testing.assert_allclose(cost, 0.5 * (left(theta) ** 2).sum(1))
    steps = 1e-6 * np.eye(2)
    J = np.stack([(left(theta - e) - left(theta + e)) / 2e-6 for e in steps], 1)
    np.testing.assert_allclose(g, (J @ left(theta)[..., None])[..., 0], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(A, J @ J.swapaxes(1, 2), rtol=1e-5)


def test_runs_may_turn_at_their_first_evaluation_and_at_one_where_it_is_near():
    """By hand: prompts, FLOPs and hours; in another unit the first evaluation is as far, and X = 1 is not."""
    centre, start = np.array([4.3, 19.0, 0.5]), np.array([1.2, 1.0, 0.9])
    np.testing.assert_allclose(_ways_back(centre, start), [[0, 0, 0], [1.2, 1.0, 0.9], [4.3, 1.0, 0.9]])
    data = curves(count=9, sizes=SIZES[:3])
    lines = fit_run_lines(get_law("power"), data, Specification())
    begin = np.log10(data.resource[0, :, 0])
    np.testing.assert_allclose(lines.back, [np.zeros(3), lines.centre - begin, lines.centre])
    moved = lines.in_unit(np.full(3, -15.0))
    np.testing.assert_allclose(moved.centre, lines.centre + 15)
    np.testing.assert_allclose(moved.back, [np.zeros(3), *[lines.centre - begin] * 2])


def test_a_run_that_is_planned_turns_where_those_measured_do():
    """Where they fan out from their first evaluation, the planned one departs by nothing there."""
    fit = sf.fit(ROOT / "data" / "study" / "e05_grpo.parquet", where={"series": "base"}, x="samples").fit
    assert np.bincount(fit.evidence.turn, fit.evidence.weight)[1] > 0.9
    informer = Informer(fit)
    run = planned_run(fit, fit.data.sizes[-1], 5000.0, 5000.0)
    own = informer.weigh(run).own[0]
    assert own[0] == pytest.approx(0, abs=1e-9)
    assert abs(own[-1]) > 1e-3
