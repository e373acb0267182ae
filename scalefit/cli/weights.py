"""`scalefit export`, `sample` and `evaluate`: what a run trained, for other programs, to look at, and on another task."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import MAKE, Json, add_command, parse_where, print_json, print_table
from scalefit.cli.run import require_engine

if TYPE_CHECKING:
    from scalefit.runner.config import Config
    from scalefit.runner.made import MadeRun
    from scalefit.runner.run_folder import Row

Made = Annotated[
    Path, typer.Argument(help="A table that scalefit run made, or the folder of a run beside it.", show_default=False)
]
Name = Annotated[str | None, typer.Option("--run", help="run_id, where there are several.", show_default=False)]
Step = Annotated[
    int | None,
    typer.Option(help="Step whose weights are taken, 0 for the start; the last kept by default.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, export, MAKE, "scalefit export runs.parquet --out model")
    add_command(app, sample, MAKE, "scalefit sample runs.parquet 7+5=")
    add_command(app, evaluate, MAKE, "scalefit evaluate runs.parquet --temperature 1")


def export(
    made: Made,
    *,
    out: Annotated[Path, typer.Option(help="Folder to write; it must not be there yet, or be empty.")],
    run: Name = None,
    step: Step = None,
    as_json: Json = False,
) -> None:
    """Write a run's model in transformers' form, with its tokeniser."""
    found = _one(made, run)
    from scalefit.runner.look import export_model

    taken = export_model(found, out, step)
    if as_json:
        print_json({"run_id": found.spec.run_id, "step": taken, "out": str(out)})
    else:
        print(
            f"{out}: {found.spec.run_id} after step {taken}; transformers reads it with from_pretrained({str(out)!r})"
        )


def sample(
    made: Made,
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Prompts; held-out problems by default.", show_default=False)
    ] = None,
    *,
    run: Name = None,
    step: Step = None,
    samples: Annotated[int, typer.Option(help="Answers to each prompt.", min=1)] = 4,
    temperature: Annotated[
        float | None, typer.Option(help="That of the evaluation by default.", min=0, show_default=False)
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest answer; the run's by default.", min=1, show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answers.")] = 0,
    as_json: Json = False,
) -> None:
    """Print what a run's model answers; held-out problems are shown with their answers and scored."""
    asked = _one(made, run)
    if not prompts:
        _tell_changed(asked)
    from scalefit.runner.look import ask_run

    found = ask_run(
        asked,
        prompts or (),
        step=step,
        samples=samples,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        seed=seed,
    )
    if as_json:
        print_json(found)
        return
    for one in found:
        right = "" if one["expected"] is None else f"   (right: {one['expected']})"
        print(f"{one['prompt']}{right}")
        for answer, reward in zip(one["answers"], one["rewards"], strict=True):
            mark = " " if reward is None else {0.0: "-", 1.0: "+"}.get(reward, f"{reward:.2g}")
            print(f"  {mark} {answer}")


def evaluate(
    made: Made,
    *,
    run: Name = None,
    step: Step = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Another task: its name, my_task.py:Task, or an experiment file with a [task].", show_default=False
        ),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="A parameter of the task, name=value; may be repeated.", show_default=False),
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0, show_default=False)] = None,
    samples: Annotated[int | None, typer.Option(help="Answers to each problem.", min=1, show_default=False)] = None,
    problems: Annotated[int | None, typer.Option(help="Held-out problems.", min=1, show_default=False)] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Runs table to write.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Evaluate the models of runs, on their own task or another; every run's last weights by default."""
    from scalefit.runner.made import made_runs

    if out is not None:
        _check_out(out)
    several = _with_weights(made_runs(made) if run is None else [_one(made, run)], step)
    require_engine(several[0].spec.config)
    from scalefit.runner.look import evaluate_run, with_evaluation

    rows = []
    if task is None:
        _tell_changed(several[0])
    for one in several:
        asked = with_evaluation(
            one.spec,
            _other(one, task, parse_where(parameters, "--set")),
            temperature=temperature,
            samples=samples,
            problems=problems,
            max_new_tokens=max_new_tokens,
        )
        rows.append(evaluate_run(one, step, asked))
        print(f"{one.spec.run_id}: step {rows[-1]['step']}, loss {rows[-1]['loss']:.4f}", file=sys.stderr)
    if out is not None:
        _write(rows, out)
    if as_json:
        print_json(rows)
    else:
        _print_rows(rows)


def _tell_changed(made: MadeRun) -> None:
    """Say that the task is no longer what the run was made of."""
    from scalefit.runner.identity import changed, marks

    config = made.spec.config
    if found := changed(config.files, marks(config)):
        print(
            f"{' and '.join(found)} changed since the run was made; its task is what stands there now", file=sys.stderr
        )


def _other(made: MadeRun, task: str | None, parameters: Mapping[str, str]) -> Config | None:
    """Return a configuration with the task that is asked for; None for the run's own."""
    from scalefit.runner.config_file import other_task, task_with

    if task is not None:
        return other_task(task, parameters)
    return task_with(made.spec, parameters) if parameters else None


def _one(made: Path, run: str | None) -> MadeRun:
    from scalefit.runner.made import one_run

    found = one_run(made, run)
    require_engine(found.spec.config)
    return found


def _print_rows(rows: list[Row]) -> None:
    head = ["run", "step", "eval", "loss", "95 %", "cut", "unread"]
    lines = [
        [
            row["run_id"],
            str(row["step"]),
            f"{row['eval']}, {row['eval_size']} problems",
            f"{row['loss']:.4f}",
            f"{row['loss_low']:.3f}-{row['loss_high']:.3f}",
            f"{row['truncated']:.1%}",
            f"{row['unparsed']:.1%}",
        ]
        for row in rows
    ]
    print_table([head, *lines])


def _with_weights(several: list[MadeRun], step: int | None) -> list[MadeRun]:
    """Return the runs that kept such weights, and tell of the others; raises ScalefitError where none did."""
    from scalefit.errors import ScalefitError
    from scalefit.runner.kept import find_kept

    if step == 0:
        return several
    found, missing = [], []
    for one in several:
        try:
            find_kept(one.folder, step)
            found.append(one)
        except ScalefitError as error:
            missing.append(error)
    if not found:
        raise missing[0]
    for reason in missing:
        print(f"left out: {reason}", file=sys.stderr)
    return found


def _check_out(out: Path) -> None:
    """Refuse what no table can be written to, or a table that its own runs are kept beside."""
    from scalefit.errors import UsageError
    from scalefit.runner.run_folder import parts_of
    from scalefit.table.io import check_table

    if parts_of(out).exists():
        raise UsageError(f"--out {out}: scalefit run makes that table; give another name.")
    check_table(out)


def _write(rows: list[Row], out: Path) -> None:
    import pandas as pd

    from scalefit.runner.sweep import CONVENTIONS
    from scalefit.table.io import as_runs, write_runs

    write_runs(as_runs(pd.DataFrame(rows), {**CONVENTIONS, "origin": "scalefit evaluate"}, str(out)), out)
