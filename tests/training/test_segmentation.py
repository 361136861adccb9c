"""Segmentation: crops and masks go together, the exported U-Net is the trained one, the shipped one finds things."""

from pathlib import Path

import numpy as np
import pytest
from skimage import io

from insitu.inference.onnx import Onnx
from insitu.models.bundle import read_bundle
from insitu.training import unet
from insitu.training.latency import outputs
from insitu.training.pictures import Nuisance, Pictures, crops, spoilt
from insitu.training.segmentation import Held, Micrographs, framed, overlap_of, shift_of
from insitu.types import ArrayFeature, Feature

BUNDLE = Path(__file__).parents[2] / "pipelines" / "models" / "precipitates"
STILL = Nuisance(blur=0.0, gamma=0.0, gain=0.0, offset=0.0, shading=0.0, noise=0.0)


def test_a_crop_and_its_mask_are_moved_alike() -> None:
    torch = pytest.importorskip("torch")
    y, x = np.mgrid[:96, :96]
    mask = (((y - 40) ** 2 + (x - 50) ** 2) < 400).astype(np.uint8)
    of = Pictures([mask.astype(np.float32)], [mask])
    images, masks = crops(torch, of, np.random.default_rng(0), size=64, count=6, how=STILL)
    assert 0.0 < masks.float().mean() < 1.0
    assert ((images[:, 0].numpy() > 0.5) == (masks.numpy() == 1)).mean() > 0.98


def test_the_exported_network_is_the_trained_one() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    net = unet.parts(torch, 3, (4, 6, 8)).eval()
    x = np.random.default_rng(0).normal(size=(2, 1, 32, 32)).astype(np.float32)
    with torch.no_grad():
        theirs = unet.logits(torch, net, torch.from_numpy(x)).numpy()
    model = unet.exported(net, 32)
    (ours,) = outputs(model, x)
    assert np.abs(ours - theirs).max() <= unet.STEP / 2 + 1e-4
    (moved,) = outputs(unet.shifted(model, np.array([0.0, 1.5, 0.0])), x)
    assert (moved - ours == np.array([0.0, 1.5, 0.0]).reshape(1, 3, 1, 1)).all()


def test_a_spoilt_picture_shows_the_same_thing() -> None:
    picture = np.zeros((64, 64))
    picture[20:40, 20:40] = 1.0
    again = spoilt(picture, np.random.default_rng(0), Nuisance(shading=0.0))
    assert again[24:36, 24:36].mean() > again[45:, 45:].mean()


def test_the_shift_of_a_rare_class_comes_from_pictures_left_out() -> None:
    truth = np.zeros((8, 8), np.uint8)
    truth[:2] = 1
    logits = np.stack([np.zeros((8, 8)), np.where(truth == 1, -0.6, -1.6)])
    held = Held("a", logits, logits.argmax(axis=0).astype(np.uint8))
    of = Micrographs(("a",), (truth,), (truth,), (truth,), (truth,), "")
    assert overlap_of(held.labels, truth, 1) == 0.0
    assert shift_of(of, [held], 1) == 0.75


def test_the_shipped_network_was_right_on_pictures_left_out() -> None:
    manifest = read_bundle(BUNDLE).manifest
    metrics = {m.name: m for m in manifest.metrics}
    coarse = metrics["overlap coarse"]
    assert (coarse.data, coarse.n) == ("real", 5)
    assert coarse.value >= 0.85
    assert coarse.low is not None
    assert coarse.low >= 0.85
    assert "left out" in coarse.split


def test_it_finds_coarse_precipitates_under_other_light_and_gain(data: Path) -> None:
    """The pictures are those that it learnt from; what it knows of others stands in its manifest."""
    folder, extract = data / "video" / "superalloy_dev", Onnx(bundle=BUNDLE, name="s")
    picture, truth = io.imread(folder / "spot5_0d_0.png"), io.imread(folder / "spot5_0d_0_mask.png")
    dimmed = np.clip(0.6 * picture + np.linspace(0, 8, 512), 0, 255).astype(np.uint8)
    for image in (picture, dimmed):
        found = extract(framed(image), {}, ())
        map_, fraction = found["s_map"], found["s_coarse_fraction"]
        assert isinstance(map_, ArrayFeature)
        assert isinstance(fraction, Feature)
        assert overlap_of(map_.values, truth, 2) > 0.9
        assert fraction.value == pytest.approx((truth == 2).mean(), abs=0.05)
        assert found["s_outside"] == Feature(0.0, "")
