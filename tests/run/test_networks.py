"""Runs with a network: the bundle is part of the run, its digest stands in the log, and every verdict is derived again
from the very bytes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import tomli_w

from insitu import cli
from insitu.config import describe, load, load_stored
from insitu.errors import ConfigError, ModelError
from insitu.models.bundle import read_bundle
from insitu.models.registry import Registry
from insitu.replay import reanalyse, verify
from insitu.run import run
from insitu.store.canonical import canonical, record_body
from insitu.store.runs import StoredRun
from insitu.types import Feature, Frame, Output, References
from tests import bundles
from tests.settings import detector, setup

PATTERN = {"low": 1.0, "high": 5.0, "points": 64, "coverage": 0.2}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.written(tmp_path_factory.mktemp("bundles") / "tiny", params=PATTERN, batch_exact=True)


def recipe(bundle: Path | str, **keys: Any) -> dict[str, Any]:
    allowed = {"bundle": str(bundle), "allow_unsigned": True, **keys}
    return {
        "features": [{"use": "onnx", **allowed}],
        "models": [{"use": "network", "name": "phase", "normal": ["CeO2"], **allowed}],
        "rules": [],
    }


def records(folder: Path) -> list[dict[str, Any]]:
    with StoredRun(folder) as stored:
        return [orjson.loads(body) for _, body in stored.record_bytes()]


def test_every_verdict_of_a_run_is_derived_again_from_its_own_copy_of_the_bundle(tiny: Path, tmp_path: Path) -> None:
    summary = run(setup(recipe(tiny), frames=12), data_root=tmp_path / "data")
    folder = Path(summary.path)
    digest = read_bundle(tiny, allow_unsigned=True).digest
    with StoredRun(folder) as stored:
        opened = stored.open_body()
    assert opened["bundles"]["features.onnx"]["digest"] == opened["bundles"]["models.phase"]["digest"] == digest
    assert opened["bundles"]["models.phase"]["signed_by"] == ""
    assert {name.split("/")[1] for name in opened["files"]} == {"tiny"}
    assert "network tiny 1.0.0 is not signed" in " ".join(summary.notes)
    assert {r["verdicts"]["phase"]["model"] for r in records(folder)} == {digest}
    assert all(r["features"]["tiny_ceo2"]["value"] is not None for r in records(folder))
    report = verify(folder)
    assert report.identical
    assert (report.records, report.mode) == (12, "byte for byte")
    shutil.move(tiny, tiny.parent / "gone")
    try:
        assert verify(folder).identical
    finally:
        shutil.move(tiny.parent / "gone", tiny)
    env = orjson.loads((folder / "env.json").read_bytes())
    assert env["packages"]["onnxruntime"]


@pytest.mark.damages
@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "golden.npz"])
def test_another_byte_of_the_bundle_is_named(tiny: Path, tmp_path: Path, name: str) -> None:
    folder = Path(run(setup(recipe(tiny), frames=3), data_root=tmp_path / "data").path)
    at = folder / "files" / "tiny" / name
    data = bytearray(at.read_bytes())
    data[len(data) // 3] ^= 4
    at.write_bytes(data)
    report = verify(folder)
    assert not report.identical
    assert report.findings[0].where == f"files/tiny/{name}"


@pytest.mark.damages
def test_another_bundle_in_the_place_of_the_first_is_named_without_a_seal(tiny: Path, tmp_path: Path) -> None:
    """The log holds the digest of the bundle beside those of its files."""
    folder = Path(run(setup(recipe(tiny), frames=3), data_root=tmp_path / "data").path)
    (folder / "seal.json").unlink()
    bundles.written(tmp_path / "tiny", bundles.convolutions(seed=7), params=PATTERN)
    shutil.copytree(tmp_path / "tiny", folder / "files" / "tiny", dirs_exist_ok=True)
    found = [f.where for f in verify(folder).findings]
    assert "files/tiny/model.onnx" in found


def test_reanalysis_uses_the_bundle_of_its_recipe(tiny: Path, tmp_path: Path) -> None:
    first = run(setup(recipe(tiny), frames=6), data_root=tmp_path / "data")
    again = reanalyse(Path(first.path), load(Path(first.path) / "recipe.toml"), data_root=tmp_path / "data")
    assert [r["features"] for r in records(Path(again.path))] == [r["features"] for r in records(Path(first.path))]
    assert verify(Path(again.path)).identical
    other = bundles.written(tmp_path / "tiny", bundles.convolutions(seed=7), params=PATTERN)
    found = {"bench": detector(frames=6)}
    derived = reanalyse(Path(first.path), setup(recipe(other), detectors=found), data_root=tmp_path / "data")
    assert (
        records(Path(derived.path))[0]["verdicts"]["phase"]["model"]
        != records(Path(first.path))[0]["verdicts"]["phase"]["model"]
    )
    assert verify(Path(derived.path)).identical


def test_a_run_with_a_key_that_is_trusted_elsewhere_is_verified_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = bundles.pair(tmp_path / "keys")
    signed = bundles.written(tmp_path / "signed", key=private, name="signed", params=PATTERN)
    keys = {"allow_unsigned": False}
    with pytest.raises(ModelError, match="not trusted"):
        setup(recipe(signed, **keys), frames=3)
    monkeypatch.setenv("INSITU_MODEL_KEYS", str(public))
    folder = Path(run(setup(recipe(signed, **keys), frames=3), data_root=tmp_path / "data").path)
    with StoredRun(folder) as stored:
        assert stored.open_body()["bundles"]["models.phase"]["signed_by"].startswith("sha256:")
    monkeypatch.delenv("INSITU_MODEL_KEYS")
    assert verify(folder).identical
    with pytest.raises(ModelError, match="not trusted"):  # its copy is no way around the signature
        setup(recipe(folder / "files" / "signed", **keys), frames=3)


def test_a_bundle_is_found_by_name_and_in_the_registry(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSITU_MODELS", str(tmp_path / "registry"))
    shutil.copytree(tiny, tmp_path / "pipelines" / "models" / "tiny")
    by_name = setup(recipe("tiny"), frames=3)
    assert by_name.bundles["models.phase"]["name"] == "tiny"
    assert describe(by_name)["bundles"]["models.phase"]["serial"] == 1
    with pytest.raises(ConfigError, match='Did you mean "tiny"'):
        setup(recipe("tinny"), frames=3)
    with pytest.raises(ConfigError, match="no model is named 'tiny'"):
        setup(recipe("registry:tiny"), frames=3)
    registry = Registry()
    registry.add(tiny, allow_unsigned=True)
    registry.activate("tiny", "1")
    found = setup(recipe("registry:tiny"), frames=3)
    assert found.bundles["features.onnx"]["role"] == "current"
    folder = Path(run(found, data_root=tmp_path / "data").path)
    shutil.rmtree(tmp_path / "registry", ignore_errors=True)
    assert verify(folder).identical


def test_a_refused_bundle_ends_check_and_run_with_exit_6_before_the_first_frame(tiny: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(tiny, spoilt)
    data = bytearray((spoilt / "model.onnx").read_bytes())
    data[-9] ^= 1
    (spoilt / "model.onnx").write_bytes(data)
    body = {"format": 1, "detectors": ["bench"], **recipe("spoilt")}
    (tmp_path / "net.toml").write_text(tomli_w.dumps(body))
    (tmp_path / "detectors").mkdir()
    (tmp_path / "detectors" / "bench.toml").write_text(tomli_w.dumps(detector(frames=3)))
    with pytest.raises(ModelError, match="not the bytes"):
        load(tmp_path / "net.toml", purpose="check", search=lambda name, near: tmp_path / "detectors" / f"{name}.toml")
    env = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", "from insitu.cli import main; main()", "run", "net.toml", "--json"],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert orjson.loads(done.stdout)["error"]["where"].endswith("spoilt/model.onnx")
    assert not (tmp_path / "insitu-data").exists()


class Fussy:
    """Takes 4 frames at once, and none that holds a 13th one among them."""

    batch = 4

    def __init__(self, *, name: str = "fussy") -> None:
        self.outputs = {name: Output(unit="")}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        if frame.seq == 13:
            raise RuntimeError("thirteen")
        return {"fussy": Feature(float(frame.data.sum()), "")}

    def many(self, frames: Sequence[Frame]) -> list[dict[str, Feature]]:
        assert 1 <= len(frames) <= 4
        return [self(frame, {}, ()) for frame in frames]


def test_frames_measured_together_give_the_same_bytes_as_one_by_one(tiny: Path, tmp_path: Path) -> None:
    other = bundles.written(tmp_path / "other", bundles.convolutions(seed=5), params=PATTERN, name="other")
    table = recipe(tiny)
    table["features"] += [
        {"use": "onnx", "bundle": str(other), "allow_unsigned": True},
        {"use": "tests.run.test_networks:Fussy"},
        {"use": "totals"},
    ]
    live = run(setup(table, frames=100, faults=["missing@10-12"]), data_root=tmp_path / "data")
    folder = Path(live.path)
    with StoredRun(folder) as stored:
        pipeline = load_stored(folder).pipeline()
        assert pipeline.batch("det") == 64
        items = [(frame, {}, ()) for frame in stored.frames()]
        together = pipeline.measure_many(items)
        single = [pipeline.measure(*item) for item in items]
    assert [canonical(record_body(pipeline.judge(m))) for m in together] == [
        canonical(record_body(pipeline.judge(m))) for m in single
    ]
    faults = [f for m in together for f in m.faults]
    assert faults == ["feature fussy: RuntimeError: thirteen"]
    assert verify(folder).identical
