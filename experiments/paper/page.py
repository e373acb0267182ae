"""Write `paper_repro.md` from the results and the published constants; nothing is typed in here but words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from beyond import beyond, law_rows, test_rows
from findings import FINDINGS, PAIRS, best_checkpoints, ends
from record import ROOT, SERIES, SYMBOL, load, published
from study import between, say

from scalefit.fitting.whiteness import LAGS
from scalefit.output import write_text
from scalefit.units import format_quantity

FIGURES = {
    "01": "1a,b: base, 72B predicted from ≤ 32B",
    "02": "2a–d: by compute, across sizes and within runs",
    "03": "3: k_C(N) with bootstrap bands and the published curves",
    "04": "4a–d: by data, across sizes and within runs",
    "05": "5: k_D(N) with bootstrap bands and the published curves",
    "06": "6a: final loss against N, with other models; 6b: response length",
    "07": "7: data reuse, with the margin of equivalence",
    "08": "8: the best recovered in-domain and out-of-domain benchmark",
    "09": "9: how data are reused, a schematic",
    "10": "10: in-domain benchmarks",
    "11": "11: out-of-domain benchmarks",
    "12": "12: rollouts per prompt, from this project's own runs; the paper's data for it are not public",
    "13": "13a,b: the loss decomposition",
    "14": "14: response length, base and instruct",
    "15": "15, not in the paper: all sizes on one clock; points are means of five neighbouring evaluations",
    "16": "16, not in the paper: a,b: what laws leave along the curves; c,d: start and gain of each size",
}
SHOWN = {"The law predicts": "04", "k(N) saturates": "05", "Reuse is nearly free": "07"}


def table(head: str, rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, "|".join(["", *["---"] * head.strip("|").count("|"), "---", ""])]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def verdict(gap: float, tolerance: float) -> str:
    """Return whether two numbers agree."""
    return "agrees" if abs(gap) <= tolerance else f"differs by {gap:+.3g}"


def fitted() -> str:
    """Return Table 6: as the authors fitted, against print."""
    fits = {(row["series"], row["x"], row["kind"]): row for row in load("fits")}
    rows = []
    for known in published()["table6"]["rows"]:
        ours = fits[known["series"], known["x"], known["kind"]]
        found, moves = ours["as_published"], ours["reading_error"]
        cells = [f"{known['series']}, {SYMBOL[known['x']]}, {known['kind']}"]
        said = []
        for name, unit, digits in (("k_max", 1.0, 4), ("N0", 1e9, 2), ("r2", 1.0, 4)):
            tolerance = 10.0**-digits + 3 * moves[name] / unit
            gap = round(found[name] / unit, digits) - known[name] / unit
            cells.append(f"{known[name] / unit:.{digits}f} / {found[name] / unit:.{digits}f} ± {tolerance:.{digits}f}")
            if "agrees" != (word := verdict(gap, tolerance)):
                said.append(f"{name} {word}")
        rows.append([*cells, str(found["points"]), "; ".join(said) or "agrees"])
    return table("| fit | k_max published / ours | N0 [1e9] | R² | points | verdict |", rows)


def fitted_with_intervals() -> str:
    """Return every published fit beside the estimate whose interval allows for what runs differ by."""
    rows = []
    for row in load("fits"):
        ours, theirs = row["by_runs"], row["published"]
        inside = [ours[name]["low"] <= theirs[name] <= ours[name]["high"] for name in ("k_max", "N0")]
        cells = [f"{row['series']}, {SYMBOL[row['x']]}, {row['fitted_on']}", f"{theirs['k_max']:.4f}"]
        cells += [f"{row['as_published']['k_max']:.4f}", ends(ours["k_max"], 4), f"{theirs['N0'] / 1e9:.2f}"]
        cells += [f"{row['as_published']['N0'] / 1e9:.2f}", ends(ours["N0"], 1, 1e9), "yes" if all(inside) else "no"]
        rows.append(cells)
    each = "published | ours, as published | ours, by runs, 95 %"
    head = f"| fit | k_max {each} | N0 [1e9] {each} | published within |"
    return table(head, rows)


def finals() -> str:
    """Return Table 5."""
    rows = []
    for series in SERIES:
        for row in load("finals")[series]:
            gap = row["last"] - row["last_published"]
            cells = [
                f"{series} {format_quantity(row['params'])}",
                f"{row['last_published']:.4f} ± {row['se_published']:.4f}",
            ]
            cells += [f"{row['last']:.5f} ± {row['noise']:.4f}", f"{row['binomial_se']:.4f}", verdict(gap, TABLE5)]
            rows.append(
                [*cells, f"{row['best_published']:.3f}", f"{row['gap']:+.3f}", f"{row['gap_by_noise_alone']:+.3f}"]
            )
    head = "| model | last step, published ± its error | ours ± noise of one step | binomial error, 500 problems | verdict | Table 4, best | best − last | of that by noise alone |"
    return table(head, rows)


TABLE5 = 2e-4
"""Four printed decimals and the largest error of reading the figure, 1e-4."""


def decomposed() -> str:
    """Return Table 7."""
    found, known = {curve["params"]: curve for curve in load("decomposition")["curves"]}, published()["table7"]
    rows = []
    for size, D0, lam in zip(known["params"], known["D0"], known["lam"], strict=True):
        ours = found[size]
        inside = [ours["D0"]["low"] <= D0 <= ours["D0"]["high"], ours["lam"]["low"] <= lam <= ours["lam"]["high"]]
        names = " and ".join(name for name, yes in zip(("D0", "λ"), inside, strict=True) if not yes)
        cells = [format_quantity(size), f"{D0:.1f}", ends(ours["D0"], 0), f"{lam:.4f}", ends(ours["lam"], 4)]
        rows.append([*cells, f"{names} outside our interval" if names else "within our interval"])
    return table("| base | D0 [prompts] published | ours, 95 % | λ published | ours, 95 % | verdict |", rows)


def sigmoids() -> str:
    """Return ScaleRL's curves, recovered."""
    found, rows = load("scalerl"), []
    for curve in found["curves"]:
        cells = [f"{curve['C_mid']} / {curve['B']} / {curve['A']:.3f}", f"{curve['without_noise']:.4f}"]
        for name in ("to ten times C_mid", "to twice C_mid"):
            cells.append(f"{curve[name]['mean']:.3f} ± {curve[name]['sd']:.3f}, {curve[name]['within']:.0%}")
        near = curve["to ten times C_mid"]["within"] == 1
        rows.append([*cells, "recovered" if near else "not always recovered"])
    return table(
        "| C_mid / B / A | A without noise | seen to 10 C_mid: A ± sd, within ± .02 | seen to 2 C_mid | verdict |", rows
    )


def slopes() -> str:
    """Return k of each size alone."""
    found = {pair: load("saturation")[f"{pair[0]} {pair[1]}"]["each size alone"] for pair in PAIRS}
    sizes = list(found[PAIRS[0]])
    rows = [[size, *(ends(found[pair][size], 4) for pair in PAIRS)] for size in sizes]
    return table("| N | " + " | ".join(f"{s}, k_{SYMBOL[x]}" for s, x in PAIRS) + " |", rows)


def held_out() -> str:
    """Return how 72B is predicted from 0.5B to 32B."""
    rows = []
    for series, x in PAIRS:
        found = load(f"prediction_{series}_{x}")
        top, anchored = found["across"]["curves"][-1], found["anchored"]
        cells = [
            f"{series}, {SYMBOL[x]}",
            f"{found['in_sample']['pooled_r2']:.4f}",
            f"{found['in_sample']['r2_within'][-1]:.3f}",
        ]
        cells += [
            f"{top['scores'][name]:{form}}"
            for name, form in (("rmse", ".4f"), ("end_bias", "+.3f"), ("cover95", ".0%"))
        ]
        cells += [f"{top['baselines']['nearest_size']:.4f}", f"{top['level_set']['scores']['rmse']:.4f}"]
        rows.append([*cells, f"{anchored['rmse']:.4f}", f"{anchored['end_bias']:+.3f}"])
    head = "| series | pooled R² | R² within 72B | 72B unseen: RMSE | end bias | in the 95 % band | 32B carried over | level set on 72B (the paper's way) | 10-step anchor: RMSE | end bias |"
    return table(head, rows)


def late() -> str:
    """Return the errors of every law on the held-out ends of runs."""
    found = load("late")
    laws = list(found["base"]["0.9"])
    rows = []
    for law in laws:
        ones = [found[series][share][law] for share in ("0.9", "0.5") for series in SERIES]
        rows.append([law, *(f"{one['rmse']:.4f} ({np.mean(one['bias_by_size'][2:]):+.4f})" for one in ones)])
    head = "| law | base, last tenth: RMSE (bias of 3B–72B) | instruct | base, second half | instruct |"
    return table(head, rows)


def described() -> str:
    """Return what the data say beyond the law: sentences, pictures and tables."""
    pictures = [f"![Figure {FIGURES[at]}](figures/fig{at}.png)" for at in ("15", "16")]
    laws = table(
        f"| series | law | parameters | rms of the loss | autocorrelation of what is left, {', '.join(map(str, LAGS))} evaluations apart | the first if white | p of white |",
        law_rows(),
    )
    tests = table("| series | law over law | nested | F, p | with correlated noise: F, p |", test_rows())
    word, sentences = beyond()
    return "\n\n".join([f"In short: {word}.", "\n".join(sentences), *pictures, laws, tests])


def laboratory() -> str:
    """Return the four findings, and what else was asked, in our own laboratory."""
    # Found beside what all experiments share.
    from e07_replication.verdicts import page as in_our_laboratory

    claims = {name: finding()[0] for name, finding in FINDINGS.items()}
    return f"{in_our_laboratory(claims)}\n\n![Our own runs](figures/replication.png)"


def summary() -> str:
    """Return one row a claim."""
    fits, sizes = load("fits"), published()
    agree = fitted().count("| agrees |")
    last = [row for series in SERIES for row in load("finals")[series]]
    gap = max(abs(row["last"] - row["last_published"]) for row in last)
    inside = decomposed().count("within our interval")
    sigmoid = max(abs(row["to ten times C_mid"]["mean"] - row["A"]) for row in load("scalerl")["curves"])
    r2 = min(row["as_published"]["r2"] for row in fits)
    claims = [
        [
            "Table 5, final losses",
            "14 values",
            f"largest difference {gap:.0e}",
            f"{TABLE5:.0e}: print and reading",
            say("reproduced", gap <= TABLE5),
            "finals",
        ],
        [
            "Table 6, k_max, N0, R²",
            "8 fits",
            f"{agree} agree",
            "one unit of the last digit + 3 sd of the reading error",
            say("reproduced but for the instruct fits ≤ 32B, which rest on points in no figure", agree == 6),
            "fits",
        ],
        [
            "Table 7, D0 and λ",
            f"{len(sizes['table7']['D0'])} sizes",
            f"{inside} with both within our 95 % interval",
            "our interval",
            say("compatible but for D0 of 7B", inside == 4),
            "decomposition",
        ],
        [
            "ScaleRL Table 1, A",
            "5 curves",
            f"largest bias {sigmoid:.3f}",
            "± 0.02: ScaleRL's run-to-run error",
            say("recovered from runs that reach 10 C_mid, not from shorter ones", sigmoid < 0.02),
            "scalerl",
        ],
        [
            "pooled R²",
            f"> {sizes['paper']['r2_claimed']}",
            f"{r2:.4f} at least",
            "none: a bound",
            say("reproduced, and says little (finding 2)", r2 > sizes["paper"]["r2_claimed"]),
            "fits",
        ],
    ]
    for number, (name, finding) in enumerate(FINDINGS.items(), 1):
        script = ("saturation", "prediction", "saturation", "reuse")[number - 1]
        claims.append(
            [
                f"Finding {number}: {name[0].lower() if name[0] != 'k' else 'k'}{name[1:]}",
                "see below",
                "see below",
                "intervals below",
                finding()[0],
                script,
            ]
        )
    word, rms = beyond()[0], [load("clock")["base samples"]["laws"][law]["rms"] for law in ("saturating", "clock")]
    claims.append(
        [
            "Beyond the law: one clock",
            "nothing",
            f"base, D: rms {rms[1]:.4f} against {rms[0]:.4f}",
            "F tests below",
            word,
            "clock",
        ]
    )
    rows = [[*claim[:-1], f"`python experiments/paper/{claim[-1]}.py`"] for claim in claims]
    return table("| claim | published | ours | tolerance | verdict | command |", rows)


def own() -> str:
    """Return the pictures of this project's runs."""
    pictures = sorted((ROOT / "figures" / "study").glob("*.png"))
    return "\n".join(f"![{path.stem.replace('_', ' ')}](figures/study/{path.name})" for path in pictures)


def _put(page: str, mark: str, block: str) -> None:
    """Put a part of another page between its marks."""
    path = ROOT / page
    write_text(path, between(path.read_text(encoding="utf-8"), mark, block))


def _put_verdicts() -> None:
    """Put the verdicts into the README, and those of our laboratory into the page on what our own runs say."""
    from e07_replication.verdicts import lines, words

    own = words()
    rows = [[f"{at}. {name}", finding()[0], own[name]] for at, (name, finding) in enumerate(FINDINGS.items(), 1)]
    rows.append(["beyond its law", beyond()[0], own["One clock"]])
    rows.append(
        [
            "what the untrained model tells",
            "not in the data; the law leaves E(N) free",
            own["E(N) is read from the untrained model"],
        ]
    )
    shown = table("| finding | in the paper's data | in our laboratory, 30k to 3M parameters |", rows)
    _put("README.md", "verdicts", shown)
    _put("docs/findings.md", "laboratory", lines())


def main() -> None:
    """Write the page."""
    quality = pd.read_csv(ROOT / "data" / "paper" / "published_fits.csv")
    parts = []
    for number, (name, finding) in enumerate(FINDINGS.items(), 1):
        word, sentences = finding()
        parts.append(f"### {number}. {name}: {word}\n\n" + "\n".join(sentences))
        if name in SHOWN:
            parts.append(f"![Figure {FIGURES[SHOWN[name]]}](figures/fig{SHOWN[name]}.png)")
        extra = {1: [slopes], 2: [held_out, late]}.get(number, [])
        parts += [make() for make in extra]
    gallery = "\n\n".join(
        f"**Figure {said}** (`python figures/fig{at}.py`)\n\n![Figure {said}](figures/fig{at}.png)"
        for at, said in FIGURES.items()
    )
    text = (Path(__file__).parent / "page.md").read_text(encoding="utf-8")
    for mark, found in {
        "SUMMARY": summary(),
        "FINDINGS": "\n\n".join(parts),
        "BEYOND": described(),
        "LABORATORY": laboratory(),
        "TABLE5": finals(),
        "BEST": best_checkpoints(),
        "TABLE6": fitted(),
        "FITS": fitted_with_intervals(),
        "TABLE7": decomposed(),
        "SCALERL": sigmoids(),
        "FIGURES": gallery,
        "OWN": own(),
        "COUNT": str(len(quality)),
    }.items():
        text = text.replace(f"{{{mark}}}", found)
    _put_verdicts()
    write_text(ROOT / "paper_repro.md", text)


if __name__ == "__main__":
    main()
