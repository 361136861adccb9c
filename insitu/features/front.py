"""Where a moving front is: of melting, solidification, wetting, a reaction, or the tip of a crack.

    x, y      place of the largest change since the frame `gap` frames before, px, with the uncertainty from noise
    contrast  that change, in units of the noise

A frame in which nothing stands out by `least` of these units has no front. Method: `insitu.maths.video.front`. The
place lies between those of the front in both frames, so it trails by about half of `gap` frames: its speed is the
front's.
"""

from collections.abc import Sequence

from insitu.errors import ConfigError
from insitu.maths.video.front import Along, find_front
from insitu.maths.video.grey import grey
from insitu.types import KEY, Feature, Frame, Output, References


class MovingFront:
    """Extractor that needs the `gap` frames before; keys `name_x`, `name_y` (one of them if `along` is an axis),
    `name_contrast`.

    `along`: "point", the front is a place anywhere in the picture; "x" or "y", it crosses the picture and moves along
    that axis. `smoothing`: px. `rows`, `columns`: the part of the picture that is looked at (first, last + 1).
    """

    def __init__(
        self,
        *,
        gap: int = 6,
        along: Along = "point",
        smoothing: float = 2.0,
        least: float = 8.0,
        rows: tuple[int, int] | None = None,
        columns: tuple[int, int] | None = None,
        name: str = "front",
    ) -> None:
        if not KEY.fullmatch(name):
            raise ConfigError(f"{name!r} cannot begin a key", where="name", expected="a-z, then a-z, 0-9 or _")
        if not 1 <= gap <= 100:
            raise ConfigError(f"a gap of {gap} frames", where="gap", expected="1 to 100")
        if not 0.3 <= smoothing <= 50.0:
            raise ConfigError(f"a smoothing of {smoothing:g} px", where="smoothing", expected="0.3 to 50 px")
        for key, part in (("rows", rows), ("columns", columns)):
            if part is not None and not 0 <= part[0] < part[1]:
                raise ConfigError(f"{list(part)} is no range", where=key, expected="first, last + 1")
        self.before, self.name, self.least, self.smoothing = gap, name, least, smoothing
        self.along: Along = along
        self._rows, self._columns = rows, columns
        self._units = dict.fromkeys(("x", "y") if along == "point" else (along,), "px") | {"contrast": ""}
        self.outputs = {f"{name}_{key}": Output(unit=u, rtol=1e-5, atol=1e-3) for key, u in self._units.items()}

    def __call__(self, frame: Frame, refs: References, before: Sequence[Frame]) -> dict[str, Feature]:
        """The front of one frame."""
        try:
            if len(before) < self.before:
                raise ValueError(f"only {len(before)} of the {self.before} frames before are there")
            part = slice(*(self._rows or (None, None))), slice(*(self._columns or (None, None)))
            then, now = grey(before[-self.before])[part], grey(frame)[part]
            if not now.size:
                raise ValueError("rows and columns lie outside the picture")
            found = find_front(then, now, smoothing=self.smoothing, along=self.along)
        except ValueError as why:
            return {f"{self.name}_{key}": Feature(None, u, why=str(why)) for key, u in self._units.items()}
        contrast = min(found.contrast, 1e9)
        places = {"x": found.x, "y": found.y}
        begin = {"x": (self._columns or (0,))[0], "y": (self._rows or (0,))[0]}
        features = {f"{self.name}_contrast": Feature(contrast, "")}
        for key in self._units:
            if key != "contrast":
                place = places[key]
                why = f"nothing moved: the largest change is {contrast:.1f} times the noise, {self.least:g} are needed"
                features[f"{self.name}_{key}"] = (
                    Feature(None, "px", why=why)
                    if place is None or contrast < self.least
                    else Feature(place + begin[key], "px", sigma=found.sigma)
                )
        return {key: features[key] for key in self.outputs}
