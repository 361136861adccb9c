"""`insitu doctor`: every failure has its remedy, and only a failure makes the exit status 1."""

import time

import pytest

from insitu.cli import checks, disk
from insitu.cli.checks import writable
from insitu.store import files

STATES = {"ok", "warning", "failed"}


def by_name(body):
    return {finding["name"]: finding for finding in body["findings"]}


def test_every_finding_has_the_same_keys_and_a_remedy_where_it_is_needed(insitu, tmp_path):
    said = insitu("doctor", "ramp", "--rate", "10 Hz", "--data-root", tmp_path, "--json")
    body = said.body
    assert body.keys() == {"ok", "data_root", "findings"}
    for finding in body["findings"]:
        assert finding.keys() == {"name", "state", "text", "remedy", "values"}
        assert finding["state"] in STATES
        assert (finding["remedy"] == "") == (finding["state"] == "ok"), finding
    assert said.code == (0 if body["ok"] else 1)
    assert list(tmp_path.iterdir()) == []  # the file it measured with is gone


def test_free_hours_follow_from_the_rate_and_the_size_of_a_frame(insitu, tmp_path):
    found = by_name(insitu("doctor", "ramp", "--rate", "36 kHz", "--data-root", tmp_path, "--json").body)
    space = found["free space"]["values"]
    assert space["hours"] == pytest.approx(space["bytes"] / (36_000 * 1024 * 4) / 3600)
    assert found["disk rate"]["values"]["needed_bytes_per_s"] == 36_000 * 1024 * 4


def test_the_rate_of_a_paced_recipe_is_found(insitu, tmp_path):
    given = ("doctor", "ramp", "--set", "detector.reader.rate=25 Hz", "--data-root", tmp_path, "--json")
    assert by_name(insitu(*given).body)["disk rate"]["values"]["needed_bytes_per_s"] == 25 * 1024 * 4


def test_a_rate_in_another_unit_is_refused(insitu):
    assert insitu("doctor", "ramp", "--rate", "10 kg").code == 2
    assert insitu("doctor", "ramp", "--rate", "-1 Hz").code == 2


def test_a_network_file_system_fails(monkeypatch, insitu, tmp_path):
    monkeypatch.setattr(files, "file_system", lambda _: "nfs4")
    said = insitu("doctor", "--data-root", tmp_path)
    assert said.code == 1
    assert "FAILED   file system" in said.out
    assert "Choose a local disk" in said.out
    assert "do not start a run" in said.out


def test_a_folder_that_cannot_be_written_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(checks.os, "access", lambda *_: False)
    assert checks.writable(tmp_path).state == "failed"
    assert checks.numba_cache().state == "warning"


def test_a_full_disk_fails_with_a_remedy(monkeypatch, tmp_path):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk.os, "write", full)
    found = disk.disk(tmp_path, None)
    assert [(f.name, f.state) for f in found] == [("disk", "failed")]
    assert "No space left" in found[0].text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("needed", "state"), [(50e6, "ok"), (90e6, "warning"), (200e6, "failed")])
def test_the_disk_has_to_be_faster_than_the_recipe(needed, state):
    assert disk._write_rate(100e6, needed).state == state


@pytest.mark.parametrize(("hours", "state"), [(100, "ok"), (3, "warning"), (0.5, "failed")])
def test_little_space_is_told_in_hours(hours, state):
    found = disk._space(int(1e6 * 3600 * hours), 1e6)
    assert found.state == state
    assert f"{hours:,.1f} h" in found.text


def test_a_slow_fsync_is_a_warning():
    assert disk._fsync(0.2, 0.5).state == "warning"
    assert disk._fsync(0.002, 0.5).state == "ok"


def test_more_memory_in_flight_than_there_is_fails():
    assert checks.memory(10**15).state == "failed"
    assert checks.memory(10**6).state == "ok"


@pytest.mark.parametrize(
    ("kept", "state"),
    [((True, 0.001), "ok"), ((False, 16.0), "warning"), ((True, 2.0), "warning"), ((None, None), "ok")],
)
def test_a_clock_that_nothing_keeps_is_a_warning(monkeypatch, kept, state):
    monkeypatch.setattr(checks, "_kept", lambda: kept)
    assert checks.clock().state == state


def test_a_clock_that_is_wrong_by_years_fails(monkeypatch):
    monkeypatch.setattr(checks.time, "gmtime", lambda: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0)))
    found = checks.clock()
    assert (found.state, "1970" in found.text) == ("failed", True)


def test_a_clock_that_jumps_fails(monkeypatch):
    times = iter([0.0, 3600.0])
    monkeypatch.setattr(checks.time, "time", lambda: next(times))
    assert checks._steady() is False


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(checks.metadata, "requires", lambda _: ["orjson>=3", "no-such-package>=1", "x; extra == 'dev'"])
    found = checks.versions()
    assert found.state == "failed"
    assert found.remedy == "pip install no-such-package"


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_data_root_that_is_a_file_is_found(tmp_path, below):
    (tmp_path / "file").write_text("x")
    found = writable(tmp_path / "file" / below)
    assert (found.state, "is a file" in found.text) == ("failed", True)
    assert "--data-root" in found.remedy
