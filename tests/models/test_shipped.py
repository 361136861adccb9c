"""The shipped bundles: verified with the project's own key, small, and honest about what they were tried on."""

from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from insitu.models import preparing, signing
from insitu.models.bundle import read_bundle

FOLDER = Path(__file__).resolve().parents[2] / "pipelines" / "models"
BUNDLES = sorted(path.parent for path in FOLDER.glob("*/manifest.json"))
LARGEST = 3_000_000
"""Bytes of all of them."""


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda path: path.name)
def test_a_shipped_bundle_is_verified_with_the_projects_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.KEYS, raising=False)
    bundle = read_bundle(folder)
    told = bundle.manifest
    assert told.name == folder.name
    assert told.preparation.digest == preparing.digest(told.preparation.name, told.preparation.params)
    assert told.training.script.startswith("insitu.training.")
    assert told.metrics or told.decision.unobservable
    assert all(metric.n > 0 for metric in told.metrics)
    if {data.kind for data in told.training.data} == {"simulated"}:
        assert "simulat" in told.description or any(metric.data == "real" for metric in told.metrics)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bundle.files["mlbom.json"].decode()) is None


def test_they_are_small_and_the_private_key_is_not_among_them() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST
    assert not [path.name for path in files if b"PRIVATE KEY" in path.read_bytes()]
    assert (FOLDER / "insitu.pub").is_file()
