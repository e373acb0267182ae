"""Convert the digitised curves of arXiv:2509.25300 (CSV) into runs tables and write the manifest.

Run as `python data/paper/convert.py SOURCE`, SOURCE being the folder that holds the CSV files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from scalefit.output import write_file, write_text
from scalefit.provenance import sha256_of_file
from scalefit.table.io import as_runs, write_runs

HERE = Path(__file__).parent
PAPER = "Tan et al. 2025, arXiv:2509.25300 v3"
ORIGIN = f"{PAPER}; read off the figures of the public repository (Apache-2.0)"
SET_SIZE = {
    "holdout": 500,
    "gsm8k": 1319,
    "math500": 500,
    "humaneval": 164,
    "supergpqa": 200,
    "zebra": 200,
    "amc2023": 40,
    "aime2024": 30,
}
BATCH = 512
METADATA = {
    "params_convention": "nominal, embedding included",
    "flops_convention": "6 N x all tokens (prompt and response), 8 rollouts a prompt, mean over up to three runs",
    "origin": ORIGIN,
}


def size_name(params: float) -> str:
    """Return the family's name of a size, 0.5B ... 72B."""
    return f"{params / 1e9:g}B"


def holdout(source: Path) -> pd.DataFrame:
    """Return the held-out curves of base and instruct, with response lengths where they were read."""
    frame = pd.read_csv(source / "base_instruct_holdout.csv").rename(columns={"source": "series"})
    length = pd.read_csv(source / "response_length.csv").rename(columns={"source": "series"})
    frame = frame.merge(
        length[["series", "params", "step", "response_length"]], how="left", on=["series", "params", "step"]
    )
    frame["run_id"] = [
        f"{series}-{size_name(params)}" for series, params in zip(frame.series, frame.params, strict=True)
    ]
    return frame.assign(group_size=8, reuse=1.0, eval="holdout")


def reuse(source: Path) -> pd.DataFrame:
    """Return the data-reuse curves of the 7B models, one series a model family."""
    frame = pd.read_csv(source / "data_reuse.csv").rename(columns={"source": "series", "tau": "reuse"})
    frame["run_id"] = [
        f"{series}-{size_name(params)}-tau{tau}"
        for series, params, tau in zip(frame.series, frame.params, frame.reuse, strict=True)
    ]
    return frame.assign(group_size=8, eval="holdout")


def cross_domain(source: Path) -> pd.DataFrame:
    """Return the curves on the other benchmarks; D is 512 prompts a step."""
    frame = pd.read_csv(source / "cross_domain_trajectories.csv").rename(columns={"source": "series"})
    frame["run_id"] = [
        f"{series}-{size_name(params)}" for series, params in zip(frame.series, frame.params, strict=True)
    ]
    return frame.assign(samples=BATCH * frame["step"].astype(float), group_size=8, reuse=1.0)


TABLES = {
    "runs": (
        holdout,
        ["base_instruct_holdout.csv", "response_length.csv"],
        "loss 5e-5 (one standard deviation); flops median 1e-4 relative",
    ),
    "reuse": (reuse, ["data_reuse.csv"], "loss within 1e-4; inferred points within 5e-4"),
    "cross_domain": (cross_domain, ["cross_domain_trajectories.csv"], "loss 1e-4 to 2e-4; omissions are not at random"),
}
COPIED = ("published_fits.csv", "final_losses.csv")


def main() -> None:
    """Convert everything and write `manifest.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    source = parser.parse_args().source
    manifest: dict[str, object] = {}
    for name, (build, inputs, error) in TABLES.items():
        frame = build(source)
        frame["eval_size"] = frame["eval"].map(SET_SIZE)
        path = HERE / f"{name}.parquet"
        write_runs(as_runs(frame, METADATA, str(path)), path)
        manifest[path.name] = {
            "origin": ORIGIN,
            "from": {file: sha256_of_file(source / file) for file in inputs},
            "rows": len(frame),
            "sha256": sha256_of_file(path),
            "digitisation_error": error,
        }
    for name in COPIED:
        content = (source / name).read_bytes()
        write_file(HERE / name, lambda target, content=content: Path(target).write_bytes(content))
        manifest[name] = {
            "origin": ORIGIN,
            "rows": content.count(b"\n") - 1,
            "sha256": sha256_of_file(HERE / name),
            "digitisation_error": "k 2e-5, k_max 3e-5, N0 1e7, E 4e-4"
            if "fits" in name
            else "as printed; figure values 2e-4 to 1e-3",
        }
    write_text(HERE / "manifest.json", json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
