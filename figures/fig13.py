"""Figure 13, the loss of base taken apart: a: curves and fit; b: the floor, the part of size and the part that data remove."""

from __future__ import annotations

import tomllib

import numpy as np
from common import ROOT, result, save

from scalefit.plotting.law import size_legend
from scalefit.plotting.style import LOSS, log_ticks, new_figure, shade, size_colours, styled
from scalefit.units import resource_label


@styled()
def main() -> None:
    """Draw both panels."""
    found = result("decomposition")
    published = tomllib.loads((ROOT / "data" / "paper" / "published.toml").read_text(encoding="utf-8"))["table7"]
    figure, (curves, parts) = new_figure(2, height=4.0)
    colours = size_colours(curve["params"] for curve in found["curves"])
    for curve in found["curves"]:
        colour, line = colours[curve["params"]], curve["line"]
        curves.plot(curve["x"], curve["loss"], ".", ms=2.5, color=colour, alpha=0.6)
        curves.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.25, lw=0)
        curves.plot(line["x"], line["loss"], lw=1.2, color=shade(colour))
    log_ticks(curves, "x", found["curves"][0]["x"])
    curves.set(xlabel=resource_label("samples"), ylabel=LOSS)
    curves.set_title("a  base, fitted, with 95 % bands", loc="left")
    size_legend(figure, colours)
    params = np.array([curve["params"] for curve in found["curves"]])
    lam = [curve["lam"] for curve in found["curves"]]
    value = np.array([part["value"] for part in lam])
    ends = np.abs(np.array([[part["low"] for part in lam], [part["high"] for part in lam]]) - value)
    parts.axhline(found["shared"]["L_inf"]["value"], color="0.4", ls="--", lw=1.2, label="floor $L_∞$")
    parts.plot(
        params,
        [curve["size_part"] for curve in found["curves"]],
        "s-",
        ms=4,
        color="#1f4e79",
        label=r"size, $(N_0/N)^α$",
    )
    parts.errorbar(params, value, ends, fmt="o-", ms=4, color="#c44e00", label="data, λ(N), 95 %")
    parts.plot(published["params"], published["lam"], "x", ms=6, color="0.1", label="λ(N), published")
    log_ticks(parts, "x", params)
    parts.set(xlabel="N [parameters]", ylabel="part of the loss", ylim=(0, None))
    parts.set_title("b  its parts", loc="left")
    parts.legend(frameon=False, fontsize=7)
    save(__file__, figure, {"ours": found, "published": published})


if __name__ == "__main__":
    main()
