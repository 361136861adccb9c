"""Barkhausen noise of simulated windows: right answers, honest uncertainties, and a reason for what cannot be told."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from scipy import signal, stats

from insitu.errors import ConfigError
from insitu.features.barkhausen import Barkhausen as Extractor
from insitu.readers.simulated_barkhausen import Barkhausen
from insitu.types import ArrayFeature, Arrival, Detector, Feature, Frame

SMALL: dict[str, Any] = {"samples": 20_000, "sample_rate": 2e5, "correlation_time": 5e-5, "coupling": 500.0}


def framed(arrival: Arrival, n: int = 0) -> Frame:
    return Frame(seq=n, n=n, **{f.name: getattr(arrival, f.name) for f in fields(arrival)})


def simulated(n: int = 0, **keys: Any) -> Frame:
    return framed(Barkhausen(**{**SMALL, **keys}).arrival(n), n)


def waveform(x: np.ndarray, unit: str = "V", rate: float | None = 1e5) -> Frame:
    context = {} if rate is None else {"sample_rate": Feature(rate, "Hz")}
    return Frame(source="mbn", seq=0, n=0, time_ns=0, data=x, dims=("sample",), unit=unit, context=context)


def measured(frame: Frame, **keys: Any) -> dict[str, Any]:
    extractor = Extractor(**keys)
    found = extractor(frame, {}, ())
    assert list(found) == list(extractor.outputs)
    for key, feature in found.items():
        assert feature.unit == extractor.outputs[key].unit, key
    return {key.removeprefix(f"{extractor.name}_"): feature for key, feature in found.items()}


def number(found: dict[str, Any], key: str) -> float:
    assert found[key].value is not None, found[key].why
    return float(found[key].value)


def test_plain_numbers_are_those_of_scipy() -> None:
    x = np.random.default_rng(1).standard_t(5, 50_000) * 0.02
    found = measured(waveform(x), threshold=Feature(50.0, "mV"), dead=5e-5)
    hit = np.flatnonzero(np.abs(x) > 0.05)
    assert number(found, "rms") == pytest.approx(np.sqrt(np.mean(x * x)))
    assert number(found, "kurtosis") == pytest.approx(stats.kurtosis(x))
    assert number(found, "n_pulses") == np.count_nonzero(np.diff(hit) > 5) + 1
    assert number(found, "pulse_rate") == pytest.approx(2.0 * found["n_pulses"].value)
    _, power = signal.welch(x, 1e5, nperseg=4096)
    first = power[:410].sum() * 1e5 / 4096
    assert number(measured(waveform(x), bands=[(0.0, 1e4)]), "band1_power") == pytest.approx(first, rel=0.01)
    assert abs(number(found, "psd_slope")) < 4.0 * found["psd_slope"].sigma


def test_the_truth_of_the_simulator_is_found_within_the_uncertainty_that_is_told() -> None:
    reader = Barkhausen(**SMALL)
    found = [measured(framed(reader.arrival(i)), low=500.0) for i in range(120)]
    truth = reader.truth(0)
    places = np.array([number(f, "peak_field") for f in found])
    told = np.array([f["peak_field"].sigma for f in found if f["peak_field"].sigma is not None])
    assert told.size >= 110
    lag = 1.5 * 5e-5 * 4 * 2000.0 * 20.0  # the envelope's, behind the driving rate
    assert abs(places.mean() - truth.peak_field - lag) < 3.0 * places.std() / math.sqrt(120) + 6.0
    assert np.sqrt(np.mean(told**2)) == pytest.approx(places.std(), rel=0.25)
    assert np.mean([number(f, "peak_field_up") for f in found]) == pytest.approx(truth.peak_field, rel=0.06)
    assert np.mean([number(f, "peak_field_down") for f in found]) == pytest.approx(-truth.peak_field, rel=0.06)
    assert np.mean([number(f, "fwhm") for f in found]) == pytest.approx(truth.fwhm, rel=0.1)
    assert np.mean([number(f, "envelope_peak") for f in found]) == pytest.approx(truth.height, rel=0.12)
    assert abs(np.mean([f["skew"].value for f in found if f["skew"].value is not None])) < 0.05
    assert np.mean([number(f, "noise") for f in found]) == pytest.approx(2e-3, rel=0.08)
    level = np.array([number(f, "rms") for f in found])
    assert np.sqrt(np.mean([f["rms"].sigma ** 2 for f in found])) == pytest.approx(level.std(), rel=0.25)
    assert {f["n_half_cycles"].value for f in found} == {4}


def test_a_field_in_tesla_and_noise_in_millivolts_say_the_same() -> None:
    plain = simulated(c=1.5)
    data = plain.data.astype(np.float64) * np.array([[1e3], [4e-7 * math.pi]])
    other = measured(replace(plain, data=data, unit=("mV", "T")), low=500.0)
    found = measured(plain, low=500.0)
    for key in ("rms", "peak_field", "fwhm", "envelope_peak", "n_pulses", "band2_power", "hum"):
        assert number(other, key) == pytest.approx(number(found, key), rel=1e-4), key
    assert number(measured(plain, low=500.0, field_unit="T"), "peak_field") == pytest.approx(
        number(found, "peak_field") * 4e-7 * math.pi, rel=1e-6
    )


def test_a_field_that_was_sampled_more_slowly_is_stretched() -> None:
    plain = simulated(c=1.5)
    n = plain.data.shape[1]
    data, mask = plain.data.copy(), np.zeros(plain.data.shape, np.bool_)
    data[1, : n // 20], data[1, n // 20 :], mask[1, n // 20 :] = plain.data[1, ::20], 0.0, True
    slow = replace(plain, data=data, mask=mask, context={**plain.context, "rate_field": Feature(1e4, "Hz")})
    found, other = measured(plain, low=500.0), measured(slow, low=500.0)
    assert number(other, "peak_field") == pytest.approx(number(found, "peak_field"), rel=0.02)
    lost = replace(slow, context={"sample_rate": Feature(2e5, "Hz")})
    assert "its rate is not known" in measured(lost)["peak_field"].why


def test_without_a_field_all_else_is_measured_and_the_place_in_time_is_told() -> None:
    alone = measured(simulated(with_field=False, frequency=5.0, samples=20_000), low=500.0)
    for key in ("peak_field", "peak_field_up", "peak_field_down", "fwhm", "skew", "n_half_cycles"):
        assert "no channel of the field" in alone[key].why
    assert number(alone, "envelope_peak") > 5.0 * number(alone, "noise")
    # half a cycle of 0.2 s: the peak at 600 of -2000 to 2000, the sweep takes 0.1 s
    assert number(alone, "peak_time") == pytest.approx(0.1 * 2600.0 / 4000.0, abs=0.012)
    assert number(alone, "rms") > 0.0
    assert alone["rms"].sigma is None


def test_hum_is_kept_out_of_the_noise_by_the_band_and_told() -> None:
    plain, hum = (measured(simulated(faults=faults), low=1000.0) for faults in ((), ("hum@0=0.3",)))
    assert number(hum, "hum") > 10.0 * number(plain, "hum")
    assert number(hum, "rms") == pytest.approx(number(plain, "rms"), rel=0.1)
    assert number(measured(simulated(faults=("hum@0=0.3",))), "rms") > 5.0 * number(plain, "rms")


def test_the_exponents_of_an_unfiltered_wall_are_those_of_the_model() -> None:
    found = measured(
        simulated(
            c=0.3, background=1.0, coupling=0.0, amplifier_noise=1e-9, samples=2_000_000, sample_rate=1e6,
            correlation_time=1e-2, frequency=0.1,
        ),
        threshold=Feature(0.05 * 1e-3, "V"), dead=0.0, duration_range=(1e-4, 1e-3), size_range=(1e-9, 1e-7),
    )  # fmt: skip
    assert number(found, "duration_exponent") == pytest.approx(1.7, abs=0.15)
    assert number(found, "size_exponent") == pytest.approx(1.35, abs=0.12)
    assert 0.0 < found["duration_exponent"].sigma < 0.1


def test_arrays_are_kept_where_asked_for() -> None:
    found = measured(simulated(c=1.5), low=500.0, arrays=True, bins=100, segment=1024)
    envelope, at, psd = found["envelope"], found["envelope_field"], found["psd"]
    assert isinstance(envelope, ArrayFeature)
    assert envelope.values.shape == (2, 100)
    peaks = at.values[np.nanargmax(np.convolve(envelope.values[0], np.ones(9) / 9, "same"))]
    assert peaks == pytest.approx(number(found, "peak_field_up"), abs=400.0)
    assert psd.values.shape == psd.axes["frequency"].values.shape == (513,)
    alone = measured(simulated(with_field=False), arrays=True, bins=100)
    assert alone["envelope"].values.shape == (2, 100)
    assert np.isnan(alone["envelope_field"].values).all()
    dead = measured(waveform(np.zeros(5000)), arrays=True)
    assert isinstance(dead["envelope"], Feature)


@pytest.mark.parametrize(
    ("frame", "key", "why"),
    [
        (waveform(np.zeros(5000)), "rms", "no signal: every sample is 0 V"),
        (waveform(np.clip(np.random.default_rng(2).normal(size=5000), -1, 1)), "rms", "clipped"),
        (waveform(np.random.default_rng(2).normal(size=40)), "kurtosis", "only 40 samples"),
        (waveform(np.where(np.arange(500) == 7, np.nan, 1.0)), "rms", "1 of 500 samples are no numbers"),
        (waveform(np.random.default_rng(2).normal(size=500), rate=None), "psd_slope", "sample rate is not known"),
        (waveform(np.random.default_rng(2).normal(size=500), "counts"), "rms", "is in 'counts', not in V"),
        (waveform(np.random.default_rng(2).normal(size=500), ""), "hum", "no known unit"),
        (waveform(np.random.default_rng(2).normal(size=5000)), "size_exponent", "pulses: 50"),
        (waveform(np.random.default_rng(2).normal(size=5000), rate=1e3), "band2_power", "the spectrum goes from"),
        (simulated(faults=("magnet_off@0",)), "peak_field", "goes up and down like noise"),
        (replace(simulated(), unit=("V", "V")), "peak_field", "channel_units"),
        (replace(simulated(), dims=("y", "x"), data=np.zeros((2, 3, 4)), labels={}), "rms", "no waveform"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_says_why(frame: Frame, key: str, why: str) -> None:
    found = measured(frame)
    assert found[key].value is None
    assert why in found[key].why


def test_numbers_that_need_no_rate_and_no_unit_are_there_without() -> None:
    x = np.random.default_rng(3).normal(size=5000)
    assert number(measured(waveform(x, rate=None)), "rms") == pytest.approx(1.0, rel=0.05)
    assert measured(waveform(x, rate=None), low=100.0)["rms"].value is None
    assert abs(number(measured(waveform(x, "counts")), "kurtosis")) < 0.2
    assert number(measured(waveform(x, "counts"), unit="counts"), "rms") == pytest.approx(1.0, rel=0.05)


def test_the_limits_of_the_converter_are_known_from_the_type_or_the_detector() -> None:
    counts = np.clip(np.random.default_rng(4).normal(0, 9000, 5000), -32768, 32767).round().astype(np.int16)
    full = np.count_nonzero((counts == 32767) | (counts == -32768))
    assert 0 < full < 20
    assert number(measured(waveform(counts, "counts")), "clipped_fraction") == full / 5000
    limited = Detector(name="d", source="mbn", saturation=2.5)
    x = np.random.default_rng(5).normal(size=5000)
    expected = np.count_nonzero(np.abs(x) >= 2.5) / 5000
    assert number(measured(waveform(x), detector=limited), "clipped_fraction") == expected > 0
    assert number(measured(waveform(x)), "clipped_fraction") == 0.0


def test_a_band_beyond_what_was_sampled_is_refused_for_the_window_and_a_high_end_is_let_go() -> None:
    x = np.random.default_rng(6).normal(size=5000)
    found = measured(waveform(x), low=6e4)
    assert "the band begins at 60000 Hz" in found["rms"].why
    assert number(found, "psd_slope") is not None
    assert number(measured(waveform(x), low=100.0, high=6e4), "rms") == pytest.approx(1.0, rel=0.05)
    half = number(measured(waveform(x), low=100.0, high=2.5e4), "rms")
    assert half == pytest.approx(math.sqrt(0.5), rel=0.1)


def test_the_same_frame_gives_the_same_numbers_whatever_came_before() -> None:
    extractor, frames = Extractor(low=500.0), [simulated(n) for n in range(3)]
    first = [extractor(frame, {}, ()) for frame in frames]
    assert [extractor(frame, {}, ()) for frame in reversed(frames)][::-1] == first
    assert Extractor(low=500.0)(frames[1], {}, ()) == first[1]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"low": 5e3, "high": 1e3}, "low"), ({"slope": (1e5, 1e4)}, "slope"), ({"bands": [(1e4, 1e3)]}, "bands"),
        ({"bins": 3}, "bins"), ({"window": 0.0}, "window"), ({"name": "Mbn"}, "name"), ({"dead": -1.0}, "dead"),
        ({"threshold": Feature(0.0, "V")}, "threshold"), ({"segment": 2}, "segment"),
        ({"size_range": (2.0, 1.0)}, "size_range"),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_with_their_key(keys: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as error:
        Extractor(**keys)
    assert error.value.where == where


@pytest.mark.parametrize("keys", [{"threshold": Feature(5.0, "s")}, {"unit": "nonsense"}, {"field_unit": "10**10"}])
def test_units_that_cannot_be_are_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Extractor(**keys)
