"""Problems whose prompt is too long for a run: left out of training by either engine, counted, and kept in the evaluation."""

import pytest

from scalefit.runner.config_file import read_config
from scalefit.runner.data import Lengths, evaluation_examples, training_examples
from tests.runner.conftest import TINY, run

MOST = 5
# Sums as 7+5= and 17+25=, of four to six characters, each a token of a nano model.
TEXT = TINY.replace(
    'levels = [{digits = [1, 1, 1], operations = ["+", "+"]}]',
    'levels = [{digits = [1, 1], operations = ["+"]}, {digits = [2, 2], operations = ["+"]}]',
).replace("[grpo]", f"[grpo]\nmax_prompt_tokens = {MOST}")


def test_only_training_leaves_them_out(tmp_path):
    (tmp_path / "x.toml").write_text(TEXT + "reuse = [4]\n")
    spec = read_config(tmp_path / "x.toml").runs()[0]
    task = spec.task.make()
    asked = []
    keep = Lengths(spec, lambda example: asked.append(example.prompt) or len(example.prompt))
    found = training_examples(task, spec, keep)
    drawn = list(dict.fromkeys(task.draw("train", index).prompt for index in range(500)))
    short = [prompt for prompt in drawn if len(prompt) <= MOST][:16]
    assert sorted(example.prompt for example in found) == sorted(4 * short)
    long = [prompt for prompt in drawn[: drawn.index(short[-1])] if len(prompt) > MOST]
    assert long
    assert keep.said == f"{len(long)} problems were left out of training: prompts of more than {MOST} tokens"
    assert len(asked) == len(set(asked)), "each is read once"
    assert max(len(example.prompt) for example in evaluation_examples(task, 32)) > MOST


@pytest.mark.slow
@pytest.mark.xdist_group("trl")
def test_both_engines_tell_the_same(tmp_path):
    text = TEXT.replace("steps = 8", "steps = 2") + "reuse = [4]\n"
    said = []
    for engine in ("scalefit", "trl"):
        (tmp_path / "x.toml").write_text(f"engine = '{engine}'\n{text}")
        made = run("x.toml", "--out", f"{engine}.parquet", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        said.append([line for line in made.stderr.splitlines() if "left out of training" in line])
    assert len(said[0]) == 1
    assert said[0] == said[1]
