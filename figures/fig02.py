"""Figure 2, By compute: across sizes and within runs, base and instruct."""

from __future__ import annotations

from common import law_panels

PANELS = [
    ("base", "flops", "across"),
    ("instruct", "flops", "across"),
    ("base", "flops", "within"),
    ("instruct", "flops", "within"),
]

if __name__ == "__main__":
    law_panels(__file__, PANELS)
