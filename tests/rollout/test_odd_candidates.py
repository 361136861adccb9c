"""Candidates that do not fit, fail or are blind: no run is kept from beginning, none is promoted, no frame is lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from insitu.config import load
from insitu.errors import ConfigError, UsageError
from insitu.models.manifest import Judgement, Ranges
from insitu.models.registry import Registry
from insitu.replay.verify import verify
from insitu.rollout.criteria import Criteria
from insitu.rollout.evidence import Evidence
from insitu.rollout.steps import after_run, review
from insitu.run import run
from insitu.store.runs import StoredRun
from tests import bundles

RECIPE: dict[str, Any] = {
    "format": 1,
    "title": "odd candidates",
    "detectors": ["bench"],
    "features": [{"use": "totals"}, {"use": "onnx", "bundle": "registry:tiny"}],
    "models": [{"use": "network", "bundle": "registry:tiny", "name": "state", "normal": ["CeO2"]}],
    "budget": {"latency": "20 s"},
}
BENCH = {
    "format": 1,
    "source": "det",
    "shape": [512],
    "dtype": "uint32",
    "calibration": {"wavelength": "1.5406 angstrom"},
    "reader": {"use": "simulated.diffractometer", "frames": 12, "seed": 3},
}
FEATURES = {"shape": (2,), "preparation": "features", "params": {"keys": ["total", "noise"]}}
ODD = {
    "of features": (bundles.dense(2, 3), FEATURES, "works on features, not on frames"),
    "other labels": (None, {"labels": ("Fe", "Co", "Ni")}, "the network does not know CeO2"),
}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Serial 1 is in force, and says `unknown` to all frames."""
    private, public = bundles.pair(tmp_path / "keys")
    monkeypatch.setenv("INSITU_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("INSITU_MODEL_KEYS", str(public))
    found = Registry()
    found.add(bundles.written(tmp_path / "b1", key=private, ranges=Ranges()))
    found.activate("tiny", "1")
    return found


def added(registry: Registry, folder: Path, model: bytes | None, **keys: Any) -> None:
    key = folder / "keys" / "models.key"
    registry.add(
        bundles.written(folder / "b2", model, key=key, serial=2, version="2.0.0", **{"ranges": Ranges()} | keys)
    )


@pytest.mark.parametrize("role", ["shadow", "canary"])
@pytest.mark.parametrize("name", ODD)
def test_a_candidate_that_does_not_fit_the_recipe_is_left_out_and_told(
    tmp_path: Path, registry: Registry, role: str, name: str
) -> None:
    model, keys, why = ODD[name]
    added(registry, tmp_path, model, **keys)
    registry.shadow("tiny", "2") if role == "shadow" else registry.canary("tiny", "2", share=1.0)

    setup = load(RECIPE, detectors={"bench": BENCH})

    assert any(f"the {role} of tiny does not fit this recipe" in told and why in told for told in setup.remarks)
    assert {b["serial"] for b in setup.bundles.values()} == {1}
    assert {b["role"] for b in setup.bundles.values()} == {"current"}
    assert registry.entries()[-1].body["left_out"] == role


def test_a_recipe_that_is_wrong_itself_is_told_without_a_word_about_the_shadow(
    registry: Registry, tmp_path: Path
) -> None:
    added(registry, tmp_path, *ODD["other labels"][:1], **ODD["other labels"][1])
    registry.shadow("tiny", "2")
    before = len(registry.entries())

    with pytest.raises(ConfigError) as refused:
        load({**RECIPE, "budget": {"latency": "20 m"}}, detectors={"bench": BENCH})

    assert "latency" in str(refused.value)
    assert "CeO2" not in str(refused.value)
    assert len(registry.entries()) == before


def failing() -> bytes:
    """A network that onnxruntime ends with an error where an input is near 0, as those of real frames are."""
    nodes = [
        helper.make_node("ReduceMin", ["input"], ["least"], keepdims=0),
        helper.make_node("Greater", ["least", "level"], ["far"]),
        helper.make_node("Cast", ["far"], ["number"], to=TensorProto.INT64),
        helper.make_node("Sub", ["number", "one"], ["below"]),
        helper.make_node("Mul", ["below", "hundred"], ["place"]),
        helper.make_node("Gather", ["table", "place"], ["value"]),
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("Add", ["flat", "value"], ["moved"]),
        helper.make_node("MatMul", ["moved", "weight"], ["logits"]),
    ]
    held = {
        "level": np.float32(1e-4), "one": np.array(1), "hundred": np.array(100), "table": np.zeros(3, np.float32),
        "weight": np.random.default_rng(0).normal(0, 0.3, (64, 3)).astype(np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 1, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in held.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_a_canary_that_fails_on_every_frame_is_rolled_back_though_the_current_one_says_unknown_too(
    tmp_path: Path, registry: Registry
) -> None:
    golden = np.random.default_rng(1).uniform(0.2, 1.0, (4, 1, 64)).astype(np.float32)
    added(registry, tmp_path, failing(), golden=golden)
    registry.canary("tiny", "2", share=1.0)

    folder = Path(run(load(RECIPE, detectors={"bench": BENCH}), data_root=tmp_path / "data").path)

    found = review(registry, "tiny", tmp_path / "data", Criteria(frames=10))
    assert found.evidence.unsure_current == found.evidence.blind == 12
    (told,) = after_run(registry, folder, Criteria())
    assert "it has no numbers for 12 of 12 frames" in told
    assert registry.standing("tiny").canary is None
    with StoredRun(folder) as stored:
        assert stored.counts()["frames"]["stored"] == 12
    assert verify(folder).identical


def test_some_frames_without_numbers_are_allowed() -> None:
    assert Criteria().against(Evidence(runs=1, due=2000, both=2000, agreed=2000, blind=100)) == []
    assert Criteria().against(Evidence(runs=1, due=2000, both=2000, agreed=2000, blind=101))


@pytest.mark.parametrize("name", ["agreement", "errors", "unknown", "labelled"])
def test_a_limit_that_is_no_number_lets_nothing_pass(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is nan"):
        Criteria(**{name: float("nan")})


def test_a_label_is_right_as_people_write_it_and_as_features_do(tmp_path: Path, registry: Registry) -> None:
    names = ("broken tooth", "worn tooth", "healthy")
    bundles_of = {"labels": names, "decision": Judgement(), "name": "gear"}
    for serial in (1, 2):
        key = tmp_path / "keys" / "models.key"
        registry.add(
            bundles.written(
                tmp_path / f"g{serial}", key=key, serial=serial, version=f"{serial}.0.0", ranges=Ranges(), **bundles_of
            )
        )
    registry.activate("gear", "1")
    registry.shadow("gear", "2")
    recipe = {
        **RECIPE, "features": [{"use": "onnx", "bundle": "registry:gear"}],
        "models": [{"use": "network", "bundle": "registry:gear", "name": "state"}],
    }  # fmt: skip
    folder = Path(run(load(recipe, detectors={"bench": BENCH}), data_root=tmp_path / "data").path)
    with StoredRun(folder) as stored:
        records = {f"insitu:{stored.uid}/det/{r['seq']}": r["verdicts"]["state"]["scores"] for r in stored.records()}
    best = {a: max((k for k in s if k != "outside"), key=s.__getitem__) for a, s in records.items()}
    written = [dict(best), {a: key.replace("_", " ") for a, key in best.items()}]
    written.append({a: f"{key.replace('_', ' ')} + something" for a, key in best.items()})

    for labels in written:
        seen = review(registry, "gear", tmp_path / "data", Criteria(frames=10), labels).evidence
        assert (seen.labelled, seen.right_current, seen.right_candidate) == (12, 12, 12)
    wrong = dict.fromkeys(best, "something else")
    assert review(registry, "gear", tmp_path / "data", Criteria(frames=10), wrong).evidence.right_current == 0
    found = review(registry, "gear", tmp_path / "data", Criteria(frames=10), {"insitu:other/det/1": "healthy"})
    assert found.against[0] == "none of the 1 labelled frames is of a run in which both looked on"


def test_a_canary_that_is_too_slow_for_the_budget_is_rolled_back_and_no_frame_is_lost(
    tmp_path: Path, registry: Registry
) -> None:
    """It computes 0.7 billion multiplications for a frame, and the budget is 5 ms."""
    points = 4096
    slow = bundles.convolutions(points=points, width=256)
    added(registry, tmp_path, slow, shape=(1, points), params={**bundles.PATTERN, "points": points})
    registry.canary("tiny", "2", share=1.0)

    folder = Path(
        run(load({**RECIPE, "budget": {"latency": "5 ms"}}, detectors={"bench": BENCH}), data_root=tmp_path).path
    )
    (told,) = after_run(registry, folder, Criteria())

    assert "rolled back" in told
    assert "the budget is 5 ms" in told
    assert registry.standing("tiny").canary is None
    with StoredRun(folder) as stored:
        assert stored.counts()["frames"]["stored"] == 12
    assert verify(folder).identical
