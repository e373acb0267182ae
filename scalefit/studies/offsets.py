"""Where does E(N) come from? Whether what the untrained model of a size shows says where its curve lies, or how much it gains.

A law with its own E for every size says nothing of another. Closed forms of E in N do, and are the weakest part of a
prediction. An evaluation of the untrained model costs nothing beside a run: here offsets that read it are held against
closed ones, on sizes that were left out, all else being equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError, UsageError
from scalefit.fitting.fit import fit_data
from scalefit.laws.law import Law
from scalefit.prediction.crossval import AVERAGE
from scalefit.prediction.ensemble import LEAST_SIZES
from scalefit.prediction.holdouts import level_at
from scalefit.prediction.scores import miss_held_out
from scalefit.said import Said
from scalefit.studies.judge_reading import HALF, Judgement, judge_reading
from scalefit.studies.left_out import Folds, Gains, Offsets, Side
from scalefit.studies.untrained import read_untrained
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity, parse_quantity

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class OffsetStudy(Answer):
    """Where the level and the gain of a series come from.

    Attributes
    ----------
    held_out : list of float
        The top sizes, predicted from those below.
    untrained : list of dict
        What was read: reads, params, value, and of each run.
    readings : list of dict
        One a form: of (offset, gain, or what neither reads nor fits an offset), reads, law, parameters, and the RMSE of the
        top (`top`) and of every size left out in turn (`left_out`); null where it cannot be told.
    offset, gain : dict
        `Judgement` of each.
    """

    series: str
    eval: str
    resource: str
    sizes: list[float]
    held_out: list[float]
    untrained: list[dict[str, Any]]
    readings: list[dict[str, Any]]
    offset: dict[str, Any]
    gain: dict[str, Any]
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "readings"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series} on {self.eval}, {self.resource}, {len(self.sizes)} sizes: {self.verdict}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        names = list(dict.fromkeys(row["reads"] for row in self.untrained))
        told = {(row["reads"], row["params"]): row["value"] for row in self.untrained}
        read = [["untrained model", *map(format_quantity, self.sizes)]]
        read += [[_scale(name), *(f"{told[name, size]:.3f}" for size in self.sizes)] for name in names]
        top = ", ".join(map(format_quantity, self.held_out))
        rows = [["of", "form", "parameters", f"{top} missed by", "each left out"]]
        for row in self.readings:
            cells = ["not told" if row[name] is None else f"{row[name]:.4f}" for name in ("top", "left_out")]
            rows.append([row["of"], row["law"], "" if row["parameters"] is None else str(row["parameters"]), *cells])
        return Said([self.headline, text_table(read), text_table(rows), *warning_lines(self.warnings)])


def _scale(name: str) -> str:
    return name if name == "answer loss" else f"log10(1 - {name})"


def study_offsets(
    runs: Source, x: str | None = None, where: Where | None = None, *, hold_out: Sequence[str | float] = ()
) -> Answers[OffsetStudy]:
    """Ask of every series whether its untrained models say where its curves lie and how much they gain.

    Parameters
    ----------
    runs : RunTable, path or data frame
        With rows at step 0; best with `pass_at_k` columns there (`[eval] pass_at`, `end_samples`) or kept pass rates, and
        `answer_loss` [nats].
    x : str, optional
        Resource.
    hold_out : sequence of float or str
        Top sizes that are predicted together from those below; by default the largest.

    Raises
    ------
    FitError
        If no series has four sizes with a row at step 0, three of them below what is held out.
    UsageError
        If what is held out is no size, or not the top.
    """
    table = select(runs, where)
    prepared = prepare(table, x)
    asked = {data.name: partial(_study, table, data, hold_out) for data in prepared}
    return answer_each(asked, prepared.unanswered)


def _study(table: RunTable, data: FitData, hold_out: Sequence[str | float]) -> OffsetStudy:
    one = read_untrained(table, data)
    data = one.data
    if len(data.sizes) < LEAST_SIZES:
        raise FitError(
            f"{data.name}: the data do not say; sizes with a row at step 0: {len(data.sizes)}, and {LEAST_SIZES} are needed, so "
            "that three are left to fit when one is left out."
        )
    if (data.each.present.sum(1) < 3).any():
        raise FitError(
            f"{data.name}: runs of fewer than three evaluations after step 0 have no line; evaluate more often."
        )
    folds = Folds(data.sizes, _top(data, hold_out))
    sides: dict[str, Side] = {"offset": Offsets(one, folds), "gain": Gains(one, folds)}
    rows: list[dict[str, Any]] = []
    judged: dict[str, Judgement] = {}
    for of, side in sides.items():
        mine = []
        for form in side.forms(side.values()):
            missed, near = _missed(data, folds, form.law)
            mine.append(_row(of, form.law, form.reads, form.parameters, missed.tolist()))
        rows += mine
        judged[of] = judge_reading(side, mine)
    rows += _beside(data, folds, near)
    warnings = [*data.caveats, *one.warnings, *one.unread, *_weak(data, sides["offset"])]
    held = folds.top.tolist()
    return OffsetStudy(
        series=data.series,
        eval=str(data.record["eval"]),
        resource=data.resources[0],
        sizes=data.sizes.tolist(),
        held_out=held,
        untrained=one.rows(),
        readings=rows,
        offset=asdict(judged["offset"]),
        gain=asdict(judged["gain"]),
        verdict=_verdict(judged, " and ".join(map(format_quantity, held)), rows),
        warnings=warnings,
    )


def _top(data: FitData, hold_out: Sequence[str | float]) -> Array:
    """Return the sizes held out together, the largest where none is asked for."""
    asked = {format_quantity(parse_quantity(size, "--hold-out")) for size in hold_out}
    known = {format_quantity(size): size for size in data.sizes.tolist()}
    names = list(known)
    top = names[len(names) - max(len(asked), 1) :]
    if asked - set(known) or (asked and asked != set(top)):
        raise UsageError(
            f"--hold-out {', '.join(sorted(asked))}: name the largest of {', '.join(names)}, so that all is predicted from below."
        )
    if len(names) - len(top) < LEAST_SIZES - 1:
        raise FitError(
            f"{data.name}: {len(names) - len(top)} sizes are left below {', '.join(top)}; a fit needs three."
        )
    return np.array([known[name] for name in top])


def _row(
    of: str, law: Law | str, reads: str | None, parameters: int | None, missed: Sequence[float | None]
) -> dict[str, Any]:
    name, formula = (law.name, law.formula) if isinstance(law, Law) else (law, None)
    return {
        "of": of,
        "reads": reads,
        "law": name,
        "parameters": parameters,
        "top": missed[0],
        "left_out": missed[1],
        "formula": formula,
    }


def _missed(data: FitData, folds: Folds, law: Law | None) -> Array:
    """Return the RMSE of a law and of the nearest size's curve, of the top and of sizes left out in turn, (2, 2)."""

    def miss(out: Array) -> Array:
        return np.array(miss_held_out(law, data.keep(~np.isin(data.params, out)), data, out))

    return folds.pooled(miss).T


def _beside(data: FitData, folds: Folds, near: Array) -> list[dict[str, Any]]:
    """Return what else there is: the nearest size's curve, the default prediction, and what is missed once the level is known."""
    try:
        average: Sequence[float | None] = _missed(data, folds, None)[0].tolist()
    except FitError:
        average = (None, None)

    def miss(out: Array) -> Array:
        fit = fit_data("saturating", data.keep(~np.isin(data.params, out)))
        off = []
        for size in out.tolist():
            rows = data.params == size
            x, loss = data.resource[0][rows][data.present[rows]], data.loss[rows][data.present[rows]]
            k = fit.k(size).value
            off.append(10.0 ** (level_at(k, x, loss) - k * np.log10(x)) - loss)
        return np.atleast_1d(np.sqrt(np.mean(np.square(np.concatenate(off)))))

    known = folds.pooled(miss)[:, 0].tolist()
    return [
        _row("nothing", "nearest size's curve", None, None, near.tolist()),
        _row("default", AVERAGE, None, None, average),
        _row("level known", "E set on the size itself", None, None, known),
    ]


def _weak(data: FitData, side: Side) -> list[str]:
    """Say what the interval over runs lacks."""
    single = [format_quantity(size) for size, n in zip(data.sizes, np.bincount(side.index), strict=True) if n < 2]
    if len(single) == len(data.sizes):
        return ["one run a size: what other runs would change is not known"]
    return [f"one run of {', '.join(single)}: what another would change is not in the interval"] if single else []


def _verdict(judged: dict[str, Judgement], top: str, rows: list[dict[str, Any]]) -> str:
    """Say in words whether the level and the gain are read."""
    floor = next(row for row in rows if row["of"] == "level known")
    rivals = [row for row in rows if row["of"] in ("nothing", "default") and row["left_out"] is not None]
    said: list[str] = []
    for of, one in judged.items():
        what = "the level E(N)" if of == "offset" else "the share that is gained"
        less = "closed offset" if of == "offset" else "gain that reads nothing"
        numbers = f"sizes left out are missed by {one.missed:.3f} against {one.against_missed:.3f} of the best {less}"
        span = "" if one.low is None else f" [{one.low:.2f}, {one.high:.2f}]"
        numbers += f" ({one.ratio:.2f} times{span}; shuffled among sizes it does as well in {100 * one.p:.0f} %)"
        at_top = f"{top} by {one.top_missed:.3f} against {one.top_against_missed:.3f}"
        if one.says == "yes":
            halved = " (halved)" if one.top_ratio <= HALF else " (not halved)"
            text = f"{what} is read from {one.reads} of the untrained model: {numbers}, {at_top}{halved}"
        elif one.says == "no":
            text = f"{what} is not read from the untrained model: {numbers}, by {one.reads}; {at_top}"
        else:
            text = f"the data do not say whether {what} is read from the untrained model: {numbers}, by {one.reads}; {at_top}"
        if of == "offset" and one.says != "no":
            better = [row["law"] for row in rivals if row["left_out"] < one.missed]
            text += f"; less is missed by {' and '.join(better)}" if better else ""
        if of == "offset" and floor["top"] > HALF * one.top_against_missed:
            text += f"; with E set on it {floor['top']:.3f} would be left there, so no offset halves it"
        said.append(text if not said else text[0].upper() + text[1:])
    return ". ".join(said)
