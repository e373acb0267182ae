"""Derivatives of a function of named values: exact where it takes complex numbers, else by central differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.exceptions import ComplexWarning
from numpy.typing import NDArray

Array = NDArray[Any]
Function = Callable[[Mapping[str, Array], Array, Array], Array]
TINY = 1e-30
"""The complex step: with no difference taken, nothing is lost to rounding."""
SMALL = 6e-6
"""The real step as a share of the value, the cube root of the rounding error."""
CHECKED = 8
"""Points at which a complex step is held against differences: |x| and the real part of x lose it without a word."""


def differentiate(function: Function, values: Mapping[str, Array], N: Array, X: Array) -> dict[str, Array]:
    """Return the derivative of `function(values, N, X)` by each of the values.

    Parameters
    ----------
    function : callable (values, N, X) -> ndarray, shape (n,)
        Of points, each on its own.
    values : mapping
        Name to an array of shape (n,) or (1,).
    N, X : ndarray, shape (n,) and (Q, n)
        The points.

    Notes
    -----
    Source of the step into the complex plane: Squire and Trapp 1998, SIAM Review 40, 110.
    """
    some = np.unique(np.linspace(0, len(N) - 1, CHECKED).astype(int))
    at_some = {name: value[some] if value.shape == N.shape else value for name, value in values.items()}
    found = {}
    with np.errstate(all="ignore"):
        for name, value in values.items():
            slope = _complex_step(function, values, name, N, X)
            if slope is not None:
                rough = _differences(function, at_some, name, N[some], X[:, some])
                off = np.abs(slope[some] - rough)
                unit = 1 / np.maximum(np.abs(at_some[name]), 1.0)
                if not (off <= 1e-3 * np.maximum(np.abs(rough), np.abs(slope[some])) + 1e-6 * unit).all():
                    slope = None
            found[name] = _differences(function, values, name, N, X) if slope is None else slope
            found[name] = np.where(np.isfinite(found[name]), found[name], 0.0) + 0.0 * np.real(value)
    return found


def _complex_step(function: Function, values: Mapping[str, Array], name: str, N: Array, X: Array) -> Array | None:
    """Return the derivative by a complex step; None where the function refuses it or drops its imaginary part."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ComplexWarning)
            moved = np.asarray(function({**values, name: values[name] + 1j * TINY}, N, X))
    except (TypeError, ValueError, ComplexWarning):
        return None
    return np.broadcast_to(moved.imag / TINY, N.shape) if np.iscomplexobj(moved) else None


def _differences(function: Function, values: Mapping[str, Array], name: str, N: Array, X: Array) -> Array:
    step = SMALL * np.maximum(np.abs(values[name]), 1e-4)
    ahead, behind = (function({**values, name: values[name] + sign * step}, N, X) for sign in (1, -1))
    return np.broadcast_to((np.asarray(ahead) - np.asarray(behind)) / (2 * step), N.shape)
