"""The study's tables as they are asked: arms joined, each a series with its name, and only runs that came to their end."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

import scalefit as sf

DATA = Path(__file__).parents[2] / "data" / "study"
TIMES = Path(__file__).with_name("times.json")
TARGET = 3e6
"""Sizes above this are held out."""


class NotMade(Exception):
    """An arm has no table, or no run of it has ended."""


def arm(name: str, series: str = "", *, data: Path = DATA) -> pd.DataFrame:
    """Return an arm's finished runs; raises NotMade."""
    path = data / f"e07_{name}.parquet"
    if not path.exists():
        raise NotMade(name)
    frame = sf.read_runs(path).frame
    frame = frame[frame["status"] == "finished"]
    if frame.empty:
        raise NotMade(name)
    return frame.assign(
        run_id=[f"{name} {one}" for one in frame["run_id"]], series=series or name, eval=frame["eval"].astype(str)
    )


def arms(*names: str, series: str, data: Path = DATA) -> pd.DataFrame:
    """Return several arms' runs as one series; those that are not made are left out, but the first must be."""
    found = [arm(names[0], series, data=data)]
    for name in names[1:]:
        try:
            found.append(arm(name, series, data=data))
        except NotMade:
            continue
    return pd.concat(found, ignore_index=True)


def of(frame: pd.DataFrame, size: str) -> pd.DataFrame:
    """Return the runs of one size, by the beginning of their names."""
    return frame[[f" {size}-" in one for one in frame["run_id"]]]


def cost() -> str:
    """Say what the tables that are made took."""
    spent = json.loads(TIMES.read_text(encoding="utf-8"))
    last = sum(seconds for name, seconds in spent.items() if name.endswith("3M"))
    whole = sum(spent.values())
    share = f", 3M {last / whole:.0%} of it" if last else ""
    return f"What is made took {whole / 3600:.1f} hours of one core{share} (`times.json`, an arm a line)."
