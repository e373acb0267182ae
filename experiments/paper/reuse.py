"""Is repeated data free? What `scalefit reuse` says of the paper's runs: 7B, one run an arm."""

from __future__ import annotations

from record import SERIES, paper_runs, save

import scalefit as sf


def main() -> None:
    """Write `results/reuse.json`."""
    found = {one.series: one for one in sf.study_reuse(paper_runs("reuse"))}
    said = {series: {"advice": found[series].advice, "trend": found[series].trend} for series in SERIES}
    arms = {
        series: [{k: v for k, v in arm.items() if k != "repeat_is_worth"} for arm in found[series].arms]
        for series in SERIES
    }
    margin = next(iter(found.values())).margin
    save("reuse", {"margin": margin, **{series: said[series] | {"arms": arms[series]} for series in SERIES}})


if __name__ == "__main__":
    main()
