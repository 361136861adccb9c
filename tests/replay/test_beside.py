"""What lies beside the frames is held against the log; a run that goes on is verified as it stands."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from insitu.replay import reanalyse, verify
from insitu.run import run
from insitu.store.recover import recover
from insitu.store.runs import StoredRun
from tests.settings import detector, setup

pytestmark = pytest.mark.damages


@pytest.fixture
def killed(tmp_path) -> Path:
    """A run as a kill leaves it (its seal is taken away), with quarantined things."""
    found = {
        "bench": detector(frames=20, faults=["missing@10-12", "duplicate@14", "duplicate@16"]),
        "other": {"format": 1, "source": "odd", "reader": {"use": "tests.run.broken:SometimesInvalid"}},
    }
    recipe = {"features": [{"use": "xrd.peaks", "windows": [["31.0 deg", "32.0 deg"]], "source": "det"}]}
    summary = run(setup(recipe, detectors=found), data_root=tmp_path)
    folder = Path(summary.path)
    (folder / "seal.json").unlink()
    assert verify(folder).identical
    return folder


@pytest.mark.parametrize(
    "name", ["quarantine/odd/2", "quarantine/det/duplicate-2", "recipe.toml", "detectors.toml", "env.json"]
)
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_what_was_changed_before_the_seal_is_named_before_and_after_it(killed, name, how):
    path = killed / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert name in [f.where for f in verify(killed).findings]
    recover(killed)
    assert name in [f.where for f in verify(killed).findings]


@pytest.mark.parametrize("name", ["state/c/0", "time/c/0", "frames/c/0/0", "frames/zarr.json"])
def test_a_view_that_was_wrong_when_the_run_was_sealed_is_named(tmp_path, name, monkeypatch):
    from insitu.store.writer import RunWriter

    plain = RunWriter.close

    def close(self):
        plain(self)
        path = self.folder / "raw.zarr/det/0" / name
        data = path.read_bytes()
        if name.endswith(".json"):
            path.write_bytes(data.replace(b"20,", b"19,", 1))
        else:
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])

    monkeypatch.setattr(RunWriter, "close", close)
    summary = run(setup(frames=20), data_root=tmp_path)
    (finding,) = verify(Path(summary.path)).findings
    assert finding.where.startswith(f"raw.zarr/det/0/{name.split('/')[0]}")


def test_a_run_that_is_being_written_verifies_at_any_moment(tmp_path):
    reports = []

    def observe(status):
        if status["frames"]["stored"] and status["state"] == "running":
            reports.append(verify(Path(status["path"])))

    run(setup(frames=400, rate="300 Hz"), data_root=tmp_path, observer=observe)
    assert len(reports) >= 3
    for report in reports:
        assert report.identical, report.findings
        assert not report.sealed


def test_frames_that_wait_for_their_record_are_no_finding_while_a_run_goes_on(tmp_path, monkeypatch):
    from insitu.pipeline import Pipeline

    plain, reports, go_on = Pipeline.judge, [], threading.Event()

    def judge(self, measurement):
        if measurement.n == 5 and threading.current_thread().name == "analysis":
            go_on.wait(90)
        return plain(self, measurement)

    def observe(status):
        if status["frames"]["stored"] == 20 and not reports:
            reports.append(verify(Path(status["path"])))
            go_on.set()

    monkeypatch.setattr(Pipeline, "judge", judge)
    run(setup(frames=20), data_root=tmp_path, observer=observe)
    assert reports[0].identical, reports[0].findings
    assert reports[0].records == 5
    assert reports[0].frames == 20


def test_a_derived_run_is_held_against_the_run_that_it_was_derived_from(tmp_path):
    first = Path(run(setup(frames=10), data_root=tmp_path).path)
    again = Path(reanalyse(first, setup(frames=10), data_root=tmp_path).path)
    assert verify(again).identical
    with StoredRun(again) as derived:
        assert derived.open_body()["derived_head"] == json.loads((first / "seal.json").read_bytes())["body"]["head"]
    other = Path(run(setup(frames=10), data_root=tmp_path / "other").path)
    shutil.rmtree(first)
    shutil.copytree(other, first)  # another run with the same frames under the old name
    (finding,) = verify(again).findings
    assert str(first) in finding.where
    assert "head has changed" in finding.what


def test_any_flipped_bit_of_a_killed_run_is_a_finding_or_harmless_never_an_exception(killed):
    import random

    rng = random.Random(1)
    names = sorted(p for p in killed.rglob("*") if p.is_file() and p.stat().st_size and "lock" not in p.name)
    for path in rng.sample(names, 12) + [killed / "ledger.db"] * 12:
        data = path.read_bytes()
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :])
        verify(killed)
        path.write_bytes(data)
    assert verify(killed).identical
