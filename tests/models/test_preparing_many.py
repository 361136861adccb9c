"""Several frames prepared at once: the bits of one after another, whatever lies between them."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from insitu.models.preparing import Prepared, preparation, preparations
from insitu.types import Axis, Feature, Frame
from tests import patterns

X = np.linspace(10.0, 80.0, 1200)
AXES = {"two_theta": Axis(X, "deg")}


def told(found: Prepared) -> tuple[Any, ...]:
    x = found.input
    return (found.why,) if x is None else (x.dtype.str, x.shape, x.tobytes())


def odd_frames() -> list[Frame]:
    """Good ones over one axis and over others, in several types; masked, flat, negative, damaged and too short ones."""
    rng = np.random.default_rng(5)
    frames = []
    for i in range(21):
        level, height, place = rng.uniform(1.0, 300.0), rng.uniform(100.0, 3000.0), rng.uniform(15.0, 70.0)
        y = rng.poisson(level + height * np.exp(-0.5 * ((X - place) / 0.4) ** 2))
        frames.append(
            replace(patterns.frame(X, y.astype(("u4", "f8", "f4", "u2")[i % 4]), wavelength=1.5406), axes=AXES)
        )
    hurt = np.asarray(frames[1].data).copy()
    hurt[100:130] = np.nan
    far = np.asarray(frames[1].data).copy()
    far[7:9] = 1.7e308
    masked = np.zeros(X.size, bool)
    masked[40:60] = True
    long = patterns.frame(np.linspace(10.0, 80.0, 1500), np.arange(1500.0), wavelength=1.5406)
    changed: dict[int, Frame] = {
        2: replace(frames[2], data=np.full(X.size, 7.0)),
        4: replace(frames[4], data=np.zeros(X.size, "u4")),
        5: replace(frames[5], data=hurt),
        7: replace(frames[7], mask=masked),
        8: replace(frames[8], data=far),
        9: replace(frames[9], context={}),
        11: replace(frames[11], data=np.asarray(frames[11].data, np.float64) - 200.0),
        12: replace(frames[12], data=np.asarray(frames[12].data, np.float64) * 1e60),
        13: long,
        14: replace(frames[14], context={"wavelength": Feature(1.2, "angstrom")}),
        16: replace(frames[16], sigma=np.where(X > 70.0, np.inf, 1.0)),
        17: replace(frames[17], axes={"two_theta": Axis(X[::-1], "deg")}),
        18: replace(frames[18], axes={"two_theta": Axis(X.copy(), "deg")}),
        20: replace(frames[20], axes={"two_theta": Axis(X + 0.3, "deg")}),
    }
    return [changed.get(i, f) for i, f in enumerate(frames)]


GRIDS = {"q": (0.8, 4.6), "d": (1.4, 4.0), "two_theta": (12.0, 75.0)}
NORMALISED = {"max": False, "robust": True, "area": False, "none": True}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("scale", ["linear", "sqrt", "log"])
def test_many_patterns_are_the_bits_of_one_after_another(grid: str, scale: str) -> None:
    frames = odd_frames()
    low, high = GRIDS[grid]
    for (points, background), (normalise, cover) in product(((64, 0), (301, 9)), NORMALISED.items()):
        params = {"grid": grid, "low": low, "high": high, "points": points, "scale": scale, "background": background}
        params |= {"normalise": normalise, "cover": cover, "coverage": 0.5}
        one, many = preparation("pattern", params), preparations("pattern", params)
        single = [told(one(f)) for f in frames]
        assert [told(p) for p in many(frames)] == single
        assert [told(p) for p in many(frames[3:7])] == single[3:7]
        assert sum(len(s) == 3 for s in single) >= 14
        assert len({s[0] for s in single if len(s) == 1}) >= 3


def test_no_frames_and_only_bad_ones_are_no_trouble() -> None:
    many = preparations("pattern", {"points": 64})
    assert many([]) == []
    bad = replace(odd_frames()[0], context={})
    assert [p.input for p in many([bad, bad])] == [None, None]
    flat = replace(odd_frames()[0], data=np.zeros(X.size))
    assert [p.why for p in many([flat, flat])] == ["the pattern is the same everywhere"] * 2


def test_other_preparations_take_several_frames_too() -> None:
    rng = np.random.default_rng(0)
    frames = [
        Frame(source="cam", data=rng.random((20, 20)), dims=("y", "x"), unit="", time_ns=0, seq=i, n=i)
        for i in range(3)
    ]
    one, many = preparation("image", {}), preparations("image", {})
    assert [told(p) for p in many(frames)] == [told(one(f)) for f in frames]
