"""Write `manifest.json`: what each table of the study holds and what made it.

Tables of e07 are in it as they come, those of other experiments are all there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import scalefit as sf
from scalefit.output import write_text
from scalefit.provenance import sha256_of_file
from scalefit.runner.config_file import read_config

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REPLICATION = ROOT / "experiments" / "e07_replication"
sys.path.insert(0, str(REPLICATION))

from make import ARMS  # noqa: E402

SOURCES = {
    "e01": "e01_size_sweep/config.toml",
    "e01_rates": "e01_size_sweep/rates.toml",
    "e02": "e02_reuse/config.toml",
    "e03": "e03_rollouts/config.toml",
    "e04_grpo_token": "e04_advantage/grpo_token.toml",
    "e04_grpo_sequence": "e04_advantage/grpo_sequence.toml",
    "e04_dr-grpo_dr-grpo": "e04_advantage/dr-grpo_dr-grpo.toml",
    "e04_rloo_token": "e04_advantage/rloo_token.toml",
    "e05_grpo": "e05_adaptive_advantage/grpo.toml",
    "e05_dr-grpo": "e05_adaptive_advantage/dr-grpo.toml",
    "e05_rloo": "e05_adaptive_advantage/rloo.toml",
    "e05_fade": "e05_adaptive_advantage/fade.toml",
    "e06": "e06_horizon/config.toml",
    "e08_long": "e08_collapse/long.toml",
    "e08_rate": "e08_collapse/rate.toml",
    "e08_repeats": "e08_collapse/repeats.toml",
}


def describe(table: str, experiment: str, made_by: str = "") -> dict[str, Any]:
    """Return what a runs table holds of the runs that its experiment file asks for."""
    path, source = HERE / f"{table}.parquet", f"experiments/{experiment}"
    runs = sf.read_runs(path)
    asked = {spec.run_id for spec in read_config(ROOT / source).runs()}
    made = set(runs.frame["run_id"])
    return {
        "made by": made_by or f"scalefit run {source} --out data/study/{path.name}",
        "experiment": source,
        "runs": len(made),
        "runs missing": sorted(asked - made),
        "status": runs.frame.groupby("run_id")["status"].last().value_counts().to_dict(),
        "rows": len(runs.frame),
        "sha256": sha256_of_file(path),
        "made with": runs.metadata["made_with"],
    }


def replication() -> dict[str, dict[str, Any]]:
    """Describe the arms of e07 that there are, with what they cost, and its pilots, of which no experiment file was kept."""
    times = REPLICATION / "times.json"
    seconds = json.loads(times.read_text()) if times.exists() else {}
    found = {}
    for arm in ARMS:
        if (HERE / f"e07_{arm}.parquet").exists():
            made_by = f"python experiments/e07_replication/run.py {arm}"
            entry = describe(f"e07_{arm}", f"e07_replication/arms/{arm}.toml", made_by)
            found[f"e07_{arm}.parquet"] = entry | {"processor seconds": seconds.get(arm)}
    pilots = HERE / "e07_pilots.parquet"
    runs = sf.read_runs(pilots)
    found[pilots.name] = {
        "made by": runs.metadata["origin"],
        "runs": runs.frame["run_id"].nunique(),
        "rows": len(runs.frame),
        "sha256": sha256_of_file(pilots),
    }
    return found


def ceiling() -> dict[str, dict[str, Any]]:
    """Describe what e01's models could do before wrong answers were put in, a row a model."""
    path, source = HERE / "e01_ceiling.csv", "experiments/e01_size_sweep/config.toml"
    rows = pd.read_csv(path)
    config = read_config(ROOT / source)
    asked = [f"{size.name} {seed}" for seed in config.sweep.seeds for size in config.policy.sizes]
    made = {f"{size} {seed}" for size, seed in zip(rows["size"], rows["seed"], strict=True)}
    return {
        path.name: {
            "made by": "python experiments/e01_size_sweep/ceiling.py",
            "experiment": source,
            "models missing": [name for name in asked if name not in made],
            "rows": len(rows),
            "sha256": sha256_of_file(path),
        }
    }


def main() -> None:
    """Describe every table."""
    found = {f"{table}.parquet": describe(table, experiment) for table, experiment in SOURCES.items()}
    text = json.dumps(found | ceiling() | replication(), indent=2, default=int) + "\n"
    write_text(HERE / "manifest.json", text)


if __name__ == "__main__":
    main()
