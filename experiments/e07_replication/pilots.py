"""Show the pilots in `plan.md`: what was tried before the task and the learning rates were chosen, one seed each."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import scalefit as sf  # noqa: E402
from experiments.study import DATA, put_result  # noqa: E402

SHOWN = (0, 10, 32, 56, 100, 200)


def main() -> None:
    """Write the table of pilots."""
    runs = sf.read_runs(DATA / "e07_pilots.parquet").frame
    rows = []
    for (pilot, run), one in runs.groupby(["series", "run_id"], sort=False, observed=True):
        at = one.set_index("step")["loss"]
        near = {f"step {step}": at.get(step) for step in SHOWN}
        last = one.iloc[-1]
        rows.append({"pilot": pilot, "size": run.split()[0], **near, "entropy at the end": last["entropy"]})
    table = pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format, na_rep="")
    put_result(__file__, table, mark="pilots", page="plan.md")


if __name__ == "__main__":
    main()
