"""PANalytical XRDML (versions 1.0 to 2.x): bytes to patterns, one for every scan in the file, in order.

2-theta is a list (`listPositions`) or evenly spaced from `startPosition` to `endPosition`. `counts` are as counted, and
are multiplied by `beamAttenuationFactors` here; `intensities` have been already, and the factors only tell their
uncertainty (schema www.xrdml.com, XRDMeasurement 1.x and 2.x). Counts are not corrected for automatic divergence slits.
Scans in which 2-theta stands still (rocking curves, pole figures) are no patterns.

The wavelengths are those of the tube. Which of K-alpha1 and K-alpha2 reach the sample, the file does not surely say:
what was meant is the label `wavelength_intended`, a monochromator on the way is named in `monochromator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo

import numpy as np

from insitu.errors import FormatError
from insitu.readers.header import SECOND, label, number, read_time, wavelength, zone
from insitu.readers.markup import Element, is_markup, read_markup
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern, Truncated, check_axis, check_values, numbered
from insitu.readers.scans import Scan, in_degrees, intensities, number_list, one_number, steps, upwards
from insitu.types import Feature

SUFFIXES = (".xrdml",)
ROOT = "xrdMeasurements"
_REMEDY = "Export the file again"
_ANGLES = {"Omega": "omega", "Chi": "chi", "Psi": "psi", "Phi": "phi"}


def looks_like(data: bytes) -> bool:
    """Whether the first element is that of an XRDML file."""
    return is_markup(data, ROOT)


def decode(data: bytes, how: How = How()) -> Iterator[Pattern | BadScan | NoPattern]:  # noqa: B008 (frozen)
    """The scans, in order: a pattern, what is wrong with a scan, or that it is none over 2-theta.

    Raises `FormatError` where the file as a whole cannot be read, `Truncated` where its end is missing.
    """
    if not data.strip(b"\0 \t\r\n"):
        raise Truncated("the file is empty", where=how.name, remedy="Measure again, or remove the file")
    root = read_markup(data, how.name)
    if root.name != ROOT:
        raise FormatError(f"the first element is {root.name[:40]!r}", where=f"{how.name}:{root.line}", expected=ROOT)
    scans = [(measured, scan) for measured in root.all("xrdMeasurement") for scan in measured.all("scan")]
    if not scans:
        raise FormatError("there is no scan in the file", where=how.name, expected="an element scan", remedy=_REMEDY)
    for i, (measured, scan) in enumerate(scans, 1):
        try:
            yield numbered(_pattern(root, measured, scan, how, f"{i} of {len(scans)}"), i, len(scans))
        except NoPattern as error:
            yield error
        except FormatError as error:
            yield BadScan(error, data[scan.begin : scan.end])


def _pattern(root: Element, measured: Element, scan: Element, how: How, which: str) -> Pattern:
    where = f"{how.name}:{scan.line}"
    points = scan.find("dataPoints")
    if points is None:
        raise FormatError(f"scan {which} has no dataPoints", where=where, expected="a measured scan", remedy=_REMEDY)
    axes = {axis.attributes.get("axis", ""): axis for axis in points.all("positions")}
    two_theta_of = axes.get("2Theta")
    if two_theta_of is None or two_theta_of.find("commonPosition") is not None:
        axis = scan.attributes.get("scanAxis", "")[:30] or "an unnamed axis"
        raise NoPattern(f"scan {which} is one over {axis}: 2-theta stands still", where=where, expected="2-theta scans")
    recorded = _recorded(points, where)
    two_theta = _positions(two_theta_of, len(recorded.values), how.name)
    done = intensities(recorded, how.unit, where)
    two_theta, values, sigma, down = upwards(two_theta, done.values, done.sigma)

    def line(_i: int) -> int:
        return scan.line

    check_axis(two_theta, how.name, line)
    check_values(values, sigma, how.unit, how.name, line)
    labels = done.labels | _labels(root, measured, scan)
    if down:
        labels["scan_direction"] = "down"
    if not recorded.applied and points.find("divergenceCorrections") is not None:
        labels["divergence_slit"] = "automatic, intensities are as counted"
    began, clock_sigma_ns, lasted = _times(scan, zone(how.timezone))
    context = _wavelengths(measured) | _conditions(points, scan, axes)
    if done.seconds is not None:
        context["exposure_s"] = Feature(done.seconds, "s")
    return Pattern(
        two_theta=two_theta,
        intensity=values,
        sigma=sigma,
        unit=how.unit,
        context=context,
        labels=labels,
        time_ns=began,
        clock_sigma_ns=clock_sigma_ns,
        duration_ns=lasted or min(round((done.seconds or 0.0) * len(values) * SECOND), 2**62),
        whole=True,
    )


def _list(element: Element, name: str) -> tuple[np.ndarray, bool]:
    return number_list(element.text, f"{name.rpartition(':')[0] or name}:{element.line}")


def _recorded(points: Element, where: str) -> Scan:
    """Counts or intensities, attenuator factors, counting times."""
    counts, corrected = points.find("counts"), points.find("intensities")
    found = counts if counts is not None else corrected
    if found is None:
        raise FormatError("a scan has neither counts nor intensities", where=where, remedy=_REMEDY)
    values, whole = _list(found, where)
    if not len(values):
        raise Truncated("a scan has no points", where=where, expected="a measured scan", remedy="Measure it again")
    factors = points.find("beamAttenuationFactors") or points.find("commonBeamAttenuationFactor")
    times = points.find("countingTimes") or points.find("commonCountingTime")
    if times is not None and times.attributes.get("unit", "seconds").lower() not in ("seconds", "s", "sec"):
        times = None
    return Scan(
        values,
        found.attributes.get("unit", "counts"),
        whole,
        None if factors is None else _list(factors, where)[0],
        counts is None,
        None if times is None else _list(times, where)[0],
    )


def _positions(axis: Element, points: int, name: str) -> np.ndarray:
    """2-theta (n,) in deg."""
    where = f"{name}:{axis.line}"
    in_degrees(axis.attributes.get("unit", "deg"), where)
    listed = axis.find("listPositions")
    if listed is not None:
        values, _ = _list(listed, where)
        if len(values) != points:
            raise FormatError(
                f"{len(values)} positions stand beside {points} points", where=where, expected="as many", remedy=_REMEDY
            )
        return values
    ends = [one_number(axis.said(key), where) for key in ("startPosition", "endPosition")]
    return steps(ends[0], ends[1], points, where)


def _wavelengths(measured: Element) -> dict[str, Feature]:
    """`wavelength` of K-alpha1, `wavelength2` of K-alpha2, `wavelength_ratio` of their intensities (2 by 1)."""
    used = measured.find("usedWavelength")
    context: dict[str, Feature] = {}
    if used is None:
        return context
    for key, tag in (("wavelength", "kAlpha1"), ("wavelength2", "kAlpha2")):
        element = used.find(tag)
        if element is not None and element.text and (found := _length(element)) is not None:
            context[key] = found
    ratio = used.said("ratioKAlpha2KAlpha1")
    if "wavelength2" in context and ratio:
        value = number("ratio", ratio, "")
        context["wavelength_ratio"] = Feature(value.value) if value.value is not None else value
    return context


def _length(element: Element) -> Feature | None:
    value = number("", element.text, "").value
    unit = element.attributes.get("unit", "Angstrom").strip().lower()
    return None if value is None else wavelength(float(value), unit)


def _conditions(points: Element, scan: Element, axes: dict[str, Element]) -> dict[str, Feature]:
    """Angles that stand still, and the mean temperature of a chamber (its sigma: the scatter of the readings)."""
    context: dict[str, Feature] = {}
    for axis, key in _ANGLES.items():
        if axis in axes and (fixed := axes[axis].said("commonPosition")) and axes[axis].attributes.get("unit") == "deg":
            value = number("", fixed, "").value
            if value is not None:
                context[key] = Feature(value, "deg")
    for chamber in [*scan.all("nonAmbientPoints"), *points.all("nonAmbientPoints")]:
        if chamber.attributes.get("type", "").lower() == "temperature":
            context["temperature"] = _temperature(chamber)
    return context


def _temperature(chamber: Element) -> Feature:
    values = chamber.find("nonAmbientValues")
    try:
        readings, _ = number_list(values.text if values is not None else "", "")
    except FormatError as error:
        return Feature(None, "K", why=error.what)
    if values is None or not len(readings):
        return Feature(None, "K", why="the chamber gives no reading")
    unit = values.attributes.get("unit") or chamber.attributes.get("unit", "")
    mean = number("temperature", f"{readings.mean():.6f}", unit.replace(".", "").replace(" ", ""))
    if mean.value is None or len(readings) == 1:
        return mean
    return Feature(mean.value, "K", sigma=float(readings.std()))


def _labels(root: Element, measured: Element, scan: Element) -> dict[str, str]:
    used = measured.find("usedWavelength")
    crystal = measured.find("incidentBeamPath/monochromator")
    said = {
        "sample": root.said("sample/name") or root.said("sample/id"),
        "scan_axis": scan.attributes.get("scanAxis", ""),
        "scan_status": scan.attributes.get("status", ""),
        "wavelength_intended": used.attributes.get("intended", "") if used is not None else "",
        "monochromator": crystal.attributes.get("name", "") if crystal is not None else "",
    }
    return {key: text for key, value in said.items() if (text := label(value))}


def _times(scan: Element, where: tzinfo) -> tuple[int | None, int, int]:
    """Start in ns since 1970 UTC, its uncertainty, and how long the scan took (0 where not known)."""
    began, ended = (read_time(scan.said(f"header/{tag}TimeStamp"), where) for tag in ("start", "end"))
    if began is None:
        return None, 0, 0
    return began[0], began[1], max(0, ended[0] - began[0]) if ended is not None else 0
