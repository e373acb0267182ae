"""Does k(N) saturate? Each size left out in turn, the interval of N0, and rivals without saturation."""

from __future__ import annotations

from dataclasses import asdict

from record import RESOURCES, SERIES, paper_runs, save

from scalefit.fitting.fit import Specification, fit_data
from scalefit.prediction.saturation import weigh_saturation
from scalefit.table.prepare import FitData, prepare
from scalefit.units import format_quantity

OLS = Specification(noise="independent")


def estimate(data: FitData) -> dict[str, object]:
    """Return k_max and N0: by least squares as published, and by the lines of runs with intervals that allow for their scatter."""
    plain, fit = fit_data("saturating", data, OLS), fit_data("saturating", data)
    found: dict[str, object] = {"status": fit.status}
    for name in ("k_max", "N0"):
        own = fit.params[name]
        found[name] = {
            "least_squares": plain.params[name].value,
            "value": own.value,
            "low": own.low,
            "high": own.high,
        }
    return found


def main() -> None:
    """Write `results/saturation.json`."""
    results = {}
    for series in SERIES:
        for resource in RESOURCES:
            (data,) = prepare(paper_runs(), resource, {"series": series})
            whole = fit_data("saturating", data)
            without = {format_quantity(size): estimate(data.keep(data.params != size)) for size in data.sizes}
            alone = fit_data("power", data)
            results[f"{series} {resource}"] = {
                "weighed": asdict(weigh_saturation(whole)),
                "all sizes": estimate(data),
                "without": without,
                "each size alone": {format_quantity(size): asdict(alone.k(size)) for size in data.sizes},
            }
    save("saturation", results)


if __name__ == "__main__":
    main()
