"""Networks as extractors and their verdicts: what is said is what the bundle's network gives, or why it cannot."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError, ModelError
from insitu.inference import onnx_loading
from insitu.inference.onnx import Onnx
from insitu.inference.onnx_loading import load
from insitu.inference.onnx_scores import sigmoid, softmax
from insitu.inference.onnx_verdict import Network
from insitu.models.bundle import open_session
from insitu.models.manifest import Judgement, Metric, Ranges, Tensor
from insitu.models.preparing_pattern import pattern
from insitu.types import ArrayFeature, Feature, Frame, Measurement
from tests import bundles, patterns

X = np.arange(10.0, 60.0, 0.05)


def frame(seed: int = 0, **more) -> Frame:
    rng = np.random.default_rng(seed)
    y = rng.poisson(100.0 + 900.0 * np.exp(-0.5 * ((X - rng.uniform(20.0, 50.0)) / 0.3) ** 2))
    return replace(patterns.frame(X, y.astype(np.float64), wavelength=1.0), **more)


def measured(features: Mapping[str, Feature | ArrayFeature]) -> Measurement:
    numbers = {k: f for k, f in features.items() if isinstance(f, Feature)}
    return Measurement(source="det", seq=0, n=0, time_ns=0, features=numbers)


def number(features: Mapping[str, Feature | ArrayFeature], key: str) -> float:
    f = features[key]
    assert isinstance(f, Feature)
    assert f.value is not None, f.why
    return float(f.value)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.written(tmp_path_factory.mktemp("bundles") / "tiny", batch_exact=True)


def test_scores_are_those_of_the_network_divided_by_its_temperature(tiny: Path) -> None:
    see = Onnx(bundle=tiny, allow_unsigned=True)
    assert list(see.outputs) == ["tiny_ceo2", "tiny_cuo", "tiny_none", "tiny_margin", "tiny_outside"]
    found = see(frame(), {}, ())
    assert found.keys() == see.outputs.keys()
    x = pattern(frame(), **bundles.PATTERN).input
    assert x is not None
    logits = np.asarray(open_session(bundles.convolutions()).run(None, {"input": x[None]})[0])[0]
    expected = softmax(logits, 1.5)
    assert [number(found, f"tiny_{k}") for k in ("ceo2", "cuo", "none")] == pytest.approx(expected, abs=1e-12)
    assert number(found, "tiny_margin") == pytest.approx(np.sort(expected)[-1] - np.sort(expected)[-2], abs=1e-12)
    assert number(found, "tiny_outside") == 0.0
    assert found.keys() == Onnx(bundle=tiny, allow_unsigned=True)(frame(1), {}, ()).keys()
    assert next(iter(Onnx(bundle=tiny, name="net", allow_unsigned=True).outputs)) == "net_ceo2"


def test_an_unsigned_bundle_is_refused_unless_allowed(tiny: Path) -> None:
    with pytest.raises(ModelError, match="not signed"):
        Onnx(bundle=tiny)
    with pytest.raises(ModelError, match="not signed"):
        Network(bundle=tiny)


def test_the_very_bytes_count_each_time(tiny: Path, tmp_path: Path) -> None:
    """A bundle that was verified a moment ago is refused once a byte of it has changed."""
    folder = bundles.written(tmp_path / "tiny")
    assert load(folder, allow_unsigned=True) is load(folder, allow_unsigned=True)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx"):
        load(folder, allow_unsigned=True)


def test_a_signed_bundle_is_taken_with_its_key_and_as_the_copy_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = bundles.pair(tmp_path / "keys")
    folder = bundles.written(tmp_path / "signed", key=private, name="signed")
    with pytest.raises(ModelError, match="not trusted"):
        Onnx(bundle=folder)
    assert Onnx(bundle=folder, stored=True).bundle.digest
    monkeypatch.setenv("INSITU_MODEL_KEYS", str(public.parent))
    assert Onnx(bundle=folder).bundle.signed_by.startswith("sha256:")


def test_an_expired_bundle_is_refused_but_not_the_copy_of_a_run(tmp_path: Path) -> None:
    folder = bundles.written(tmp_path / "old", name="old", created="2020-01-01", expires="2021-01-01")
    with pytest.raises(ModelError, match="expired on 2021-01-01"):
        Onnx(bundle=folder, allow_unsigned=True)
    assert Onnx(bundle=folder, stored=True).bundle.manifest.name == "old"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"context": {}}, "the wavelength is not known"),
        ({"data": np.full(X.size, np.nan)}, "only 0 points can be used"),
        ({"data": np.zeros((3, 3)), "dims": ("y", "x"), "axes": {}}, "2-dimensional frames"),
        ({"data": np.full(X.size, 5.0)}, "the same everywhere"),
    ],
)
def test_frames_that_cannot_be_prepared_say_why(tiny: Path, change: dict, says: str) -> None:
    see, judge = Onnx(bundle=tiny, allow_unsigned=True), Network(bundle=tiny, allow_unsigned=True)
    found = see(frame(**change), {}, ())
    assert found.keys() == see.outputs.keys()
    for f in found.values():
        assert isinstance(f, Feature)
        assert f.value is None
        assert says in (f.why or "")
    verdict = judge(measured(found))
    assert verdict is not None
    assert verdict.label == "unknown"
    assert says in verdict.reason


def test_inputs_outside_of_the_training_range_are_said(tmp_path: Path) -> None:
    folder = bundles.written(tmp_path / "narrow", name="narrow", ranges=Ranges(low=0.0, high=0.5, share=0.01))
    found = Onnx(bundle=folder, allow_unsigned=True)(frame(), {}, ())
    outside = number(found, "narrow_outside")
    x = pattern(frame(), **bundles.PATTERN).input
    assert x is not None
    assert outside == np.count_nonzero(x > 0.5) / 64
    verdict = Network(bundle=folder, allow_unsigned=True)(measured(found))
    assert verdict is not None
    assert verdict.label == "unknown"
    assert f"{100 * outside:.1f} % of the input lies outside" in verdict.reason
    assert verdict.model.startswith("sha256:")
    nobody = bundles.written(tmp_path / "nobody", name="nobody", ranges=Ranges())
    f = Onnx(bundle=nobody, allow_unsigned=True)(frame(), {}, ())["nobody_outside"]
    assert isinstance(f, Feature)
    assert f.why == "the manifest does not say what the network was trained on"


def test_verdicts_name_the_best_or_abstain(tiny: Path) -> None:
    judge = Network(bundle=tiny, allow_unsigned=True, normal=["CeO2"])

    def verdict(ceo2: float, cuo: float, outside: float = 0.0):
        scores = {"ceo2": ceo2, "cuo": cuo, "none": 1.0 - ceo2 - cuo, "margin": 0.1, "outside": outside}
        found = judge(measured({f"tiny_{k}": Feature(v, "") for k, v in scores.items()}))
        assert found is not None
        return found

    assert verdict(0.9, 0.1).label == "normal"
    assert verdict(0.9, 0.1).scores == pytest.approx({"ceo2": 0.9, "cuo": 0.1, "none": 0.0, "outside": 0.0})
    assert verdict(0.1, 0.8).label == "anomaly"
    assert verdict(0.1, 0.8).reason == "CuO (score 0.80)"
    assert verdict(0.35, 0.35).label == "unknown"
    assert "says nothing below 0.40" in verdict(0.35, 0.35).reason
    assert verdict(0.9, 0.1, outside=0.5).label == "unknown"
    assert judge(Measurement(source="other", seq=0, n=0, time_ns=0)) is None
    with pytest.raises(ConfigError, match="does not know Ni"):
        Network(bundle=tiny, allow_unsigned=True, normal=["Ni"])
    with pytest.raises(ConfigError, match="no feature is named 'tiny_ceo2'"):
        Network(bundle=tiny, allow_unsigned=True, units={"peak": "deg"})


def test_several_labels_may_be_there(tmp_path: Path) -> None:
    folder = bundles.written(
        tmp_path / "several", name="several", task="multilabel", decision=Judgement(threshold=(0.5, 0.7, 0.5))
    )
    see = Onnx(bundle=folder, allow_unsigned=True)
    found = see(frame(), {}, ())
    x = pattern(frame(), **bundles.PATTERN).input
    assert x is not None
    logits = np.asarray(open_session(bundles.convolutions()).run(None, {"input": x[None]})[0])[0]
    assert [number(found, f"several_{k}") for k in ("ceo2", "cuo", "none")] == pytest.approx(sigmoid(logits, 1.0))
    judge = Network(bundle=folder, allow_unsigned=True, normal=["ceo2", "none"])

    def label(*scores: float) -> str:
        keys = ("ceo2", "cuo", "none")
        verdict = judge(measured({f"several_{k}": Feature(v, "") for k, v in zip(keys, scores, strict=True)}))
        assert verdict is not None
        return verdict.label

    assert label(0.9, 0.6, 0.1) == "normal"
    assert label(0.9, 0.8, 0.1) == "anomaly"
    assert label(0.4, 0.6, 0.1) == "unknown"


def test_a_regression_has_a_unit_and_an_uncertainty(tmp_path: Path) -> None:
    keys = {"task": "regression", "labels": ("valence",), "output": (1,), "unit": "eV"}
    model = bundles.convolutions(outputs=1)
    metrics = (
        Metric(name="rmse", value=0.3, n=50, data="simulated"),
        Metric(name="rmse", value=0.4, n=20, data="real"),
    )
    folder = bundles.written(tmp_path / "one", model, name="one", metrics=metrics, **keys)
    f = Onnx(bundle=folder, allow_unsigned=True)(frame(), {}, ())["one_valence"]
    assert isinstance(f, Feature)
    assert (f.unit, f.sigma) == ("eV", 0.4)
    verdict = Network(bundle=folder, allow_unsigned=True)(measured({"one_valence": Feature(2.5, "eV")}))
    assert verdict is not None
    assert (verdict.label, verdict.reason) == ("normal", "one: valence 2.5 eV")


def test_an_anomaly_score_is_held_against_its_threshold(tmp_path: Path) -> None:
    """On the features of a measurement: the network runs in the model."""
    folder = bundles.written(
        tmp_path / "odd", bundles.dense(2), name="odd", task="anomaly", labels=(), shape=(2,), output=(1,),
        preparation="features", params={"keys": ["a", "context.temperature"], "log": ["a"]},
        ranges=Ranges(low=(-1.0, 200.0), high=(3.0, 400.0)), decision=Judgement(threshold=0.5, false_alarms=0.01),
    )  # fmt: skip
    judge = Network(bundle=folder, allow_unsigned=True)
    session = open_session(bundles.dense(2))

    def verdict(a: float, kelvin: float = 300.0):
        m = replace(measured({"a": Feature(a, "V")}), context={"temperature": Feature(kelvin, "K")})
        found = judge(m)
        assert found is not None
        return found

    labels = set()
    for a in np.geomspace(0.4, 20.0, 12):
        x = np.array([[np.log(a), 300.0]], np.float32)
        score = float(np.asarray(session.run(None, {"input": x})[0])[0, 0])
        found = verdict(float(a))
        assert found.score == pytest.approx(score, rel=1e-6)
        assert found.label == ("anomaly" if score > 0.5 else "normal")
        labels.add(found.label)
    assert "50.0 % of the input lies outside" in verdict(1.0, 900.0).reason
    assert verdict(-1.0).label == "unknown"
    assert judge(measured({"b": Feature(1.0, "")})) is None
    with pytest.raises(ConfigError, match='use = "network"'):
        Onnx(bundle=folder, allow_unsigned=True)
    with pytest.raises(ConfigError, match="no feature is named 'a'"):
        Network(bundle=folder, allow_unsigned=True, units={"temperature": "K"})


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_large_image_is_segmented_through_tiles(tmp_path: Path, outputs: int) -> None:
    labels = ("precipitate",) if outputs == 1 else ("matrix", "precipitate", "crack")
    folder = bundles.written(
        tmp_path / "seg", bundles.unet(32, outputs), name="seg", task="segmentation", labels=labels,
        shape=(1, 32, 32), output=(outputs, 32, 32), preparation="image", params={"overlap": 8},
        ranges=Ranges(low=-3.0, high=4.0, share=0.5), decision=Judgement(),
    )  # fmt: skip
    data = np.random.default_rng(0).normal(100.0, 20.0, (90, 70))
    mask = np.zeros(data.shape, bool)
    mask[:10] = True
    picture = Frame(
        source="cam", data=data, dims=("y", "x"), unit="counts", time_ns=0, seq=0, n=0, mask=mask
    )  # fmt: skip
    see = Onnx(bundle=folder, allow_unsigned=True)
    found = see(picture, {}, ())
    assert found.keys() == see.outputs.keys()
    labelled = found["seg_map"]
    assert isinstance(labelled, ArrayFeature)
    assert labelled.values.shape == (90, 70)
    assert labelled.values.dtype == np.uint8
    wanted = 1 if outputs == 1 else labels.index("precipitate")
    assert number(found, "seg_precipitate_fraction") == pytest.approx(np.mean(labelled.values[10:] == wanted))
    assert see.batch == 1
    verdict = Network(bundle=folder, allow_unsigned=True)(measured(found))
    assert verdict is not None
    assert verdict.label == "normal"


def test_several_frames_at_once_give_the_same_bits(tiny: Path) -> None:
    see = Onnx(bundle=tiny, allow_unsigned=True)
    assert see.batch > 1
    frames = [frame(k) for k in range(9)]
    frames[4] = replace(frames[4], context={})
    single = [see(f, {}, ()) for f in frames]
    assert see.many(frames) == single
    assert see.many(frames[4:5]) == single[4:5]
    assert see.many(frames[:1]) == single[:1]


def test_a_network_of_another_shape_or_type_is_told(tmp_path: Path) -> None:
    folder = bundles.written(tmp_path / "long", name="long", params={**bundles.PATTERN, "points": 128})
    f = Onnx(bundle=folder, allow_unsigned=True)(frame(), {}, ())["long_ceo2"]
    assert isinstance(f, Feature)
    assert f.why == "the prepared frame has the shape [1, 128], the network takes [1, 64]"
    assert Tensor(name="input", shape=(None, 1))
    with pytest.raises(ConfigError, match="cannot begin a key"):
        Onnx(bundle=folder, name="1x", allow_unsigned=True)


def test_a_processor_that_does_not_keep_to_the_bits_scores_one_by_one(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = onnx_loading.Loaded.run

    def other(loaded: onnx_loading.Loaded, batch: np.ndarray) -> list[np.ndarray]:
        return [y * np.float32(1.0 + 1e-6 * (len(batch) > 8)) for y in own(loaded, batch)]

    monkeypatch.setattr(onnx_loading, "_KEPT", {})
    monkeypatch.setattr(onnx_loading.Loaded, "run", other)
    assert Onnx(bundle=tiny, allow_unsigned=True).batch == 1
