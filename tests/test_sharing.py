"""A table that is shared: its card and schema, and read back from where it lies."""

import json

import fsspec
import jsonschema
import pytest
import yaml

import scalefit as sf
from scalefit.errors import TableError
from scalefit.table.card import card_of, runs_schema
from scalefit.table.remote import address_of
from tests.conftest import ROOT, RUNS, results, scalefit


@pytest.fixture
def elsewhere():
    """A place that only fsspec knows."""
    place = fsspec.filesystem("memory")
    place.put(str(RUNS), "/owner/runs.parquet")
    yield "memory://owner/runs.parquet"
    place.rm("/owner", recursive=True)


def test_a_table_elsewhere_is_the_one_here(elsewhere):
    there, here = sf.read_runs(elsewhere), sf.read_runs(RUNS)
    assert there.frame.equals(here.frame)
    assert (there.path, there.metadata) == (elsewhere, here.metadata)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://owner/none.parquet", "no such file"),
        ("nothing://owner/runs.parquet", "Protocol not known"),
        ("memory://owner/runs.parquat", "no such file"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(elsewhere, address, said):
    with pytest.raises(TableError, match=said):
        sf.read_runs(address)


def test_a_path_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert address_of("runs.parquet") is None
    assert address_of("/data/runs.parquet") is None
    assert address_of("C:/runs.parquet") is None
    (tmp_path / "hf:").mkdir()
    (tmp_path / "hf:" / "runs.parquet").touch()
    assert address_of("hf:/runs.parquet") is None
    assert address_of("hf://datasets/owner/name/runs.parquet") == "hf://datasets/owner/name/runs.parquet"


def test_an_address_goes_wherever_a_path_goes(tmp_path):
    address = RUNS.as_uri()
    made = scalefit("fit", address, "--where", "series=base", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    origin = json.loads((tmp_path / "fit.json").read_text())["origin"]
    assert origin["path"] == address
    again = scalefit("fit", RUNS, "--where", "series=base", cwd=tmp_path)
    assert again.returncode == 0, again.stderr  # of the same content, so that nothing is lost
    assert scalefit("check", address, cwd=tmp_path).stdout == scalefit("check", RUNS, cwd=tmp_path).stdout.replace(
        str(RUNS), address
    )


def test_the_schema_is_that_of_the_rows():
    rows = json.loads(sf.read_runs(RUNS).frame.head(20).to_json(orient="records"))
    check = jsonschema.Draft202012Validator(runs_schema())
    assert not [fault.message for row in rows for fault in check.iter_errors(row)]
    for wrong in ({"loss": 1.5}, {"params": 0}, {"step": -1}, {"run_id": None}, {"group_size": 1.5}):
        assert not check.is_valid(rows[0] | wrong), wrong
    without = {name: value for name, value in rows[0].items() if name != "loss"}
    assert not check.is_valid(without)


def test_card_is_written_and_reads_back(tmp_path):
    made = scalefit("card", ROOT / "data" / "study" / "e01.parquet", "--out", "shared", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    again = sf.read_runs((tmp_path / "shared" / "runs.parquet").as_uri())
    assert len(again.frame) == 1116
    card = (tmp_path / "shared" / "README.md").read_text()
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["configs"] == [{"config_name": "runs", "data_files": "runs.parquet"}]
    assert "36 runs, 6.74k to 997k parameters" in card
    assert "| base | arithmetic | 101k | 3 | 93 |" in card
    assert str(ROOT) not in card
    (found,) = results(scalefit("card", ROOT / "data" / "study" / "e01.parquet", "--json", cwd=tmp_path))
    assert [name.rpartition("/")[2] for name in found["files"]] == ["runs.parquet", "runs.schema.json", "README.md"]


def test_a_page_of_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    made = scalefit("card", RUNS, "--out", ".", cwd=tmp_path)
    assert made.returncode == 1
    assert "no card of scalefit's" in made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_warnings_and_columns_of_its_own_are_on_the_card():
    card = card_of(sf.read_runs(RUNS))
    assert "## Worth a look" in card
    frame = sf.read_runs(RUNS).frame.assign(mine=1.0)
    assert "`mine`" in card_of(sf.as_runs(frame))
