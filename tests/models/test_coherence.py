"""What a bundle says of itself fits together, or it is refused before a frame is seen."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from insitu.errors import MissingExtraError, ModelError
from insitu.models import coherence
from insitu.models.manifest import Judgement, Preparation, Ranges, Tensor
from insitu.models.preparing import digest
from tests import bundles, networks


def features(*keys: str) -> dict[str, Any]:
    return {"preparation": "features", "params": {"keys": list(keys)}}


ODD: list[tuple[str, Mapping[str, Any]]] = [
    ("outputs[0].shape: [None, 2] for 3 labels", {"output": (2,)}),
    ("outputs[0].shape: [None, 1] for 2 labels", {"output": (1,), "labels": ("good", "bad")}),
    ("outputs[0].dtype: int64", {"outputs": (Tensor(name="label", shape=(None,), dtype="int64"),)}),
    ("outputs[0].shape: [1, 3]", {"outputs": (Tensor(name="logits", shape=(1, 3)),)}),
    ("outputs[0].shape: [None, 3]; expected one number", {"task": "anomaly", "labels": ()}),
    (
        "outputs[1].shape: [None, 1] for 3 labels",
        {
            "task": "regression",
            "outputs": (Tensor(name="y", shape=(None, 3)), Tensor(name="sigma", shape=(None, 1))),
        },
    ),
    ("inputs.shape: [None, 1, 64] for a segmentation", {"task": "segmentation"}),
    (
        "expected [None, 3, 16, 16]: a plane for each label",
        {"task": "segmentation", "shape": (1, 16, 16), "output": (2, 16, 16)},
    ),
    ("inputs.dtype: float64", {"inputs": Tensor(name="input", shape=(None, 1, 64), dtype="float64")}),
    ("inputs.shape: [4, 1, 64]", {"inputs": Tensor(name="input", shape=(4, 1, 64))}),
    ("inputs.shape: [None, 3], and 2 keys to fill it", {"shape": (3,), **features("a", "b")}),
    ("inputs.shape: [None, 2], and no keys to fill it", {"shape": (2,), "preparation": "features", "params": {}}),
    ("decision.threshold: 2 levels", {"task": "multilabel", "decision": Judgement(threshold=(0.5, 0.5))}),
    ("ranges.low: 2 numbers; expected one, or 1", {"ranges": Ranges(low=(0.0, 0.0), high=(1.0, 1.0))}),
    ("labels: the label 'Outside'", {"labels": ("CeO2", "CuO", "Outside")}),
    ("labels: the label 'margin'", {"labels": ("CeO2", "CuO", "margin")}),
]


@pytest.mark.parametrize(("said", "odd"), ODD, ids=[said for said, _ in ODD])
def test_a_manifest_whose_parts_do_not_fit_each_other_is_refused_with_the_key(
    said: str, odd: Mapping[str, Any]
) -> None:
    coherence.check(bundles.described())

    with pytest.raises(ModelError) as refused:
        coherence.check(bundles.described(**odd))

    assert said in str(refused.value)
    assert "manifest.json: " in str(refused.value)


def test_a_bundle_for_another_version_of_its_preparation_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks.write(tmp_path / "tiny", None)
    monkeypatch.setattr("insitu.models.preparing.VERSIONS", {"pattern": 2})

    with pytest.raises(ModelError, match=r"preparation.digest: the network was trained with another 'pattern'"):
        bundles.bundle.read_bundle(tmp_path / "tiny", allow_unsigned=True)


def test_parameters_that_were_changed_behind_the_digest_are_refused() -> None:
    told = Preparation(name="pattern", params={"points": 64, "low": 2.0}, digest=digest("pattern", {"points": 64}))

    with pytest.raises(ModelError, match="or with other parameters"):
        coherence.check(replace(bundles.described(), preparation=told))


@pytest.mark.parametrize(("task", "last"), [("classification", "Softmax"), ("multilabel", "Sigmoid")])
def test_a_network_that_makes_scores_of_its_logits_itself_is_refused(tmp_path: Path, task: str, last: str) -> None:
    found = networks.classifier()
    found.graph.node[-1].output[0] = "logits"
    found.graph.node.append(helper.make_node(last, ["logits"], ["scores"]))
    found.graph.node.append(helper.make_node("Identity", ["scores"], ["y"]))

    with pytest.raises(ModelError, match=f"ends in {last}, so it gives scores") as refused:
        networks.write(tmp_path / "tiny", None, found, task=task)

    assert "without its last" in str(refused.value)
    assert not (tmp_path / "tiny").exists()


def test_without_onnxruntime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingExtraError, match=r"insitu\[models\]"):
        bundles.bundle.open_session(b"")
