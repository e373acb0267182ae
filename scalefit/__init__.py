"""Scaling laws of reinforcement-learning post-training: fit, test and use them.

Names are loaded on first use, so that `import scalefit` and `scalefit --help` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scalefit.fitting.bootstrap import bootstrap, bootstrap_runs
    from scalefit.fitting.fit import Estimate, Fit
    from scalefit.fitting.lmfit_bridge import to_lmfit
    from scalefit.fitting.profile import profile_interval
    from scalefit.fitting.simulate import simulate
    from scalefit.laws import LAWS
    from scalefit.planning.predict import predict_size
    from scalefit.table.importers import import_runs
    from scalefit.table.io import as_runs, read_runs, write_runs
    from scalefit.validation.crossval import cross_validate
    from scalefit.workflow import fit, load_fit

_PLACES = {
    "LAWS": "scalefit.laws",
    "Estimate": "scalefit.fitting.fit",
    "Fit": "scalefit.fitting.fit",
    "as_runs": "scalefit.table.io",
    "bootstrap": "scalefit.fitting.bootstrap",
    "bootstrap_runs": "scalefit.fitting.bootstrap",
    "cross_validate": "scalefit.validation.crossval",
    "fit": "scalefit.workflow",
    "import_runs": "scalefit.table.importers",
    "load_fit": "scalefit.workflow",
    "predict_size": "scalefit.planning.predict",
    "profile_interval": "scalefit.fitting.profile",
    "read_runs": "scalefit.table.io",
    "simulate": "scalefit.fitting.simulate",
    "to_lmfit": "scalefit.fitting.lmfit_bridge",
    "write_runs": "scalefit.table.io",
}
__all__ = [
    "LAWS",
    "Estimate",
    "Fit",
    "as_runs",
    "bootstrap",
    "bootstrap_runs",
    "cross_validate",
    "fit",
    "import_runs",
    "load_fit",
    "predict_size",
    "profile_interval",
    "read_runs",
    "simulate",
    "to_lmfit",
    "write_runs",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'scalefit' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
