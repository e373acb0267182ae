"""One visual style for every figure, within `styled` only: sizes in an ordered, colour-blind-safe palette."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from scalefit.output import write_file, write_json
from scalefit.units import format_amount

Colour = tuple[float, float, float]
LOSS = "test loss 1 − pass@1"
DIGITS = 6
"""Significant digits of the numbers written beside a picture."""
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 160,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "hatch.linewidth": 0.4,
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style for as long as the block lasts, or the function that this decorates; nothing of it stays."""
    settings = {**sns.axes_style("ticks"), **sns.plotting_context("paper"), **STYLE}
    settings["axes.prop_cycle"] = cycler("color", sns.color_palette("deep"))
    with mpl.rc_context(settings):
        yield


def ordered_colours(count: int) -> list[Colour]:
    """Return so many colours, light to dark."""
    return list(sns.color_palette("viridis_r", count + 1))[1:]


def size_colours(sizes: Iterable[float]) -> dict[float, Colour]:
    """Return the colour of each size, small ones light."""
    ordered = sorted(set(sizes))
    return dict(zip(ordered, ordered_colours(len(ordered)), strict=True))


def shade(colour: Colour) -> Colour:
    """Return a darker colour, for a line over points."""
    red, green, blue = (0.65 * part for part in colour)
    return red, green, blue


def log_ticks(axes: Axes, which: str, values: Sequence[float] | Any, most: int = 7, *, resource: str = "") -> None:
    """Make an axis logarithmic, with as many of 1, 2, 5 times powers of ten as fit, written out as the resource is."""
    low, high = float(min(values)), float(max(values))
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps]
        ticks = [tick for tick in ticks if 0.8 * low <= tick <= 1.25 * high]
        if len(ticks) <= most:
            break
    text = [f"{tick:.3g}" if tick < 10 else format_amount(tick, resource).replace("e+", "e") for tick in ticks]
    axes.set(**{f"{which}scale": "log"})
    getattr(axes, f"set_{which}ticks")(ticks, text)
    axes.minorticks_off()


class Picture(Figure):
    """A figure that belongs to no window, and shows itself in a notebook."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


def new_figure(
    columns: int = 1, rows: int = 1, *, sharey: bool = False, height: float = 3.6
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, row by row; it is to be drawn on, and saved, within `styled`."""
    figure = Picture(figsize=(1 + 3.5 * columns, height * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, sharey=sharey, squeeze=False).flat)


def new_panels(count: int, most: int = 4) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels, at most `most` side by side."""
    columns = min(count, most)
    figure, panels = new_figure(columns, -(-count // columns), height=3.2)
    for spare in panels[count:]:
        spare.remove()
    return figure, panels[:count]


def save_figure(figure: Figure, path: Path, numbers: Any) -> list[Path]:
    """Write NAME.png, NAME.pdf and NAME.json, the numbers drawn; return their paths."""
    # `savefig` would draw, and ask what room panels leave, twice a format.
    figure.set_dpi(STYLE["savefig.dpi"])
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine("none")
    made = []
    for suffix, write in (
        ("png", partial(FigureCanvasAgg(figure).print_png, metadata={"Software": "scalefit"})),
        ("pdf", partial(FigureCanvasPdf(figure).print_pdf, metadata={"Creator": "scalefit", "CreationDate": None})),
    ):
        made.append(path.with_name(f"{path.name}.{suffix}"))  # not with_suffix: a series' name may have dots in it
        write_file(made[-1], write)
    made.append(path.with_name(f"{path.name}.json"))
    write_json(made[-1], numbers, DIGITS)
    return made
