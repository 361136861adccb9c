"""8 bits, pruned: what is taken is as fast and as good as the table says, and small networks stay as they are."""

from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ModelError
from insitu.models import quantise as q
from insitu.models.bundle import Bundle, open_session, read_bundle
from insitu.models.prune import prune, pruned
from insitu.models.quality import decisions, score
from insitu.training.export import Net
from tests import bundles


def strided(points: int = 256, width: int = 32, outputs: int = 5) -> bytes:
    """A 1-D convolutional network of a size at which 8 bits can matter."""
    rng = np.random.default_rng(0)
    net = Net("input", (1, points))
    x, c = net.input, 1
    for w in (width, width, 2 * width):
        x = net.relu(net.conv(x, rng.normal(0, np.sqrt(2.0 / (7 * c)), (w, c, 7)), rng.normal(0, 0.02, w), stride=2))
        c = w
    x = net.flatten(net.node("GlobalAveragePool", x))
    return net.model({"logits": net.gemm(x, rng.normal(size=(outputs, c)), np.zeros(outputs))})


def made(folder: Path, model: bytes, shape: tuple[int, ...], labels: int, **keys) -> Bundle:
    names = tuple(f"l{k}" for k in range(labels))
    params = {**bundles.PATTERN, "points": shape[-1]}
    bundles.written(folder, model, shape=shape, labels=names, output=(labels,), params=params, **keys)
    return read_bundle(folder, allow_unsigned=True)


def inputs(shape: tuple[int, ...], n: int = 40) -> np.ndarray:
    return (np.random.default_rng(3).random((n, *shape)) ** 3).astype(np.float32)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made(tmp_path_factory.mktemp("big") / "big", strided(), (1, 256), 5, batch_exact=True)


def test_every_candidate_has_its_row_and_what_is_taken_pays(big: Bundle, tmp_path: Path) -> None:
    x = inputs((1, 256))
    outcome = q.quantise(big, x, q.Trial(inputs=x, origin="drawn"), most_loss=10.0, rounds=20)
    rows = {row["kind"]: row for row in outcome.table}
    assert list(rows) == ["fp32", "static-int8", "static-int8-inner", "dynamic-int8"]
    assert rows["fp32"] | {"gain": 1.0, "size": 1.0, "loss": 0.0, "score": 100.0} == rows["fp32"]
    assert rows["static-int8"]["size"] < 0.45
    assert rows["static-int8"]["score"] > 85.0
    for row in rows.values():
        assert row["gain"] == pytest.approx(rows["fp32"]["p50_ms"] / row["p50_ms"], rel=0.01)
        assert row["taken"] == (row["kind"] == outcome.taken.kind)
        if row["taken"] and row["kind"] != "fp32":
            assert row["gain"] >= 1.2
        elif row["kind"] != "fp32" and outcome.taken.kind == "fp32":
            assert row["why"]
    taken = next(c for c in outcome.candidates if c.kind == "static-int8")
    manifest = q.successor(big, taken, outcome)
    new = q.write(tmp_path / "new", big, manifest, taken.model, key=None)
    assert (new.manifest.serial, new.manifest.version, new.manifest.parent) == (2, "1.0.1", big.digest)
    assert new.manifest.quantisation.kind == "static-int8"
    assert [dict(row)["kind"] for row in new.manifest.quantisation.table] == list(rows)
    assert "QuantizeLinear" in new.manifest.operators
    assert read_bundle(tmp_path / "new", allow_unsigned=True).digest == new.digest
    with pytest.raises(ModelError, match="static-int8 already"):
        q.quantise(new, x, q.Trial(inputs=x))


def test_what_gains_too_little_or_loses_too_much_is_left(big: Bundle) -> None:
    x = inputs((1, 256))
    outcome = q.quantise(big, x, q.Trial(inputs=x), least_gain=1000.0, rounds=5)
    assert outcome.taken.kind == "fp32"
    assert all("times as fast, less than 1000" in c.row["why"] for c in outcome.candidates[1:])
    wrong = {"fp32": big.model, "static-int8": strided(outputs=5, width=4)}
    right = decisions(big.manifest, np.eye(5, dtype=np.float32)[np.arange(40) % 5], x)
    lossy = q.choose(big.manifest, wrong, q.Trial(inputs=x, right=right), most_loss=-200.0, least_gain=0.0, rounds=5)
    assert lossy.taken.kind == "fp32"
    assert "points lost, more than -200" in lossy.candidates[1].row["why"]
    assert lossy.candidates[0].row["right"] == "labels"


def test_a_small_network_stays_as_it_is_because_that_was_measured(tmp_path: Path) -> None:
    bundle = made(tmp_path / "small", bundles.convolutions(outputs=3), (1, 64), 3)
    x = inputs((1, 64))
    outcome = q.quantise(bundle, x, q.Trial(inputs=x), rounds=40)
    assert outcome.taken.kind == "fp32"
    new = q.write(tmp_path / "new", bundle, q.successor(bundle, outcome.taken, outcome), bundle.model, key=None)
    assert new.manifest.quantisation.kind == "fp32"
    assert len(new.manifest.quantisation.table) == len(outcome.candidates)
    assert new.model == bundle.model


def test_too_few_inputs_to_calibrate_with_are_refused(big: Bundle) -> None:
    with pytest.raises(ModelError, match="7 calibration inputs"):
        q.quantise(big, inputs((1, 256), 7), q.Trial(inputs=inputs((1, 256), 7)))


@pytest.mark.parametrize(
    ("task", "found", "right", "points"),
    [
        ("classification", [0, 1, 1, 2], [0, 1, 2, 2], 75.0),
        ("anomaly", [True, False], [True, True], 50.0),
        ("segmentation", [[[0, 0], [1, 1]]], [[[0, 1], [1, 1]]], 100.0 * (0.5 + 2.0 / 3.0) / 2.0),
        ("regression", [[1.0], [3.0]], [[1.0], [3.0]], 100.0),
        ("regression", [[9.0], [-9.0]], [[1.0], [3.0]], 0.0),
    ],
)
def test_scores_are_points_of_a_hundred(big: Bundle, task: str, found: list, right: list, points: float) -> None:
    from dataclasses import replace

    manifest = replace(big.manifest, task=task)  # type: ignore[arg-type]
    assert score(manifest, np.array(found), np.array(right)) == pytest.approx(points)


def redundant(points: int = 128, width: int = 16, spare: int = 16) -> bytes:
    """A network with `spare` channels a layer that give nearly nothing."""
    rng = np.random.default_rng(0)
    net = Net("input", (1, points))
    x, c = net.input, 1
    for stride in (2, 2):
        w = rng.normal(0, np.sqrt(2.0 / (5 * c)), (width + spare, c, 5))
        w[rng.permutation(width + spare)[:spare]] *= 1e-4
        x, c = net.relu(net.conv(x, w, np.full(width + spare, 0.3), stride=stride)), width + spare
    x = net.flatten(net.pool(x, 4, dims=1, mean=True))
    n = c * (points // 16)
    return net.model({"logits": net.gemm(x, rng.normal(0, 1.0 / np.sqrt(n), (4, n)), np.zeros(4))})


def test_channels_that_give_nothing_are_taken_away_without_loss(tmp_path: Path) -> None:
    model, x = redundant(), inputs((1, 128), 48)
    smaller = pruned(model, x, 0.5)
    assert len(smaller) < 0.5 * len(model)
    session, before = open_session(smaller), open_session(model)
    fresh = np.random.default_rng(9).random((20, 1, 128)).astype(np.float32) ** 3
    ours, theirs = (np.asarray(s.run(None, {"input": fresh})[0]) for s in (session, before))
    assert ours == pytest.approx(theirs, abs=0.02 * float(np.std(theirs)) + 0.02)
    bundle = made(tmp_path / "wide", model, (1, 128), 4)
    outcome = prune(bundle, x, q.Trial(inputs=fresh), share=0.5, least_gain=0.0, most_loss=5.0, rounds=5)
    assert outcome.taken.kind == "pruned-0.5"
    new = q.write(tmp_path / "new", bundle, q.successor(bundle, outcome.taken, outcome), smaller, key=None)
    assert new.manifest.quantisation.kind == "fp32"
    assert [row["kind"] for row in new.manifest.quantisation.table] == ["fp32", "pruned-0.5"]


def test_pruning_follows_skips_and_leaves_what_it_cannot_follow() -> None:
    model = bundles.unet(32, 2, base=16)
    x = np.random.default_rng(0).normal(size=(12, 1, 32, 32)).astype(np.float32)
    smaller = pruned(model, x, 0.5)
    assert len(smaller) < 0.5 * len(model)
    found = np.asarray(open_session(smaller).run(None, {"input": x[:2]})[0])
    assert found.shape == (2, 2, 32, 32)
    assert np.isfinite(found).all()
    with pytest.raises(ModelError, match="no layer can be pruned"):
        pruned(bundles.dense(8), np.zeros((16, 8), np.float32), 0.5)


def test_taking_much_away_is_refused_by_the_gate(big: Bundle) -> None:
    x = inputs((1, 256))
    outcome = prune(big, x, q.Trial(inputs=x), share=0.9, least_gain=0.0, most_loss=-1.0, rounds=5)
    assert outcome.taken.kind == "fp32"
    with pytest.raises(ModelError, match="a share of 2"):
        prune(big, x, q.Trial(inputs=x), share=2.0)


def test_a_form_that_onnxruntime_does_not_load_is_left_out_and_told() -> None:
    sessions, left_out = q._loaded({"fp32": bundles.convolutions(), "dynamic-int8": bundles.convolutions()[:-20]})
    assert list(sessions) == ["fp32"]
    assert "onnxruntime" in left_out["dynamic-int8"]
    with pytest.raises(ModelError):
        q._loaded({"fp32": b"no network"})
