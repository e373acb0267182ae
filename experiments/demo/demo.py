"""`make demo`: the law on the paper's curves, then the whole loop on models trained here and now.

Each command is printed before it runs; they are the ones a user would type.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from scalefit.output import make_folder

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "data" / "paper" / "runs.parquet"
BEGAN = time.monotonic()


def say(text: str) -> None:
    """Print a heading with the time since the start."""
    print(f"\n=== {text}   [{time.monotonic() - BEGAN:.0f} s]", flush=True)


def scalefit(*arguments: str | Path) -> None:
    """Print and run a scalefit command."""
    words = [str(word) for word in arguments]
    print("$ scalefit " + " ".join(word.removeprefix(f"{ROOT}/") for word in words), flush=True)
    run(str(Path(sys.executable).parent / "scalefit"), *words)


def run(*command: str) -> None:
    """Run a command; stop with its code where it fails."""
    try:
        code = subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if code:
        raise SystemExit(code)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    out = parser.parse_args().out
    make_folder(out)
    say("The paper's curves: Qwen2.5 0.5B to 72B, fitted, predicted for 100B, every size held out in turn")
    scalefit("check", PAPER)
    scalefit("fit", PAPER, "--where", "series=base", "--out", out / "paper.json")
    scalefit("predict", out / "paper.json", "--params", "100B")
    scalefit("crossval", PAPER, "--mode", "zero-shot", "--where", "series=base")
    scalefit("figures", PAPER, "--where", "series=base", "--out", out / "paper")
    say("Your own: five small models, GRPO on arithmetic, two seeds each")
    scalefit("run", ROOT / "experiments" / "demo" / "config.toml", "--out", out / "runs.parquet", "--jobs", "2")
    say("What they say")
    scalefit("check", out / "runs.parquet")
    scalefit("fit", out / "runs.parquet", "--out", out / "fit.json")
    scalefit("crossval", out / "runs.parquet", "--mode", "zero-shot")
    scalefit("figures", out / "runs.parquet", "--out", out / "own")
    say(f"Done: {out}/paper and {out}/own hold the pictures; law_base_samples.png shows a size predicted unseen")


if __name__ == "__main__":
    main()
