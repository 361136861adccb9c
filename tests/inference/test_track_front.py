"""The speed of a front: of the real melt pool with the stock recipe, and of fronts that stop."""

import pytest

from insitu.errors import ConfigError
from insitu.inference.track_front import TrackFront
from insitu.readers.movie import Movie
from insitu.types import Arrival, Feature, Measurement
from tests.movies import flagged, judged


def test_the_stock_recipe_gives_the_speed_of_the_melt_front_with_its_uncertainty(data):
    stack = data / "video" / "meltpool_lpbf_xray_dev.tif"
    records = judged([a for a in Movie(str(stack))() if isinstance(a, Arrival)], "video_front")
    scores = records[-1].verdicts["track_front"].scores
    assert scores["speed_x"] == pytest.approx(-1.50, abs=0.1)  # px/frame, the data's README
    assert 0.0 < scores["speed_x_sigma"] < 0.05
    assert abs(scores["speed_x"] + 1.50) < 4 * scores["speed_x_sigma"] + 0.02
    assert flagged(records) == {}


def moments(places, **labels):
    for n, place in enumerate(places):
        feature = Feature(place, "px") if place is not None else Feature(None, "px", why="nothing moved")
        yield Measurement(
            source="v",
            seq=n,
            n=n,
            time_ns=n * 10**7,
            features={"front_x": feature},
            context={"pixel_size": Feature(2.0, "um")},
        )


def test_a_front_that_stops_is_a_change_and_is_followed_anew():
    model = TrackFront(units={"front_x": "px"})
    places = [300 - 1.5 * n for n in range(60)] + [210.0] * 40
    verdicts = [model(m) for m in moments(places)]
    labels = [v.label for v in verdicts]
    assert labels[:12] == ["unknown"] * 12
    assert set(labels[12:60]) == {"normal"}
    assert labels.count("change") == 1
    assert 60 + 7 <= labels.index("change") <= 60 + 12
    assert verdicts[-1].scores["speed_x"] == pytest.approx(0.0, abs=0.05)
    assert verdicts[50].scores["velocity_x"] == pytest.approx(-300.0)  # 1.5 px of 2 um each 10 ms
    assert "um/s" in verdicts[50].reason


def test_single_places_far_off_do_not_matter_and_missing_ones_are_unknown():
    model = TrackFront(units={"front_x": "px"})
    places = [300 - 1.5 * n for n in range(80)]
    for n in range(15, 80, 6):
        places[n] = 20.0
    places[70] = None
    verdicts = [model(m) for m in moments(places)]
    assert verdicts[70].label == "unknown"
    assert "change" not in {v.label for v in verdicts}
    assert verdicts[-1].scores["speed_x"] == pytest.approx(-1.5, abs=1e-6)


def test_a_front_that_the_recipe_does_not_measure_is_refused():
    with pytest.raises(ConfigError, match="front"):
        TrackFront(units={"video_focus": "1/px"})
    with pytest.raises(ConfigError):
        TrackFront(fewest=3)
