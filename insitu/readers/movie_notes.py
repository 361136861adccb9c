"""What microscopes write beside the pixels of a TIFF: OME-XML and ImageJ's lines, brought to one form.

Sources: OME data model 2016-06 (ome-model.readthedocs.io), ImageJ's `ij/io/TiffDecoder` (the keys of its description).
Units of lengths and times are read where they are written; a length without a known unit gives no scale.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from insitu import units
from insitu.errors import FormatError, UnitError
from insitu.readers.header import label, read_time, zone
from insitu.readers.image_headers import tiff_date
from insitu.readers.markup import Element, is_markup, read_markup

_LENGTHS = {"µm": "um", "μm": "um", "micron": "um", "microns": "um", "\\u00b5m": "um", "inch": "inch", "pixel": ""}
_TIMES = {"sec": "s", "seconds": "s", "second": "s", "msec": "ms", "minutes": "min", "µs": "us", "μs": "us"}
_LETTERS = {"T": "SizeT", "C": "SizeC", "Z": "SizeZ"}
_MOST_PLANES = 2_000_000


@dataclass(slots=True)
class Plane:
    """What is said of one page: seconds after the first (None: not said), exposure in s, labels."""

    after_s: float | None = None
    duration_s: float = 0.0
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Notes:
    """What is said of a stack. `planes` by page, where known one by one; else `interval_s` between frames.
    `count`: frames declared (0: not said); `channels`: their names, in order; `pixel_um`: size of a pixel."""

    kind: str = ""
    start_ns: int | None = None
    interval_s: float | None = None
    pixel_um: float | None = None
    count: int = 0
    channels: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    planes: list[Plane] = field(default_factory=list)

    def plane(self, page: int) -> Plane:
        """What is said of a page, by its number from 0."""
        if page < len(self.planes):
            return self.planes[page]
        return Plane(None if self.interval_s is None else page * self.interval_s)


def notes(description: str, date: str, timezone: str, name: str) -> Notes:
    """What the description and the date of the first page say; an empty one where it is nothing known."""
    found = Notes()
    try:
        if description.startswith("ImageJ="):
            found = imagej(description)
        elif is_markup(description.encode(), "OME"):
            found = ome(description, timezone, name)
    except FormatError:
        found = Notes()  # the pixels are good without it
    if found.start_ns is None and (read := read_time(tiff_date(date), zone(timezone))):
        found.start_ns = read[0]
    return found


def imagej(text: str) -> Notes:
    """ImageJ's lines `key=value`.

    >>> imagej("ImageJ=1.53t\\nimages=9\\nframes=9\\nfinterval=0.5\\nunit=micron\\n").interval_s
    0.5
    """
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        pairs[key] = value
    found = Notes("ImageJ")
    found.count = _whole(pairs.get("images", ""))
    interval, rate = _number(pairs.get("finterval", "")), _number(pairs.get("fps", ""))
    unit = _TIMES.get(pairs.get("tunit", "s").strip(), pairs.get("tunit", "s").strip())
    if interval:
        found.interval_s = _converted(interval, unit, "s")
    elif rate:
        found.interval_s = 1.0 / rate
    sizes = [max(1, _whole(pairs.get(key, ""))) for key in ("channels", "slices", "frames")]
    if math.prod(sizes) == found.count and sizes[0] * sizes[1] > 1 and found.count < _MOST_PLANES:
        interval_s = found.interval_s
        found.channels = tuple(str(i) for i in range(sizes[0]))
        for page in range(found.count):
            c, z, t = page % sizes[0], page // sizes[0] % sizes[1], page // (sizes[0] * sizes[1])
            found.planes.append(_plane(c, z, t, found.channels, None if interval_s is None else t * interval_s))
    return found


def ome(text: str, timezone: str, name: str) -> Notes:
    """The first image of OME-XML."""
    root = read_markup(text.encode(), name)
    image = root.find("Image")
    pixels = image.find("Pixels") if image else None
    if image is None or pixels is None:
        return Notes("OME")
    found, said = Notes("OME"), pixels.attributes
    if read := read_time(image.said("AcquisitionDate"), zone(timezone)):
        found.start_ns = read[0]
    for key, texts in (("ome_name", image.attributes.get("Name", "")), ("ome_id", image.attributes.get("ID", ""))):
        if texts:
            found.labels[key] = label(texts)
    for instrument in root.every("Objective"):
        if model := instrument.attributes.get("Model", ""):
            found.labels["objective"] = label(model)
            break
    size = _number(said.get("PhysicalSizeX", ""))
    if size:
        unit = said.get("PhysicalSizeXUnit", "um")
        found.pixel_um = _converted(size, _LENGTHS.get(unit, unit), "um")
    step = _number(said.get("TimeIncrement", ""))
    if step:
        unit = said.get("TimeIncrementUnit", "s")
        found.interval_s = _converted(step, _TIMES.get(unit, unit), "s")
    channels = [c.attributes.get("Name") or c.attributes.get("ID", "") for c in pixels.all("Channel")]
    sizes = {letter: max(1, _whole(said.get(key, "1"))) for letter, key in _LETTERS.items()}
    samples = max([1, *(_whole(c.attributes.get("SamplesPerPixel", "1")) for c in pixels.all("Channel"))])
    sizes["C"] = max(1, sizes["C"] // samples)
    names = channels if len(channels) == sizes["C"] else [str(i) for i in range(sizes["C"])]
    found.channels = tuple(label(text) or str(i) for i, text in enumerate(names))
    found.count = math.prod(sizes.values())
    if found.count < _MOST_PLANES:
        _planes(found, pixels, sizes, said.get("DimensionOrder", "XYZCT"))
    return found


def _planes(found: Notes, pixels: Element, sizes: dict[str, int], order: str) -> None:
    """One `Plane` for each page, in the order in which pages lie."""
    said: dict[tuple[int, int, int], Element] = {}
    for plane in pixels.all("Plane"):
        a = plane.attributes
        said[_whole(a.get("TheC", "0")), _whole(a.get("TheZ", "0")), _whole(a.get("TheT", "0"))] = plane
    letters = [letter for letter in order[2:] if letter in sizes]
    letters += [letter for letter in "ZCT" if letter not in letters]
    for page in range(found.count):
        place, rest = {}, page
        for letter in letters:
            rest, place[letter] = divmod(rest, sizes[letter])
        c, z, t = place["C"], place["Z"], place["T"]
        made = _plane(c, z, t, found.channels, None, sizes["C"] * sizes["Z"] > 1)
        if (element := said.get((c, z, t))) is not None:
            a = element.attributes
            unit = a.get("DeltaTUnit", "s")
            delta = _number(a.get("DeltaT", ""))
            made.after_s = None if delta is None else _converted(delta, _TIMES.get(unit, unit), "s")
            unit, exposure = a.get("ExposureTimeUnit", "s"), _number(a.get("ExposureTime", ""))
            made.duration_s = max(0.0, _converted(exposure or 0.0, _TIMES.get(unit, unit), "s") or 0.0)
        if made.after_s is None and found.interval_s is not None:
            made.after_s = t * found.interval_s
        found.planes.append(made)


def _plane(c: int, z: int, t: int, channels: tuple[str, ...], after_s: float | None, several: bool = True) -> Plane:
    labels = {"channel": channels[c], "plane": f"c={c} z={z} t={t}"} if several and channels else {}
    return Plane(after_s, 0.0, labels)


def _whole(text: str) -> int:
    match = re.fullmatch(r"\s*(\d{1,9})\s*", text)
    return int(match[1]) if match else 0


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e12 else None


def _converted(value: float, unit: str, target: str) -> float | None:
    try:
        return units.convert(value, unit, target) if unit else None
    except UnitError:
        return None
