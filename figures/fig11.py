"""Figure 11, out-of-domain benchmarks against D, base above, instruct below."""

from __future__ import annotations

from common import OUT_OF_DOMAIN, SERIES, benchmark_panels

PANELS = [(series, name) for series in SERIES for name in OUT_OF_DOMAIN]

if __name__ == "__main__":
    benchmark_panels(__file__, PANELS, columns=3)
