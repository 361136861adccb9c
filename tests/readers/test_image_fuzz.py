"""Damaged image files of every format: never a crash, a hang or another exception, and no pixels that are not there.

Each decoder gets bytes that were cut, flipped and overwritten with extreme numbers. What comes out are frames, or
errors in words; memory stays near what the file holds.
"""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import hdf5plugin
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insitu.errors import InsituError
from insitu.readers.images import Images
from insitu.testing import check_arrival, items
from insitu.types import Arrival, Invalid
from tests.detector_files import (
    PILATUS_HEADER,
    picture,
    write_cbf,
    write_edf,
    write_eiger,
    write_ge,
    write_img,
    write_mar345,
    write_marccd,
    write_nexus,
    write_tiff,
)

FRAMES = [picture(i) for i in range(2)]
MOST = 64 * 1024 * 1024
"""Bytes that a decoder may take at once for files of at most 300 kB here."""


def _gz(path: Path) -> Path:
    path.write_bytes(gzip.compress(write_edf(path, FRAMES).read_bytes()))
    return path


def _master(path: Path, codec: dict) -> Path:
    return write_eiger(path.parent, 1, 2, **codec).parent / "run_data_000001.h5"


def _fabio(path: Path, name: str) -> Path:
    from fabio.fabioformats import factory

    image = type(factory(name))(data=picture(0, (256, 256)))
    image.write(str(path))
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "a.tif": lambda p: write_tiff(p, FRAMES, description=PILATUS_HEADER, date="2014:10:24 16:33:09"),
    "big.tif": lambda p: write_tiff(p, FRAMES, order=">", big=True),
    "a.edf": lambda p: write_edf(p, FRAMES, {"motor_mne": "a b", "motor_pos": "1 2", "time_of_day": "1403703445.2"}),
    "a.edf.gz": _gz,
    "a.img": lambda p: write_img(p, picture(), {"WAVELENGTH": "0.9", "DISTANCE": "200"}),
    "a.cbf": lambda p: write_cbf(p, picture(), PILATUS_HEADER, "2014-10-24T16:33:09.123"),
    "a.ge2": lambda p: write_ge(p, FRAMES),
    "a.mccd": lambda p: write_marccd(p, picture()),
    "a.mar1200": lambda p: write_mar345(p, picture(0, (200, 200), np.uint32)),
    "a.esperanto": lambda p: _fabio(p, "esperantoimage"),
    "a.sfrm": lambda p: _fabio(p, "bruker100image"),
    "a.npy": lambda p: (np.save(p, np.stack(FRAMES)), p)[1],
    "a.nxs": lambda p: write_nexus(p, np.stack(FRAMES)),
    "gzip.h5": lambda p: _master(p, {"compression": "gzip"}),
    "bitshuffle.h5": lambda p: _master(p, dict(hdf5plugin.Bitshuffle())),
    "lz4.h5": lambda p: _master(p, dict(hdf5plugin.LZ4())),
    "zstd.h5": lambda p: _master(p, dict(hdf5plugin.Zstd())),
}


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """A function that damages bytes: cut, flip, overwrite; near the beginning more often than elsewhere."""
    cut = draw(st.one_of(st.none(), st.floats(0.0, 1.0)))
    places = draw(st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([64, 512, 4096, None])), max_size=4))
    values = [
        draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f", b"9", b"\x80", b"-", b"\n"])) for _ in places
    ]
    flips = [draw(st.one_of(st.none(), st.integers(0, 7))) for _ in places]

    def apply(raw: bytes) -> bytes:
        out = bytearray(raw if cut is None else raw[: int(cut * len(raw))])
        for (place, head), value, flip in zip(places, values, flips, strict=True):
            at = int(place * max(0, min(len(out), head or len(out)) - 1))
            if not out:
                break
            if flip is None:
                out[at : at + len(value)] = value[: len(out) - at]
            else:
                out[at] ^= 1 << flip
        return bytes(out)

    return apply


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.timeout(120)
def test_damaged_files_give_frames_or_words(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    path = WRITERS[name](folder / name)
    raw = path.read_bytes()
    whole = [item.data.tobytes() for item in items(Images(str(path))) if isinstance(item, Arrival)]
    assert whole
    damaged = path.with_name(f"x_{path.name}")

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damage())
    def try_one(apply: Callable[[bytes], bytes]) -> None:
        data = apply(raw)
        damaged.write_bytes(data)
        tracemalloc.start()
        try:
            found = items(Images(str(damaged)))
        except InsituError:
            found = []
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < MOST
        for item in found:
            if isinstance(item, Arrival):
                check_arrival(item)
            else:
                assert isinstance(item, Invalid)
                assert item.reason
        if raw.startswith(data) and len(data) < len(raw):  # only cut: what is given is what was there
            given = [item.data.tobytes() for item in found if isinstance(item, Arrival)]
            assert given == whole[: len(given)]

    try_one()
