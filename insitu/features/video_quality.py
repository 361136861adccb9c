"""Whether a frame of a video can be used: sharp, rightly exposed, not saturated, not noisier than others.

    focus               reciprocal of the length over which the brightness changes, 1/px; lower when blurred
    brightness          mean of the pixels
    contrast            standard deviation of the pixels
    saturated_fraction  pixels at or above the saturation level / all pixels
    noise               sigma of the pixel noise; detail as fine as the pixels is counted in

Formulas and sources: `insitu.maths.video.focus`. Colours are judged by their luminance. Masked pixels are not left out.
"""

from collections.abc import Sequence

from insitu.errors import ConfigError
from insitu.features.video_trial import warm_up
from insitu.maths.video.focus import sharpness
from insitu.maths.video.grey import full_scale, grey
from insitu.types import KEY, Detector, Feature, Frame, Output, References

KEYS = ("focus", "brightness", "contrast", "saturated_fraction", "noise")


class Quality:
    """Extractor: the five numbers of the head of this file, with `name_` before the keys.

    `saturation`: level from which a pixel is saturated (default: the detector's, else the largest number of the type).
    """

    def __init__(
        self, *, saturation: float | None = None, detector: Detector | None = None, name: str = "video"
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        self._saturation = saturation if saturation is not None else detector.saturation if detector else None
        unit = detector.unit if detector else "counts"
        self._units = dict(zip(KEYS, ("1/px", unit, unit, "", unit), strict=True))
        self.name = name
        self.outputs = {f"{name}_{key}": Output(unit=u, rtol=1e-6) for key, u in self._units.items()}
        warm_up(self)

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """The numbers of one frame."""
        try:
            image = grey(frame)
        except ValueError as why:
            return {f"{self.name}_{key}": Feature(None, u, why=str(why)) for key, u in self._units.items()}
        full = full_scale(frame.data.dtype, self._saturation)
        found = sharpness(image, full)
        values = found.focus, found.mean, found.spread, found.saturated, found.noise
        features = {}
        for key, value in zip(KEYS, values, strict=True):
            why = "nothing but noise is seen" if value is None else "some pixels are no numbers"
            if key == "saturated_fraction" and full == float("inf"):
                value, why = None, "no saturation level is known: set saturation for this entry"
            known = value is not None and abs(value) < float("inf")
            unit = self._units[key]
            features[f"{self.name}_{key}"] = Feature(value, unit) if known else Feature(None, unit, why=why)
        return features
