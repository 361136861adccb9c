"""Files of waveforms, written by the libraries that write them in laboratories."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import h5py
import nptdms
import numpy as np
from scipy.io import wavfile

RATE = 2000


def noise(samples: int = 3000, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Samples `(n, channel)` float64 with six decimals at most."""
    return np.round(np.random.default_rng(seed).normal(size=(samples, channels)), 6)


def as_npy(path: Path, x: np.ndarray) -> None:
    np.save(path, x)


def as_npz(path: Path, x: np.ndarray) -> None:
    np.savez_compressed(path, data=x, fs=RATE)


def as_csv(path: Path, x: np.ndarray) -> None:
    rows = np.column_stack([np.arange(len(x)) / RATE, x])
    titles = ",".join(["time (s)", *(f"c{k + 1} (V)" for k in range(x.shape[1]))])
    np.savetxt(path, rows, fmt="%.6f", delimiter=",", header=titles, comments="")


def as_wav(path: Path, x: np.ndarray) -> None:
    wavfile.write(path, RATE, x.astype(np.float32))


def as_wav16(path: Path, x: np.ndarray) -> None:
    wavfile.write(path, RATE, (x * 1000).astype(np.int16))


def as_wav24(path: Path, x: np.ndarray) -> None:
    """24 bits by the standard library."""
    values = (x * 1e6).astype("<i4")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(x.shape[1])
        file.setsampwidth(3)
        file.setframerate(RATE)
        file.writeframes(np.ascontiguousarray(values).view(np.uint8).reshape(-1, 4)[:, :3].tobytes())


def as_hdf5(path: Path, x: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("run/data", data=x, chunks=(256, x.shape[1]), compression="gzip")
        data.attrs["sample_rate"], data.attrs["units"] = float(RATE), "V"


def as_tdms(path: Path, x: np.ndarray) -> None:
    about = {"wf_increment": 1 / RATE, "wf_start_time": np.datetime64("2024-05-01T10:00:00.25"), "unit_string": "V"}
    with nptdms.TdmsWriter(path) as file:
        for part in np.array_split(x, 3):
            file.write_segment([nptdms.ChannelObject("run", f"c{k + 1}", part[:, k], about) for k in range(x.shape[1])])


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "a.npy": as_npy,
    "a.npz": as_npz,
    "a.csv": as_csv,
    "a.wav": as_wav,
    "b.wav": as_wav16,
    "c.wav": as_wav24,
    "a.h5": as_hdf5,
    "a.tdms": as_tdms,
}


def stored(name: str, x: np.ndarray) -> np.ndarray:
    """What a file holds, `(channel, n)`, in its own type."""
    kinds = {"a.wav": x.astype(np.float32), "b.wav": (x * 1000).astype(np.int16), "c.wav": (x * 1e6).astype(np.int32)}
    return np.ascontiguousarray(kinds.get(name, x).T)
