"""Grains followed: real cells keep their identity, planted events are told, simulated grains keep the law."""

import numpy as np
import pytest
from skimage import io

from insitu.errors import ConfigError
from insitu.features.grains import Grains
from insitu.inference.grain_track import GrainTrack
from insitu.readers.simulated_grains import Grains as Simulated
from insitu.types import ArrayFeature, Feature, Frame, Measurement


def measured(labels: np.ndarray, n: int, source: str = "video") -> Measurement:
    arrays = {"grain_labels": ArrayFeature(values=labels, dims=("y", "x"))}
    return Measurement(source=source, seq=n, n=n, time_ns=n * 10**9, arrays=arrays)


def grid() -> np.ndarray:
    y, x = np.mgrid[:100, :100]
    return ((y // 20) * 5 + x // 20 + 1).astype(np.int32)


def test_cells_of_a_real_foam_keep_their_identity(data):
    extract = Grains(walls="level", min_area=30, max_area=5000, rows=(100, 468), columns=(45, 733))
    model, first = GrainTrack(), None
    for n, path in enumerate(sorted((data / "video" / "foam_dev").glob("foam_*.png"))):
        frame = Frame(source="video", data=io.imread(path), dims=("y", "x"), unit="counts", time_ns=n, seq=n, n=n)
        verdict = model(measured(extract(frame, {}, ())["grain_labels"].values, n))
        names = set(model.identities("video").tolist())
        if first is None:
            first = names
        else:
            assert verdict.scores["kept"] >= 0.98
    assert len(first & names) >= 0.98 * len(first)


def test_a_merger_a_split_a_birth_and_a_death_are_told():
    model, labels = GrainTrack(reach=0), grid()
    assert model(measured(labels, 0)).label == "normal"
    assert model(measured(labels, 1)).label == "normal"
    joined = labels.copy()
    joined[joined == 13] = 12
    verdict = model(measured(joined, 2))
    assert (verdict.label, verdict.scores["merged"], verdict.scores["vanished"]) == ("change", 1, 0)
    assert "1 merged" in verdict.reason
    verdict = model(measured(labels, 3))
    assert (verdict.scores["split"], verdict.scores["born"]) == (1, 0)
    speck = labels.copy()
    speck[48:53, 48:53] = 26
    assert model(measured(speck, 4)).scores["born"] == 1
    verdict = model(measured(labels, 5))
    assert (verdict.scores["vanished"], verdict.scores["merged"]) == (1, 0)


def test_what_lasts_is_told_once_and_what_comes_and_goes_is_not():
    model, labels, n = GrainTrack(reach=0, persist=3), grid(), 0
    joined, speck = labels.copy(), labels.copy()
    joined[joined == 13] = 12
    speck[48:53, 48:53] = 26
    wanted: list[tuple[np.ndarray, dict[str, int]]] = [(labels, {})] * 4
    wanted += [(joined, {}), (labels, {}), (speck, {}), (labels, {})] * 4  # for one frame each
    names = None
    for picture, events in wanted:
        verdict = model(measured(picture, n))
        assert {key: verdict.scores.get(key, 0) for key in events} == events
        assert verdict.label == "normal"
        if picture is labels:
            assert names is None or model.identities("video").tolist() == names
            names = model.identities("video").tolist()
        n += 1
    sure = labels.copy()
    sure[sure == 8] = 7
    said = [model(measured(sure, n + k)) for k in range(8)]
    assert [verdict.label for verdict in said] == ["normal"] * 2 + ["change"] + ["normal"] * 5
    assert "1 merged" in said[2].reason
    parted = sure.copy()
    parted[60:80, 70:80] = 27
    said = [model(measured(parted, n + 8 + k)) for k in range(5)]
    assert [verdict.scores["split"] for verdict in said] == [0, 0, 1, 0, 0]


def test_what_comes_and_goes_asks_for_more_frames_each_time():
    model, labels = GrainTrack(reach=0, persist=2), grid()
    joined = labels.copy()
    joined[joined == 13] = 12
    pictures = [labels] * 3 + [joined] + [labels] * 9 + [joined] * 15
    said = [model(measured(picture, n)).label for n, picture in enumerate(pictures)]
    assert said.index("change") == 13 + 7  # after 8 frames, not 2
    assert said.count("change") == 1


def test_grains_that_vanish_in_simulated_growth_are_counted_as_they_are():
    """Deaths counted after 4 frames: as many as the simulator knows of, within a tenth; few mergers by mistake."""
    reader, extract, model = Simulated(seed=2, grains=300), Grains(), GrainTrack(persist=4)
    deaths = mergers = 0
    for n in range(24):
        arrival = reader.arrival(n)
        frame = Frame(
            source="video", data=arrival.data, dims=("y", "x"), unit="counts", time_ns=arrival.time_ns, seq=n, n=n
        )
        verdict = model(measured(extract(frame, {}, ())["grain_labels"].values, n))
        deaths += verdict.scores.get("vanished", 0)
        mergers += verdict.scores.get("merged", 0)
    true = reader.truth(4).count - reader.truth(20).count
    print(deaths, mergers, true)
    assert deaths + mergers == pytest.approx(true, rel=0.15)


def test_identities_stay_when_labels_are_dealt_anew():
    model, labels = GrainTrack(), grid()
    model(measured(labels, 0))
    before = model.identities("video")
    turned = (26 - labels).astype(np.int32)
    model(measured(turned, 1))
    assert model.identities("video").tolist() == before[::-1].tolist()


def test_a_frame_without_labels_is_unknown_and_says_why():
    missing = {"grain_labels": Feature(None, "", why="all pixels are equal")}
    verdict = GrainTrack()(Measurement(source="video", seq=0, n=0, time_ns=0, features=missing))
    assert verdict.label == "unknown"
    assert "all pixels are equal" in verdict.reason


def test_other_sources_and_incomplete_frames_are_left_alone():
    model = GrainTrack(source="video")
    assert model(measured(grid(), 0, source="other")) is None
    assert GrainTrack()(Measurement(source="video", seq=0, n=0, time_ns=0, complete=False)) is None


def test_a_picture_of_another_shape_begins_anew():
    model = GrainTrack()
    model(measured(grid(), 0))
    assert "first frame" in model(measured(grid()[:50], 1)).reason


def test_grown_grains_of_the_simulator_keep_the_laws():
    """Mean area linear in time with the true slope within 5 %, and dA/dt against n - 6 with a correlation over 0.8."""
    reader, extract, model = Simulated(seed=1), Grains(), GrainTrack(window=8)
    found, true, verdict = [], [], None
    for n in range(24):
        arrival = reader.arrival(n)
        frame = Frame(
            source="video", data=arrival.data, dims=("y", "x"), unit="counts", time_ns=arrival.time_ns, seq=n, n=n
        )
        features = extract(frame, {}, ())
        found.append(features["grain_area_mean"].value)
        true.append(reader.truth(n).area_mean)
        verdict = model(measured(features["grain_labels"].values, n))
    times = np.arange(len(found))
    assert np.corrcoef(times, found)[0, 1] ** 2 > 0.99
    assert np.polyfit(times, found, 1)[0] == pytest.approx(np.polyfit(times, true, 1)[0], rel=0.05)
    assert verdict.scores["law"] > 0.8
    assert verdict.scores["law_rate"] > 0


@pytest.mark.parametrize(
    "keys", [{"overlap": 0.0}, {"window": 0}, {"persist": 0}, {"labels": "x_labels", "units": {"grain_sides_mean": ""}}]
)
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        GrainTrack(**keys)
