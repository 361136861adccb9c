"""What a simulated diffractometer is set to: its axis, its counter, and settings that may change during a run."""

import bisect
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from insitu.errors import ConfigError
from insitu.maths.aligned import aligned
from insitu.types import Detector

POINTS = 4096
WAVELENGTH = 1.5406
"""Cu K-alpha1 in angstrom, as detector files have it."""
SATURATION = 100_000.0
"""Most counts in a point where neither the reader nor the detector says."""
FIRST_TIME = "2026-01-01T00:00:00+00:00"
"""Fixed, so that unpaced runs reproduce."""


class _Stretch(NamedTuple):
    """Settings from frame `first` on, with the temperature and time of that frame."""

    first: int
    temperature: float
    time_ns: int
    exposure_s: float
    step: float


class Settings:
    """Exposure and ramp from frame to frame; remembers every change, so that any frame can be asked for again.

    >>> settings = Settings(300.0, 1.0, 303.0, 0.5, None, 0)
    >>> settings.change(2, exposure_s=2.0)
    >>> [(settings.temperature(i), settings.time_ns(i) * 1e-9) for i in range(5)]
    [(300.0, 0.0), (301.0, 0.5), (302.0, 1.0), (303.0, 3.0), (303.0, 5.0)]
    """

    def __init__(
        self, begin: float, step: float, stop: float | None, exposure_s: float, rate: float | None, time_ns: int
    ) -> None:
        self.stop, self.shortest = stop, 0.0 if rate is None else 1.0 / rate
        self.first_exposure_s = exposure_s
        self._stretches = [_Stretch(0, begin, time_ns, exposure_s, step)]

    def start_at(self, time_ns: int) -> None:
        """Frame 0 is taken at `time_ns`; all frames shift with it."""
        shift = time_ns - self._stretches[0].time_ns
        self._stretches = [stretch._replace(time_ns=stretch.time_ns + shift) for stretch in self._stretches]

    def change(self, first: int, *, exposure_s: float | None = None, temperature_step: float | None = None) -> None:
        """New settings from frame `first` on."""
        at = self._at(first)
        new = _Stretch(
            first=first,
            temperature=self.temperature(first),
            time_ns=self.time_ns(first),
            exposure_s=at.exposure_s if exposure_s is None else exposure_s,
            step=at.step if temperature_step is None else temperature_step,
        )
        self._stretches = [stretch for stretch in self._stretches if stretch.first < first] + [new]

    def exposure_s(self, index: int) -> float:
        """Exposure of frame `index` in s."""
        return self._at(index).exposure_s

    def temperature(self, index: int) -> float:
        """Temperature of frame `index` in K: a ramp that stays where it has reached its stop."""
        at = self._at(index)
        value = at.temperature + (index - at.first) * at.step
        if self.stop is None:
            return max(value, 1.0)  # a furnace that cools for ever still has a temperature
        return min(value, self.stop) if at.step >= 0.0 else max(value, self.stop)

    def time_ns(self, index: int) -> int:
        """Start of exposure of frame `index`, ns since 1970 UTC."""
        at = self._at(index)
        return at.time_ns + round((index - at.first) * max(at.exposure_s, self.shortest) * 1e9)

    def _at(self, index: int) -> _Stretch:
        stretches = self._stretches
        return stretches[bisect.bisect_right(stretches, index, key=lambda stretch: stretch.first) - 1]


def positive(value: float, where: str, unit: str = "") -> float:
    """`value`, refused unless it is over 0."""
    if not value > 0:
        raise ConfigError(f"{where} is {value} {unit}".rstrip(), where=where, expected="more than 0")
    return value


def wavelength_of(given: float | None, detector: Detector | None) -> float:
    """Wavelength in angstrom: as given, else the detector's calibration, else Cu K-alpha1."""
    if given is None and detector is not None and "wavelength" in detector.calibration:
        known = detector.calibration["wavelength"]
        if known.value is None or known.unit != "angstrom":
            raise ConfigError(
                f"the wavelength is {known.value} {known.unit}",
                where="calibration.wavelength",
                expected='a length in angstrom, such as "1.5406 angstrom"',
            )
        given = float(known.value)
    return positive(WAVELENGTH if given is None else given, "wavelength", "angstrom")


def angles(start: float, stop: float, points: int | None, detector: Detector | None) -> np.ndarray:
    """The axis in deg, both ends included; as many points as given, else as the detector's shape says, else 4096."""
    shape = detector.shape if detector else None
    if shape is not None and (len(shape) != 1 or points not in (None, shape[0])):
        raise ConfigError(
            f"points = {points} does not agree with the detector's shape {list(shape)}",
            where="points",
            expected="one dimension, and the same number",
            remedy="Leave points out.",
        )
    count = points or (shape[0] if shape else POINTS)
    if count < 16 or not 0.0 < start < stop < 180.0:
        raise ConfigError(
            f"{count} points from {start:g} to {stop:g} deg make no pattern",
            where="two_theta_start",
            expected="at least 16 points between 0 and 180 deg, start below stop",
        )
    return aligned(np.linspace(start, stop, count))


def counter_top(saturation: float | None, detector: Detector | None) -> tuple[np.dtype, float]:
    """The detector's dtype and the most counts that a point can have."""
    dtype = np.dtype((detector.dtype if detector else None) or "uint32")
    if dtype.kind not in "uif":
        raise ConfigError(f"counts cannot be stored as {dtype}", where="dtype", expected="an integer or float type")
    if saturation is None and detector is not None:
        saturation = detector.saturation
    top = positive(SATURATION if saturation is None else saturation, "saturation", "counts")
    return dtype, min(top, float(np.iinfo(dtype).max)) if dtype.kind in "ui" else top


def first_time_ns(start: str, *, live: bool) -> int:
    """Time of the first frame in ns since 1970 UTC; "" is now when live and a fixed time otherwise; naive is UTC."""
    if start == "now" or (live and not start):
        moment = datetime.now(UTC)
    else:
        try:
            moment = datetime.fromisoformat(start or FIRST_TIME)
        except ValueError as error:
            raise ConfigError(
                f"start = {start!r} is no time", where="start", expected='"now" or ISO 8601, such as "2026-01-01T12:00"'
            ) from error
    whole = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = whole - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
