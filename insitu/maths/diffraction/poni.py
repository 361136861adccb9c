"""The numbers of a `.poni` file, pyFAI's text of where a detector stands: one place that reads it, and without pyFAI.

Lines are `Key: value`, in m and rad; calibrations are appended, and the last of a key counts; from version 2 on the
pixels are in a JSON text under `Detector_config`. pyFAI takes a file that says nothing for a detector at 1 m without a
word; here what must be there is asked for.
"""

import json
import math
from pathlib import Path

from insitu.errors import ConfigError

EXPECTED = "a .poni file as pyFAI's calibration writes it"
NEEDED = ("distance", "poni1", "poni2")
"""What a .poni must say: pyFAI itself fills in 1 m and 0 where it does not, in silence."""
OTHERS = ("rot1", "rot2", "rot3", "wavelength", "pixelsize1", "pixelsize2")
LENGTHS = ("distance", "wavelength", "pixelsize1", "pixelsize2")
"""What must be above 0."""


def read_poni(path: Path) -> dict[str, float]:
    """The numbers of the file at `path`; ConfigError where it cannot be read or is none."""
    return parse_poni(file_bytes(path), path)


def file_bytes(path: Path) -> bytes:
    """The content of a file of the geometry; ConfigError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the file cannot be read: {error.strerror}", where=str(path), expected="a file that is there"
        ) from error


def parse_poni(text: bytes, path: Path) -> dict[str, float]:
    """distance, poni1, poni2 and, where given, wavelength, pixelsize1, pixelsize2 (all m), rot1 to rot3 (rad).

    `path` names the file in a ConfigError.

    >>> parse_poni(b"Distance: 0.2\\nPoni1: 0.1\\nPoni2: 0.1\\nWavelength: 4e-11", Path("a.poni"))["distance"]
    0.2
    """

    def wrong(what: str) -> ConfigError:
        return ConfigError(what, where=str(path), expected=EXPECTED)

    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise wrong("this is no text") from None
    fields = dict[str, object]()
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and not line.lstrip().startswith("#"):
            fields |= _fields(key.strip().lower(), value.strip())
    for key in NEEDED:
        if key not in fields:
            raise wrong(f"it has no {key.capitalize()}")
    values: dict[str, float] = {}
    for key in (*NEEDED, *OTHERS):
        given = fields.get(key)
        if given in (None, "None") and key not in NEEDED:
            continue
        try:
            value = float(given)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise wrong(f"{key.capitalize()} is {given!r}, no number") from None
        if not (math.isfinite(value) and (value > 0.0 or key not in LENGTHS)):
            raise wrong(f"{key.capitalize()} is {value:g}, which cannot be")
        values[key] = value
    return values


def _fields(key: str, value: str) -> dict[str, object]:
    """What a line says, by key: one thing, or the pixels of a detector."""
    if key != "detector_config":
        return {key: value}
    try:
        config = json.loads(value)
    except (ValueError, RecursionError):
        return {}  # pyFAI reads it, and says what is wrong with it
    config = config if isinstance(config, dict) else {}
    return {f"pixelsize{i}": config[f"pixel{i}"] for i in (1, 2) if config.get(f"pixel{i}") is not None}
