"""What anybody who can write a bundle's folder may do to it, without a trusted key."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np

from insitu.models import signing

Rng = np.random.Generator
Mutation = Callable[[Path, Rng], None]


def some(folder: Path, rng: Rng) -> Path:
    return folder / str(rng.choice(sorted(p.name for p in folder.iterdir() if p.is_file())))


def rewrite(path: Path, change: Callable[[bytearray], bytes | bytearray]) -> None:
    path.write_bytes(change(bytearray(path.read_bytes())))


def flipped_bit(folder: Path, rng: Rng) -> None:
    def change(data: bytearray) -> bytearray:
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        return data

    rewrite(some(folder, rng), change)


def flipped_bit_of_the_signature(folder: Path, rng: Rng) -> None:
    keep = folder / signing.NAME
    at, bit = int(rng.integers(keep.stat().st_size)), 1 << int(rng.integers(8))
    rewrite(keep, lambda data: data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])


def other_bytes(folder: Path, rng: Rng) -> None:
    def change(data: bytearray) -> bytearray:
        at = int(rng.integers(len(data)))
        return data[:at] + bytes(b ^ 0xA5 for b in data[at : at + 16]) + data[at + 16 :]

    rewrite(some(folder, rng), change)


def cut_off(folder: Path, rng: Rng) -> None:
    path = some(folder, rng)
    os.truncate(path, int(rng.integers(path.stat().st_size)))


def longer(folder: Path, rng: Rng) -> None:
    rewrite(some(folder, rng), lambda data: data + b"\0" + rng.bytes(int(rng.integers(5000))))


def sparse(folder: Path, rng: Rng) -> None:
    os.truncate(some(folder, rng), int(rng.choice([2**27, 2**32, 2**36, 2**42])))


def swapped(folder: Path, rng: Rng) -> None:
    one, two = (folder / name for name in rng.choice(sorted(p.name for p in folder.iterdir()), 2, replace=False))
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


def removed(folder: Path, rng: Rng) -> None:
    some(folder, rng).unlink()


def added(folder: Path, rng: Rng) -> None:
    names = [
        "x",
        ".x",
        "model.onnx.data",
        "manifest.json~",
        "Manifest.json",
        "signature.json.sig",
        "\udcfe",
        "-rf",
        "a\\b",
    ]
    (folder / str(rng.choice(np.array(names, dtype=object)))).write_bytes(b"")


def sub_folder(folder: Path, rng: Rng) -> None:
    path = some(folder, rng)
    if rng.integers(2):
        path.unlink()
        path.mkdir()
    else:
        (folder / "more").mkdir()


def symbolic_link(folder: Path, rng: Rng) -> None:
    path = some(folder, rng)
    target = ["beside", "/dev/zero", "/dev/stdin", "/nowhere", "/proc/self/mem", path.name][int(rng.integers(6))]
    if target == "beside":
        shutil.copy(path, folder.parent / "beside")
        target = "../beside"
    path.unlink()
    path.symlink_to(target)


def hard_link(folder: Path, rng: Rng) -> None:
    os.link(some(folder, rng), folder.parent / "another name")


def fifo(folder: Path, rng: Rng) -> None:
    path = some(folder, rng)
    path.unlink()
    os.mkfifo(path)


def unix_socket(folder: Path, rng: Rng) -> None:
    path = some(folder, rng)
    path.unlink()
    fd = os.open(folder, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(f"/proc/self/fd/{fd}/{path.name}")  # the name of a socket must be short
    finally:
        os.close(fd)


def renamed(folder: Path, rng: Rng) -> None:
    path = some(folder, rng)
    path.rename(folder / (path.name.upper() if path.name != "LICENSE" else "license"))


def foreign_key(folder: Path, rng: Rng) -> None:
    (folder / signing.NAME).unlink()
    signing.sign(folder, signing.make_keys(folder.parent / "foreign")[0])


def borrowed_signature(folder: Path, rng: Rng) -> None:
    """That of the same network with another serial, by the same key."""
    shutil.copy(folder.parent / "older" / signing.NAME, folder / signing.NAME)


def borrowed_file(folder: Path, rng: Rng) -> None:
    name = str(rng.choice(["manifest.json", "model.onnx", "golden.npz", "mlbom.json"]))
    shutil.copy(folder.parent / "older" / name, folder / name)


def no_signature(folder: Path, rng: Rng) -> None:
    (folder / signing.NAME).unlink()


TAMPERED: tuple[Mutation, ...] = (
    flipped_bit, flipped_bit, flipped_bit, flipped_bit_of_the_signature, other_bytes, cut_off, longer, sparse, swapped,
    removed, added, sub_folder, symbolic_link, hard_link, fifo, unix_socket, renamed, foreign_key, borrowed_signature,
    borrowed_file, no_signature,
)  # fmt: skip
