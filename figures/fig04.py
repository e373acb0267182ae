"""Figure 4, By data: across sizes and within runs, base and instruct."""

from __future__ import annotations

from common import law_panels

PANELS = [
    ("base", "samples", "across"),
    ("instruct", "samples", "across"),
    ("base", "samples", "within"),
    ("instruct", "samples", "within"),
]

if __name__ == "__main__":
    law_panels(__file__, PANELS)
