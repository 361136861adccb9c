"""The rings that must be there: d-spacings of a calibrant by its name, or of a file.

Names and files are pyFAI's (extra `xrd`): CeO2, LaB6, Si_SRM640e, ...; a `.D` file has one line per ring, the d-spacing
in angstrom first, # for comments. Its tables are of the certificates of NIST and of published cells.
"""

from pathlib import Path

import numpy as np

from insitu.errors import ConfigError, MissingExtraError
from insitu.maths.diffraction.crystal import bragg_angle


def d_spacings(calibrant: str) -> np.ndarray:
    """Distances of planes in angstrom, falling, `(n,)`; ConfigError where the name or the file says none."""
    path = Path(calibrant).expanduser()
    found = _of_file(path) if path.suffix or path.exists() else _of_name(calibrant)
    found = np.unique(np.asarray(found, dtype=np.float64))[::-1]
    if not (found.size and np.isfinite(found).all() and found[-1] > 0.0):
        raise ConfigError(f"{calibrant} has no d-spacings above 0", where="geometry.calibrant")
    return found


def rings_of(calibrant: str, wavelength: float) -> np.ndarray:
    """Angles two_theta of the rings in deg, increasing, `(n,)`, at a wavelength in angstrom."""
    d = d_spacings(calibrant)
    return bragg_angle(d[d > 0.5 * wavelength], wavelength)


def _of_name(name: str) -> list[float]:
    try:
        from pyFAI import calibrant
    except ImportError as missing:
        raise MissingExtraError("pyFAI", "xrd", purpose="the rings of a calibrant") from missing
    names = sorted(calibrant.names())
    if name not in names:
        raise ConfigError(
            f"there is no calibrant {name!r}",
            where="geometry.calibrant",
            expected="a file of d-spacings, or one of " + ", ".join(names),
        )
    return list(calibrant.get_calibrant(name).dspacing)


def _of_file(path: Path) -> list[float]:
    expected = "one d-spacing in angstrom at the beginning of each line, # for comments"
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise ConfigError(f"the file cannot be read: {error.strerror}", where=str(path), expected=expected) from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            found.append(float(words[0]))
        except ValueError:
            raise ConfigError(f"{words[0]!r} is no number", where=f"{path}:{number}", expected=expected) from None
    return found
