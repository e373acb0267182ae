"""Figure 8, the best recovered benchmark of each kind, in-domain and out-of-domain, base."""

from __future__ import annotations

from common import benchmark_panels

PANELS = [("base", "amc2023"), ("base", "supergpqa")]

if __name__ == "__main__":
    benchmark_panels(__file__, PANELS, columns=2)
