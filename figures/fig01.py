"""Figure 1, base by compute and by data: fitted on 0.5B to 32B, 72B predicted."""

from __future__ import annotations

from common import law_panels

PANELS = [("base", "flops", "across"), ("base", "samples", "across")]

if __name__ == "__main__":
    law_panels(__file__, PANELS)
