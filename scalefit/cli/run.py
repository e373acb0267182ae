"""`scalefit run`: make the runs of an experiment file, into a runs table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.options import MAKE, Json, add_command, print_json
from scalefit.cli.progress import duration
from scalefit.cli.screen import complain, tell

if TYPE_CHECKING:
    from scalefit.runner.config import Config
    from scalefit.runner.ledger import Cluster, Outcome, Progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, run, MAKE, "scalefit run experiment.toml --out runs.parquet")


def run(
    config: Annotated[Path, typer.Argument(help="Experiment file (TOML).", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(help="Runs table to write; its unfinished runs are resumed.")] = Path(
        "runs.parquet"
    ),
    jobs: Annotated[int, typer.Option(help="Processes at a time.", min=1)] = 1,
    on: Annotated[str, typer.Option(help="here, ray (started here), or ray:HOST:PORT.")] = "here",
    cpus: Annotated[float, typer.Option(help="CPUs of a run, with --on ray.", min=0)] = 1.0,
    gpus: Annotated[float, typer.Option(help="GPUs of a run, with --on ray.", min=0)] = 0.0,
    memory: Annotated[str | None, typer.Option(help="Memory of a run in bytes, as in 4G, with --on ray.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="scalefit or trl, over the experiment file's.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be started, and start nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Train with GRPO, every run of the experiment's grid; stop and start again at will."""
    import dataclasses

    from scalefit.errors import Interrupted
    from scalefit.runner.config_check import check
    from scalefit.runner.config_file import read_config
    from scalefit.runner.engines.trl_launch import trl_differences
    from scalefit.runner.run_folder import parts_of
    from scalefit.runner.sweep import run_sweep

    settings = read_config(config)
    if engine is not None:
        settings = dataclasses.replace(settings, engine=engine)
        check(settings, f"{config} with --engine {engine}")
    cluster = _cluster(on, jobs, cpus=cpus, gpus=gpus, memory=memory)
    if dry_run:
        _print_dry_run(settings, config, parts_of(out), as_json)
        _tell_unused(settings, jobs, cluster)
        return
    require_engine(settings)
    if settings.engine == "trl":
        for text in trl_differences(settings.runs()[0]):
            complain(f"TRL: {text}")
    _tell_unused(settings, jobs, cluster)
    try:
        outcome = run_sweep(settings, out, jobs, Bar(sys.stderr.isatty()), cluster)
    except (KeyboardInterrupt, Interrupted):
        print(
            f"\nscalefit: stopped; what was made is in {out} and {parts_of(out).name}. The same command goes on from there.",
            file=sys.stderr,
        )
        sys.exit(130)
    if as_json:
        print_json(vars(outcome))
    else:
        _print_outcome(outcome, out)
    if outcome.failed:
        sys.exit(1)


def _tell_unused(settings: Config, jobs: int, cluster: Cluster | None) -> None:
    from scalefit.runner.gpus import unused_gpus

    if cluster is None and (idle := unused_gpus(settings, jobs)):
        complain(idle)


def _cluster(on: str, jobs: int, *, cpus: float, gpus: float, memory: str | None) -> Cluster | None:
    """Return where the runs are made, with what each claims there; None for processes on this machine."""
    from scalefit.errors import UsageError
    from scalefit.runner.ledger import Cluster
    from scalefit.units import parse_quantity

    where, _, address = on.partition(":")
    if where not in ("here", "ray") or (where == "here" and address):
        raise UsageError(f"--on {on}: write here, ray or ray:HOST:PORT.")
    if where == "ray":
        claim = parse_quantity(memory, "--memory") if memory else 0.0
        return Cluster(address or None, cpus, gpus, claim, slots=jobs)
    if memory or gpus or cpus != 1.0:
        raise UsageError("--cpus, --gpus and --memory are claims on a Ray cluster; give --on ray.")
    return None


def _print_outcome(outcome: Outcome, out: Path) -> None:
    counts = [
        f"{len(found)} {name}"
        for name, found in (
            ("finished", outcome.finished),
            ("already there", outcome.skipped),
            ("diverged", outcome.diverged),
            ("failed", outcome.failed),
        )
        if found
    ]
    tell(f"{out}: {outcome.rows} rows; runs: {', '.join(counts)}")
    for name, why in outcome.failed.items():
        complain(f"  {name}: {why}")


_NEEDS = {
    "torch": ("the runner needs torch", ("runner",)),
    "trl": ("engine = 'trl' needs TRL", ("runner", "trl")),
    "vllm": ("sampler = 'vllm' needs vLLM", ("runner", "vllm")),
    "transformers": ("policies of kind 'hf' need transformers", ("runner", "hf")),
    "peft": ("[hf.lora] needs peft", ("runner", "lora")),
    "tensorboard": ("[log] to = 'tensorboard' needs its package", ("runner", "tensorboard")),
    "wandb": ("[log] to = 'wandb' needs its package", ("runner", "wandb")),
    "trackio": ("[log] to = 'trackio' needs its package", ("runner", "trackio")),
}


def require_engine(settings: Config) -> None:
    """Say which extra to install before a worker finds out."""
    import importlib.util

    from scalefit.errors import ScalefitError
    from scalefit.extras import install_hint

    used = {
        "torch": True,
        "trl": settings.engine == "trl",
        "vllm": settings.policy.sampler == "vllm",
        "transformers": settings.policy.kind == "hf",
        "peft": settings.policy.kind == "hf" and settings.hf.lora.rank > 0,
        **dict.fromkeys(settings.log.to, True),
    }
    for module, (what, extras) in _NEEDS.items():
        if used.get(module) and importlib.util.find_spec(module) is None:
            raise ScalefitError(f"{what}; install it with: {install_hint(*extras)}.")


def _print_dry_run(settings: Config, config: Path, folder: Path, as_json: bool) -> None:
    """Print the launch of every run; scalefit's own engine starts workers by itself."""
    from scalefit.runner.engines.trl_launch import dry_run

    if settings.engine == "scalefit":
        found: list[dict[str, Any]] = [{"run_id": spec.run_id, "engine": "scalefit"} for spec in settings.runs()]
    else:
        found = [dry_run(spec, config, folder / spec.run_id) for spec in settings.runs()]
    if as_json:
        print_json(found)
        return
    for one in found:
        print(f"# {one['run_id']}")
        for word in ("server", "command"):
            if word in one:
                print(one[word])
        for name, value in one.get("arguments", {}).items():
            print(f"#   {name} = {value}")
        for text in one.get("differences", []):
            print(f"#   TRL: {text}")


NEWS_EVERY = 30.0
"""Seconds between lines of progress where there is no terminal."""


class Bar:
    """Progress on stderr: one line that changes on a terminal, else a line a note and one now and then."""

    def __init__(self, live: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.live, self.clock, self.shown = live, clock, clock()

    def __call__(self, progress: Progress) -> None:
        """Show it."""
        if progress.note:
            print(("\r\x1b[K" if self.live else "") + progress.note, file=sys.stderr, flush=True)
        left = "" if progress.left is None else f", {duration(progress.left)} left"
        words = "; ".join(f"{name}: {text}" for name, text in progress.under_way.items())
        counts = f"{progress.ended}/{progress.total}"
        if self.live:
            filled = round(20 * progress.ended / max(progress.total, 1))
            line = f"[{'#' * filled}{'.' * (20 - filled)}] {counts}{left}  {words}"
            print(f"\r\x1b[K{line[:150]}", end="", file=sys.stderr, flush=True)
        elif progress.under_way and self.clock() - self.shown >= NEWS_EVERY:
            self.shown = self.clock()
            print(f"{counts} runs ended{left}; {words}", file=sys.stderr, flush=True)
