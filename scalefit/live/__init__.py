"""A run watched while it runs: its evaluations kept as a table, its end forecast, and whether it is worth going on.

`Monitor` for a loop of one's own, `callback` for trainers of transformers and TRL, `Tracker` for loggers of verl and
prime-rl. None of them ever raises within a training.
"""

from __future__ import annotations

from scalefit.live.monitor import Monitor
from scalefit.live.tracker import Tracker
from scalefit.live.trainer import callback
from scalefit.studies.stopping import Advice, Rule

__all__ = ["Advice", "Monitor", "Rule", "Tracker", "callback"]
