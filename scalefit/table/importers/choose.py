"""Which metric is pass@1: the one that was named, or those that the dialect knows; refused by name where it is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scalefit.errors import TableError, UsageError, nearest
from scalefit.table.importers.collect import Collected
from scalefit.table.importers.dialects import (
    OTHER,
    STEPS,
    Dialect,
    dialects,
    is_error,
    is_evaluation,
    is_no_mean,
    is_training,
    meaning,
)
from scalefit.table.importers.log import Log
from scalefit.table.importers.values import Rewards, Scale, doubts, why_no_share

_SHOWN = 20
"""Names that a message lists at the most."""


class NoEvaluation(TableError):
    """A log without an evaluation; of several logs it is left out."""


class NoMetric(UsageError):
    """A log without the metric that was named; of several logs it is left out."""


def choose_metrics(collected: Collected) -> dict[tuple[str, str], Scale | None]:
    """Return the one metric of each evaluation that is pass@1, with the scale it is on.

    Raises
    ------
    UsageError, TableError
        Where there is none, more than one, or one that is no share of right answers.
    """
    log, choice = collected.log, collected.choice
    if not collected.steps and not collected.kinds and not collected.names:
        raise NoEvaluation(f"{log.path}: no record of a step in it; is it a training log, and is it whole?")
    candidates = _named(collected) if choice.name is not None else _unnamed(collected)
    found, refused = {}, []
    for key in sorted(candidates):
        kind = collected.kinds[key]
        scaled = kind != "accuracy" or choice.name is not None or collected.extents[key].beyond
        scale = choice.scale if scaled else None
        rewards = None if kind == "accuracy" else collected.rewards.get(collected.reward_of[key], Rewards())
        if kind == "further":
            rewards = None
        if why := why_no_share(key[1], collected.extents[key], rewards, scale):
            refused.append(why)
            continue
        found[key] = scale
        if scale is None:
            log.notes.extend(f"{log.path}: {doubt}" for doubt in doubts(key[1], rewards))
    if not found:
        raise UsageError(f"{log.path}: " + "\n  ".join(refused) + ".")
    log.notes.extend(f"{log.path}: {why}; left out" for why in refused)
    if choice.scale is not None and not any(found.values()):
        raise UsageError(
            f"--scale {choice.scale}: {log.path} has no score among {', '.join(sorted(name for _, name in found))}; name the metric with --metric."
        )
    _one_each(log, found)
    return found


def _one_each(log: Log, found: Mapping[tuple[str, str], object]) -> None:
    for evaluation in {key[0] for key in found}:
        names = sorted(name for other, name in found if other == evaluation)
        if len(names) > 1:
            raise UsageError(
                f"{log.path} has {len(names)} metrics of {evaluation!r}: {', '.join(names)}; choose with --metric."
            )


def _unnamed(collected: Collected) -> set[tuple[str, str]]:
    """Return what the dialect takes for evaluations by itself: accuracies, and scores where an evaluation has none."""
    log = collected.log
    right = {key for key, kind in collected.kinds.items() if kind == "accuracy"}
    measured = {evaluation for evaluation, _ in right}
    right |= {key for key, kind in collected.kinds.items() if kind == "score" and key[0] not in measured}
    if right:
        return right
    stepless = sorted(
        name
        for name in collected.names
        if (one := meaning(collected.dialect, name)) and one[0] in ("accuracy", "score")
    )
    if stepless:
        raise NoEvaluation(
            "\n  ".join(
                [
                    f"{log.path}: {', '.join(stepless[:_SHOWN])} is there, but no value of it is a number at a step.",
                    *log.all_notes(),
                ]
            )
        )
    further = sorted(name for (_, name), kind in collected.kinds.items() if kind == "further")
    others = sorted(name for name in collected.names if not is_no_mean(name) and name not in further)
    shown = ", ".join([*further, *others][:_SHOWN])
    if {"run_id", "series", "loss"} <= collected.names:
        raise NoEvaluation(
            f"{log.path}: a runs table, it seems, and no log; use it as it is (scalefit check {log.path})."
        )
    if collected.dialect is OTHER:
        raise NoEvaluation(
            f"{log.path}: its metrics ({shown or 'none'}) are none that {', '.join(dialects())} write; name the one that is pass@1 with "
            "--metric, or map its columns with --map."
        )
    raise NoEvaluation(
        f"{log.path}: no evaluation in it. Its metrics: {shown}; name the one that is pass@1 with --metric, or a training reward with --training-metric."
    )


def _named(collected: Collected) -> set[tuple[str, str]]:
    """Return the metric that was named, where it is of the kind that was said."""
    log, choice, dialect = collected.log, collected.choice, collected.dialect
    name = choice.name
    assert name is not None
    chosen = {key for key in collected.kinds if key[1] == name}
    if is_no_mean(name):
        raise UsageError(
            f"--metric {name}: a spread, an extreme or the best of several answers, no mean of right ones; {_offer(collected, name)}"
        )
    training = is_training(dialect, name)
    if choice.training_metric is not None:
        if not training and chosen and any(collected.kinds[key] in ("accuracy", "score") for key in chosen):
            raise UsageError(f"--training-metric {name}: an evaluation; name it with --metric.")
    elif training and name in collected.names:
        raise UsageError(
            f"--metric {name}: a reward over training rollouts, no evaluation: it moves with the problems drawn and with what a right answer pays. "
            f"{_offer(collected, name)} Where nothing else is there, say --training-metric {name}, with --scale where a right answer does not pay 1."
        )
    option = "--metric" if choice.metric else "--training-metric"
    if not chosen and name in collected.names:
        raise NoEvaluation(
            "\n  ".join(
                [f"{option} {name}: {log.path} has it, but no value of it is a number at a step.", *log.all_notes()]
            )
        )
    if not chosen:
        raise NoMetric(f"{option} {name}: {log.path} has no such evaluation; {_offer(collected, name)}")
    return chosen


def _offer(collected: Collected, name: str) -> str:
    """Return the evaluation means of a log as a hint."""
    if collected.choice.training_metric is not None:
        offered: Iterable[str] = [
            one for one in collected.names if is_training(collected.dialect, one) and not is_no_mean(one)
        ]
    else:
        offered = [one for one in collected.names if one != name and _may_be_offered(collected.dialect, one)]
    every = sorted(offered)
    if not every:
        return "it has none at all."
    hint = nearest(name, every)
    return (
        hint if hint.startswith("did") or len(every) <= _SHOWN else f"its evaluations: {', '.join(every[:_SHOWN])}, ..."
    )


def _may_be_offered(dialect: Dialect, name: str) -> bool:
    if name in STEPS or name in dialect.steps:
        return False
    return is_evaluation(name) or not (is_no_mean(name) or is_training(dialect, name) or is_error(name))
