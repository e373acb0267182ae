"""Where a policy computes: the device that a configuration asks for, and how many of this machine's cores.

torch is imported when a device other than the processor may be there, and not before.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scalefit.errors import UsageError
from scalefit.runner.config import Config

if TYPE_CHECKING:
    import torch

CORES = "SCALEFIT_CORES"
"""Environment variable by which a sweep tells its workers their share of the machine."""


def device_name(wanted: str) -> str:
    """Return the kind of device for `auto`, or the one asked for.

    Raises
    ------
    UsageError
        If the one asked for is not there.
    """
    if wanted == "cpu" or (wanted == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = next(name for name, usable in there.items() if usable) if wanted == "auto" else wanted
    if not there[found]:
        kinds = ", ".join(name for name, usable in there.items() if usable)
        raise UsageError(
            f"[policy] device = {wanted!r}: torch {torch.__version__} finds none on this machine; it has {kinds}"
        )
    return found


def find_device(wanted: str) -> torch.device:
    """Return the device for `auto`, or the one asked for; raises UsageError where that is not there."""
    import torch

    return torch.device(device_name(wanted))


def _may_have_gpu() -> bool:
    """Look for one without torch, whose import takes a second."""
    return sys.platform != "linux" or any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of_cores(jobs: int) -> dict[str, str]:
    """Return the environment that tells a worker its share of the cores among so many."""
    return {CORES: str(max(1, cores() // jobs))}


def threads_of(config: Config) -> int:
    """Return the threads of a run in this process: as configured, else one for nano and its share of cores for hf."""
    if config.threads or config.policy.kind == "nano" or config.engine != "scalefit":
        return config.threads or 1
    import torch

    return min(torch.get_num_threads(), int(os.environ.get(CORES, cores())))
