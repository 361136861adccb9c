"""Arrays of a bundle: sizes are believed only when the bytes are there, and no object is ever made."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from insitu.errors import ModelError
from insitu.models import arrays
from insitu.models.arrays import read_arrays, write_arrays


def saved(**arrays: np.ndarray) -> bytes:
    """What numpy writes."""
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int8", "int32", "int64"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 3, 4), (0, 5)])
def test_numpy_reads_what_is_written_here_and_the_other_way_round(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(dtype)
    with np.load(io.BytesIO(write_arrays({"x": x})), allow_pickle=False) as found:
        np.testing.assert_array_equal(found["x"], x, strict=True)
    np.testing.assert_array_equal(read_arrays(saved(x=x), "f", ("x",))["x"], x, strict=True)
    assert write_arrays({"x": x}) == write_arrays({"x": x.copy()})
    assert not read_arrays(write_arrays({"x": x}), "f", ("x",))["x"].flags.writeable


def npy(header: str, body: bytes, *, magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return magic + struct.pack("<H", len(text)) + text + body


def zipped(content: bytes, name: str = "x.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, content)
    return out.getvalue()


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"


def test_the_hand_made_file_is_read() -> None:
    assert read_arrays(zipped(npy(GOOD, b"\0" * 8)), "f", ("x",))["x"].tolist() == [0, 0]


class Trap:
    """Reading this as an object would be noticed."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[object, ...]]:
        return exec, ("raise SystemExit",)


@pytest.mark.parametrize(
    "content",
    [
        npy(GOOD, b"\0" * 7),
        npy(GOOD, b"\0" * 9),
        npy(GOOD.replace("(2,)", "(17179869184,)"), b"\0" * 8),
        npy(GOOD.replace("(2,)", "(999999999, 999999999)"), b"\0" * 8),
        npy(GOOD.replace("(2,)", "(-2,)"), b"\0" * 8),
        npy(GOOD.replace("(2,)", "(2.0,)"), b"\0" * 8),
        npy(GOOD.replace("<f4", "|O"), pickle.dumps(Trap())),
        npy(GOOD.replace("<f4", "<U2"), b"\0" * 16),
        npy(GOOD.replace("<f4", ">f4"), b"\0" * 8),
        npy(GOOD.replace("'<f4'", "[('a', '<f4')]"), b"\0" * 8),
        npy(GOOD.replace("False", "True"), b"\0" * 8),
        npy("(" * 5000 + ")" * 5000, b""),
        npy("__import__('os').abort()", b""),
        npy("", b""),
        npy(GOOD, b"\0" * 8, magic=b"\x93NUMPY\x02\x00"),
        npy(GOOD, b"\0" * 8)[:9],
        b"",
        pickle.dumps(Trap()),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError):
        read_arrays(zipped(content), "golden.npz", ("x",))


def test_a_bomb_is_refused_by_the_size_that_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LARGEST", 1_000_000)
    bomb = zipped(b"\0" * 1_000_001)
    assert len(bomb) < 2000
    with pytest.raises(ModelError, match="too many bytes"):
        read_arrays(bomb, "golden.npz", ("x",))


def test_a_bomb_that_declares_a_small_size_gives_no_more_than_that() -> None:
    data = bytearray(zipped(npy(GOOD.replace("(2,)", "(2000000,)"), b"\0" * 8_000_000)))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(signature) + at
        data[place : place + 4] = struct.pack("<I", 136)
    with pytest.raises(ModelError):
        read_arrays(bytes(data), "golden.npz", ("x",))


@pytest.mark.parametrize("name", ["y.npy", "x.npy.npy", "../x.npy", "/x.npy", "x"])
def test_other_names_than_expected_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="other arrays"):
        read_arrays(zipped(npy(GOOD, b"\0" * 8), name), "golden.npz", ("x",))


def test_the_same_name_twice_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.npy", npy(GOOD, b"\0" * 8))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", npy(GOOD, b"\1" * 8))
    with pytest.raises(ModelError):
        read_arrays(out.getvalue(), "golden.npz", ("x",))


def test_every_flipped_bit_is_told_or_harmless() -> None:
    x = np.arange(6, dtype=np.float32)
    data = write_arrays({"x": x})
    for i in range(len(data) * 8):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        try:
            found = read_arrays(bytes(changed), "golden.npz", ("x",))["x"]
        except ModelError:
            continue
        np.testing.assert_array_equal(found, x)


def test_arrays_of_another_kind_are_not_written() -> None:
    with pytest.raises(ModelError, match="float16"):
        write_arrays({"x": np.zeros(2, np.float16)})
