"""Write `systems.csv`: the paper's models at the last step of their training, on the seven benchmarks outside its own domain.

From `cross_domain.parquet` (read off the paper's figures; `manifest.json` says how accurately).
"""

from __future__ import annotations

from pathlib import Path

import scalefit as sf
from scalefit.output import write_file
from scalefit.units import format_quantity

HERE = Path(__file__).parent


def main() -> None:
    """Write one row a model and benchmark."""
    frame = sf.read_runs(HERE / "cross_domain.parquet").frame
    last = frame.sort_values("step").groupby(["series", "params", "eval"], observed=True).tail(1)
    last = last.sort_values(["eval", "series", "params"]).assign(
        system=last["series"].astype(str) + "-" + last["params"].map(format_quantity),
        benchmark=last["eval"].astype(str),
        score=(1 - last["loss"]).round(4),
        n=last["eval_size"],
    )
    columns = ["system", "params", "benchmark", "score", "n"]
    write_file(HERE / "systems.csv", lambda target: last[columns].to_csv(target, index=False))


if __name__ == "__main__":
    main()
