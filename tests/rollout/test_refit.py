"""Labels and re-fits: a drifted instrument is learnt from a hundred labels, and nothing is unlearned."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ModelError, UsageError
from insitu.models.bundle import Bundle, call, read_bundle, session, write_bundle
from insitu.models.head import cut, graft, with_trunk
from insitu.models.registry import Registry
from insitu.rollout.labelled import Seen
from insitu.rollout.refit import refit, targets_of
from insitu.rollout.updating import with_update, write_update
from insitu.training.export import Net
from tests.bundles import convolutions, dense, described, pair, unet

LABELS = ("one", "two", "three", "four")


def drawn(rng: np.random.Generator, n: int, shift: float = 0.0, gain: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Peaks at one of four places `(n, 1, 64)` and which; an instrument with another zero (points) and gain."""
    y = rng.integers(0, 4, n)
    x = np.arange(64.0)
    centre = 10.0 + 14.0 * y[:, None] + shift + rng.normal(0.0, 0.7, (n, 1))
    peaks = gain * np.exp(-0.5 * ((x - centre) / 3.0) ** 2) + rng.normal(0.0, 0.05, (n, 64))
    return peaks[:, None].astype(np.float32), y


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Random convolutions with a last layer that was fitted to the undrifted instrument."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    net = Net("input", (1, 64))
    x = net.relu(net.conv(net.input, rng.normal(0, 0.5, (8, 1, 7)), np.zeros(8)))
    x = net.relu(net.conv(x, rng.normal(0, 0.3, (16, 8, 5)), np.zeros(16), stride=2))
    x = net.flatten(net.pool(x, 4, dims=1))
    model = net.model({"logits": net.gemm(x, np.zeros((4, 128)), np.zeros(4))})
    inputs, y = drawn(rng, 600)
    made = described(name="phases", labels=LABELS, output=(4,))
    layer = LogisticRegression(C=0.1, max_iter=500).fit(trunk(model, inputs), y)
    model = graft(model, layer.coef_, layer.intercept_)
    folder = tmp_path_factory.mktemp("refit") / "phases"
    from insitu.models.bundle import open_session

    golden = inputs[:16]
    outputs = np.asarray(open_session(model).run(None, {"input": golden})[0])
    return write_bundle(
        folder, made, model=model, golden=(golden, outputs), calibration=inputs[16:216], licence="BSD", key=None
    )


def trunk(model: bytes, inputs: np.ndarray) -> np.ndarray:
    from insitu.models.bundle import open_session

    return np.asarray(open_session(with_trunk(model)).run([cut(model).trunk], {"input": inputs})[0])


def cases(inputs: np.ndarray, y: np.ndarray, source: str = "day 2 det") -> list[Seen]:
    return [
        Seen(f"insitu:run/det/{i}", LABELS[k], x, f"run/{i // 10}", source, True)
        for i, (x, k) in enumerate(zip(inputs, y, strict=True))
    ]


def right(model: bytes, bundle: Bundle, inputs: np.ndarray, y: np.ndarray) -> float:
    from insitu.models.bundle import open_session

    (logits,) = call(open_session(model), inputs, bundle.manifest)
    return float(np.mean(logits.argmax(axis=1) == y))


def test_a_hundred_labels_teach_a_drifted_instrument_and_nothing_is_unlearned(bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    drift = {"shift": 8.0, "gain": 0.5}
    new = refit(bundle, cases(*drawn(rng, 100, **drift)), serial=2)
    there, here = drawn(rng, 2000, **drift), drawn(rng, 2000)
    assert right(bundle.model, bundle, *there) < 0.9
    assert right(new.model, bundle, *there) >= 0.93
    assert right(new.model, bundle, *here) >= right(bundle.model, bundle, *here) - 0.01
    m = new.manifest
    assert (m.serial, m.version, m.parent) == (2, "1.0.1", bundle.digest)
    assert [g.source for g in new.gates] == ["day 2 det", "its own"]
    assert any(x.name == "re-fit: right, day 2 det" and x.n == 100 for x in m.metrics)


def test_wrong_labels_are_not_accepted_and_the_figures_are_told(bundle: Bundle) -> None:
    rng = np.random.default_rng(2)
    inputs, y = drawn(rng, 60)
    with pytest.raises(ModelError, match=r"not accepted: .* before, .* after"):
        refit(bundle, cases(inputs, rng.permutation(y)), serial=2)


def test_labels_that_are_all_right_already_leave_nothing_to_fit(bundle: Bundle) -> None:
    inputs, _ = drawn(np.random.default_rng(4), 40)
    (logits,) = call(session(bundle), inputs, bundle.manifest)
    with pytest.raises(ModelError, match="phases has all labelled frames right already"):
        refit(bundle, cases(inputs, logits.argmax(axis=1)), serial=2)


def test_a_label_that_the_network_never_learnt_is_refused(bundle: Bundle) -> None:
    inputs, y = drawn(np.random.default_rng(3), 20)
    wrong = [case._replace(label="five") for case in cases(inputs, y)]
    with pytest.raises(UsageError, match="knows no 'five'"):
        refit(bundle, wrong, serial=2)
    with pytest.raises(UsageError, match="too few"):
        refit(bundle, cases(inputs, y)[:5], serial=2)


def test_several_labels_at_once_stand_with_a_plus() -> None:
    m = described(task="multilabel")
    found = targets_of(m, ["CeO2 + CuO", "none", "ceo2"], several=True)
    assert found.tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]], "none is a label of its own here"
    with pytest.raises(UsageError):
        targets_of(m, ["CeO2 + CuO"], several=False)


@pytest.mark.parametrize("model", [convolutions(), dense(3, 2)])
def test_a_head_is_cut_and_grafted_without_a_trace(model: bytes) -> None:
    head = cut(model)
    again = graft(model, head.weight, head.bias)
    assert cut(again).weight.tobytes() == head.weight.tobytes()
    assert graft(again, head.weight, head.bias) == again
    shape = (3, 1, 64) if head.weight.shape[1] == 64 else (3, 3)
    inputs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    from insitu.models.bundle import open_session

    features, logits = (
        np.asarray(x, np.float64)
        for x in open_session(with_trunk(model)).run([head.trunk, "logits"], {"input": inputs})
    )
    assert np.allclose(features @ head.weight.T + head.bias, logits, atol=1e-5)


def test_a_network_without_a_dense_end_is_refused() -> None:
    with pytest.raises(ModelError, match="its last layer is Conv"):
        cut(unet())


def test_an_update_is_small_and_gives_the_bundle_byte_for_byte(bundle: Bundle, tmp_path: Path) -> None:
    private, public = pair(tmp_path / "keys")
    first = write_bundle(
        tmp_path / "first", replace(bundle.manifest, files={}, operators=()), model=bundle.model,
        golden=bundle.golden(), calibration=bundle.calibration(), licence="BSD", key=private,
    )  # fmt: skip
    found = refit(first, cases(*drawn(np.random.default_rng(1), 100, shift=8.0)), serial=2)
    new = write_bundle(
        tmp_path / "new", found.manifest, model=found.model, golden=found.golden, calibration=found.calibration,
        licence="BSD", key=private,
    )  # fmt: skip
    nbytes = write_update(first, new, tmp_path / "update")
    assert nbytes < sum(map(len, new.files.values())) / 3, "a tiny network: most of it is the manifest"
    registry = Registry(tmp_path / "models", keys=[public])
    registry.add(tmp_path / "first")
    added = with_update(tmp_path / "update", registry.bundle, registry.add)
    assert added.digest == new.digest
    assert dict(added.files) == dict(new.files)
    head = tmp_path / "update" / "head.npz"
    head.write_bytes(head.read_bytes()[:-1])
    with pytest.raises(ModelError):
        with_update(tmp_path / "update", registry.bundle, registry.add)


def test_an_update_without_its_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    found = refit(bundle, cases(*drawn(np.random.default_rng(1), 60, shift=8.0)), serial=2)
    new = write_bundle(
        tmp_path / "new", found.manifest, model=found.model, golden=found.golden, licence="BSD", key=None
    )
    write_update(bundle, new, tmp_path / "update")
    with pytest.raises(ModelError, match="is not in this registry"):
        with_update(tmp_path / "update", Registry(tmp_path / "models").bundle, read_bundle)
    with pytest.raises(ModelError, match=f"{tmp_path / 'update'}: not signed"):
        with_update(tmp_path / "update", lambda digest: bundle, read_bundle)
    head = tmp_path / "update" / "head.npz"
    head.write_bytes(b"no npz")
    with pytest.raises(ModelError, match=f"{head}: this is no npz"):
        with_update(tmp_path / "update", lambda digest: bundle, read_bundle)
    head.unlink()
    head.mkdir()
    with pytest.raises(ModelError, match="this is no plain file"):
        with_update(tmp_path / "update", lambda digest: bundle, read_bundle)


def test_torch_is_not_needed() -> None:
    code = "import sys, insitu.rollout.refit, sklearn.linear_model, onnx; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_session_of_the_bundle_is_untouched(bundle: Bundle) -> None:
    golden, expected = bundle.golden()
    (found,) = call(session(bundle), golden, bundle.manifest)
    assert np.allclose(found, expected, atol=1e-4)
