"""The cost model against published sizes and against arithmetic done by hand."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalefit.errors import UsageError
from scalefit.studies.cost import GPUS, ModelShape, find_gpu, flops_of_hours, full_flops, gpu_hours, run_memory
from tests.conftest import ROOT

SIZES = tomllib.loads((ROOT / "experiments" / "qwen25" / "sizes.toml").read_text())["sizes"]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size["name"])
def test_shapes_have_the_published_parameters(size):
    """The model cards' non-embedding parameters, given there to three digits or two."""
    assert ModelShape(**size["shape"]).params == pytest.approx(size["non_embedding"], rel=0.01)


def test_every_pass_is_counted():
    """Generation 2, old log-probabilities 2, reference 2 and training 6, against the paper's 6."""
    assert full_flops(6e18) == pytest.approx(12e18)
    assert full_flops(6e18, ("generation", "training")) == pytest.approx(8e18)


def test_hours_by_hand():
    """An H100 at 35 % of 989 TFLOP/s does 1.246e18 FLOPs an hour."""
    assert gpu_hours(1.24614e18, find_gpu("H100"), 0.35) == pytest.approx(1.0, rel=1e-4)


@given(st.floats(1e15, 1e26), st.sampled_from(sorted(GPUS)), st.floats(0.01, 1))
def test_hours_and_flops_are_inverse(flops, name, mfu):
    gpu = find_gpu(name)
    assert flops_of_hours(gpu_hours(flops, gpu, mfu), gpu, mfu) == pytest.approx(flops)


def test_memory_by_hand():
    """7B on 4 GPUs: 20 bytes of 7.6e9 parameters a quarter each; its weights in bf16 for the sampler."""
    shape = ModelShape(**next(size["shape"] for size in SIZES if size["name"] == "7B"))
    found = run_memory(shape, 4, tensor_parallel=1, length=4608)
    assert found.states == pytest.approx(20 * 7.6e9 / 4, rel=0.01)
    assert found.sampler == pytest.approx(15.2e9, rel=0.01)
    # 28 layers, 4 heads of 128 channels, keys and values, 2 bytes: 57344 bytes a token.
    assert found.cache == pytest.approx(57344 * 4608 * 32)


@pytest.mark.parametrize(("name", "words"), [("h10", "did you mean 'h100'"), ("tpu", "known: a100")])
def test_unknown_gpu(name, words):
    with pytest.raises(UsageError, match=words):
        find_gpu(name)


@pytest.mark.parametrize("mfu", [0, 1.2, -1])
def test_impossible_utilisation(mfu):
    with pytest.raises(UsageError, match=r"\(0, 1\]"):
        gpu_hours(1.0, GPUS["h100"], mfu)
