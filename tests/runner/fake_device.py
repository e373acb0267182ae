"""A device that is not there: tensors that say they are elsewhere, hold real numbers, and refuse to mix with the processor's.

As on a GPU, an operation takes tensors of one device and numbers; `.to` and `.cpu` are the only ways between. What is
computed is what the processor computes, so results can be compared bit by bit. It is called `meta`, the one other name
for which torch needs no library.
"""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

AWAY = torch.device("meta")
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Away(torch.Tensor):
    """A tensor on the device; `here` holds its numbers."""

    @staticmethod
    def __new__(cls, here):
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, here.stride(), here.storage_offset(), dtype=here.dtype, device=AWAY
        )
        made.here = here
        return made

    def __repr__(self):
        return f"Away({self.here})"

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), named=None):
        return compute(function, arguments, named or {})


def compute(function, arguments, named):
    """Do an operation on the device, on the processor, or between the two, as a GPU would or would not."""
    tensors = [one for one in tree_flatten((arguments, named))[0] if isinstance(one, torch.Tensor)]
    away = any(isinstance(one, Away) for one in tensors)
    wanted = named.get("device")
    to_away = away if wanted is None else torch.device(wanted) == AWAY
    if function not in COPIES and away and not all(isinstance(one, Away) or one.dim() == 0 for one in tensors):
        raise RuntimeError(f"{function}: tensors on {sorted({str(one.device) for one in tensors})}")
    if function is torch.ops.aten._conj.default:  # a mere mark on a tensor, which a wrapper does not carry
        function = torch.ops.aten._conj_physical.default
    if wanted is not None:
        named = {**named, "device": "cpu"}
    results = function(*tree_map(_here, arguments), **tree_map(_here, named))
    given = {id(_here(one)): one for one in tensors}

    def back(one):
        if not isinstance(one, torch.Tensor):
            return one
        if id(one) in given:
            return given[id(one)]
        return Away(one) if to_away else one

    if function is torch.ops.aten.copy_.default:
        return arguments[0]
    return tree_map(back, results)


def _here(one):
    return one.here if isinstance(one, Away) else one


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        return compute(function, arguments, named or {})


@contextlib.contextmanager
def device():
    """Let the device exist."""
    before, plain = torch.__future__.get_swap_module_params_on_conversion(), torch.tensor

    def tensor(*arguments, device=None, **named):
        made = plain(*arguments, device="cpu", **named)  # which fills in numbers below what a mode sees
        return made if device is None else made.to(device)

    torch.__future__.set_swap_module_params_on_conversion(True)
    torch.tensor = tensor
    try:
        with _Factories():
            yield AWAY
    finally:
        torch.tensor = plain
        torch.__future__.set_swap_module_params_on_conversion(before)
