"""Write `manifest.json`: what each table of the study holds and what made it.

The tables come from `scalefit run experiments/<folder>/<file>.toml --out data/study/<table>.parquet`.
"""

from __future__ import annotations

import json
from pathlib import Path

import scalefit as sf
from scalefit.output import write_text
from scalefit.provenance import sha256_of_file
from scalefit.runner.config_file import read_config

HERE = Path(__file__).parent
EXPERIMENTS = HERE.parents[1] / "experiments"
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
}


def main() -> None:
    """Describe every table."""
    found = {}
    for name, source in SOURCES.items():
        path = HERE / f"{name}.parquet"
        runs = sf.read_runs(path)
        asked = {spec.run_id for spec in read_config(EXPERIMENTS / source).runs()}
        made = set(runs.frame["run_id"])
        found[path.name] = {
            "made by": f"scalefit run experiments/{source} --out data/study/{path.name}",
            "runs": len(made),
            "runs missing": sorted(asked - made),
            "status": runs.frame.groupby("run_id")["status"].last().value_counts().to_dict(),
            "rows": len(runs.frame),
            "sha256": sha256_of_file(path),
            "made with": runs.metadata["made_with"],
        }
    text = json.dumps(found, indent=2, default=int) + "\n"
    write_text(HERE / "manifest.json", text)


if __name__ == "__main__":
    main()
