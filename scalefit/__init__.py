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
    from scalefit.laws import LAWS, RELATIONS
    from scalefit.planning.budget import plan
    from scalefit.planning.crossing import compute_to_target
    from scalefit.planning.design import design
    from scalefit.planning.forecast import forecast
    from scalefit.planning.horizon import study_horizon
    from scalefit.planning.predict import predict_size
    from scalefit.planning.ranking import rank_systems, study_transfer
    from scalefit.planning.recipes import compare_recipes
    from scalefit.planning.resolution import resolve_difference
    from scalefit.planning.reuse import study_reuse
    from scalefit.planning.rollouts import study_rollouts
    from scalefit.planning.sharpening import study_sharpening
    from scalefit.table.importers import import_runs
    from scalefit.table.io import as_runs, read_runs, write_runs
    from scalefit.table.systems import read_systems
    from scalefit.validation.crossval import cross_validate
    from scalefit.workflow import fit, load_fit

_PLACES = {
    "Estimate": "scalefit.fitting.fit",
    "Fit": "scalefit.fitting.fit",
    "LAWS": "scalefit.laws",
    "RELATIONS": "scalefit.laws",
    "as_runs": "scalefit.table.io",
    "bootstrap": "scalefit.fitting.bootstrap",
    "bootstrap_runs": "scalefit.fitting.bootstrap",
    "compare_recipes": "scalefit.planning.recipes",
    "compute_to_target": "scalefit.planning.crossing",
    "cross_validate": "scalefit.validation.crossval",
    "design": "scalefit.planning.design",
    "fit": "scalefit.workflow",
    "forecast": "scalefit.planning.forecast",
    "import_runs": "scalefit.table.importers",
    "load_fit": "scalefit.workflow",
    "plan": "scalefit.planning.budget",
    "predict_size": "scalefit.planning.predict",
    "profile_interval": "scalefit.fitting.profile",
    "rank_systems": "scalefit.planning.ranking",
    "read_runs": "scalefit.table.io",
    "read_systems": "scalefit.table.systems",
    "resolve_difference": "scalefit.planning.resolution",
    "simulate": "scalefit.fitting.simulate",
    "study_horizon": "scalefit.planning.horizon",
    "study_reuse": "scalefit.planning.reuse",
    "study_rollouts": "scalefit.planning.rollouts",
    "study_sharpening": "scalefit.planning.sharpening",
    "study_transfer": "scalefit.planning.ranking",
    "to_lmfit": "scalefit.fitting.lmfit_bridge",
    "write_runs": "scalefit.table.io",
}
__all__ = [
    "LAWS",
    "RELATIONS",
    "Estimate",
    "Fit",
    "as_runs",
    "bootstrap",
    "bootstrap_runs",
    "compare_recipes",
    "compute_to_target",
    "cross_validate",
    "design",
    "fit",
    "forecast",
    "import_runs",
    "load_fit",
    "plan",
    "predict_size",
    "profile_interval",
    "rank_systems",
    "read_runs",
    "read_systems",
    "resolve_difference",
    "simulate",
    "study_horizon",
    "study_reuse",
    "study_rollouts",
    "study_sharpening",
    "study_transfer",
    "to_lmfit",
    "write_runs",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module 'scalefit' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
