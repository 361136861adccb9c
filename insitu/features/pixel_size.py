"""The size of a pixel, where a recipe or the detector's calibration tells it."""

from insitu import units
from insitu.errors import ConfigError
from insitu.types import Detector


def pixel_size_um(given: float | None, detector: Detector | None) -> float | None:
    """Edge of a pixel in um: as given, else `pixel_size` (or `scale`) of the detector's calibration, else None.

    ConfigError for a size that is not over 0 or not a length.
    """
    if given is None and detector is not None:
        for key in ("pixel_size", "scale"):
            known = detector.calibration.get(key)
            if known is not None and known.value is not None:
                unit = known.unit.removesuffix("/px").removesuffix("/pixel")
                given = units.convert(float(known.value), unit, "um")
                break
    if given is not None and not given > 0.0:
        raise ConfigError(f"a pixel of {given} um", where="pixel_size", expected="more than 0")
    return given
