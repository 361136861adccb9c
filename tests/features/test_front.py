"""The front of the real melt pool, and frames without one."""

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.front import MovingFront
from insitu.maths.video.front import robust_line
from insitu.readers.movie import Movie
from insitu.types import Arrival
from tests.movies import framed


@pytest.fixture(scope="module")
def melt(request):
    data = request.getfixturevalue("data")
    found = Movie(str(data / "video" / "meltpool_lpbf_xray_dev.tif"))()
    return [framed(a, n) for n, a in enumerate(found) if isinstance(a, Arrival)]


@pytest.mark.parametrize("keys", [{}, {"gap": 10}, {"smoothing": 1.0}, {"along": "x"}, {"rows": (20, 60)}], ids=str)
def test_the_melt_front_moves_as_fast_as_measured_by_hand(melt, keys):
    extract = MovingFront(**keys)
    gap = extract.before
    seen = [extract(melt[k], {}, melt[k - gap : k])["front_x"] for k in range(gap, len(melt))]
    places = [(k, f.value) for k, f in enumerate(seen) if f.value is not None]
    t, x = np.array(places, float).T
    line = robust_line(t, x)
    assert line.speed == pytest.approx(-1.50, abs=0.1)  # px/frame, the data's README
    assert line.speed_sigma < 0.05
    assert len(places) > 0.85 * len(seen)


def test_a_still_scene_has_no_front_and_says_so(melt):
    still = [framed_with_noise(melt[0], seed) for seed in range(7)]
    found = MovingFront()(still[-1], {}, still[:-1])
    assert found["front_x"].value is None
    assert "nothing moved" in found["front_x"].why
    assert found["front_contrast"].value < 8


def framed_with_noise(frame, seed):
    import dataclasses

    noise = np.random.default_rng(seed).normal(0, 10, frame.data.shape)
    return dataclasses.replace(frame, data=np.clip(frame.data + noise, 0, 65535).astype(np.uint16))


def test_the_first_frames_and_a_part_outside_are_said(melt):
    assert "only 2 of the 6" in MovingFront()(melt[2], {}, melt[:2])["front_x"].why
    outside = MovingFront(rows=(500, 600))(melt[20], {}, melt[14:20])
    assert "outside" in outside["front_y"].why


@pytest.mark.parametrize("keys", [{"gap": 0}, {"smoothing": 0.0}, {"rows": (5, 5)}, {"name": "X"}], ids=str)
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        MovingFront(**keys)
