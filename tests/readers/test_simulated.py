"""The simulated diffractometer: reproducible, Poisson, labelled, right about its transition, and every fault."""

import dataclasses
import threading

import numpy as np
import pytest

from insitu.errors import ActionRefusedError
from insitu.readers.heated_sample import Geometry
from insitu.readers.simulated import Diffractometer
from insitu.types import Detector, Feature, Limit


def arrivals(reader: Diffractometer) -> list:
    return [arrival for arrival in reader() if arrival is not None]


def top(reader: Diffractometer, data: np.ndarray, low: float, high: float) -> float:
    """Position (deg) of the centre of the counts above half height in a window, over a flat base."""
    window = (reader.two_theta >= low) & (reader.two_theta <= high)
    x, y = reader.two_theta[window], data[window].astype(float)
    above = np.clip(y - y.min() - 0.5 * (y.max() - y.min()), 0.0, None)
    return float((above * x).sum() / above.sum())


def strongest(reader: Diffractometer, index: int):
    return max(reader.truth(index).peaks, key=lambda peak: peak.area)


def test_everything_it_gives_is_labelled_as_simulated():
    assert Diffractometer.simulated is True
    for sample in ("batio3", "ceo2", "si", "al2o3", "tio2"):
        for arrival in arrivals(Diffractometer(frames=3, sample=sample, faults=("dead@1", "duplicate@2"))):
            assert arrival.labels["simulated"] == "true"


def test_an_arrival_has_what_the_house_expects():
    first = arrivals(Diffractometer(frames=1))[0]
    assert first.dims == ("two_theta",)
    assert (first.data.shape, first.data.dtype, first.unit) == ((4096,), np.uint32, "counts")
    assert not first.data.flags.writeable
    assert first.axes["two_theta"].unit == "deg"
    assert np.all(np.diff(first.axes["two_theta"].values) > 0)
    units = {name: feature.unit for name, feature in first.context.items()}
    assert units == {"temperature": "K", "wavelength": "angstrom", "exposure_s": "s", "monitor": "counts"}
    assert (first.time_ns, first.duration_ns) == (1_767_225_600_000_000_000, 40_000_000)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, second = (arrivals(Diffractometer(frames=4, seed=7)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.data.tobytes() == b.data.tobytes()
        assert a.context == b.context
        assert (a.time_ns, a.source_seq) == (b.time_ns, b.source_seq)
    assert arrivals(Diffractometer(frames=1, seed=8))[0].data.tobytes() != first[0].data.tobytes()


def test_a_frame_does_not_depend_on_those_before_it():
    reader = Diffractometer(frames=30)
    assert arrivals(reader)[25].data.tobytes() == Diffractometer().arrival(25).data.tobytes()


def test_a_reader_can_be_read_again_from_the_start():
    reader = Diffractometer(frames=3)
    assert [a.data.tobytes() for a in arrivals(reader)] == [a.data.tobytes() for a in arrivals(reader)]


def test_two_detectors_of_one_seed_have_different_noise():
    left, right = (Diffractometer(detector=Detector(name=s, source=s)).arrival(0) for s in ("left", "right"))
    assert (left.source, right.source) == ("left", "right")
    assert left.data.tobytes() != right.data.tobytes()


def test_counts_are_poisson():
    """Over 200 frames at one temperature the variance is the mean: chi-square of all points within 5 sigma."""
    reader = Diffractometer(temperature_step=0.0, points=256)
    counts = np.array([reader.arrival(i).data for i in range(200)], dtype=float)
    mean, variance = counts.mean(axis=0), counts.var(axis=0, ddof=1)
    index = float((variance / mean).mean())
    assert index == pytest.approx(1.0, abs=5 * np.sqrt(2 / 199 / 256))
    expected = reader._scale * reader._powder.curve(320.0, Geometry()) + reader._background + 0.5
    pull = (mean - expected) / np.sqrt(expected / 200)
    assert np.abs(pull).max() < 5.5
    assert pull.std() == pytest.approx(1.0, abs=0.2)


def test_the_strongest_point_has_the_counts_asked_for():
    reader = Diffractometer(peak_counts=20_000.0, background_counts=0.0)
    assert reader.arrival(0).data.max() == pytest.approx(20_000, abs=5 * np.sqrt(20_000))


def test_heating_merges_the_two_hundred_pair_at_the_transition():
    reader = Diffractometer()
    assert reader.truth(0).fractions == {"tetragonal": 1.0}
    cubic = [reader.truth(i).fractions.get("cubic", 0.0) for i in range(330)]
    assert np.all(np.diff(cubic) >= 0)
    crossing = next(i for i, fraction in enumerate(cubic) if fraction >= 0.5)
    assert crossing == 183
    assert abs(reader.truth(crossing).temperature_K - 393.0) <= 0.4

    def family(index: int) -> list[float]:
        return [p.two_theta for p in reader.truth(index).peaks if sorted(np.abs(p.hkl)) == [0, 0, 2]]

    room = Diffractometer(temperature_start=299.15).truth(0).peaks
    published = [2 * np.degrees(np.arcsin(1.5406 / edge)) for edge in (4.038, 3.994)]  # d = edge/2: sin = lambda/edge
    assert [p.two_theta for p in room if sorted(p.hkl) == [0, 0, 2]] == pytest.approx(published, abs=1e-6)
    assert len(family(300)) == 1
    low, high = family(0)
    assert top(reader, reader.arrival(0).data, low - 0.15, low + 0.15) == pytest.approx(low, abs=0.01)
    assert top(reader, reader.arrival(300).data, low, high) == pytest.approx(family(300)[0], abs=0.01)


def test_lines_in_the_counts_lie_where_the_truth_says():
    reader = Diffractometer(sample="si", temperature_step=2.0, peak_counts=50_000.0)
    for index in (0, 100, 200):
        for peak in reader.truth(index).peaks:
            found = top(reader, reader.arrival(index).data, peak.two_theta - 0.2, peak.two_theta + 0.2)
            assert found == pytest.approx(peak.two_theta, abs=2e-3)


def test_the_area_of_a_line_is_the_true_area():
    reader = Diffractometer(sample="ceo2", peak_counts=50_000.0, background_counts=0.0)
    peak = strongest(reader, 0)
    near = np.abs(reader.two_theta - peak.two_theta) < 1.5
    step = reader.two_theta[1] - reader.two_theta[0]
    lorentz = 0.5 * (2 / np.pi * np.arctan(2 * 1.5 / peak.fwhm)) + 0.5
    assert reader.arrival(0).data[near].sum() * step == pytest.approx(peak.area * lorentz, rel=0.01)


@pytest.fixture(scope="module")
def clean() -> Diffractometer:
    return Diffractometer(faults=(), temperature_step=0.0)


def faulty(text: str, **keys) -> Diffractometer:
    return Diffractometer(faults=(text,), temperature_step=0.0, **keys)


def monitor(arrival) -> float:
    return arrival.context["monitor"].value


def test_frames_before_a_fault_are_those_without_it(clean):
    for kind in ("beam_loss", "shutter", "saturation", "slipped", "zero_shift", "dead", "lost_phase"):
        reader = faulty(f"{kind}@2")
        assert reader.arrival(1).data.tobytes() == clean.arrival(1).data.tobytes(), kind
        assert reader.arrival(2).data.tobytes() != clean.arrival(2).data.tobytes(), kind
        assert reader.truth(1).faults == ()
        assert reader.truth(2).faults == (kind,)


def test_beam_loss_takes_counts_and_monitor_and_ends(clean):
    reader = faulty("beam_loss@2-3")
    lost, back = reader.arrival(2), reader.arrival(4)
    assert monitor(lost) == 0
    assert lost.data.mean() == pytest.approx(0.5, abs=0.06)
    assert back.data.tobytes() == clean.arrival(4).data.tobytes()


def test_a_closed_shutter_leaves_the_monitor(clean):
    dark = faulty("shutter@2").arrival(2)
    assert monitor(dark) == monitor(clean.arrival(2)) > 90_000
    assert dark.data.mean() == pytest.approx(0.5, abs=0.06)


def test_saturation_clips_at_the_counters_top_and_raises_the_monitor():
    detector = Detector(name="det", source="det", saturation=65_535.0)
    reader = faulty("saturation@2", detector=detector)
    bright = reader.arrival(2)
    assert bright.data.max() == 65_535
    assert (bright.data == 65_535).sum() > 10
    assert monitor(bright) > 4_000_000
    assert reader.arrival(1).data.max() < 65_535


def test_a_slipped_sample_moves_lines_with_the_angle_and_dims_them(clean):
    reader = faulty("slipped@2")
    before, after = clean.truth(2).peaks, reader.truth(2).peaks
    moved = [b.two_theta - a.two_theta for a, b in zip(before, after, strict=True)]
    expected = [-np.degrees(2 * 0.25 * np.cos(np.radians(p.two_theta / 2)) / 200.0) for p in before]
    np.testing.assert_allclose(moved, expected, atol=1e-9)
    assert after[0].area == pytest.approx(0.35 * before[0].area)
    peak = next(p for p in after if p.hkl == (1, 1, 1))
    assert top(reader, reader.arrival(2).data, 38.5, 39.0) == pytest.approx(peak.two_theta, abs=0.01)
    assert monitor(reader.arrival(2)) == monitor(clean.arrival(2))


def test_a_zero_shift_moves_all_lines_alike(clean):
    reader = faulty("zero_shift@2=0.08")
    before, after = clean.truth(2).peaks, reader.truth(2).peaks
    np.testing.assert_allclose([p.two_theta for p in after], [p.two_theta + 0.08 for p in before], atol=1e-9)
    moved = top(reader, reader.arrival(2).data, 38.6, 39.2) - top(clean, clean.arrival(2).data, 38.6, 39.2)
    assert moved == pytest.approx(0.08, abs=0.01)


def test_a_dead_detector_gives_one_value_everywhere(clean):
    dead = faulty("dead@2=7").arrival(2)
    assert np.all(dead.data == 7)
    assert monitor(dead) == monitor(clean.arrival(2))
    assert not faulty("dead@2").arrival(2).data.any()


def test_a_lost_phase_leaves_a_broad_ring(clean):
    reader = faulty("lost_phase@2")
    lost, normal = reader.arrival(2).data, clean.arrival(2).data
    peak = strongest(clean, 2)
    at = np.argmin(np.abs(reader.two_theta - peak.two_theta))
    assert lost[at] < 0.15 * normal[at]
    quiet = (reader.two_theta > 26.0) & (reader.two_theta < 29.0)
    assert lost[quiet].mean() > 2 * normal[quiet].mean()
    assert strongest(reader, 2).area == pytest.approx(0.02 * peak.area)


def test_duplicate_missing_and_reordered_frames_show_in_the_numbers():
    reader = Diffractometer(frames=12, counter_start=100, faults=("duplicate@2", "missing@4-5", "reorder@8=2"))
    given = arrivals(reader)
    assert [a.source_seq for a in given] == [100, 101, 102, 102, 103, 106, 107, 109, 110, 108, 111]
    assert given[2].data.tobytes() == given[3].data.tobytes()
    assert given[2].time_ns == given[3].time_ns
    assert given[9].time_ns < given[8].time_ns


def test_numbers_wrap_and_restart():
    reader = Diffractometer(frames=6, counter_start=14, counter_bits=4, faults=("reset@4",))
    assert [a.source_seq for a in arrivals(reader)] == [14, 15, 0, 1, 0, 1]


def test_a_paced_reader_gives_none_while_it_waits_and_stamps_frames_with_now():
    given = list(Diffractometer(frames=2, rate=4.0)())
    waiting = [arrival is None for arrival in given]
    assert waiting.index(True) < len(given) - 1
    times = [arrival.time_ns for arrival in given if arrival is not None]
    assert len(times) == 2
    assert times[1] - times[0] == 250_000_000
    assert times[0] > 1_767_225_600_000_000_000


def test_an_unpaced_reader_never_waits():
    assert None not in list(Diffractometer(frames=5)())


def test_frames_go_on_without_end_when_none_is_set():
    stream = Diffractometer(sample="si", points=64)()
    assert [next(stream).source_seq for _ in range(500)][-1] == 499


def test_adapting_changes_the_frames_after_it():
    reader = Diffractometer(frames=6)
    stream = reader()
    first = [next(stream) for _ in range(3)]
    reader.adapt({"exposure_s": Feature(0.4, "s"), "temperature_step": Feature(0.05, "K")})
    rest = list(stream)
    assert [a.context["exposure_s"].value for a in [*first, *rest]] == [0.04] * 3 + [0.4] * 3
    temperatures = [a.context["temperature"].value for a in [*first, *rest]]
    np.testing.assert_allclose(temperatures, [320.0, 320.4, 320.8, 321.2, 321.25, 321.3])
    assert float(rest[0].data.sum()) == pytest.approx(10.0 * float(first[0].data.sum()), rel=0.02)
    assert monitor(rest[0]) == pytest.approx(1_000_000, rel=0.01)
    assert rest[1].time_ns - rest[0].time_ns == rest[0].duration_ns == 400_000_000
    assert reader.truth(4).exposure_s == 0.4
    assert strongest(reader, 4).area == pytest.approx(10 * strongest(reader, 0).area, rel=0.01)


@pytest.mark.parametrize(
    "params",
    [
        {"field": Feature(1.0, "T")},
        {"exposure_s": Feature(1.0, "ms")},
        {"exposure_s": Feature(None, "s", why="not known")},
        {"exposure_s": Feature(0.0, "s")},
        {"exposure_s": Feature(9.0, "s")},
        {"temperature_step": Feature(0.1, "K"), "field": Feature(1.0, "T")},
    ],
)
def test_what_it_cannot_set_is_refused_and_nothing_changes(params):
    limits = {"exposure_s": Limit(unit="s", low=0.01, high=5.0)}
    reader = Diffractometer(detector=Detector(name="det", source="det", limits=limits))
    before = reader.truth(50)
    with pytest.raises(ActionRefusedError):
        reader.adapt(params)
    assert dataclasses.asdict(reader.truth(50)) == dataclasses.asdict(before)


def test_adapting_from_another_thread_never_changes_a_frame_already_given():
    reader = Diffractometer(frames=200, points=64, sample="si", temperature_step=0.1)
    given = []
    stop = threading.Event()

    def change() -> None:
        exposure = 0.04
        while not stop.is_set():
            exposure = 0.08 if exposure == 0.04 else 0.04
            reader.adapt({"exposure_s": Feature(exposure, "s")})

    thread = threading.Thread(target=change)
    thread.start()
    given = arrivals(reader)
    stop.set()
    thread.join()
    for arrival in given:
        truth = reader.truth(arrival.source_seq)
        assert arrival.context["exposure_s"].value == truth.exposure_s
        assert arrival.time_ns == truth.time_ns
