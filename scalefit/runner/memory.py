"""What training needs of memory, and what is free; said before weights are made or read."""

from __future__ import annotations

from pathlib import Path

BYTES_A_WEIGHT = 20.0
"""Training keeps weight, gradient, two moments and reference, 4 bytes each [bytes a parameter]."""


def training_memory(d_model: int, layers: int) -> float:
    """Estimate the memory of training a nano model [bytes]."""
    hidden = 8 * -(-d_model // 3)
    return BYTES_A_WEIGHT * layers * (4 * d_model**2 + 3 * d_model * hidden)


def shortage(needed: float) -> str:
    """Say that so many bytes are more than are free; an empty text where they are not."""
    free = available_memory()
    return (
        f"training needs about {needed / 1e9:.3g} GB of memory, {free / 1e9:.3g} GB are free" if needed > free else ""
    )


def available_memory() -> float:
    """Return the memory that is free on this machine [bytes]; infinite where it cannot be read."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    return float(next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), float("inf")))
