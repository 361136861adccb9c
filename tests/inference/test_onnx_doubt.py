"""Inputs that are far from all that a network learnt from are said, and values that it is not sure of are not told."""

from pathlib import Path

import numpy as np
import pytest

from insitu.inference.onnx import Onnx
from insitu.inference.onnx_verdict import Network
from insitu.models.bundle import read_bundle
from insitu.models.manifest import Judgement, Ranges
from insitu.training import judged
from insitu.types import Feature, Frame, Measurement, Verdict
from tests import bundles


def said(judge: Network, **features: Feature) -> Verdict:
    verdict = judge(Measurement(source="s", seq=0, n=0, time_ns=0, features=features))
    assert verdict is not None
    return verdict


def test_one_feature_far_outside_makes_a_measurement_unknown_and_is_named(tmp_path: Path) -> None:
    """A dead channel, or another unit, is one number of many: its share of the input says nothing."""
    keys = [f"c{i}" for i in range(20)]
    folder = bundles.written(
        tmp_path / "state", bundles.dense(20, 2), name="state", labels=("good", "bad"), shape=(20,), output=(2,),
        preparation="features", params={"keys": keys, "log": ["c3"], "positive": ["c4"]}, modality="line",
        ranges=Ranges(low=(-1.0,) * 20, high=(1.0,) * 20, share=0.2), decision=Judgement(),
    )  # fmt: skip
    judge = Network(bundle=folder, allow_unsigned=True)
    usual = {key: Feature(0.5, "") for key in keys}
    assert said(judge, **usual).label == "normal"
    assert said(judge, **usual | {"c7": Feature(1.9, "")}).label == "normal"
    far = said(judge, **usual | {"c7": Feature(-2.5, "")})
    assert (far.label, far.reason) == ("unknown", "c7 is -2.5, far outside of -1 to 1, on which state was trained")
    log = said(judge, **usual | {"c3": Feature(1e4, "")})
    assert "c3 is 1e+04, far outside of 0.3679 to 2.718" in log.reason
    stuck = said(judge, **usual | {"c4": Feature(0.0, "")})
    assert (stuck.label, stuck.reason) == ("unknown", "c4 is 0, the network knows it above 0 only")


def test_a_value_is_told_with_its_uncertainty_and_not_at_all_where_that_is_too_large(tmp_path: Path) -> None:
    folder = bundles.written(
        tmp_path / "one", bundles.convolutions(outputs=1), name="one", task="regression", labels=("valence",),
        output=(1,), decision=Judgement(threshold=0.6),
    )  # fmt: skip
    judge = Network(bundle=folder, allow_unsigned=True)
    sure = said(judge, one_valence=Feature(2.5, "", sigma=0.26))
    assert (sure.label, sure.reason) == ("normal", "one: valence 2.5 \N{PLUS-MINUS SIGN} 0.26")
    assert sure.scores == {"valence": 2.5}
    unsure = said(judge, one_valence=Feature(0.88, "", sigma=0.95))
    assert unsure.label == "unknown"
    assert "0.88 \N{PLUS-MINUS SIGN} 0.95, too uncertain to be told (at most 0.6)" in unsure.reason
    assert said(judge, one_valence=Feature(2.5, "")).label == "normal"


@pytest.mark.parametrize(("least", "label"), [(0.99999, "unknown"), (0.01, "normal")])
def test_a_picture_of_which_the_network_is_not_sure_is_unknown(tmp_path: Path, least: float, label: str) -> None:
    folder = bundles.written(
        tmp_path / "seg", bundles.unet(32, 3), name="seg", task="segmentation", labels=("a", "b", "c"),
        shape=(1, 32, 32), output=(3, 32, 32), preparation="image", params={"overlap": 8},
        ranges=Ranges(low=-9.0, high=9.0), decision=Judgement(abstain_below=least),
    )  # fmt: skip
    data = np.random.default_rng(0).normal(100.0, 20.0, (40, 40))
    picture = Frame(source="cam", data=data, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0)
    found = {k: f for k, f in Onnx(bundle=folder, allow_unsigned=True)(picture, {}, ()).items() if k != "seg_map"}
    certainty = found["seg_certainty"]
    assert isinstance(certainty, Feature)
    assert certainty.value is not None
    assert 1.0 / 3.0 < certainty.value < 1.0
    features = {k: f for k, f in found.items() if isinstance(f, Feature)}
    verdict = said(Network(bundle=folder, allow_unsigned=True), **features)
    assert verdict.label == label
    assert ("unclear" in verdict.reason) == (label == "unknown")


def test_a_bundle_is_judged_anew_with_the_same_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = bundles.pair(tmp_path)
    monkeypatch.setenv("INSITU_MODEL_KEYS", str(public.parent))
    before = Path(__file__).parents[2] / "pipelines" / "models" / "gearbox_state"
    given = ["--bundle", str(before), "--out", str(tmp_path / "new"), "--key", str(private), "--version", "9.0.0"]
    made = judged.main([*given, "--serial", "90", "--abstain-below", "0.8"])
    old = read_bundle(before)
    assert made.model == old.model
    assert (made.manifest.decision.abstain_below, made.manifest.parent) == (0.8, old.digest)
    assert made.manifest.decision.temperature == old.manifest.decision.temperature
    assert made.manifest.metrics == old.manifest.metrics
