"""Whatever a frame holds, every XAFS extractor gives exactly its keys, and numbers or a reason."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from insitu.features.xafs_combination import Combination
from insitu.features.xafs_edge import EdgeFeatures
from insitu.features.xafs_exafs import Exafs
from insitu.features.xafs_foil import Foil
from insitu.features.xafs_quality import Quality
from insitu.features.xmcd import Xmcd
from insitu.prepare.absorption import Absorption
from insitu.types import ArrayFeature, Axis, Feature, Frame
from tests.maths.absorption.xafs_files import simulated
from tests.xafs import spectrum


@pytest.fixture(scope="module")
def extractors(tmp_path_factory: pytest.TempPathFactory) -> list[Callable]:
    folder = tmp_path_factory.mktemp("standards")
    for name, e0 in (("a", 7112.0), ("b", 7118.0)):
        rows = "\n".join(f"{e:.4f} {m:.6f}" for e, m in zip(*simulated(e0), strict=True))
        (folder / f"{name}.dat").write_text(rows)
    return [EdgeFeatures(arrays=True), Exafs(arrays=True), Quality(), Foil(), Combination(standards=folder), Xmcd()]


def strange(rng: np.random.Generator, seq: int) -> Frame:
    """A spectrum with something wrong: cut, noisy, repeated, negative, with holes, at an odd energy, of odd size."""
    e0, noise = rng.choice([300.0, 707.0, 2472.0, 7112.0, 88000.0]), rng.choice([1e-4, 0.3])
    energy, mu = simulated(float(e0), noise=float(noise), seed=seq)
    energy = np.maximum(energy, 1.0 + 0.01 * np.arange(energy.size))
    a, b = sorted(rng.integers(0, energy.size + 1, 2))
    energy, mu = energy[a:b], mu[a:b] * float(rng.choice([1.0, -1.0, 1e-12, 1e12, 0.0]))
    if energy.size and rng.random() < 0.3:
        mu[rng.integers(energy.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e300])
    if energy.size > 3 and rng.random() < 0.2:
        energy = np.sort(rng.choice(energy, energy.size))
    if energy.size and rng.random() < 0.1:
        energy = energy[::-1]
    if not energy.size:
        energy, mu = np.array([7000.0]), np.array([1.0])
    more: dict = {}
    if rng.random() < 0.2:
        more["mask"] = rng.random(energy.size) < rng.random()
    if rng.random() < 0.2:
        more["sigma"] = rng.uniform(0.0, 1.0, energy.size)
    if rng.random() < 0.3:
        more["labels"] = {
            "element": str(rng.choice(["Fe", "S", "Xx", ""])),
            "edge": str(rng.choice(["K", "L3", "Q", ""])),
        }
    return spectrum(np.ascontiguousarray(energy), np.ascontiguousarray(mu), seq=seq, **more)


def told_or_not(extractor, found) -> None:
    assert set(found) == set(extractor.outputs)
    for key, feature in found.items():
        if isinstance(feature, ArrayFeature):
            assert extractor.outputs[key].array
            continue
        assert isinstance(feature, Feature)
        assert feature.unit == extractor.outputs[key].unit
        if feature.value is None:
            assert feature.why
        else:
            assert math.isfinite(feature.value)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_strange_spectrum_makes_an_extractor_raise_or_invent(extractors: list[Callable]) -> None:
    rng = np.random.default_rng(11)
    last: list[Frame] = []
    for seq in range(400):
        frame = strange(rng, seq)
        for extractor in extractors:
            told_or_not(extractor, extractor(frame, {}, last[-2:]))
        last.append(frame)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_strange_scan_makes_absorption_do_anything_but_refuse(extractors: list[Callable]) -> None:
    rng = np.random.default_rng(5)
    energy = np.linspace(7000.0, 7500.0, 60)
    names = ["i0", "itrans", "irefer", "ifluor", "mca1", "mca2", "mu", "x", "col3", "time_s"]
    for seq in range(150):
        some = [str(n) for n in rng.choice(names, rng.integers(1, 6))]
        shape = (len(some), 60)
        data = rng.choice([rng.uniform(0, 1e6, shape), rng.normal(size=shape), np.zeros(shape)])
        labels = {"channels": " ".join(some if rng.random() < 0.8 else some[:-1])}
        frame = Frame(
            source="xas", data=np.asarray(data), dims=("channel", "energy"), unit=("",) * len(some), time_ns=0,
            seq=seq, n=seq, axes={"energy": Axis(energy, "eV")}, labels=labels,
        )  # fmt: skip
        told_or_not(extractors[3], extractors[3](frame, {}, ()))
        try:
            made = Absorption()(frame, {}).dims
        except ValueError as e:
            made = str(e)
        assert made == ("energy",) or (isinstance(made, str) and made)


def test_an_image_or_a_pattern_is_no_spectrum(extractors: list[Callable]) -> None:
    axes = {"two_theta": Axis(np.linspace(1.0, 9.0, 50), "deg")}
    pattern = Frame(
        source="det", data=np.ones(50), dims=("two_theta",), unit="counts", time_ns=0, seq=0, n=0, axes=axes
    )
    image = Frame(source="det", data=np.ones((4, 5)), dims=("y", "x"), unit="counts", time_ns=0, seq=1, n=1)
    for frame in (pattern, image):
        for extractor in extractors:
            found = extractor(frame, {}, (pattern, image))
            assert all(f.value is None and f.why for f in found.values())
