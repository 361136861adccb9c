"""The bill of materials: valid CycloneDX, the same for the same manifest, with licence, digests and training data."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from insitu.errors import MissingExtraError
from insitu.models import mlbom
from tests import networks

FILES = {"model.onnx": "sha256:" + "a" * 64}


def test_it_is_valid_and_names_network_licence_and_data() -> None:
    data = mlbom.make(networks.manifest(parent="sha256:" + "b" * 64), FILES)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    body = json.loads(data)
    network = body["metadata"]["component"]
    assert (network["type"], network["name"], network["version"]) == ("machine-learning-model", "tiny", "1.0.0")
    assert network["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert network["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    told = {p["name"]: p["value"] for p in network["properties"]}
    assert told["insitu:metric:accuracy:simulated:"] == "0.9 (n = 10)"
    assert told["insitu:parent"] == "sha256:" + "b" * 64
    (trained_on,) = body["components"]
    assert (trained_on["type"], trained_on["name"], trained_on["hashes"][0]["content"]) == ("data", "drawn", "1" * 64)


def test_the_same_manifest_gives_the_same_bytes() -> None:
    assert mlbom.make(networks.manifest(), FILES) == mlbom.make(networks.manifest(), FILES)


def test_a_missing_package_is_answered_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cyclonedx.model.bom", None)
    with pytest.raises(MissingExtraError, match=r"insitu\[models\]"):
        mlbom.make(networks.manifest(), FILES)
