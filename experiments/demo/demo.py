"""`make demo`: the law on the paper's curves, then the whole loop on models trained here and now.

Each command is printed before it runs; they are the ones a user would type.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import tomllib
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


def show_paper(out: Path) -> None:
    """Fit the paper's curves, and predict a size that nobody has trained."""
    say("The paper's curves: Qwen2.5 0.5B to 72B, drawn, fitted, predicted for 100B, every size held out in turn")
    scalefit("figures", PAPER, "--where", "series=base", "--out", out / "paper")
    scalefit("check", PAPER)
    scalefit("fit", PAPER, "--where", "series=base", "--out", out / "paper.json")
    scalefit("predict", out / "paper.json", "--params", "100B")
    scalefit("crossval", PAPER, "--mode", "zero-shot", "--where", "series=base")


def show_own(out: Path) -> None:
    """Train models of five sizes, and predict the largest from the others."""
    config = Path(__file__).parent / "config.toml"
    *smaller, largest = [size["name"] for size in tomllib.loads(config.read_text())["policy"]["sizes"]]
    say("Your own: five small models, GRPO on arithmetic, two seeds each")
    scalefit("run", config, "--out", out / "runs.parquet", "--jobs", "2")
    scalefit("sample", out / "runs.parquet", "--run", f"{largest}-base-g8-r1-s0", "--samples", "6")
    say(f"What they say: {largest} from the smaller ones, without looking at it, and what it did")
    scalefit("figures", out / "runs.parquet", "--out", out / "own")
    where = [word for name in smaller for word in ("--where", f"size={name}")]
    scalefit("fit", out / "runs.parquet", *where, "--out", out / "fit.json")
    scalefit("predict", out / "fit.json", "--params", largest)
    scalefit("crossval", out / "runs.parquet", "--mode", "zero-shot")


def main() -> None:
    """Show one part, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("paper", "own", "both"), nargs="?", default="both")
    parser.add_argument("--out", type=Path, default=Path("demo"))
    given = parser.parse_args()
    make_folder(given.out)
    if given.part != "own":
        show_paper(given.out)
    if given.part != "paper":
        show_own(given.out)
        say(
            f"Done: {given.out}/paper and {given.out}/own hold the pictures; law_base_samples.png shows a size predicted unseen"
        )


if __name__ == "__main__":
    main()
