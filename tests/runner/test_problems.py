"""The task `problems`: strict and flexible extraction in the table, files row by row, roles of chats."""

import csv
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from scalefit.errors import UsageError
from scalefit.runner.config import Config
from scalefit.runner.config_check import check
from scalefit.runner.config_file import plain_config, read_config
from scalefit.runner.policies.policy import chat_turns, plain_text
from scalefit.runner.scoring import flexible_loss
from scalefit.runner.sections import PolicyConfig, SizeConfig
from scalefit.runner.tasks.logic import LogicConfig
from scalefit.runner.tasks.problem_files import load
from scalefit.runner.tasks.problems import Problems, ProblemsConfig
from scalefit.runner.tasks.task import Example, Score
from tests.conftest import ROOT
from tests.runner.conftest import inside, make, run
from tests.runner.test_hf import make_llama


def test_both_extractions_are_counted(problems):
    flexible = Problems(problems.path, extraction="flexible")
    example = Example("q", "7", 0)
    for response, strict, lax in (
        (r"so \boxed{7}", Score(1, True, 1), 1),
        ("We add and find 3+4 = 7 apples in the bowl", Score(0, False, 1), 1),
        ("We add and find 3+4 = 8 apples in the bowl", Score(0, False, 0), 0),
        (r"7, no, \boxed{8}", Score(0, True, 0), 0),
    ):
        assert problems.score(response, example) == strict
        assert flexible.score(response, example) == Score(lax, strict.parsed, strict.flexible)


def test_flexible_loss():
    assert flexible_loss([Score(0, False, 1.0), Score(1, True, 1.0), Score(0, True, 0.0), Score(0, True, 0.0)]) == 0.5
    assert flexible_loss([Score(0, False), Score(1, True)]) is None, "tasks without the rule have no column"
    assert flexible_loss([]) is None


def test_extraction_is_checked():
    with pytest.raises(UsageError, match="did you mean 'flexible'"):
        plain_config({"task": {"name": "problems", "path": "p.jsonl", "extraction": "flexibel"}})
    with pytest.raises(UsageError, match="unknown key 'extraction'"):
        plain_config({"task": {"extraction": "flexible"}})
    with pytest.raises(UsageError, match="nano models are not pre-trained on problems"):
        check(Config(ProblemsConfig("problems", path="p"), PolicyConfig(sizes=(SizeConfig("tiny", 16, 1, 1),))))


def test_digests_of_other_tasks_are_as_they_were():
    """From the commit before extraction was added; what reads free text gives other rows and has another digest."""
    nano = PolicyConfig(sizes=(SizeConfig("a", 16, 1, 1),))
    assert Config(policy=nano).digest() == NANO_DIGEST
    assert Config(LogicConfig("logic"), nano).digest() == LOGIC_DIGEST
    strict, flexible = (Config(ProblemsConfig("problems", path="p", extraction=one)) for one in ("strict", "flexible"))
    assert strict.digest() == Config(ProblemsConfig("problems", path="p")).digest() != flexible.digest()


def test_runs_of_e06_are_called_and_hashed_as_when_they_were_made():
    """From the commit before a task's parameters were swept by their own names: its table can be gone on with."""
    config = read_config(ROOT / "experiments" / "e06_horizon" / "config.toml")
    first = config.runs()[0]
    assert config.digest() == "88f957ff3af2c566142aa3e4"
    assert (first.run_id, first.digest()) == ("100k-base-implication-h1-g8-r1-s0", "24db8cd18094fe1ded81ef42")


NANO_DIGEST, LOGIC_DIGEST = "cec1955ebf3105008c10586a", "3719976c67e0f4d463cb9eec"


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_rows_come_through_as_they_are(tmp_path):
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two?"},
    ]
    rows = [
        {"question": "a", "answer": 3, "difficulty": "Level 3"},
        {"question": "b", "answer": ["5"], "difficulty": 2},
        {"question": "c", "answer": "1e400", "difficulty": "4.5"},
        {"question": "d", "answer": 0.10, "difficulty": 1.0},
        {"question": "e", "answer": 123456789012345678901234567890, "difficulty": "lvl 5"},
        {"question": chat, "answer": "2", "difficulty": 0},
    ]
    path = write(tmp_path / "p.jsonl", *rows)
    found = [Problems(path, path).draw("eval", at) for at in range(len(rows))]
    assert [one.answer for one in found] == ["3", "5", "1e400", "0.1", "123456789012345678901234567890", "2"]
    assert [one.difficulty for one in found] == [3, 2, 4.5, 1, 5, 0]
    assert found[0].shown == "a"
    assert found[5].shown == tuple((turn["role"], turn["content"]) for turn in chat)
    assert found[5].prompt == "Be brief.\nOne?\n1\nTwo?"


def test_parquet_integers_stay_integers_beside_a_null(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"question": ["a", "b"], "answer": [3, 4]}), path)
    assert Problems(str(path), str(path)).draw("eval", 0).answer == "3"
    pq.write_table(pa.table({"question": ["a", "b"], "answer": [3, None]}), path)
    load.cache_clear()
    with pytest.raises(UsageError, match=r"1 of 2 rows.*\n  row 2: the answer is missing"):
        Problems(str(path))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"answer": None}, "the answer is missing"),
        ({"answer": ""}, "the answer is empty"),
        ({"answer": ["1", "2"]}, 'join values that are all asked for in one text, such as "1, 2"'),
        ({"answer": True}, "neither text nor a number"),
        ({"answer": {"ground_truth": None}}, "the answer is missing"),
        ({"question": None}, "neither text nor a list of messages"),
        ({"question": " "}, "the prompt is empty"),
        ({"question": [{"role": "tool", "content": "x"}]}, "give each a role"),
        ({"question": [{"role": "user", "content": None}]}, "give each a role"),
        (
            {"question": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
            "an answer follows the user",
        ),
        ({"difficulty": "hard"}, "the difficulty is"),
        ({"difficulty": None}, "the difficulty is null"),
    ],
)
def test_rows_that_are_no_problems_are_named(tmp_path, row, reason):
    whole = {"question": "q", "answer": "1", "difficulty": 1}
    path = write(tmp_path / "p.jsonl", whole, {**whole, **row}, whole)
    with pytest.raises(UsageError, match="row 2: ") as told:
        Problems(path)
    assert reason in str(told.value)
    assert "1 of 3 rows" in str(told.value)


CONFIG = """
[task]
name = "problems"
path = "p.jsonl"
eval_path = "p.jsonl"
order = "shuffled"
extraction = "{extraction}"
[policy]
kind = "hf"
[[policy.sizes]]
name = "tiny"
model = "llama"
[grpo]
steps = 1
prompts = 2
mini_batch = 2
max_new_tokens = 3
kl = 0.0
[eval]
every = 1
problems = 40
samples = 4
temperature = 1.0
[sweep]
group_size = [2]
reuse = [1]
"""


@pytest.mark.slow
def test_a_faulty_file_is_told_without_a_traceback(tmp_path):
    write(tmp_path / "p.jsonl", {"question": "q", "answer": None})
    (tmp_path / "c.toml").write_text(CONFIG.format(extraction="strict"))
    found = run("c.toml", "--out", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 1
    assert "row 1: the answer is missing" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("extraction", ["strict", "flexible"])
def test_the_table_counts_both_extractions(tmp_path, monkeypatch, extraction):
    """A model of random weights writes three characters of digits and signs: now and then one rule reads what the other does not."""
    import pandas as pd

    make_llama(tmp_path / "llama", 32)
    train = write(tmp_path / "t.jsonl", *({"question": f"{n}-{n}=", "answer": 0} for n in range(8)))
    write(tmp_path / "p.jsonl", *({"question": f"{n}+1=", "answer": n % 10} for n in range(40)))
    text = CONFIG.format(extraction=extraction).replace('path = "p.jsonl"', f'path = "{train}"', 1)
    (tmp_path / "c.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(make(read_config("c.toml").runs()[0], tmp_path / "made"))
    assert len(frame) == 2
    assert frame.unparsed.between(0.01, 0.99).all()
    if extraction == "flexible":
        assert (frame.flexible_loss == frame.loss).all()
    else:
        assert (frame.flexible_loss < frame.loss).all()


CHAT = [
    {"role": "system", "content": "+"},
    {"role": "user", "content": "1+1="},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "2+2="},
]
TEMPLATE = "{% for m in messages %}{{ m.role }}({{ m.content }}){% endfor %}"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet", "saved"])
def test_every_format_gives_the_same_problems(tmp_path, ending):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"prompt": CHAT, "answer": "4", "difficulty": "1"},
        {"prompt": [*CHAT[-1:]], "answer": "4", "difficulty": "2"},
    ]
    path = tmp_path / f"p.{ending}"
    if ending == "jsonl":
        write(path, *rows)
    elif ending == "csv":
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows(
                [rows[0], *([json.dumps(row["prompt"]), *list(row.values())[1:]] for row in rows)]
            )
    elif ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        datasets = pytest.importorskip("datasets")
        datasets.Dataset.from_list(rows).save_to_disk(path)
    turns = tuple((turn["role"], turn["content"]) for turn in CHAT)
    assert load(str(path)) == (Example("+\n1+1=\n2\n2+2=", "4", 1.0, messages=turns), Example("2+2=", "4", 2.0))


def test_a_saved_data_set_is_read_without_datasets(tmp_path):
    """Several parts, and of several splits the one that is named; the files are those of `datasets` itself."""
    datasets = pytest.importorskip("datasets")
    rows = [{"question": f"{n}?", "answer": n} for n in range(20)]
    data = datasets.Dataset.from_list(rows)
    datasets.DatasetDict({"train": data, "test": data.select(range(3))}).save_to_disk(
        tmp_path / "d", num_shards={"train": 2, "test": 1}
    )
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from scalefit.runner.tasks.problem_files import load\n"
        "print([len(load(f'd/{split}')) for split in ('train', 'test')], load('d/train')[19].answer)"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "[20, 3] 19\n"
    with pytest.raises(UsageError, match=r"d: holds test, train; name one of them, as in 'd/test'"):
        load(str(tmp_path / "d"))
    part = next((tmp_path / "d" / "train").glob("*.arrow"))
    part.write_bytes(part.read_bytes()[:200])
    load.cache_clear()
    with pytest.raises(UsageError, match=r"arrow: cannot be read"):
        load(str(tmp_path / "d" / "train"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt,answer\na,1\nb\n", "line 3 has fewer fields than the header"),
        ("prompt,answer\na,1\nb,2,3\n", "line 3 has more fields"),
        ("prompt,answer\n", "holds no problem"),
        ("", "holds no problem"),
        ("text,label\na,1\n", "columns text, label; it needs prompt"),
        ('prompt,answer\n"a\nb",1\nc,\n', "row 4: the answer is empty"),
        ('prompt,answer\n"a,1\n', "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_csv_file_is_told_by_its_line(tmp_path, text, words):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        load(str(tmp_path / "p.csv"))


def test_a_folder_that_is_no_data_set_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"a directory without state.json"):
        load(str(tmp_path))


RELATIVE = CONFIG.format(extraction="strict")


@pytest.mark.parametrize("place", ["nowhere", "current folder"])
def test_files_are_seen_from_the_experiments_folder(tmp_path, place):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "c.toml").write_text(RELATIVE)
    if place != "nowhere":
        write(tmp_path / "p.jsonl", {"question": "q", "answer": 1})
        (tmp_path / "llama").mkdir()
    found = inside("exp/c.toml", cwd=tmp_path)
    assert found.returncode == 2
    assert f"[task] p.jsonl: no such file in {tmp_path / 'exp'}" in found.stderr
    assert ("there is one in the current folder: write '../p.jsonl'" in found.stderr) == (place != "nowhere")
    assert ("write '../llama'" in found.stderr) == (place != "nowhere")


def test_earlier_turns_and_the_system_prompt_reach_the_model(tmp_path):
    """An instruct model gets them through its template; a base model their texts, as the page says; TRL the same."""
    trl = pytest.importorskip("trl")
    from scalefit.runner.engines.trl_process import Trainer
    from scalefit.runner.policies.hf import HfPolicy

    assert trl
    example = Problems(path := write(tmp_path / "p.jsonl", {"prompt": CHAT, "answer": 4}), path).draw("eval", 0)
    folder = make_llama(tmp_path, 32)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    chat, base = HfPolicy(str(folder), chat=True), HfPolicy(str(folder), chat=False)
    assert chat._text(example.shown) == "system(+)user(1+1=)assistant(2)user(2+2=)"
    assert base._text(example.shown) == "+\n1+1=\n2\n2+2="
    spec = SimpleNamespace(config=SimpleNamespace(policy=SimpleNamespace(instruction="")))
    for policy, is_chat in ((chat, True), (base, False)):
        asked = Trainer._prompt(SimpleNamespace(spec=spec, chat=is_chat), example)
        shown = policy.tokenizer.apply_chat_template(asked, tokenize=False) if is_chat else asked
        assert shown == policy._text(example.shown)


def test_roles_reach_the_chat_template():
    turns = (("system", "Be brief."), ("user", "Two?"))
    assert chat_turns(turns, "Box it.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Two?\nBox it."},
    ]
    assert chat_turns("Two?", "") == [{"role": "user", "content": "Two?"}]
    assert plain_text(turns) == "Be brief.\nTwo?"
