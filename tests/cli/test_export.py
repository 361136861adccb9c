"""`insitu export`: records as a table that a spreadsheet, pandas or awk reads, with nothing silently left out."""

import csv

import orjson
import pytest

from insitu.store.runs import StoredRun


@pytest.fixture
def rows(insitu, halted, tmp_path):
    said = insitu("export", halted, "-o", tmp_path / "records.csv", "--json")
    assert said.code == 0, said.err
    assert said.body.keys() == {"run_uid", "output", "format", "records"}
    with (tmp_path / "records.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_has_a_row_for_every_record_and_units_in_its_header(rows, halted):
    with StoredRun(halted) as run:
        records = list(run.records())
    assert len(rows) == len(records)
    assert {"n", "source", "seq", "temperature [K]", "peak1_position [deg]", "peak1_position_sigma [deg]"} <= rows[
        0
    ].keys()
    for row, record in zip(rows, records, strict=True):
        assert int(row["n"]) == record["n"]
        feature = record["features"]["peak1_position"]
        if feature["value"] is not None:
            assert float(row["peak1_position [deg]"]) == feature["value"]  # repr of a double: nothing is rounded


def test_a_value_that_could_not_be_measured_is_empty_and_says_why(insitu, tmp_path):
    run = insitu("run", "ramp", "--set", "detector.reader.faults=['dead@5']", "--json").body
    said = insitu("export", run["path"], "-o", tmp_path / "records.csv")
    assert said.code == 0
    with (tmp_path / "records.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["seq"] == "5")
    assert row["peak1_position [deg]"] == ""
    assert row["peak1_position_why"] != ""


def test_verdicts_and_decisions_have_columns_of_their_own(rows, planted):
    halt = next(row for row in rows if row["action"] == "HALT")
    assert int(halt["seq"]) == planted + 2
    assert (halt["phase_label"], halt["rule"]) == ("anomaly", "halt_after")


def test_json_lines_are_the_canonical_records(insitu, halted, tmp_path):
    assert insitu("export", halted, "-o", tmp_path / "records.jsonl").code == 0
    with StoredRun(halted) as run:
        expected = [packed for _, packed in run.record_bytes()]
    lines = (tmp_path / "records.jsonl").read_bytes().splitlines()
    assert lines == expected
    assert orjson.loads(lines[0])["n"] == 0


def test_a_file_is_only_replaced_where_that_was_asked_for(insitu, halted, tmp_path):
    target = tmp_path / "records.csv"
    target.write_text("mine")
    said = insitu("export", halted, "-o", target)
    assert said.code == 2
    assert "--force" in said.err
    assert target.read_text() == "mine"
    assert insitu("export", halted, "-o", target, "--force").code == 0
    assert target.read_text() != "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["records.csv"]


def test_an_unknown_suffix_and_a_missing_folder_are_told(insitu, halted, tmp_path):
    assert ".jsonl" in insitu("export", halted, "-o", tmp_path / "records.xlsx").err
    said = insitu("export", halted, "-o", tmp_path / "not_there" / "records.csv", "--json")
    assert said.code == 4
    assert "not_there" in said.body["error"]["where"]
    assert insitu("export", halted).code == 2


def test_a_folder_that_is_not_there_is_told_as_such(insitu, halted, tmp_path):
    said = insitu("export", halted, "-o", tmp_path / "nowhere" / "x.csv")
    assert said.code == 4
    assert "there is no such folder" in said.err
    assert ".part" not in said.err
