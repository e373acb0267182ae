"""Scaling laws of reinforcement-learning post-training: fit, test and use them.

Names are loaded on first use, so that `import scalefit` and `scalefit --help` stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scalefit import live
    from scalefit.fitting.bootstrap import bootstrap
    from scalefit.fitting.estimate import Estimate
    from scalefit.fitting.fit import Fit
    from scalefit.fitting.lmfit_bridge import to_lmfit
    from scalefit.fitting.simulate import simulate
    from scalefit.laws import LAWS, RELATIONS, Law, Param, law
    from scalefit.prediction.crossval import cross_validate
    from scalefit.prediction.forecast import forecast
    from scalefit.prediction.predict import predict_size
    from scalefit.prediction.predictor import SeriesFit, fit, load_fit
    from scalefit.studies.budget import plan
    from scalefit.studies.clocks import study_clocks
    from scalefit.studies.crossing import compute_to_target
    from scalefit.studies.design import design
    from scalefit.studies.gate import gate
    from scalefit.studies.horizon import study_horizon
    from scalefit.studies.joint import study_joint
    from scalefit.studies.level import study_level
    from scalefit.studies.offsets import study_offsets
    from scalefit.studies.recipes import compare_recipes
    from scalefit.studies.resolution import resolve_difference
    from scalefit.studies.reuse import study_reuse
    from scalefit.studies.rollouts import study_rollouts
    from scalefit.studies.sharpening import study_sharpening
    from scalefit.studies.signs import find_signs
    from scalefit.studies.systems import rank_systems, study_transfer
    from scalefit.table.examples import load_example
    from scalefit.table.importers import import_runs
    from scalefit.table.io import as_runs, read_runs, write_runs
    from scalefit.table.systems import read_systems

_PLACES = {
    "Estimate": "scalefit.fitting.estimate",
    "Fit": "scalefit.fitting.fit",
    "LAWS": "scalefit.laws",
    "Law": "scalefit.laws.law",
    "Param": "scalefit.laws.law",
    "RELATIONS": "scalefit.laws",
    "SeriesFit": "scalefit.prediction.predictor",
    "as_runs": "scalefit.table.io",
    "bootstrap": "scalefit.fitting.bootstrap",
    "compare_recipes": "scalefit.studies.recipes",
    "compute_to_target": "scalefit.studies.crossing",
    "cross_validate": "scalefit.prediction.crossval",
    "design": "scalefit.studies.design",
    "find_signs": "scalefit.studies.signs",
    "fit": "scalefit.prediction.predictor",
    "forecast": "scalefit.prediction.forecast",
    "gate": "scalefit.studies.gate",
    "import_runs": "scalefit.table.importers",
    "law": "scalefit.laws.own",
    "load_example": "scalefit.table.examples",
    "load_fit": "scalefit.prediction.predictor",
    "plan": "scalefit.studies.budget",
    "predict_size": "scalefit.prediction.predict",
    "rank_systems": "scalefit.studies.systems",
    "read_runs": "scalefit.table.io",
    "read_systems": "scalefit.table.systems",
    "resolve_difference": "scalefit.studies.resolution",
    "simulate": "scalefit.fitting.simulate",
    "study_clocks": "scalefit.studies.clocks",
    "study_horizon": "scalefit.studies.horizon",
    "study_joint": "scalefit.studies.joint",
    "study_level": "scalefit.studies.level",
    "study_offsets": "scalefit.studies.offsets",
    "study_reuse": "scalefit.studies.reuse",
    "study_rollouts": "scalefit.studies.rollouts",
    "study_sharpening": "scalefit.studies.sharpening",
    "study_transfer": "scalefit.studies.systems",
    "to_lmfit": "scalefit.fitting.lmfit_bridge",
    "write_runs": "scalefit.table.io",
}
__all__ = [
    "LAWS",
    "RELATIONS",
    "Estimate",
    "Fit",
    "Law",
    "Param",
    "SeriesFit",
    "as_runs",
    "bootstrap",
    "compare_recipes",
    "compute_to_target",
    "cross_validate",
    "design",
    "find_signs",
    "fit",
    "forecast",
    "gate",
    "import_runs",
    "law",
    "live",
    "load_example",
    "load_fit",
    "plan",
    "predict_size",
    "rank_systems",
    "read_runs",
    "read_systems",
    "resolve_difference",
    "simulate",
    "study_clocks",
    "study_horizon",
    "study_joint",
    "study_level",
    "study_offsets",
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
    if name == "live":
        return import_module("scalefit.live")
    if name not in _PLACES:
        raise AttributeError(f"module 'scalefit' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Return the public names, loaded or not, so that completion finds them."""
    return [*__all__, "__version__"]
