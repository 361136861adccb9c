"""The shipped recipes of video, run on folders of real frames with faults planted in them; and on clean ones.

Each recipe sees real pictures: colloid, melt pool and foam are video as recorded (the five frames of the foam to and
fro, as it was shaken); of superalloy, coating and the map of band contrast there is one picture each, and a series is
made of it with the noise of a camera. Faults are in frames long after a baseline is learnt.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from insitu.config import load
from insitu.run import run
from insitu.store.runs import StoredRun

FRAMES = 54
FOAM = (
    'features.grain.walls="level"', "features.grain.min_area=30", "features.grain.max_area=5000",
    "features.grain.rows=[100, 468]", "features.grain.columns=[45, 733]",
)  # fmt: skip
"""What a foam needs: broad walls, and the part of the picture in which it is."""


def colloid(video: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path), -1) for path in sorted((video / "bulk_water_dev").glob("*.png"))[:FRAMES]]


def melt(video: Path) -> list[np.ndarray]:
    return list(tifffile.imread(video / "meltpool_lpbf_xray_dev.tif")[:FRAMES])


def foam(video: Path) -> list[np.ndarray]:
    there = [cv2.imread(str(path), -1) for path in sorted((video / "foam_dev").glob("*.png"))]
    return ([*there, *there[3:0:-1]] * 7)[:FRAMES]


def noisy(image: np.ndarray, sigma: float) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    seen = (image + random.normal(0, sigma, image.shape) for _ in range(FRAMES))
    return [np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in seen]


def alloy(video: Path) -> list[np.ndarray]:
    return noisy(cv2.imread(str(video / "superalloy_dev" / "spot4_180d_2.png"), -1)[:384, :384], 3.0)


def coating(video: Path) -> list[np.ndarray]:
    picture = sorted(path for path in (video / "ebc_dev").glob("*.png") if "_mask" not in path.name)[0]
    return noisy(cv2.imread(str(picture), -1)[:, :320], 3.0)


def contrast(video: Path) -> list[np.ndarray]:
    return noisy(np.load(video / "ebsd_ni_superalloy_dev.npz")["band_contrast"], 3.0)


def blurred(frame: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(frame, (0, 0), 1.5)


def over_exposed(frame: np.ndarray) -> np.ndarray:
    return np.clip(frame * 1.5, 0, np.iinfo(frame.dtype).max).astype(frame.dtype)


def shifted(frame: np.ndarray) -> np.ndarray:
    return np.roll(frame, (3, 5), (0, 1))


def burst(frame: np.ndarray) -> np.ndarray:
    """With 120 dark particles in it, as deep as six times the spread of the picture."""
    random, out = np.random.default_rng(1), frame.astype(float)
    depth = 6.0 * float(frame.std())
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    for _ in range(120):
        at = random.uniform(10, frame.shape[0] - 10), random.uniform(10, frame.shape[1] - 10)
        part = tuple(slice(int(c) - 8, int(c) + 9) for c in at)
        out[part] -= depth * np.exp(-((y[part] - at[0]) ** 2 + (x[part] - at[1]) ** 2) / 6)
    return np.clip(out, 0, np.iinfo(frame.dtype).max).astype(frame.dtype)


VIDEOS: dict[str, tuple[str, Callable[[Path], list[np.ndarray]], tuple[str, ...]]] = {
    "defects of an alloy": ("video_defects", alloy, ()),
    "defects of a colloid": ("video_defects", colloid, ()),
    "defects of a melt": ("video_defects", melt, ()),
    "grains of a map": ("video_grains", contrast, ()),
    "grains of a foam": ("video_grains", foam, FOAM),
    "front of a melt": ("video_front", melt, ()),
    "layer of a coating": ("video_layers", coating, ()),
}
FAULTS = {22: blurred, 29: over_exposed, 36: shifted, 43: burst}
DROPPED = (48, 49)
NOTICED = {22: {"focus", "detail"}, 29: {"brightness"}, 36: {"shifted_x", "shifted_y"}}
"""Which models should see these; `BURSTS`: which one a burst. None in the foam: it changes as much by itself."""
BURSTS = {
    "defects of an alloy": "appeared", "defects of a colloid": "similar", "defects of a melt": "brightness",
    "grains of a map": "appeared", "front of a melt": "brightness",
}  # fmt: skip


def noticed(
    frames: dict[int, np.ndarray], recipe: str, sets: tuple[str, ...], folder: Path, labels: tuple[str, ...]
) -> dict[int, set[str]]:
    """Frames of a stock recipe's run, by their numbers, that models give one of `labels`, and these models."""
    pictures = folder / "pictures"
    pictures.mkdir()
    for number, frame in frames.items():
        cv2.imwrite(str(pictures / f"frame_{number:03}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    summary = run(load(recipe, inputs=str(pictures), sets=list(sets)), data_root=folder / "data")
    assert (summary.ended, summary.exit_code, summary.records) == ("complete", 0, len(frames))
    with StoredRun(Path(summary.path)) as stored:
        records: list[dict[str, Any]] = list(stored.records())
    found = {}
    for number, record in zip(frames, records, strict=True):
        names = {name for name, verdict in record["verdicts"].items() if verdict["label"] in labels}
        if names:
            found[number] = names
    return found


@pytest.mark.parametrize("video", VIDEOS)
def test_clean_video_is_not_flagged(video, data, tmp_path):
    recipe, frames, sets = VIDEOS[video]
    assert noticed(dict(enumerate(frames(data / "video"))), recipe, sets, tmp_path, ("anomaly", "change")) == {}


@pytest.mark.parametrize("video", [video for video in VIDEOS if video != "layer of a coating"])
def test_faults_planted_in_real_video_are_flagged_by_the_models_for_them(video, data, tmp_path):
    """Blur, exposure, a shift, a burst of particles, missing frames: each by its model, and nothing else."""
    recipe, make, sets = VIDEOS[video]
    frames = dict(enumerate(make(data / "video")))
    for n, fault in FAULTS.items():
        if fault is not burst or video in BURSTS:
            frames[n] = fault(frames[n])
    for n in DROPPED:
        del frames[n]
    found = noticed(frames, recipe, sets, tmp_path, ("anomaly",))
    for n, models in NOTICED.items():
        assert found.get(n, set()) & models, n
    if video in BURSTS:
        assert BURSTS[video] in found.get(43, set())
    assert "gaps" in found.get(50, set())
    assert found.keys() <= {n + later for n in FAULTS for later in (0, 1)} | {50}  # the next frame differs, too
