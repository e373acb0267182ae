"""Figure 5, k_D(N): the slope by data, with bootstrap bands and the published curves."""

from __future__ import annotations

from common import slope_panels

if __name__ == "__main__":
    slope_panels(__file__, "samples")
