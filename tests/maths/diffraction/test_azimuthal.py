import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.maths.diffraction.azimuthal import Cut, Integrator, Range, counting_range
from insitu.maths.diffraction.pixels import Pixels

NONE = np.zeros(0)


def pixels(rng: np.random.Generator, shape: tuple[int, int]) -> Pixels:
    """A geometry that no detector has: any angle anywhere."""
    size = shape[0] * shape[1]
    return Pixels(
        angle=rng.uniform(0.0002, 0.6, size),
        half_width=rng.uniform(1e-4, 5e-3, size),
        chi=rng.uniform(-np.pi, np.pi, size),
        weight=rng.uniform(0.3, 1.5, size).astype(np.float32),
        ignore=rng.random(size) < 0.1,
        scale=180.0 / np.pi,
    )


def cells_of(of: Pixels, cut: Cut) -> tuple[np.ndarray, np.ndarray]:
    """Bin of each pixel by plain division, and which ones count."""
    use = ~of.ignore
    low, high = of.angle[use].min(), of.angle[use].max() * (1.0 + np.finfo(np.float32).eps)
    bins = ((of.angle - low) / ((high - low) / cut.bins)).astype(int)
    part = np.floor(np.mod(of.chi, 2 * np.pi) / (2 * np.pi / cut.sectors)).astype(int)
    return np.clip(part, 0, cut.sectors - 1) * cut.bins + np.clip(bins, 0, cut.bins - 1), use


def plain(of: Pixels, cut: Cut, data: np.ndarray, counts: np.ndarray, dark: np.ndarray, variance: np.ndarray):
    """Signal, norm and variance by numpy's own histogram."""
    cells, use = cells_of(of, cut)
    on, total = use & counts, cut.bins * cut.sectors
    cells, d = cells[on], np.zeros(data.size) if not dark.size else dark
    signal = np.bincount(cells, weights=data[on].astype(float), minlength=total)
    norm = np.bincount(cells, weights=of.weight[on].astype(float), minlength=total)
    dark_sum = np.bincount(cells, weights=d[on], minlength=total)
    spread = np.bincount(cells, weights=variance[on], minlength=total)
    return signal, norm, dark_sum, spread, np.bincount(cells, minlength=total)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    ny=st.integers(4, 60),
    nx=st.integers(4, 60),
    bins=st.integers(8, 300),
    sectors=st.sampled_from([1, 1, 12]),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64"]),
    with_dark=st.booleans(),
)
def test_sums_without_splitting_are_those_of_a_plain_histogram(seed, ny, nx, bins, sectors, dtype, with_dark) -> None:
    rng = np.random.default_rng(seed)
    of, cut = pixels(rng, (ny, nx)), Cut(bins=bins, split="no", sectors=sectors)
    kind = np.dtype(dtype)
    data = rng.poisson(2.0, ny * nx).astype(kind)  # zeros among them: their variance is 1
    if kind.kind == "f":
        data[rng.random(data.size) < 0.1] = np.nan
    elif kind.kind == "i":
        data[rng.random(data.size) < 0.1] = -2
    data[rng.random(data.size) < 0.05] = np.iinfo(kind).max if kind.kind in "iu" else np.inf
    dark = rng.uniform(0.0, 3.0, data.size) if with_dark else NONE
    counts = counting_range(kind, 0.0, 1000.0)
    if kind == np.uint8:
        counts = counting_range(kind, 0.0, None)
    good = (data >= counts.low) & (data < counts.high)
    if not (good & ~of.ignore).any():
        return
    signal, norm, dark_sum, spread, number = plain(of, cut, data, good, dark, np.maximum(data.astype(float), 1.0))
    found = Integrator(of, cut, dark)(data.reshape(ny, nx), counts)
    some = number > 0
    assert (found.empty == ~some).all()
    if dark.size:
        np.testing.assert_allclose(found.signal[some], (signal - dark_sum)[some], rtol=1e-9, atol=1e-9)
    else:
        assert (found.signal == signal).all()  # exact: sums of integers, whatever the order
    np.testing.assert_allclose(found.norm[some], norm[some], rtol=1e-9)
    assert found.sigma is not None
    np.testing.assert_allclose(found.sigma[some], np.sqrt(spread)[some] / norm[some], rtol=1e-9)
    np.testing.assert_allclose(found.intensity[some], ((signal - dark_sum) / np.where(some, norm, 1))[some], rtol=1e-9)
    assert (found.intensity[~some] == 0.0).all()


def boxes(of: Pixels, cut: Cut, data: np.ndarray, good: np.ndarray, low: float, step: float):
    """Bounding boxes, one bin at a time, in float64."""
    begin, end = (of.angle - of.half_width - low) / step, (of.angle + of.half_width - low) / step
    on = good & ~of.ignore
    out = []
    for k in range(cut.bins):
        from_here = -1e9 if k == 0 and abs(low) < 1e-12 else k  # below angle 0 there is only bin 0
        share = np.clip(np.minimum(end, k + 1) - np.maximum(begin, from_here), 0.0, None) / (end - begin)
        share = np.where(on, share, 0.0)
        value = np.where(on, data, 0.0)
        out.append((share @ value, share @ of.weight, (share**2) @ np.maximum(value, 1.0)))
    return np.array(out).T


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    ny=st.integers(4, 40),
    nx=st.integers(4, 40),
    bins=st.integers(8, 400),
    part=st.booleans(),
    dtype=st.sampled_from(["uint16", "int32", "float32"]),
)
def test_bounding_boxes_share_a_pixel_out_over_all_bins_it_reaches_into(seed, ny, nx, bins, part, dtype) -> None:
    rng = np.random.default_rng(seed)
    of = pixels(rng, (ny, nx))
    radial = (6.0, 25.0) if part else None
    cut = Cut(bins=bins, split="bbox", radial=radial)
    data = rng.poisson(50.0, ny * nx).astype(dtype)
    good = rng.random(data.size) > 0.1
    if not (good & ~of.ignore & (of.angle > 0.12) & (of.angle < 0.42)).any():
        return
    integrator = Integrator(of, cut, NONE)
    axis = np.radians(integrator.axis)
    step = (axis[-1] - axis[0]) / (bins - 1)
    signal, norm, spread = boxes(of, cut, data, good, axis[0] - 0.5 * step, step)
    found = integrator(data.reshape(ny, nx), Range(0, 60000), skip=~good.reshape(ny, nx))
    some = norm > 1e-4
    np.testing.assert_allclose(found.norm[some], norm[some], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.signal[some], signal[some], rtol=1e-4, atol=1e-4)
    assert found.sigma is not None
    np.testing.assert_allclose(found.sigma[some], (np.sqrt(spread) / np.where(some, norm, 1))[some], rtol=1e-3)


@pytest.mark.parametrize("split", ["no", "bbox"])
def test_the_same_image_gives_the_same_bytes(split) -> None:
    rng = np.random.default_rng(0)
    of = pixels(rng, (50, 70))
    data = rng.poisson(9.0, (50, 70)).astype(np.float32)
    data[3, 4] = np.nan
    one, two = (Integrator(of, Cut(bins=90, split=split), NONE)(data, Range(0.0, 1e9)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert a is not None
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("split", ["no", "bbox"])
def test_a_bin_whose_pixels_are_all_left_out_is_empty_and_the_others_keep_their_mean(split) -> None:
    rng = np.random.default_rng(1)
    of = pixels(rng, (60, 60))._replace(weight=np.ones(3600, np.float32), ignore=np.zeros(3600, bool))
    data = np.full((60, 60), 7, dtype=np.int32)
    cold = (of.angle > 0.3) & (of.angle < 0.4)
    data.reshape(-1)[cold] = -1
    found = Integrator(of, Cut(bins=50, split=split), NONE)(data, Range(0, 1000))
    assert 3 < np.count_nonzero(found.empty) < 15
    np.testing.assert_allclose(found.intensity[~found.empty], 7.0, rtol=1e-6)
    assert found.sigma is not None
    assert (found.sigma[found.empty] == 0.0).all()


@pytest.mark.parametrize("split", ["no", "bbox"])
def test_an_image_without_any_pixel_that_counts_is_refused(split) -> None:
    of = pixels(np.random.default_rng(2), (20, 20))
    integrator = Integrator(of, Cut(bins=20, split=split), NONE)
    with pytest.raises(ValueError, match="no pixel of the image counts"):
        integrator(np.full((20, 20), np.nan), Range(0.0, 1e9))
    with pytest.raises(ValueError, match="no pixel is left"):
        Integrator(of._replace(ignore=np.ones(400, bool)), Cut(bins=20, split=split), NONE)


def test_a_known_variance_is_used_instead_of_counting_statistics() -> None:
    rng = np.random.default_rng(3)
    of = pixels(rng, (30, 30))
    data, variance = rng.normal(100.0, 3.0, (30, 30)), np.full((30, 30), 9.0)
    cut = Cut(bins=30, split="no")
    found = Integrator(of, cut, NONE)(data, Range(-1e9, 1e9), variance=variance)
    _, norm, _, spread, _ = plain(of, cut, data.ravel(), np.ones(900, bool), NONE, np.full(900, 9.0))
    assert found.sigma is not None
    np.testing.assert_allclose(found.sigma, np.sqrt(spread) / norm, rtol=1e-9)
    assert Integrator(of, cut, NONE)(data, Range(-1e9, 1e9), poisson=False).sigma is None


@pytest.mark.parametrize(
    ("dtype", "low", "saturation", "wanted"),
    [
        ("uint32", 0.0, None, (0, 2**32 - 2)),  # an Eiger marks gaps and broken pixels with the two largest numbers
        ("uint8", 0.0, None, (0, 255)),
        ("int32", None, None, (-(2**31), 2**31 - 1)),
        ("int32", 0.5, 1000.2, (1, 1001)),
        ("uint64", None, None, (0, 2**63 - 2)),
        ("float32", 0.0, None, (0.0, float("inf"))),
    ],
)
def test_what_counts_follows_the_type_of_the_image(dtype, low, saturation, wanted) -> None:
    assert tuple(counting_range(np.dtype(dtype), low, saturation)) == wanted


def test_an_image_of_truth_values_is_refused() -> None:
    with pytest.raises(ValueError, match="bool"):
        counting_range(np.dtype(bool), 0.0, None)
