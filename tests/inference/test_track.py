"""Tracks: the reference's numbers on real video, diffusion on simulated; planted faults flagged, clean video not."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from insitu.cli import main
from insitu.errors import ConfigError
from insitu.inference.track import Track
from insitu.inference.track_clock import Clock
from insitu.readers.movie import Movie
from insitu.readers.simulated_colloid import Colloid
from insitu.types import Arrival, Measurement
from tests.movies import flagged, judged


@pytest.fixture(scope="module")
def water(request) -> list[Arrival]:
    folder = request.getfixturevalue("data") / "video" / "bulk_water_dev"
    return [a for a in Movie(str(folder), rate=24.0)() if isinstance(a, Arrival)]


def known_size(arrivals: list[Arrival]) -> list[Arrival]:
    from insitu.types import Feature

    size = {"pixel_size": Feature(100.0 / 285.0, "um")}  # the reference's scale
    return [dataclasses.replace(a, context={**a.context, **size}) for a in arrivals]


def test_the_real_video_gives_the_reference_s_counts_drift_and_diffusion_and_is_clean(data, water):
    reference = json.loads((data / "video" / "bulk_water_dev_reference.json").read_text())
    records = judged(known_size(water), "video_particles")
    counts = [record.measurement.features["particle_count"].value for record in records]
    assert counts[0] == reference["features_per_frame"]["first"]
    assert np.mean(counts) == pytest.approx(reference["features_per_frame"]["mean"], rel=0.03)
    scores = records[-1].verdicts["track"].scores
    assert scores["drift_x"] == pytest.approx(reference["drift_total_px"]["x"], rel=0.05)
    assert scores["drift_y"] == pytest.approx(reference["drift_total_px"]["y"], rel=0.05)
    assert scores["msd_exponent"] == pytest.approx(reference["msd_powerlaw_n"], rel=0.05)
    assert scores["msd_coefficient"] == pytest.approx(reference["msd_powerlaw_A_um2_per_s"], rel=0.05)
    assert "um^2, s" in records[-1].verdicts["track"].reason
    assert flagged(records) == {}


def spoilt(frame: np.ndarray, kind: str) -> np.ndarray:
    """A real frame with a fault in it."""
    if kind == "blur":
        return cv2.GaussianBlur(frame, (0, 0), 1.5)
    if kind == "over":
        return np.clip(frame * 1.5, 0, 255).astype(np.uint8)
    if kind == "shift":
        return np.roll(frame, (3, 5), (0, 1))
    random, dark = np.random.default_rng(1), frame.astype(float)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    for _ in range(120):
        at = random.uniform(10, frame.shape[0] - 10), random.uniform(10, frame.shape[1] - 10)
        part = tuple(slice(int(c) - 8, int(c) + 9) for c in at)
        dark[part] -= 25 * np.exp(-((y[part] - at[0]) ** 2 + (x[part] - at[1]) ** 2) / 6)
    return np.clip(dark, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "model"), [("blur", "focus"), ("over", "brightness"), ("shift", "shifted_x"), ("burst", "track")]
)
def test_a_fault_planted_in_the_real_video_is_flagged_by_the_model_for_it(water, kind, model):
    frames = list(water[:45])
    for at in (20, 38):
        frames[at] = dataclasses.replace(frames[at], data=np.ascontiguousarray(spoilt(frames[at].data, kind)))
    found = flagged(judged(frames, "video_particles"))
    assert model in found.get(20, [])
    assert model in found.get(38, [])
    assert found.keys() <= {20, 21, 38, 39}  # the frame after a spoilt one differs from it, too


def test_frames_that_were_dropped_are_flagged_where_numbers_or_times_tell(water):
    frames = [a for n, a in enumerate(water[:50]) if n not in (20, 35, 36)]
    found = judged(frames, "video_particles")
    assert flagged(found) == {20: ["track"], 34: ["track"]}
    assert "1 frame(s) missing" in found[20].verdicts["track"].reason
    assert "2 frame(s) missing" in found[34].verdicts["track"].reason
    unnumbered = [dataclasses.replace(a, source_seq=n) for n, a in enumerate(frames)]
    assert flagged(judged(unnumbered, "video_particles")).keys() == {20, 34}  # the times tell


def test_the_diffusion_of_a_simulated_colloid_is_right_within_its_uncertainty():
    pulls = []
    for seed in range(3):
        reader = Colloid(frames=70, particles=100, seed=seed, drift_x=0.11, drift_y=-0.07, noise=2.0)
        records = judged([reader.arrival(i) for i in range(70)], "video_particles")
        scores = records[-1].verdicts["track"].scores
        pulls.append((scores["diffusion"] - reader.diffusion) / scores["diffusion_sigma"])
        assert scores["diffusion"] == pytest.approx(reader.diffusion, rel=0.1)
        assert scores["drift_x"] == pytest.approx(69 * 0.11, abs=4 * scores["drift_sigma"])
        assert flagged(records) == {}
    assert np.abs(pulls).max() < 3.0


def test_faults_of_the_simulated_microscope_are_flagged():
    faults = ("blur@20=2", "exposure@26=1.4", "shift@32=5", "burst@38=80", "missing@44")
    found = flagged(judged([a for a in Colloid(frames=48, faults=faults)() if a is not None], "video_particles"))
    for frame, model in ((20, "focus"), (26, "brightness"), (32, "shifted_x"), (38, "track"), (44, "track")):
        assert model in found[frame]
    assert found.keys() <= {20, 21, 26, 27, 32, 33, 38, 39, 44}


def test_the_recipe_runs_on_a_folder_a_stack_and_a_movie_without_editing(tmp_path, water, capsys):
    import tifffile

    from tests.movies import write_movie

    images = [a.data[:200, :200] for a in water[:6]]
    tifffile.imwrite(tmp_path / "stack.tif", np.stack(images))
    write_movie(tmp_path / "movie.avi", images, codec="mjpeg", pixels="yuvj420p")
    (tmp_path / "folder").mkdir()
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / "folder" / f"{i}.jpg"), image)
    for name in ("stack.tif", "movie.avi", "folder"):
        place, out = str(tmp_path / name), str(tmp_path / f"out_{name}")
        with pytest.raises(SystemExit) as ended:
            main(["run", "video_particles", "--input", place, "--data-root", out, "--json"])
        assert ended.value.code in (0, None)
        told = json.loads(capsys.readouterr().out)
        assert told["ended"] == "complete"
        assert told["frames"]["stored"] == told["records"] == 6


def test_positions_that_are_not_known_are_unknown_and_other_sources_are_passed_over():
    model = Track()
    bare = Measurement(source="det", seq=0, n=0, time_ns=0)
    assert model(bare) is None
    from insitu.types import Feature

    lost = Feature(None, "", why="the frame is no image")
    verdict = model(dataclasses.replace(bare, features={"particle_positions": lost}))
    assert verdict is not None
    assert (verdict.label, verdict.reason) == ("unknown", "particles are not known: the frame is no image")


@pytest.mark.parametrize(
    "keys",
    [{"search_range": 0.0}, {"memory": -1}, {"min_length": 1}, {"units": {"a": ""}},
     {"drift": "stage", "units": {"particle_count": ""}}],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        Track(**keys)


def test_files_that_do_not_say_when_frames_were_taken_give_no_interval():
    clock = Clock()
    for n, time_ns in enumerate((0, 10**9, 5 * 10**9)):
        moment = clock(Measurement(source="v", seq=n, n=n, time_ns=time_ns, labels={"timing": "file"}))
    assert moment.interval_s is None
    assert moment.tick == 2
