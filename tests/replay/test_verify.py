"""A flipped byte anywhere is found and named; a copy verifies where it lies; records follow from the raw data."""

import json
import shutil
from pathlib import Path

import numpy as np
import orjson
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from insitu.replay import reanalyse, verify
from insitu.replay.difference import difference
from insitu.run import run
from insitu.store.canonical import canonical, digest_bytes
from insitu.store.ledger import connect, link
from insitu.store.recover import recover
from insitu.store.runs import StoredRun
from insitu.types import Feature, Output
from tests.settings import detector, setup


@pytest.fixture(scope="module")
def sealed(tmp_path_factory) -> Path:
    """A sealed run with a gap, a duplicate, a quarantined thing and two segments."""
    found = {
        "bench": detector(frames=40, faults=["missing@10-12", "duplicate@20"]),
        "other": {"format": 1, "source": "odd", "reader": {"use": "tests.run.broken:SometimesInvalid"}},
    }
    recipe = {"features": [{"use": "xrd.peaks", "windows": [["31.0 deg", "32.0 deg"]], "source": "det"}]}
    summary = run(setup(recipe, detectors=found), data_root=tmp_path_factory.mktemp("data"))
    assert summary.ended == "complete"
    assert verify(Path(summary.path)).identical
    return Path(summary.path)


def files_of(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.stat().st_size)


def test_one_flipped_byte_in_any_file_is_found_and_the_file_is_named(sealed, tmp_path):
    rng = np.random.default_rng(0)
    names = files_of(sealed)
    assert {"ledger.db", "recipe.toml", "detectors.toml", "env.json", "seal.json"} <= set(names)
    assert any(name.startswith("quarantine/") for name in names)
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)
    for name in names:
        data = bytearray((copy / name).read_bytes())
        at = int(rng.integers(len(data)))
        data[at] ^= 1 << int(rng.integers(8))
        (copy / name).write_bytes(data)
        report = verify(copy)
        assert not report.identical, name
        assert report.findings[0].where.split(":")[0] == name, (name, report.findings)
        data[at] = (sealed / name).read_bytes()[at]
        (copy / name).write_bytes(data)
    assert verify(copy).identical


@pytest.mark.damages
def test_every_byte_of_the_seal_is_covered(sealed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)
    data = (copy / "seal.json").read_bytes()
    for at in range(0, len(data), 97):
        changed = bytearray(data)
        changed[at] ^= 4
        (copy / "seal.json").write_bytes(changed)
        assert verify(copy).findings[0].where == "seal.json"


@pytest.mark.damages
def test_missing_and_added_files_are_named(sealed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)
    (copy / "env.json").unlink()
    (copy / "raw.zarr/det/extra").write_text("x")
    where = {f.where: f.what for f in verify(copy).findings}
    assert where["env.json"] == "is missing"
    assert where["raw.zarr/det/extra"] == "is not part of the sealed run"


def test_a_run_copied_to_another_folder_verifies_there(sealed, tmp_path):
    shutil.copytree(sealed, tmp_path / "somewhere else" / "renamed")
    report = verify(tmp_path / "somewhere else" / "renamed")
    assert report.identical
    assert report.mode == "byte for byte"
    assert report.records == 43


def test_the_head_is_in_the_seal_and_in_the_root_attributes(sealed):
    report = verify(sealed)
    assert json.loads((sealed / "seal.json").read_bytes())["body"]["head"] == report.head
    assert json.loads((sealed / "raw.zarr/zarr.json").read_bytes())["attributes"]["insitu_head"] == report.head


def forge(folder: Path, change, kind_of: str = "record") -> None:
    """Change the body of an entry and mend the chain and the seal: what a careful forger would do."""
    (folder / "seal.json").unlink()
    db = connect(folder / "ledger.db", write=True)
    previous = bytes(32)
    for id_, kind, body in db.execute("SELECT id, kind, body FROM log ORDER BY id").fetchall():
        body = canonical(change(json.loads(body))) if kind == kind_of else body
        previous = link(previous, kind, body)
        db.execute("UPDATE log SET body = ?, hash = ? WHERE id = ?", (body, previous, id_))
    db.close()
    recover(folder)


@pytest.mark.damages
def test_a_forged_record_with_a_mended_chain_is_found_by_deriving_it_again(sealed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)

    def change(body):
        if body["source"] == "det" and body["seq"] == 17:
            body["features"]["peak1_position"]["value"] += 1e-12
        return body

    forge(copy, change)
    report = verify(copy)
    assert [f.where for f in report.findings] == [f"record n = {report.findings[0].where.split()[3]} (det/17)"]
    assert "peak1_position" in report.findings[0].what


def test_a_broken_chain_is_named_by_its_entry(sealed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)
    (copy / "seal.json").unlink()
    db = connect(copy / "ledger.db", write=True)
    (at,) = db.execute("SELECT id FROM log WHERE kind = 'record' ORDER BY id LIMIT 1 OFFSET 5").fetchone()
    db.execute("UPDATE log SET body = replace(CAST(body AS TEXT), 'CONTINUE', 'CONTINUF') WHERE id = ?", (at,))
    db.close()
    assert f"entry {at}" in verify(copy).findings[0].where


def test_another_environment_is_told_and_compares_within_the_declared_tolerance(sealed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)
    env = json.loads((copy / "env.json").read_bytes())
    env["packages"]["numpy"] = "0.9"
    env["digest"] = digest_bytes(canonical({k: v for k, v in env.items() if k != "digest"}))
    (copy / "env.json").write_text(json.dumps(env))
    forge(copy, lambda body: {**body, "environment": env["digest"]}, "open")

    def change(body):
        f = body["features"].get("peak1_position")
        if f and f["value"]:
            f["value"] *= 1 + 1e-13
        return body

    forge(copy, change)
    report = verify(copy)
    assert report.identical, report.findings
    assert report.mode == "within tolerance"
    assert report.environment["numpy"][0] == "0.9"


def test_beyond_the_tolerance_is_a_finding_everywhere():
    a = {"features": {"x": {"value": 1.0, "unit": "deg"}}, "verdicts": {}, "decision": {"action": "A", "rule": ""}}
    b = {"features": {"x": {"value": 1.1, "unit": "deg"}}, "verdicts": {}, "decision": {"action": "A", "rule": ""}}
    assert "features.x" in difference(a, b, {"x": Output(unit="deg", rtol=0.01)})
    assert difference(a, b, {"x": Output(unit="deg", rtol=0.2)}) == ""
    assert "features.x" in difference(a, b, {})


def test_an_unsealed_run_is_verified_and_said_to_be_unsealed(sealed, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sealed, copy)
    (copy / "seal.json").unlink()
    report = verify(copy)
    assert not report.sealed
    assert "recover" in report.notes[0]


def test_reanalysis_writes_a_derived_run_beside_the_old_one_that_verifies(sealed):
    root = sealed.parents[2]
    recipe = {
        "features": [{"use": "totals", "source": "det"}],
        "models": [{"use": "limits", "feature": "total", "source": "det", "low": "1 count"}],
    }
    recipe["models"][0]["low"] = "1 counts"
    found = {
        "bench": detector(frames=40),
        "other": {"format": 1, "source": "odd", "reader": {"use": "tests.run.broken:SometimesInvalid"}},
    }
    summary = reanalyse(sealed, setup(recipe, detectors=found), data_root=root)
    assert summary.records == 43
    folder = Path(summary.path)
    with StoredRun(folder) as derived, StoredRun(sealed) as source:
        assert derived.open_body()["derived_from"] == source.uid
        assert [r["n"] for r in derived.records()] == [r["n"] for r in source.records()]
        assert "total" in next(derived.records("det"))["features"]
    report = verify(folder)
    assert report.identical, report.findings
    assert report.records == 43
    assert verify(sealed).identical


def test_reanalysis_with_the_same_recipe_gives_the_same_bytes(tmp_path):
    s = setup(frames=30)
    first = run(s, data_root=tmp_path)
    again = reanalyse(Path(first.path), s, data_root=tmp_path)
    with StoredRun(Path(first.path)) as a, StoredRun(Path(again.path)) as b:
        assert list(a.record_bytes()) == list(b.record_bytes())


def test_a_stored_run_is_a_source_for_another_run(tmp_path):
    first = run(setup(frames=12, faults=["missing@5"]), data_root=tmp_path)
    found = {"again": {"format": 1, "source": "det", "reader": {"use": "stored", "path": first.path}}}
    second = run(setup(detectors=found), data_root=tmp_path)
    assert (second.frames["stored"], second.frames["lost"]) == (11, 1)
    with StoredRun(Path(first.path)) as a, StoredRun(Path(second.path)) as b:
        assert [r["features"] for r in a.records()] == [r["features"] for r in b.records()]
        assert next(b.frames()).source_run_uid == a.uid


class Threads:
    """How many threads the linear algebra may take."""

    def __init__(self, *, name: str = "threads") -> None:
        self.outputs = {name: Output(unit="")}

    def __call__(self, frame, refs, before) -> dict[str, Feature]:
        return {"threads": Feature(max(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"), "")}


def test_a_run_is_derived_again_with_one_thread_as_it_was_measured(tmp_path):
    with threadpool_limits(limits=2):
        recipe = {"features": [{"use": "tests.replay.test_verify:Threads"}], "models": [], "rules": []}
        live = run(setup(recipe, frames=4), data_root=tmp_path)
        with StoredRun(Path(live.path)) as stored:
            assert {orjson.loads(body)["features"]["threads"]["value"] for _, body in stored.record_bytes()} == {1}
        assert verify(Path(live.path)).mode == "byte for byte"
        assert max(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas") == 2
