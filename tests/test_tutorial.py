"""The logs of the tutorial hold, to the last bit, the curves of the study that they were written from."""

import pytest

import scalefit as sf
from tests.conftest import ROOT

LOGS = ROOT / "data" / "logs"
FACTS = {"series": "base", "prompts": "64", "group_size": "8", "flops": "6N"}
STUDY = sf.read_runs(ROOT / "data" / "study" / "e01.parquet").frame.query("series == 'base'")


@pytest.mark.parametrize(
    ("pattern", "seed", "needs"), [("verl/*.jsonl", 0, None), ("trl/*", 1, None), ("wandb/*.wandb", 2, "wandb")]
)
def test_logs_hold_the_curves_of_the_study(pattern, seed, needs):
    if needs:
        pytest.importorskip(needs)
    paths = sorted(LOGS.glob(pattern))
    assert len(paths) == 6
    for path in paths:
        params = path.stem.split("-")[1]
        found = sf.import_runs(None, path, {**FACTS, "params": params, "seed": str(seed)}).runs.frame
        truth = STUDY[(STUDY["params"] == float(params)) & (STUDY["seed"] == seed)].sort_values("step")
        for column in ("step", "loss", "samples", "tokens"):
            assert found[column].tolist() == truth[column].tolist(), (path.name, column)


def test_nothing_in_the_logs_says_where_they_were_written():
    for path in LOGS.rglob("*"):
        if path.is_file() and path.suffix != ".py":
            content = path.read_bytes()
            assert not [word for word in (b"/home", b"/root", b"/tmp", b"/work", b"@gmail", b".py") if word in content]


def test_every_public_name_has_an_example_in_the_reference():
    text = (ROOT / "docs" / "reference.md").read_text()
    assert [name for name in sf.__all__ if f"sf.{name}" not in text] == []
