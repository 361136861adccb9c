"""Rigaku RASX: bytes to patterns, one for every folder `DataN` of the archive that holds a profile, by number.

The archive is a zip of `DataN/ProfileN.txt` (2-theta, intensity, attenuator factor) and
`DataN/MesurementConditionsN.xml` (spelt so). Nothing is unpacked to disk and no name in the archive is a path here;
what is unpacked is bounded, whatever the archive declares. An archive is whole when its directory, which is written
last, and the checksums of its members are.
"""

from __future__ import annotations

import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator

from insitu.errors import FormatError
from insitu.readers.markup import Element, read_markup
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern, Truncated, numbered, plain_lines
from insitu.readers.rigaku import Section, rows

SUFFIXES = (".rasx",)
LARGEST_MEMBER = 64 * 1024 * 1024
LARGEST_IN_ALL = 256 * 1024 * 1024
"""Bytes after unpacking."""
MOST_MEMBERS = 20_000
_PROFILE = re.compile(r"Data(\d{1,6})/Profile\d{1,6}\.txt")
_CONDITIONS = re.compile(r"Data(\d{1,6})/Mea?surementConditions\d{1,6}\.xml")
_ENTRY = b"PK\x01\x02"
_REMEDY = "Copy or export the file again"
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, NotImplementedError),
    *(ValueError, OSError, OverflowError),
)
_FACTS = {
    "axis": "ScanInformation/AxisName",
    "axis_unit": "ScanInformation/PositionUnit",
    "unit": "ScanInformation/IntensityUnit",
    "points": "ScanInformation/DataCount",
    "start": "ScanInformation/Start",
    "step": "ScanInformation/Step",
    "speed": "ScanInformation/Speed",
    "speed_unit": "ScanInformation/SpeedUnit",
    "began": "ScanInformation/StartTime",
    "ended": "ScanInformation/EndTime",
    "wavelength": "HWConfigurations/XrayGenerator/WavelengthKalpha1",
    "wavelength2": "HWConfigurations/XrayGenerator/WavelengthKalpha2",
    "intended": "HWConfigurations/XrayGenerator/WaveType",
    "sample": "GeneralInformation/SampleName",
}
_AXES = {"Omega": "omega", "Chi": "chi", "Phi": "phi"}


def looks_like(data: bytes) -> bool:
    """Whether this is an archive with the profile of a scan."""
    return data.startswith(b"PK\x03\x04") and re.search(rb"Data\d{1,6}/Profile\d{1,6}\.txt", data) is not None


def decode(data: bytes, how: How = How()) -> Iterator[Pattern | BadScan | NoPattern]:  # noqa: B008 (frozen)
    """The scans, in order: a pattern, what is wrong with a scan, or that it is none over 2-theta.

    Raises `FormatError` where the file as a whole cannot be read, `Truncated` where its end is missing.
    """
    archive, profiles, conditions = _opened(data, how.name)
    with archive:
        left = LARGEST_IN_ALL
        for i, folder in enumerate(sorted(profiles), 1):
            name = f"{how.name}/{profiles[folder].filename}"
            payload = b""
            try:
                payload = _member(archive, profiles[folder], name, left)
                left -= len(payload)
                facts: dict[str, str] = {}
                if folder in conditions:
                    about = f"{how.name}/{conditions[folder].filename}"
                    text = _member(archive, conditions[folder], about, left)
                    left -= len(text)
                    facts = _facts(read_markup(text, about))
                pattern = rows(Section(plain_lines(payload, name), 0, name), facts, how)
            except NoPattern as error:
                yield error
            except FormatError as error:
                yield BadScan(error, payload or data)
            else:
                yield numbered(pattern, i, len(profiles))


def _opened(data: bytes, name: str) -> tuple[zipfile.ZipFile, dict[int, zipfile.ZipInfo], dict[int, zipfile.ZipInfo]]:
    """The archive, and its profiles and conditions by number of their folder."""
    if not data.strip(b"\0"):
        raise Truncated("the file is empty", where=name, remedy="Measure again, or remove the file")
    if not data.startswith(b"PK"):
        raise FormatError("this is no zip archive", where=name, expected="a .rasx archive", remedy=_REMEDY)
    if data.count(_ENTRY) > MOST_MEMBERS:
        raise FormatError(f"the archive has more than {MOST_MEMBERS:,} members", where=name, remedy=_REMEDY)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = archive.infolist()
    except _BROKEN as error:
        raise Truncated(
            f"the directory at the end of the archive is missing or broken ({error})",
            where=name,
            expected="a whole .rasx archive",
            remedy="The file was cut off: copy or measure it again",
        ) from error
    found: tuple[dict[int, zipfile.ZipInfo], ...] = ({}, {})
    for member in members:
        for kind, form in enumerate((_PROFILE, _CONDITIONS)):
            if (match := form.fullmatch(member.filename)) is not None:
                if int(match[1]) in found[kind]:
                    raise FormatError(f"{member.filename} is in the archive twice", where=name, remedy=_REMEDY)
                found[kind][int(match[1])] = member
    if not found[0]:
        raise NoPattern(
            "no scan with a profile is in the archive", where=name, expected="Data0/Profile0.txt", remedy=_REMEDY
        )
    return archive, *found


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, left: int) -> bytes:
    """The bytes of a member, at most so many."""
    most = min(LARGEST_MEMBER, left)
    if member.file_size > most:
        raise FormatError(
            f"{member.file_size:,} bytes are no profile", where=name, expected=f"at most {most:,} bytes", remedy=_REMEDY
        )
    try:
        with archive.open(member) as file:
            return file.read()  # never more than file_size; the checksum is compared at its end
    except _BROKEN as error:
        raise FormatError(f"the archive is damaged: {error}", where=name, remedy=_REMEDY) from error


def _facts(conditions: Element) -> dict[str, str]:
    """What the conditions say, by the words of `insitu.readers.rigaku.rows`."""
    facts = {key: conditions.said(path) for key, path in _FACTS.items()}
    for axis in conditions.every("Axis"):
        name, position = axis.attributes.get("Name", ""), axis.attributes.get("Position", "")
        if name in _AXES and axis.attributes.get("State") == "Fixed" and axis.attributes.get("Unit") == "deg":
            facts.setdefault(_AXES[name], position)
        if name in ("Temp", "Temperature"):
            facts["temperature"], facts["temperature_unit"] = position, axis.attributes.get("Unit", "")
    return facts
