"""The study's notes and tables are what its scripts produce, and its configurations are valid."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import scalefit as sf
from experiments.study import between
from scalefit.errors import ScalefitError
from scalefit.provenance import sha256_of_file
from scalefit.runner.config_file import read_config
from tests.conftest import ROOT

CONFIGS = sorted(path for path in (ROOT / "experiments").glob("*/*.toml") if path.name != "sizes.toml")
STUDIES = sorted(path.parent for path in (ROOT / "experiments").glob("e0*/analyse.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_configurations_are_valid(path):
    assert read_config(path).runs()


@pytest.mark.slow
@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_notes_hold_what_the_script_finds(folder, tmp_path):
    for name in ("experiments", "figures", "data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.parts", "__pycache__"))
    there = tmp_path / "experiments" / folder.name
    subprocess.run([sys.executable, str(there / "analyse.py")], check=True, capture_output=True, text=True)
    assert (there / "notes.md").read_text() == (folder / "notes.md").read_text()
    assert len((folder / "analyse.py").read_text().splitlines()) <= 60


@pytest.mark.slow
@pytest.mark.parametrize("script", ["qwen25/make.py", "clock/describe.py"])
def test_folder_is_what_its_script_writes(script, tmp_path):
    for name in ("experiments", "figures", "data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.parts", "__pycache__"))
    there, here = ((root / "experiments" / script).parent for root in (tmp_path, ROOT))
    for path in there.glob("results.json"):
        path.unlink()
    subprocess.run([sys.executable, str(there / Path(script).name)], check=True, capture_output=True, text=True)
    for path in here.iterdir():
        if path.is_file():
            assert (there / path.name).read_text() == path.read_text(), path.name


def test_qwen25_follows_the_paper():
    """Batch 512, mini-batch 128, G 8, learning rate 1e-6, KL 1e-3, clip .2, 4096 tokens, temperature 1.0 and .7.

    Weight decay .1 and prompts of 2048 tokens as in the authors' script.
    """
    for path in (ROOT / "experiments" / "qwen25").glob("*B.toml"):
        config = read_config(path)
        grpo = config.grpo
        assert (grpo.prompts, grpo.mini_batch, config.sweep.group_size) == (512, 128, (8,))
        assert (grpo.learning_rate, grpo.kl, grpo.clip_low, grpo.clip_high) == (1e-6, 1e-3, 0.2, 0.2)
        assert (grpo.max_new_tokens, grpo.temperature, config.eval.temperature) == (4096, 1.0, 0.7)
        assert (grpo.weight_decay, grpo.max_prompt_tokens, grpo.gradient_clip) == (0.1, 2048, 1.0)


@pytest.fixture
def verl_config(monkeypatch):
    """The file for verl, merged into the configuration that verl itself generates: an unknown key is an error there."""
    omegaconf = pytest.importorskip("omegaconf")
    found = find_spec("verl")
    if found is None:
        pytest.skip("verl is not installed here")
    theirs = omegaconf.OmegaConf.load(
        Path(found.submodule_search_locations[0]) / "trainer" / "config" / "_generated_ppo_trainer.yaml"
    )
    omegaconf.OmegaConf.set_struct(theirs, True)
    mine = omegaconf.OmegaConf.load(ROOT / "experiments" / "qwen25" / "verl.yaml")
    for word in ("hydra", "defaults"):
        mine.pop(word)
    monkeypatch.setenv("PWD", str(ROOT))
    with pytest.raises(omegaconf.errors.ConfigKeyError):
        omegaconf.OmegaConf.merge(theirs, {"data": {"train_batch": 1}})
    return omegaconf.OmegaConf.merge(theirs, mine)


def test_verl_is_told_the_protocol(verl_config):
    data, actor = verl_config.data, verl_config.actor_rollout_ref.actor
    assert (data.train_batch_size, verl_config.actor_rollout_ref.rollout.n) == (512, 8)
    assert (data.max_prompt_length, data.max_response_length) == (2048, 4096)
    assert (data.filter_overlong_prompts, data.truncation, data.shuffle) == (True, "right", False)
    assert (actor.optim.weight_decay, actor.optim.lr, actor.grad_clip) == (0.1, 1e-6, 1.0)


@pytest.mark.parametrize(
    ("answer", "truth", "score"),
    [
        (r"so it is \boxed{\frac{1}{2}}", "0.5", 1.0),
        (r"so it is \boxed{\frac{1}{3}}", "0.5", 0.0),
        (r"\boxed{x^2 + 2x + 1}", ["(x+1)^2"], 1.0),
        ("I do not know", "7", 0.0),
    ],
)
def test_verl_loads_our_reward(verl_config, answer, truth, score):
    """By the loader of verl's own that its trainer calls, with the words that its reward managers give."""
    loader = pytest.importorskip("verl.utils.import_utils")
    chosen = verl_config.reward.custom_reward_function
    compute = loader.load_extern_object(module_path=chosen.path, object_name=chosen.name)
    assert compute(data_source="math__merged", solution_str=answer, ground_truth=truth, extra_info={}) == score


def test_tables_are_those_of_the_manifest():
    """Every table there is, with its content; those of the replication as they come."""
    folder = ROOT / "data" / "study"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == {path.name for kind in ("parquet", "csv") for path in folder.glob(f"*.{kind}")}
    for name, entry in manifest.items():
        assert sha256_of_file(folder / name) == entry["sha256"], name
        if "runs missing" in entry:
            assert entry["experiment"] in entry["made by"] or Path(entry["experiment"]).stem in entry["made by"].split()
            assert entry["runs"] + len(entry["runs missing"]) == len(read_config(ROOT / entry["experiment"]).runs())
    without = {name for name, entry in manifest.items() if "runs missing" not in entry}
    assert without == {"e01_ceiling.csv", "e07_pilots.parquet"}


def test_the_manifest_takes_tables_of_the_replication_as_they_come(tmp_path):
    """With e01's table as that of an arm: runs of the same names are there, the others missing, and the cost is told."""
    for name in ("experiments", "data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.parts", "__pycache__"))
    folder, study = tmp_path / "data" / "study", tmp_path / "experiments" / "e07_replication"
    for path in folder.glob("e07_*.parquet"):
        if path.name != "e07_pilots.parquet":
            path.unlink()
    shutil.copy(folder / "e01.parquet", folder / "e07_slow.parquet")
    (study / "times.json").write_text('{"slow": 7}')
    subprocess.run([sys.executable, str(folder / "manifest.py")], check=True, capture_output=True, text=True)
    found = json.loads((folder / "manifest.json").read_text())
    assert {name for name in found if name.startswith("e07")} == {"e07_slow.parquet", "e07_pilots.parquet"}
    slow = found["e07_slow.parquet"]
    assert slow["made by"] == "python experiments/e07_replication/run.py slow"
    assert (slow["runs"], slow["processor seconds"], slow["status"]) == (36, 7, {"finished": 36})
    assert slow["runs missing"] == [f"{size}-base-g8-r1-s{seed}" for size in ("300k", "30k") for seed in (0, 1)]
    assert "plan.md" in found["e07_pilots.parquet"]["made by"]


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def measured(name):
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


@pytest.mark.slow
def test_readme_says_what_the_benchmark_measured(benchmarks, capsys):
    """Its program runs, a table of 210 evaluations through all that it times, and stops at its limit."""
    import run

    assert run.reach(limit=0.0, steps=30) == {}
    assert "every size held out, 210 evaluations" in capsys.readouterr().out
    said = f"{measured('results')['reach']['evaluations answered within a minute']:,}".replace(",", " ")
    assert (
        f"every size held out of {said} evaluations take half a minute" in (ROOT / "docs" / "training.md").read_text()
    )


def test_readme_says_how_honest_the_decisions_are(benchmarks, runs):
    """What does not take minutes is computed again: the designs' widths. Tables of forecasts are those of their report."""
    import decisions
    import forecast_notes

    found = measured("decisions")
    front = found["frontier, truth saturating-linear"]
    for name, one in decisions.designs().items():
        assert one == pytest.approx(found["design"][name], rel=2e-3), name
    text = (ROOT / "README.md").read_text()
    report = measured("forecast")
    assert forecast_notes.with_report(text, forecast_notes.short(report)) == text
    guide = forecast_notes.DOCS.read_text()
    assert forecast_notes.with_report(guide, forecast_notes.long(report)) == guide
    own = report["families"]["paper, runs by samples"]["ours, alone"]["0.5"]["rmse"]
    assert f"{own:.4f}".removeprefix("0") in text
    assert f"{own:.4f}".removeprefix("0") in guide
    assert (
        f"in {100 * front['covered']:.3g} % of {front['simulations']} simulations"
        in (ROOT / "docs" / "which-size.md").read_text()
    )


def test_what_is_measured_of_advantages_and_logic_is_there(benchmarks, monkeypatch):
    """The program measures each advantage and each fragment at three depths; small here, whole by `make bench-beyond`."""
    pytest.importorskip("torch")
    import beyond

    monkeypatch.setattr(beyond, "PROBLEMS", 5)
    monkeypatch.setattr(beyond, "STEPS", 1)
    monkeypatch.setattr(beyond, "median", lambda function, times: function() or 1e-6)
    rates, share = beyond.logic(), beyond.advantages()["share of a step"]
    found = measured("beyond")
    assert {name: set(some) for name, some in rates.items()} == {
        name: set(some) for name, some in found["logic problems a second"].items()
    }
    assert set(found["advantages"]["share of a step"]) <= set(share)
    assert max(found["advantages"]["share of a step"].values()) <= 0.05


@pytest.mark.slow
def test_the_page_says_what_the_studies_found():
    """The lines on e05 and e06, from their tables."""
    text = (ROOT / "docs" / "findings.md").read_text()
    runs = sf.read_runs(ROOT / "data" / "study" / "e06.parquet")
    flops, samples = (
        {row["class"]: row for row in sf.study_horizon(runs, x=x)[0].classes} for x in ("flops", "samples")
    )
    gammas = [one["implication"]["gamma"] for one in (flops, samples)]
    assert f"implication costs h^{gammas[0]:.1f} in FLOPs and h^{gammas[1]:.1f} in prompts" in text
    assert (flops["conjunction"]["high"], flops["disjunction"]["reached"]) == (None, 0)
    assert f"conjunction at least h^{flops['conjunction']['low']:.1f}" in text
    assert "disjunction is not reached" in text
    kept = {}
    for arm in ("grpo", "dr-grpo", "rloo", "fade"):
        found = sf.study_sharpening(sf.read_runs(ROOT / "data" / "study" / f"e05_{arm}.parquet"), k=[1, 64])
        assert all(one.passes[0]["difference"] > 0 > one.passes[1]["difference"] for one in found), arm
        kept[arm] = sum(one.passes[1]["after"] for one in found)
    assert "FADE keeps more of pass@64 than GRPO, Dr. GRPO and RLOO less" in text
    assert kept["fade"] > kept["grpo"] > max(kept["dr-grpo"], kept["rloo"])


def test_a_part_of_a_page_is_written_between_its_marks():
    page = "a\n<!-- part -->\nold\n<!-- /part -->\nb\n"
    assert between(page, "part", "new\n\nlines") == "a\n<!-- part -->\nnew\n\nlines\n<!-- /part -->\nb\n"
    assert between(between(page, "part", ""), "part", "old") == page
    assert between("<!-- part -->\n<!-- /part -->\n", "part", "new") == "<!-- part -->\nnew\n<!-- /part -->\n"
    for without in ("a\n", "<!-- part -->\nold\n", "<!-- /part -->\n<!-- part -->\n"):
        with pytest.raises(ScalefitError, match="no <!-- part -->"):
            between(without, "part", "new")
