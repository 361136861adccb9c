"""Which wavelength counts: the detector file's, else the header's, else that of the GSAS instrument file beside it.

Where two of them differ by more than 1 in 10,000 (or three times the sigma of the detector file's), that is told once,
and the pattern carries the one that lost as `header_wavelength`. 1 in 10,000 moves a lattice parameter as far as 10 K
do in most oxides. K-alpha2 and its ratio are taken from where the wavelength is, or from what agrees with it.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from insitu import units
from insitu.readers.header import wavelength
from insitu.readers.pattern import HEAD
from insitu.readers.series import read_whole
from insitu.types import Detector, Feature

TOLERANCE = 1e-4
"""Relative difference from which on two wavelengths contradict each other."""
MOST = 20
"""How many different contradictions of a series are told."""
_DOUBLET = ("wavelength2", "wavelength_ratio")
Beside = tuple[str, Mapping[str, Feature]]
"""Name and wavelengths of an instrument file; empty where there is none."""
_ICONS = re.compile(rb"^INS +\d* *ICONS +([^\r\n]*)", re.MULTILINE)

log = logging.getLogger(__name__)


class Wavelengths:
    """The wavelengths of a series. `contradictions`: what was told, one sentence each."""

    def __init__(self, detector: Detector | None) -> None:
        known = {} if detector is None else detector.calibration
        self.known = {key: found for key in ("wavelength", *_DOUBLET) if (found := _standard(key, known.get(key)))}
        self.only: Path | None = None
        self.contradictions: list[str] = []
        self._told: set[tuple[str, float]] = set()

    @property
    def calibrated(self) -> float | None:
        """The detector file's, in angstrom."""
        return value_of(self.known.get("wavelength"))

    def begin(self, folders: set[Path]) -> None:
        """A new series, from these folders: look for their instrument file."""
        self.only, self.contradictions, self._told = _only_instrument(folders), [], set()

    def resolved(
        self, context: Mapping[str, Feature], file: str, beside: Beside
    ) -> tuple[dict[str, Feature], dict[str, str]]:
        """The context with the wavelengths that count, and labels. `beside`: name and content of the instrument
        file."""
        result = {key: value for key, value in context.items() if key != "wavelength" and key not in _DOUBLET}
        header = {key: context[key] for key in ("wavelength", *_DOUBLET) if key in context}
        sources = [("the detector file", self.known), ("the header", header), beside]
        said = [(name, found) for name, found in sources if value_of(found.get("wavelength")) is not None]
        labels: dict[str, str] = {}
        if not said:
            return result | header | self.known, labels
        winner, chosen = said[0]
        result |= chosen
        for name, found in said[1:]:
            if _differ(chosen["wavelength"], found["wavelength"]):
                self._tell(file, name, found["wavelength"], winner, chosen["wavelength"])
                result.setdefault("header_wavelength", found["wavelength"])
            elif "wavelength2" not in result:
                result |= {key: found[key] for key in _DOUBLET if key in found}
        if winner == beside[0]:
            labels["instrument_file"] = winner
        return result | self.known, labels

    def _tell(self, file: str, name: str, theirs: Feature, winner: str, ours: Feature) -> None:
        key = (name, float(theirs.value or 0.0))
        if key in self._told or len(self._told) == MOST:
            return
        self._told.add(key)
        self.contradictions.append(
            f"{file}: {name} gives a wavelength of {theirs.value:.7g} angstrom, {winner} {ours.value:.7g}: "
            f"{ours.value:.7g} is used, from here on too. Correct the one that is wrong"
        )
        log.warning("%s", self.contradictions[-1])


def value_of(feature: Feature | None) -> float | None:
    """The number of a feature, if it has one."""
    return None if feature is None or feature.value is None else float(feature.value)


def _standard(key: str, feature: Feature | None) -> Feature | None:
    """What the detector file knows, in angstrom."""
    if feature is None or feature.value is None or key == "wavelength_ratio" or not feature.unit:
        return None if feature is None or feature.value is None else feature
    value = units.convert(feature.value, feature.unit, "angstrom")
    factor = value / feature.value if feature.value else 1.0
    return replace(
        feature, value=value, unit="angstrom", sigma=None if feature.sigma is None else feature.sigma * factor
    )


def _differ(ours: Feature, theirs: Feature) -> bool:
    a, b = value_of(ours), value_of(theirs)
    if a is None or b is None:
        return False
    return not math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=3 * (ours.sigma or 0.0))


def _only_instrument(folders: set[Path]) -> Path | None:
    """The GSAS instrument file of a folder, if there is exactly one."""
    if len(folders) != 1 or not (folder := next(iter(folders))).is_dir():
        return None
    files = [p for p in folder.iterdir() if p.suffix.lower() == ".prm"]
    return files[0] if len(files) == 1 else None


def instrument_beside(path: Path, only: Path | None) -> Beside:
    """The name and the wavelengths of the instrument file of a pattern: the same stem, else the folder's only one."""
    for candidate in (path.with_suffix(".prm"), path.with_suffix(".PRM"), only):
        if candidate is not None and candidate.is_file():
            return candidate.name, instrument_wavelengths(read_whole(candidate).data)
    return "", {}


def instrument_wavelengths(text: bytes) -> dict[str, Feature]:
    """The wavelengths of a GSAS instrument file (line ICONS): `wavelength`, and `wavelength2` of a doublet with
    `wavelength_ratio`, the intensity of the second by that of the first.

    ICONS: wavelengths 1 and 2, zero, a spare, polarisation, its kind, ratio (GSAS manual, LAUR 86-748).

    >>> instrument_wavelengths(b"INS  1 ICONS  1.540500  1.544300 0.0 0 0.7 0 0.5")["wavelength2"].value
    1.5443
    """
    line = _ICONS.search(text[:HEAD])
    words = [_number(word) for word in line[1].split()] if line else []
    first, second = ([None if w is None else wavelength(w, "a") for w in words[:2]] + [None, None])[:2]
    if first is None:
        return {}
    found = {"wavelength": first}
    if second is not None:
        found["wavelength2"] = second
        if len(words) == 7 and (ratio := words[6]) is not None and 0 < ratio <= 1:
            found["wavelength_ratio"] = Feature(ratio)
    return found


def _number(word: bytes) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
