"""No frame waits for what could have been made before the run: kernels, imports, maps of pixels."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COLD = Path(__file__).with_name("cold.py")
PONI = """poni_version: 2
Detector: Detector
Detector_config: {"pixel1": 1e-3, "pixel2": 1e-3}
Distance: 0.1
Poni1: 0.05
Poni2: 0.06
Rot1: 0
Rot2: 0
Rot3: 0
Wavelength: 1e-10
"""
SHAPED = ["detector.shape=[100, 120]", 'detector.dtype="int32"']  # as a live detector must say
PHASES = {
    "format": 1,
    "title": "phases alone",
    "detectors": ["patterns_1d"],
    "features": [{"use": "xrd.phases", "library": True, "strain": 0.01}],
}


def noise(folder: Path) -> Path:
    """Three windows of noise bursts in a triangular field."""
    rng, n = np.random.default_rng(0), 60_000
    field = 4000.0 * (4.0 * np.abs((np.arange(n) / 10_000.0) % 1.0 - 0.5) - 1.0)
    volts = rng.standard_normal(n) * (0.01 + np.exp(-(((field - 600.0) / 500.0) ** 2)))
    np.savez(folder / "noise.npz", noise=volts, field=field, sample_rate=1e6)
    return folder / "noise.npz"


def rings(folder: Path) -> tuple[Path, list[str]]:
    """An image with two rings, and what the detector file says of such images."""
    import fabio.edfimage

    (folder / "a.poni").write_text(PONI)
    y, x = np.mgrid[:100, :120]
    r = np.hypot(y - 49.5, x - 59.5)
    counts = 50.0 + sum(2000.0 * np.exp(-(((r - at) / 1.5) ** 2)) for at in (20.0, 40.0))
    image = np.random.default_rng(0).poisson(counts).astype(np.int32)
    fabio.edfimage.EdfImage(data=image).write(str(folder / "a.edf"))
    return folder / "a.edf", [f"detector.geometry.poni={folder / 'a.poni'}", *SHAPED]


def some(folder: Path, *files: Path) -> Path:
    """A folder of these files alone."""
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)
    return folder


def test_nothing_is_compiled_imported_or_laid_out_while_the_first_frames_are_measured(
    data: Path, tmp_path: Path
) -> None:
    for extra in ("pyFAI", "cv2", "gemmi"):
        pytest.importorskip(extra)
    lab = [data / "xrd/ref_fluorapatite_lab" / name for name in ("FAP.XRA", "INST_XRY.PRM")]
    window = ['detector.reader.channel_units={ field = "A/m" }', 'detector.reader.window="20 ms"']
    jobs = [
        ("loops", data / "magnetic/vsm", []),
        ("barkhausen", noise(tmp_path), window),
        ("video_particles", data / "video/bulk_water_dev", []),
        ("xrd_2d", *rings(tmp_path)),
        (PHASES, some(tmp_path / "lab", *lab), []),
    ]
    command = [sys.executable, str(COLD), json.dumps([(recipe, str(path), sets) for recipe, path, sets in jobs])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for (recipe, *_), first in zip(jobs, found, strict=True):
        assert first["frames"] >= 1
        assert first["told"] >= 4 * first["frames"], recipe
        assert (first["kernels"], first["modules"], first["laid_out"]) == ([], [], 0), recipe
