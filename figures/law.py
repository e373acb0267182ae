"""The README's picture: the law on the paper's base curves. Any table's pictures: `scalefit figures RUNS.parquet`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import scalefit as sf
from scalefit.output import write_file
from scalefit.plotting.gallery import draw_gallery

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Draw `figures/law.png`."""
    runs = sf.read_runs(ROOT / "data" / "paper" / "runs.parquet")
    with tempfile.TemporaryDirectory() as folder:
        draw_gallery(runs, Path(folder), {"series": "base"})
        picture = (Path(folder) / "law_base_samples.png").read_bytes()
    write_file(ROOT / "figures" / "law.png", lambda part: Path(part).write_bytes(picture))


if __name__ == "__main__":
    main()
