"""Tiles: what a large image gives is what the network would give of the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import ConfigError
from insitu.inference.onnx_tiles import cut, whole
from insitu.models.bundle import open_session
from tests import bundles


@given(st.integers(1, 300), st.integers(4, 64), st.integers(0, 31))
@settings(max_examples=60)
def test_every_pixel_is_taken_from_one_tile(size: int, tile: int, overlap: int) -> None:
    if 2 * overlap >= tile:
        with pytest.raises(ConfigError, match="less than half"):
            cut(size, tile, overlap)
        return
    c = cut(size, tile, overlap)
    assert c.first[0] == 0
    assert c.last[-1] == size
    assert c.first[1:] == c.last[:-1]
    assert c.full >= min(size, c.full)
    for start, first, last in zip(c.starts, c.first, c.last, strict=True):
        assert start <= first < last <= start + tile
        assert first == 0 or first - start >= overlap
        assert last == size or start + tile - last >= overlap


@pytest.mark.parametrize("size", [(32, 32), (100, 77), (20, 45), (8, 200)])
def test_what_stays_in_place_stays_in_place(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(1, *size)).astype(np.float32)
    found = whole(image, (32, 32), 6, lambda tile: tile * 2.0)
    assert np.array_equal(found, image * 2.0)


def test_tiles_of_a_network_are_bit_by_bit_the_whole_image() -> None:
    """Pooled by 2, looking 5 pixels around: 8 pixels of context suffice, and 16 px from tile to tile is even."""
    image = np.random.default_rng(0).normal(size=(1, 96, 128)).astype(np.float32)
    tiled, free = open_session(bundles.unet(32, 2)), open_session(bundles.unet(None, 2))
    found = whole(image, (32, 32), 8, lambda tile: np.asarray(tiled.run(None, {"input": tile[None]})[0])[0])
    at_once = np.asarray(free.run(None, {"input": image[None]})[0])[0]
    assert found.shape == (2, 96, 128)
    assert np.array_equal(found, at_once)
    near = whole(image, (32, 32), 0, lambda tile: np.asarray(tiled.run(None, {"input": tile[None]})[0])[0])
    assert not np.allclose(near, at_once, atol=1e-3)  # without context there are seams
