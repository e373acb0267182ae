"""The README's picture: the law on the paper's base curves. Any table's pictures: `scalefit figures RUNS.parquet`."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

from common import looks_alike

import scalefit as sf
from scalefit.output import write_file
from scalefit.plotting.gallery import draw_gallery

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Draw `figures/law.png`."""
    runs = sf.read_runs(ROOT / "data" / "paper" / "runs.parquet")
    with tempfile.TemporaryDirectory() as folder:
        draw_gallery(runs, Path(folder), {"series": "base"})
        made, target = Path(folder) / "law_base_samples.png", ROOT / "figures" / "law.png"
        if not (target.exists() and looks_alike(target, made)):
            write_file(target, partial(shutil.copyfile, made))


if __name__ == "__main__":
    main()
