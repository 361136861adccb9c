"""What the headers of image files say: exposure, time, wavelength, distance, pixel size, temperature, motors.

Names and units differ from format to format, so each has its table. A number whose unit is neither written nor fixed by
the format is not guessed at. Zero or negative wavelengths, distances and pixel sizes are placeholders and not taken.
Results are in angstrom, m, um, s, K and deg; header clocks are computer clocks that nobody compared (see `header`).

Sources of the tables: the formats' own descriptions (Dectris' Pilatus header 1.4, ESRF data format, Area Detector
Systems' and Rigaku's .img headers, marresearch's mar345 and marCCD headers).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from insitu import units
from insitu.errors import UnitError
from insitu.readers.header import SECOND, Header, read_time, wavelength, zone
from insitu.types import KEY, Feature

HC_KEV_ANGSTROM = 12.398419843320026
"""Planck's constant times the speed of light (exact since 2019): wavelength in angstrom of 1 keV."""
MOST_MOTORS = 64
"""How many motor positions of one header are taken."""
UNITS = {
    "wavelength": "angstrom",
    "distance": "m",
    "pixel_size": "um",
    "pixel_size_x": "um",
    "pixel_size_y": "um",
    "exposure_s": "s",
    "period": "s",
    "energy": "keV",
    "temperature": "K",
}
"""Unit of each name of the context."""
POSITIVE = frozenset(("wavelength", "distance", "pixel_size", "pixel_size_x", "pixel_size_y", "energy"))
"""Numbers that are placeholders where they are not over 0."""

_NUMBER = re.compile(r"[\s=:]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([^\s\d,;()]*)")
_UNIT_WORDS = {
    "a": "angstrom",
    "å": "angstrom",
    "ang": "angstrom",
    "angstroms": "angstrom",
    "angstrom": "angstrom",
    "c": "degC",
    "celsius": "degC",
    "k": "K",
    "deg": "deg",
    "degree": "deg",
    "degrees": "deg",
    "sec": "s",
    "secs": "s",
    "metre": "m",
    "metres": "m",
    "meters": "m",
    "microns": "um",
    "µm": "um",
    "kev": "keV",
    "ev": "eV",
}
_DEGREES = ("start_angle", "angle_increment", "detector_2theta", "alpha", "kappa", "phi", "chi", "omega", "two_theta")
_COMMON: dict[str, tuple[str, str]] = {
    "exposure_time": ("exposure_s", "s"),
    "exposure_period": ("period", "s"),
    "wavelength": ("wavelength", "angstrom"),
    "_diffrn_radiation_wavelength_wavelength": ("wavelength", "angstrom"),
    "energy": ("energy", ""),
    "photon_energy": ("energy", "eV"),
    "detector_distance": ("distance", "m"),
    "temperature": ("temperature", ""),
    "sample_temperature": ("temperature", ""),
    **{name: (name, "deg") for name in _DEGREES},
}
_TABLES: dict[str, dict[str, tuple[str, str]]] = {
    "edf": {
        **_COMMON,
        "wavelength": ("wavelength", "m"),
        "energy": ("energy", "keV"),
        "sampledistance": ("distance", "m"),
        "distance": ("distance", "m"),
        "psize_1": ("pixel_size_x", "m"),
        "psize_2": ("pixel_size_y", "m"),
        "exposuretime": ("exposure_s", "s"),
        "exposure": ("exposure_s", "s"),
        "acq_expo_time": ("exposure_s", "s"),
        "count_time": ("exposure_s", "s"),
        "exptime": ("exposure_s", "s"),
    },
    "img": {
        **_COMMON,
        "time": ("exposure_s", "s"),
        "exposure": ("exposure_s", "s"),
        "distance": ("distance", "mm"),
        "pixel_size": ("pixel_size", "mm"),
        "phi": ("phi", "deg"),
        "osc_start": ("start_angle", "deg"),
        "osc_range": ("angle_increment", "deg"),
        "scan_wavelength": ("wavelength", "angstrom"),
    },
    "mar345": {
        "wavelength": ("wavelength", "angstrom"),
        "distance": ("distance", "mm"),
        "pixellength": ("pixel_size_x", "mm"),
        "pixelheight": ("pixel_size_y", "mm"),
        "time": ("exposure_s", "s"),
    },
    "bruker": {
        "distanc": ("distance", "cm"),
        "elapsdr": ("exposure_s", "s"),
        "wavelen": ("wavelength", "angstrom"),
    },
    "marccd": {
        "wavelength": ("wavelength", "angstrom"),
        "exposure_time": ("exposure_s", "ms"),
        "xtal_to_detector": ("distance", "um"),
        "pixelsize_x": ("pixel_size_x", "nm"),
        "pixelsize_y": ("pixel_size_y", "nm"),
    },
}
_TIMES = {
    "date",
    "datetime",
    "time",
    "time_of_day",
    "start_time",
    "acquisition_date",
    "acquisitiondate",
    "created",
    "exposure_date",
    "timestamp",
    "acquire_timestamp",
    "beginning_time",
    "dtrek_date_time",
    "scan_date",
}
_TEXTS = {"sample": "sample", "sample_name": "sample", "samplename": "sample", "title": "title", "comment": "comment"}


def read_pairs(pairs: Iterable[tuple[str, str]], kind: str = "", timezone: str = "UTC") -> Header:
    """Context, labels, time and exposure from pairs of name and text; `kind` of header says whose units are meant
    (a key of the tables here; any other: the common ones). The first of a name counts."""
    table, where, head = _TABLES.get(kind, _COMMON), zone(timezone), Header()
    motors: dict[str, list[str]] = {}
    for name, text in pairs:
        key, text = plain(name), "".join(c for c in text if c.isprintable()).strip()
        if key in table:
            target, unit = table[key]
            if target not in head.context and (feature := quantity(text, target, unit)):
                head.context[target] = feature
        if key == "pixel_size" and kind != "img":
            _pixels(head, text)
        elif key in ("motor_mne", "motor_pos"):
            motors.setdefault(key, text.split())
        elif key in _TEXTS and text and "@" not in text and "/" not in text:
            head.labels.setdefault(_TEXTS[key], text[:200])
        if key in _TIMES and head.time_ns is None and (found := _time(text, where)):
            head.time_ns, head.clock_sigma_ns = found
    _motors(head, motors)
    return finished(head)


def finished(head: Header) -> Header:
    """The header with what follows from it: wavelength from energy, one pixel size of two equal ones, duration."""
    energy = head.context.pop("energy", None)
    if energy is not None and energy.value and "wavelength" not in head.context:
        found = wavelength(HC_KEV_ANGSTROM / energy.value, "angstrom")
        if found is not None:
            head.context["wavelength"] = found
    x, y = head.context.get("pixel_size_x"), head.context.get("pixel_size_y")
    if x is not None and x == y:
        head.context["pixel_size"] = x
        del head.context["pixel_size_x"], head.context["pixel_size_y"]
    exposure = head.context.get("exposure_s")
    if exposure is not None and exposure.value is not None:
        head.duration_ns = min(round(exposure.value * SECOND), 2**62)
    head.context.pop("period", None)
    return head


def plain(name: str) -> str:
    """A header's name in lower case, with underscores for all that is no letter or digit.

    >>> plain("Detector distance"), plain("_array_data.header_contents")
    ('detector_distance', '_array_data_header_contents')
    """
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower())


def quantity(text: str, target: str, unit: str) -> Feature | None:
    """A header number as the context has it; None where there is none, or only a placeholder.

    `unit` is meant where the text names none; where that is "" too, the feature has no value and says why.

    >>> quantity("0.21143 m", "distance", "m")
    Feature(value=0.21143, unit='m', sigma=None, why=None)
    """
    match = _NUMBER.match(text)
    if match is None or not math.isfinite(value := float(match[1])):
        return None
    written = match[2].rstrip(".")
    return in_units(value, _UNIT_WORDS.get(written.lower(), written) or unit, target)


def in_units(value: float, unit: str, target: str) -> Feature | None:
    """A number in the unit that the context has for `target`; None for a placeholder or an impossible value."""
    wanted = UNITS.get(target, "deg")
    if not math.isfinite(value) or (target in POSITIVE and not value > 0):
        return None
    unit = _UNIT_WORDS.get(unit.lower(), unit)
    if target == "wavelength":
        if unit in ("angstrom", "nm", "pm", "m"):
            return wavelength(value, unit)
        return None
    if not unit:
        return Feature(None, wanted, why=f"the header gives {value:g} without a unit")
    try:
        converted = units.convert(value, unit, wanted)
    except UnitError:
        return Feature(None, wanted, why=f"the header gives {value:g} {unit}, which is no unit of this")
    if not math.isfinite(converted) or (target in ("exposure_s", "temperature") and converted < 0):
        return None
    return Feature(float(f"{converted:.12g}"), wanted)


def dectris_pairs(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of the comment lines of Dectris detectors (TIFF description, CBF header contents).

    Lines are `# Exposure_time 3.0 s`, `# Tau = 124.0e-09 s`, `# Threshold_setting: 15000 eV`, and a bare date.
    """
    for line in text.replace("\r", "\n").split("\n")[:500]:
        line = line.strip(" \t\0")
        if not line.startswith("#"):
            continue
        line = line.lstrip("# \t")
        if line[:4].isdigit() and ":" in line:
            yield "date", line
        elif match := re.match(r"([A-Za-z][\w-]*)[\s=:]+(.*)", line[:400]):
            yield match[1], match[2]


def tiff_date(text: str) -> str:
    """TIFF's `2014:10:24 16:33:09` as a date that others write too.

    >>> tiff_date("2014:10:24 16:33:09")
    '2014-10-24 16:33:09'
    """
    return re.sub(r"^(\d{4}):(\d\d):(\d\d)", r"\1-\2-\3", text.strip())


def texts(header: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The pairs of a header that a library has read: texts and numbers; anything else is left out."""
    for name, value in header.items():
        if isinstance(value, bytes):
            value = value.split(b"\0")[0].decode("latin-1")
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            yield str(name), str(value)[:1000]


def _pixels(head: Header, text: str) -> None:
    """`172e-6 m x 172e-6 m`: the size along x, then along y."""
    for name, part in zip(("pixel_size_x", "pixel_size_y"), re.split(r"\s+x\s+", text, maxsplit=1), strict=False):
        if name not in head.context and (feature := quantity(part, name, "m")):
            head.context[name] = feature


def _time(text: str, where: object) -> tuple[int, int] | None:
    """A header's time in ns since 1970 UTC with its uncertainty: a date, or seconds since 1970."""
    if re.fullmatch(r"\d{9,10}(\.\d{1,9})?", text):
        whole, _, part = text.partition(".")
        return int(whole) * SECOND + int(part.ljust(9, "0") if part else 0), SECOND
    if marccd := re.fullmatch(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d{4})\.(\d\d)", text):
        month, day, hour, minute, year, second = marccd.groups()
        text = f"{year}-{month}-{day} {hour}:{minute}:{second}"
    return read_time(tiff_date(text), where)  # type: ignore[arg-type]


def _motors(head: Header, motors: Mapping[str, list[str]]) -> None:
    """Motor positions, under the motors' names; such headers give no unit."""
    names, positions = motors.get("motor_mne", []), motors.get("motor_pos", [])
    if len(names) != len(positions):
        return
    for name, position in list(zip(names, positions, strict=True))[:MOST_MOTORS]:
        key, match = plain(name), _NUMBER.fullmatch(position)
        if match and KEY.fullmatch(key) and key not in head.context and math.isfinite(value := float(match[1])):
            head.context[key] = Feature(value, "")
