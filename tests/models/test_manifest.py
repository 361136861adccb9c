"""The manifest: one content has one text, and whatever is wrong is named by its key."""

import json
from typing import Any

import pytest

from insitu.errors import ModelError
from insitu.models import parsing
from insitu.models.manifest import LARGEST, Manifest
from tests import networks


def test_reading_what_was_written_gives_the_same_manifest_and_the_same_bytes() -> None:
    manifest = networks.manifest(
        decision={"temperature": 1.5, "threshold": [0.5, 0.6, 0.7]}, ranges={"low": -1, "high": 2}
    )
    data = manifest.to_json()
    assert Manifest.from_json(data) == manifest
    assert Manifest.from_json(data).to_json() == data
    assert list(json.loads(data)) == sorted(json.loads(data))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"name": "Tiny"}, "name"),
        ({"name": "../x"}, "name"),
        ({"version": "one"}, "version"),
        ({"serial": 0}, "serial"),
        ({"serial": 1.5}, "serial"),
        ({"serial": True}, "serial"),
        ({"serial": 2**60}, "serial"),
        ({"created": "2026-13-01"}, "created"),
        ({"expires": "20261122"}, "expires"),
        ({"expires": "2020-01-01"}, "expires"),
        ({"task": "guessing"}, "task"),
        ({"labels": []}, "labels"),
        ({"labels": ["CeO2", "ceo2"]}, "labels"),
        ({"labels": ["a\nb"]}, "labels[0]"),
        ({"labels": "CeO2"}, "labels"),
        ({"unit": "glorp"}, "unit"),
        ({"description": "\x1b[2Jall is well"}, "description"),
        (
            {"preparation": {"name": "pattern", "params": {"a": ["\n"]}, "digest": "sha256:" + "0" * 64}},
            "preparation.params.a[0]",
        ),
        ({"inputs": {"name": "x", "shape": [1, None], "dtype": "float32", "unit": ""}}, "inputs.shape"),
        ({"inputs": {"name": "x", "shape": [None, 2**40], "dtype": "float32", "unit": ""}}, "inputs.shape"),
        ({"inputs": {"name": "x", "shape": [None, 3], "dtype": "object", "unit": ""}}, "inputs.dtype"),
        ({"inputs": {"name": "x", "dtype": "float32", "unit": ""}}, "inputs.shape"),
        ({"outputs": []}, "outputs"),
        ({"preparation": {"name": "pattern", "params": {}, "digest": "md5:0"}}, "preparation.digest"),
        ({"preparation": {"name": "pattern", "params": [], "digest": "sha256:" + "0" * 64}}, "preparation.params"),
        ({"decision": {"temperature": 0}}, "decision.temperature"),
        ({"decision": {"abstain_below": 1.5}}, "decision.abstain_below"),
        ({"ranges": {"low": [0, 1], "high": [1]}}, "ranges.low"),
        ({"ranges": {"low": 2, "high": 1}}, "ranges.low"),
        ({"parent": "sha256:short"}, "parent"),
        ({"format": 2}, "format"),
        ({"seriel": 1}, "seriel"),
        ({"files": {"model.onnx": "sha256:x"}}, "files.model.onnx"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(ModelError) as found:
        networks.manifest(**changes)
    assert found.value.where == f"manifest.json: {where}"
    assert found.value.exit_code == 6
    assert found.value.expected or found.value.remedy


def test_an_unknown_key_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelError, match="serial"):
        networks.manifest(seriel=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"serial": 7', b'"serial": 7,\n  "serial": 7'),
        lambda data: data.replace(b'"serial": 7', b'"serial": 7.0'),
        lambda data: data.replace(b'"serial": 7', b'"serial":  7'),
        lambda data: data.replace(b'"serial": 7', b'"serial": 1' + b"0" * 400),
        lambda data: data.replace(b'"serial": 7', b'"serial": 1e999'),
        lambda data: data.replace(b'"serial": 7', b'"serial": NaN'),
        lambda data: data.replace(b'"params": {', b'"params": ' + b"[" * 100_000 + b"{"),
        lambda data: data.replace(b'"params": {', b'"params": {"a": ' + b"[" * 20 + b"1" + b"]" * 20 + b","),
        lambda data: data.replace(b"drawn sample", b"drawn sample\xff"),
        lambda data: data.replace(b"drawn sample", b"drawn\\u0020sample"),
        lambda data: data + b" ",
        lambda data: data[:-1],
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: b"null\n",
        lambda data: b"[]\n",
        lambda data: b"",
        lambda data: b" " * (LARGEST + 1),
    ],
)
def test_a_text_that_is_not_canonical_is_refused(change: Any) -> None:
    data = networks.manifest().to_json()
    assert change(data) != data
    with pytest.raises(ModelError):
        Manifest.from_json(change(data))


def test_a_manifest_of_an_older_insitu_that_lacks_an_optional_key_is_read() -> None:
    body = networks.manifest().to_dict()
    del body["tolerance"]
    assert Manifest.from_json(parsing.dumps(body)) == networks.manifest()


def test_labels_become_keys() -> None:
    assert networks.manifest(labels=["CeO2", "CuCr2O4 (spinel)", "none"]).keys == ("ceo2", "cucr2o4_spinel", "none")


def test_free_values_keep_their_kind() -> None:
    params = {"a": 1, "b": 1.0, "c": [True, None, {"d": "text"}]}
    told = {"name": "pattern", "params": params, "digest": "sha256:" + "0" * 64}
    found = Manifest.from_json(networks.manifest(preparation=told).to_json()).preparation.params
    assert parsing.dumps(found) == parsing.dumps(params)
