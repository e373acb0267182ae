"""What must be known of a run beside its metrics: from options, a manifest, the log's configuration; proposed from a model's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scalefit.errors import UsageError, nearest
from scalefit.table.importers.dialects import Dialect
from scalefit.table.importers.log import Log
from scalefit.units import format_quantity, parse_quantity

FLOPS = {"6N": "6 N x all tokens (prompt and response of every rollout), computed on import", "none": "not counted"}
FACTS = {
    "params": "model size [parameters], as in 7B",
    "prompts": "prompts of one step, the training batch size",
    "group_size": "rollouts per prompt",
    "series": "name of the runs that share one law, as in base",
    "flops": "how FLOPs are counted: 6N (from the log's tokens) or none",
}
"""What must be known of a run; asked for by name where the log's configuration does not hold it."""
OPTIONAL = {
    "run_id": "name of the run, by default the log's",
    "eval": "name of the evaluation, by default the log's",
    "eval_size": "problems in the evaluation set",
    "seed": "the run's seed",
    "reuse": "times each distinct prompt is seen",
    "logging_steps": "steps between two records of a console log that does not number them",
}
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)[ _-]?([bBmM])(?![A-Za-z0-9])")
_ACTIVE = re.compile(r"[-_]A\d+(?:\.\d+)?B(?![A-Za-z0-9])")
_KIND = (
    (re.compile(r"(?:^|[-_.])(?:instruct|chat|it|sft)(?:[-_.]|$)", re.IGNORECASE), "instruct"),
    (re.compile(r"(?:^|[-_.])(?:base|pt)(?:[-_.]|$)", re.IGNORECASE), "base"),
)


def check_names(given: Mapping[str, str], where: str = "--set") -> None:
    """Refuse names that are no facts, with the nearest one."""
    known = {**FACTS, **OPTIONAL}
    for name in given:
        if name not in known:
            raise UsageError(f"{where} {name}: {nearest(name, known)}")


def propose(model: str) -> dict[str, str]:
    """Return what a model's name or path suggests: `params` from `7B`, `series` from `Instruct`, `Chat` or `Base`."""
    name = model.rstrip("/").rpartition("/")[2]
    found = {}
    # Of a mixture of experts 6 N counts the active parameters; which of both numbers is meant is not guessed.
    if (sizes := _SIZE.findall(name)) and not _ACTIVE.search(name):
        found["params"] = f"{sizes[-1][0]}{sizes[-1][1].upper()}"
    for pattern, series in _KIND:
        if pattern.search(name):
            found["series"] = series
            break
    return found


class MissingFacts(UsageError):
    """What a log does not say, and nobody has said."""


def resolve(
    log: Log, dialect: Dialect, given: Mapping[str, str], *, yes: bool = False, assumed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a run's facts, checked; ask for all that are missing at once.

    Parameters
    ----------
    given : mapping
        Facts of `FACTS` and `OPTIONAL`, over the log's configuration; where they differ from it, that is noted.
    yes : bool
        Take what the model's name proposes.
    assumed : mapping, optional
        Facts where nothing says them.

    Raises
    ------
    MissingFacts
        With every fact that is missing and what is proposed for it.
    UsageError
        For a value that makes no sense.
    """
    check_names(given)
    said = {fact: _configured(log, names) for fact, names in dialect.config.items()}
    model = said.pop("model", None)
    said = {fact: value for fact, value in said.items() if value is not None}
    for fact, value in said.items():
        if fact in given and not _same(given[fact], value):
            log.notes.append(
                f"{log.path}: --set {fact}={given[fact]}, but the log's own configuration says {value}; what was set is used"
            )
    proposed = propose(str(model)) if isinstance(model, str) else {}
    raw: dict[str, Any] = {"run_id": log.run_id, **said, **given}
    if "params" in given and "params" in proposed and _far(given["params"], proposed["params"]):
        log.notes.append(
            f"{log.path}: --set params={given['params']}, but the configuration's model is {model}; what was set is used"
        )
    for name, value in proposed.items():
        if name not in raw and yes:
            raw[name] = value
            log.notes.append(f"{log.path}: {name}={value}, taken from the model's name {model}")
    raw = {**(assumed or {}), **raw}
    missing = [name for name in (*FACTS, *log.asks) if name not in raw]
    if missing:
        raise MissingFacts(
            f"{log.path} does not say, and it is not guessed:\n" + _question(missing, proposed, str(model))
        )
    return _checked(raw)


def _question(missing: list[str], proposed: Mapping[str, str], model: str) -> str:
    known = {**FACTS, **OPTIONAL}
    lines = [f"  --set {name}={proposed.get(name, '...')}   {known[name]}" for name in missing]
    if open_ones := [name for name in missing if name in proposed]:
        lines.append(f"  {' and '.join(open_ones)} proposed from the model's name {model}; --yes takes them")
    return "\n".join(lines)


def _checked(raw: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {name: str(raw[name]) for name in ("run_id", "series", "flops", "eval") if name in raw}
    if facts["flops"] not in FLOPS:
        raise UsageError(f"--set flops={facts['flops']}: {nearest(facts['flops'], FLOPS)}")
    for name in ("params", "prompts", "group_size", "eval_size", "reuse", "logging_steps"):
        if name in raw:
            facts[name] = parse_quantity(raw[name], name)
    for name in ("prompts", "group_size", "eval_size", "logging_steps"):
        if name in facts and facts[name] != round(facts[name]):
            raise UsageError(f"--set {name}={raw[name]}: a whole number is needed.")
    if "seed" in raw:
        try:
            facts["seed"] = int(str(raw["seed"]))
        except ValueError:
            raise UsageError(f"--set seed={raw['seed']}: a seed is a whole number.") from None
        if abs(facts["seed"]) >= 1 << 63:
            raise UsageError(f"--set seed={raw['seed']}: a seed has at most 63 bits.")
    return facts


def _configured(log: Log, names: tuple[str, ...]) -> Any:
    return next((log.config[name] for name in names if isinstance(log.config.get(name), (str, int, float))), None)


def _same(given: str, said: Any) -> bool:
    try:
        return parse_quantity(given) == parse_quantity(said)
    except UsageError:
        return str(given) == str(said)


def _far(given: str, proposed: str) -> bool:
    """Say whether two sizes differ by more than names and embeddings explain."""
    return abs(parse_quantity(given, "params") / parse_quantity(proposed) - 1) > 0.5


def shown(facts: Mapping[str, Any]) -> str:
    """Return a run's facts in a line, for a reader."""
    return ", ".join(
        f"{name} {format_quantity(value) if isinstance(value, float) else value}"
        for name, value in facts.items()
        if name in ("params", "series", "prompts", "group_size", "seed")
    )
