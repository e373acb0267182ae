"""Where the reproduction's inputs and results lie, and whether the inputs are those of the manifest."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import scalefit as sf
from scalefit.errors import ScalefitError
from scalefit.output import write_json
from scalefit.provenance import sha256_of_file
from scalefit.table.io import RunTable

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "experiments"))  # What all experiments share.
RESULTS = Path(__file__).parent / "results"
PUBLISHED = ROOT / "data" / "paper" / "published.toml"
RESTORE = "git checkout -- data restores it"
DIGITS = 6
"""Significant digits that results keep."""
SAME = 1e-5
"""Relative difference up to which a result counts as the one that is there: what processors change in the last digits."""
SERIES = ("base", "instruct")
RESOURCES = ("flops", "samples")
SYMBOL = {"flops": "C", "samples": "D"}


def check_inputs() -> None:
    """Compare every input with the manifest that lies beside it.

    Raises
    ------
    ScalefitError
        With every file that is missing or differs.
    """
    faults = [] if PUBLISHED.exists() else [f"{PUBLISHED.relative_to(ROOT)}: missing; {RESTORE}"]
    for folder in ("paper", "study"):
        place = ROOT / "data" / folder
        manifest = place / "manifest.json"
        if not manifest.exists():
            faults.append(f"{manifest.relative_to(ROOT)}: missing; {RESTORE}")
            continue
        for name, entry in json.loads(manifest.read_text(encoding="utf-8")).items():
            path = place / name
            if not path.exists():
                faults.append(f"{path.relative_to(ROOT)}: missing; {RESTORE}")
            elif sha256_of_file(path) != entry["sha256"]:
                faults.append(
                    f"{path.relative_to(ROOT)}: not the file of the manifest (SHA-256 differs); restore it, "
                    f"or write the manifest anew with the script beside it"
                )
    if faults:
        raise ScalefitError("the inputs are not those that the page speaks of:\n  " + "\n  ".join(faults))


def paper_runs(name: str = "runs") -> RunTable:
    """Return a table of the paper's curves: runs, reuse or cross_domain."""
    return sf.read_runs(ROOT / "data" / "paper" / f"{name}.parquet")


def published() -> dict[str, Any]:
    """Return the published tables."""
    return tomllib.loads(PUBLISHED.read_text(encoding="utf-8"))


def save(name: str, value: Any) -> None:
    """Write a result, unless it is there already but for what another processor's last digits change."""
    write_json(RESULTS / f"{name}.json", value, DIGITS, same=SAME)


def load(name: str) -> Any:
    """Return a result."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
