"""Durable raw writing as a user would do it without us. Every peer gives frames the digest and codec that ours gets
(blake3; lz4 with byte shuffle), keeps the digests in SQLite, and is read back."""

import collections
import os
import sqlite3
import time
from pathlib import Path

import numcodecs.blosc as blosc
import numpy as np
from blake3 import blake3

GROUP_S = 0.25


def digest(frame: np.ndarray) -> bytes:
    return blake3(frame.data.cast("B")).digest()


class Digests:
    """A table of digests, committed about every 0.25 s and at the end."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE frame (seq INTEGER PRIMARY KEY, digest BLOB)")
        self.rows: list[tuple[int, bytes]] = []
        self.last = time.perf_counter()

    def add(self, seq: int, value: bytes) -> bool:
        """True where it is time to commit."""
        self.rows.append((seq, value))
        return time.perf_counter() - self.last > GROUP_S

    def commit(self) -> None:
        self.db.execute("BEGIN")
        self.db.executemany("INSERT INTO frame VALUES (?, ?)", self.rows)
        self.db.execute("COMMIT")
        self.rows.clear()
        self.last = time.perf_counter()


def plain(folder: Path, frames: list[np.ndarray], count: int, *, codec: bool) -> float:
    """One file, one write and one fsync per frame; with the codec and digest, or (faster to compute, more to write)
    as bare bytes without either."""
    fd = os.open(folder / "x", os.O_WRONLY | os.O_CREAT)
    digests = Digests(folder / "x.db") if codec else None
    sizes = []
    began = time.perf_counter()
    for k in range(count):
        frame = frames[k % len(frames)]
        data = blosc.compress(frame, b"lz4", 5, blosc.SHUFFLE, 0) if codec else frame.data
        sizes.append(os.write(fd, data))
        os.fsync(fd)
        if digests and digests.add(k, digest(frame)):
            digests.commit()
    if digests:
        digests.commit()
    took = time.perf_counter() - began
    os.close(fd)
    last = (folder / "x").read_bytes()[-sizes[-1] :]
    back = np.frombuffer(blosc.decompress(last) if codec else last, frames[0].dtype)
    assert (back == frames[(count - 1) % len(frames)].ravel()).all()
    return count / took


def zarr_python(folder: Path, frames: list[np.ndarray], count: int) -> float:
    """zarr-python, one chunk per frame, fsync of chunk and folders."""
    import zarr
    from zarr.codecs import BloscCodec

    first = frames[0]
    codec = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")
    array = zarr.create_array(
        folder / "x", shape=(count, *first.shape), chunks=(1, *first.shape), dtype=first.dtype, compressors=codec,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    digests = Digests(folder / "x.db")
    tail = "/".join(["0"] * first.ndim)
    began = time.perf_counter()
    for k in range(count):
        frame = frames[k % len(frames)]
        array[k] = frame
        chunk = folder / "x/c" / str(k) / tail
        for path in (chunk, chunk.parent, folder / "x/c" / str(k), folder / "x/c"):
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        if digests.add(k, digest(frame)):
            digests.commit()
    digests.commit()
    took = time.perf_counter() - began
    assert (np.asarray(array[count - 1]) == frames[(count - 1) % len(frames)]).all()
    return count / took


def tensorstore(folder: Path, frames: list[np.ndarray], count: int) -> float:
    """tensorstore, zarr3, synchronous file I/O, six writes in flight."""
    import tensorstore as ts

    first = frames[0]
    codecs = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {
            "name": "blosc",
            "configuration": {
                "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": first.dtype.itemsize, "blocksize": 0,
            },
        },
    ]  # fmt: skip
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{folder}/x/"},
        "context": {"file_io_sync": True},
        "store_data_equal_to_fill_value": True,
        "metadata": {
            "shape": [count, *first.shape],
            "data_type": first.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, *first.shape]}},
            "codecs": codecs,
        },
    }
    store = ts.open(spec, create=True).result()
    digests = Digests(folder / "x.db")
    flying: collections.deque = collections.deque()
    began = time.perf_counter()

    def land() -> None:
        k, writing = flying.popleft()
        writing.result()
        if digests.add(k, digest(frames[k % len(frames)])):
            digests.commit()

    for k in range(count):
        flying.append((k, store[k].write(frames[k % len(frames)])))
        if len(flying) > 6:
            land()
    while flying:
        land()
    digests.commit()
    took = time.perf_counter() - began
    assert (store[count - 1].read().result() == frames[(count - 1) % len(frames)]).all()
    return count / took


def h5py_group(folder: Path, frames: list[np.ndarray], count: int, *, cache: int | None = None) -> float:
    """h5py with hdf5plugin's blosc, 256 frames a chunk, flush and fsync every 0.25 s. `cache`: bytes of HDF5's chunk
    cache; None is the library's default (8 MiB since HDF5 2.0, 1 MiB before)."""
    import h5py
    import hdf5plugin

    first = frames[0]
    file = h5py.File(folder / "x.h5", "w", libver="latest", rdcc_nbytes=cache)
    codec = hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=1)
    data = file.create_dataset("x", (count, *first.shape), chunks=(256, *first.shape), dtype=first.dtype, **codec)
    digests = Digests(folder / "x.db")

    def sync() -> None:
        file.flush()
        os.fsync(file.id.get_vfd_handle())
        digests.commit()

    began = time.perf_counter()
    for k in range(count):
        frame = frames[k % len(frames)]
        data[k] = frame
        if digests.add(k, digest(frame)):
            sync()
    sync()
    took = time.perf_counter() - began
    assert (data[count - 1] == frames[(count - 1) % len(frames)]).all()
    file.close()
    return count / took


def h5py_small_cache(folder: Path, frames: list[np.ndarray], count: int) -> float:
    """`h5py_group` as HDF5 before 2.0 does it by default; fewer frames, since it is slow."""
    return h5py_group(folder, frames, min(count, 600), cache=1024 * 1024)
