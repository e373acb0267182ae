"""Adapters (LoRA, by peft) on an `hf` policy's linear layers: made, switched off, and added to the weights on the way out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from scalefit.errors import ScalefitError, UsageError
from scalefit.extras import install_hint
from scalefit.runner.sections import LoraConfig


def add_adapter(model: Any, settings: LoraConfig, seed: int) -> None:
    """Put adapters into a model, drawn from a seed; from then on they alone are trained.

    Raises
    ------
    ScalefitError
        If peft is not installed.
    UsageError
        If it finds none of the layers.
    """
    try:
        import peft
    except ImportError as error:
        raise ScalefitError(f"[hf.lora] needs peft ({error}); install it with: {install_hint('lora')}.") from None
    wanted = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.targets) or "all-linear",
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            peft.inject_adapter_in_model(wanted, model)
    except ValueError as error:
        linear = sorted(
            {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        )
        raise UsageError(
            f"[hf.lora] targets = {list(settings.targets)}: {str(error).splitlines()[0]} "
            f"The model's linear layers are {', '.join(linear)}."
        ) from None


@contextlib.contextmanager
def without_adapter(model: nn.Module) -> Iterator[None]:
    """Switch the adapters off for a while: the model is the one that training started from."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def merged_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield a checkpoint's weights by their names without adapters, what these add included; the model stays as it is."""
    from peft.tuners.lora import LoraLayer

    layers: dict[str, Any] = {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}
    for name, weight in model.state_dict().items():
        owner, found, rest = name.partition(".base_layer.")
        if found:
            delta = layers[owner].get_delta_weight("default") if rest == "weight" else 0
            yield f"{owner}.{rest}", weight + delta
        elif ".lora_" not in name:
            yield name, weight
