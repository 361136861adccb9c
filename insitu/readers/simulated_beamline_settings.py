"""What a bench beamline is set to, and what can go wrong with it."""

from __future__ import annotations

import glob
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from insitu.errors import ConfigError
from insitu.readers.faults import KINDS, Fault, Kind, parse_fault, with_transport

LONGEST_PREFIX = 30
"""Characters; the longest name behind it has 29, and a record's name at most 60."""
BENCH_KINDS: dict[str, Kind] = {
    **{name: KINDS[name] for name in ("beam_loss", "shutter", "saturation", "dead")},
    "lost_sample": Kind("the sample is gone: only what scatters without it is left", "part of it left", 0.0, 0.0, 1.0),
    "stalled": Kind("the detector does not end its exposure", "", 0, 0, 0),
    "shape": Kind("arrays of another size", "part of the points of the first dimension", 0.5, 0.1, 1.0),
    "clock": Kind("the IOC's clock is wrong", "s later than it is", 3600.0, -3e9, 3e9),
    "early": Kind("motors say too early that they are done", "part of the way that is left", 0.5, 0.0, 1.0),
}
"""Faults of a bench beamline; beside them those of the transport (`faults.KINDS`)."""
ALLOWED = with_transport(BENCH_KINDS)
TEMPERATURE, INDEX = "temperature", "index"
BY_PV = (*BENCH_KINDS, "missing", "duplicate")
"""Those that a PV switches on and off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """A bench beamline.

    `prefix` of the PVs, a colon is put behind it. `sample`: see `simulated_beamline_sample.specimen`; or `play`: a
    folder of files, read as `reader` does (a key of `READERS`), or a stored run, played by the furnace or by a motor of
    the name `along`: a number of its context, or `index`, the place in the series. `image`: rows and columns of a
    picture instead of a pattern. `exposure_s`: the one for which intensities are meant. `acquire`: the detector runs
    from the beginning, one frame after the other, `period_s` from one to the next (or the exposure). Furnace:
    `start_K`, `ramp_K_s`, `lag_s`, `noise_K` of a reading, `transition_K` of the sample. `motor_mm_s`: speed of the
    sample stage. `faults`: texts of `insitu.readers.faults` with kinds of `ALLOWED`; frames are counted from the start
    of the IOC.
    """

    prefix: str = "BENCH"
    sample: str = "batio3"
    play: str = ""
    reader: str = "patterns"
    along: str = TEMPERATURE
    image: tuple[int, int] | None = None
    seed: int = 0
    exposure_s: float = 0.1
    acquire: bool = False
    period_s: float = 0.0
    start_K: float | None = None
    ramp_K_s: float = 2.0
    lag_s: float = 0.5
    noise_K: float = 0.05
    transition_K: float = 393.0
    motor_mm_s: float = 2.0
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_\-:\[\]<>;]+", self.prefix) or len(self.prefix) > LONGEST_PREFIX:
            raise ConfigError(
                f"{self.prefix!r} is no prefix of PVs",
                where="prefix",
                expected=f'at most {LONGEST_PREFIX} letters, digits and :_-, such as "BL1"',
            )
        for key in ("exposure_s", "ramp_K_s", "transition_K", "motor_mm_s"):
            if not getattr(self, key) > 0.0:
                raise ConfigError(f"{key} is {getattr(self, key)}", where=key, expected="more than 0")
        for key in ("lag_s", "noise_K", "period_s", "seed"):
            if not getattr(self, key) >= 0:
                raise ConfigError(f"{key} is {getattr(self, key)}", where=key, expected="0 or more")
        if self.start_K is not None and not 1.0 <= self.start_K <= 3000.0:
            raise ConfigError(f"{self.start_K:g} K", where="start_K", expected="1 to 3000 K")
        if self.image is not None and min(self.image) < 16:
            raise ConfigError(f"an image of {list(self.image)}", where="image", expected="rows, columns: 16 or more")
        if self.play and not glob.has_magic(self.play) and not Path(self.play).expanduser().exists():
            raise ConfigError(f"{self.play} is not there", where="play", expected="a folder of files, or a stored run")
        if not re.fullmatch("[a-z][a-z0-9_]{0,19}", self.along) or self.along in ("x", "furnace", "energy"):
            raise ConfigError(f"{self.along!r} cannot be a motor", where="along", expected="small letters, digits, _")
        self.wrong()

    def wrong(self) -> tuple[Fault, ...]:
        """The faults."""
        return tuple(parse_fault(text, ALLOWED, of="a bench beamline") for text in self.faults)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `of` reads it."""
        return asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> BenchSettings:
        image = told.get("image")
        return cls(**{**told, "faults": tuple(told["faults"]), "image": None if image is None else tuple(image)})
