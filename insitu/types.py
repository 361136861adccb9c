"""The words of the house: frozen values that pass between the rooms, and the shapes of the roles.

Names are the field's; units stand in names or beside values. Arrays are C-contiguous, native-endian,
64-byte-aligned and read-only by the time any role sees them. Nothing here does I/O.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

KEY = re.compile(r"[a-z][a-z0-9_]*")
"""What a feature key, a context name or a source name must match as a whole (event-model forbids `.` and `/`)."""

Role = Literal["sample", "dark", "flat", "background", "reference"]
Clock = Literal["ioc", "header", "arrival"]


def _number(x: Any, what: str) -> float | int:
    """`x` as a plain finite float or int; NaN and infinity are refused."""
    plain = x if type(x) in (float, int) else int(x) if isinstance(x, np.integer) else float(x)
    if not math.isfinite(plain):
        raise ValueError(f"{what} is {plain}: use Feature(None, unit, why='...') to say that there is no value")
    return plain


@dataclass(frozen=True, slots=True)
class Feature:
    """A number with a unit and, where known, a standard uncertainty; or no value, and why.

    >>> Feature(28.44, "deg", sigma=0.002)
    Feature(value=28.44, unit='deg', sigma=0.002, why=None)
    >>> Feature(None, "deg", why="fit did not converge").value is None
    True
    """

    value: float | int | None
    unit: str = ""
    sigma: float | None = None
    why: str | None = None

    def __post_init__(self) -> None:
        if self.value is None:
            if not self.why:
                raise ValueError("a feature without value must say why")
            if self.sigma is not None:
                raise ValueError("a feature without value has no sigma")
            return
        if type(self.value) is not float or not math.isfinite(self.value):
            object.__setattr__(self, "value", _number(self.value, "value"))
        if self.sigma is not None:
            sigma = float(_number(self.sigma, "sigma"))
            if sigma < 0:
                raise ValueError(f"sigma is {sigma}: a standard uncertainty is not negative")
            object.__setattr__(self, "sigma", sigma)


class Axis(NamedTuple):
    """Values along one dimension, shape `(n,)`, and their unit."""

    values: np.ndarray
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayFeature:
    """An array result: `values` with one name per dimension in `dims`, a unit, and axes by dimension name."""

    values: np.ndarray
    dims: tuple[str, ...]
    unit: str = ""
    axes: Mapping[str, Axis] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What an extractor promises for one key: unit, and how far a re-derivation elsewhere may differ.

    `array` is True where the key carries an `ArrayFeature`.
    """

    unit: str
    rtol: float = 1e-9
    atol: float = 0.0
    array: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrival:
    """What a reader gives: a frame before `run` has stamped `seq` and `n` on it.

    `source_seq`: the instrument's own number (any start; gaps tell of losses), None where it has none.
    `time_ns`: start of exposure, ns since 1970-01-01 UTC; `duration_ns`: exposure.
    `clock` tells where the time is from, `clock_sigma_ns` how well it is known.
    `data` has one name in `dims` per dimension; `unit` is one text, or one per channel where `dims[0]` is "channel".
    `sigma` (same shape, standard uncertainty, unit of data) and `mask` (same shape, True = ignore) where known.
    `axes`: {dimension: Axis}. `context`: numbers, `labels`: texts, both frozen at arrival.
    `complete`: False for the points so far of a scan along the last dimension, in the order in which they were taken.
    `provisional`: that scan goes on, and what comes next holds the same points and more; it takes an `n` but no row.
    `series`: frames of another one open a segment of their own.
    """

    source: str
    data: np.ndarray
    dims: tuple[str, ...]
    unit: str | tuple[str, ...]
    time_ns: int
    duration_ns: int = 0
    clock: Clock = "arrival"
    clock_sigma_ns: int = 0
    source_seq: int | None = None
    sigma: np.ndarray | None = None
    mask: np.ndarray | None = None
    axes: Mapping[str, Axis] = field(default_factory=dict)
    context: Mapping[str, Feature] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    role: Role = "sample"
    source_run_uid: str = ""
    complete: bool = True
    provisional: bool = False
    series: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame(Arrival):
    """One thing the instrument produced. `seq` is ours, contiguous from 0 per source; `n` is the arrival
    order over all sources, the order of judging and of replay."""

    seq: int
    n: int

    def address(self, run_uid: str) -> str:
        """The raw address, e.g. `insitu:1f0c.../det/17`."""
        return f"insitu:{run_uid}/{self.source}/{self.seq}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """Something arrived that is no frame: the bytes as they came, and why. `name`: the file, where there is one."""

    source: str
    reason: str
    payload: bytes
    name: str = ""
    source_seq: int | None = None


class Reference(NamedTuple):
    """A frozen reference for `measure`: the array, its blake3 digest and the raw address it came from."""

    array: np.ndarray
    digest: str
    address: str


References = Mapping[str, Reference]
"""Name (dark, flat, background, or a declared one) to Reference; changed only by frames with a role."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """What `measure` gave for one frame. `references` are the digests used; `faults` are errors of ours. `points`: how
    many points of a scan there were, where it was not complete. `source_run_uid`: the frame's; it binds a decision to
    its plan, and is no part of the record."""

    source: str
    seq: int
    n: int
    time_ns: int
    clock_sigma_ns: int = 0
    source_seq: int | None = None
    role: Role = "sample"
    complete: bool = True
    provisional: bool = False
    points: int | None = None
    features: Mapping[str, Feature] = field(default_factory=dict)
    arrays: Mapping[str, ArrayFeature] = field(default_factory=dict)
    context: Mapping[str, Feature] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    source_run_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a model said. Labels in use: normal, anomaly, change, unknown (cannot tell), review (a person should
    look). `score` is what the label was decided on, `reason` a sentence for people, `model` a bundle's digest."""

    label: str
    score: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    model: str = ""


class Action(IntEnum):
    """What can be done, in order of gravity: the gravest wins."""

    CONTINUE = 0
    ADAPT = 1
    PAUSE = 2
    FINISH = 3
    HALT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a rule wants. `reason` is a sentence for people; `params` what to set, with units (`exposure_s`);
    `valid_s` the life time, counted from arrival by whoever acts. `rule` is filled in by the pipeline."""

    action: Action
    reason: str
    rule: str = ""
    params: Mapping[str, Feature] = field(default_factory=dict)
    valid_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Record:
    """Everything said about one frame. `verdicts` by model name; `decision` is the gravest (CONTINUE where no rule
    spoke); `spoke` is all that rules said, in recipe order."""

    measurement: Measurement
    verdicts: Mapping[str, Verdict]
    decision: Decision
    spoke: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a beamline allows for one signal, in `unit`: value within [low, high], at most `step` away from the
    last set value, at most `rate_hz` changes a second."""

    unit: str
    low: float
    high: float
    step: float | None = None
    rate_hz: float | None = None


Flip = Literal["none", "up_down", "left_right", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where the pixels of an area detector are, and what is known of them: `[geometry]` of a detector file.

    `poni`: pyFAI's file. `flip`: done to the image `(y, x)` before the poni, the mask, dark and flat are used
    (`up_down` is `image[::-1]`). `mask`: an image or .npy, not 0 = ignore. `dark`, `flat`: images, subtracted and
    divided by. `polarization`: factor, -1 to 1, None for no correction. `low`: pixels below are no counts (gaps,
    broken pixels); "auto" is 0 for whole numbers and no limit for others, None no limit. `calibrant`: rings that
    must be in every frame, by pyFAI's name or a file of d-spacings.
    """

    poni: Path | None = None
    flip: Flip = "none"
    mask: Path | None = None
    dark: Path | None = None
    flat: Path | None = None
    polarization: float | None = 0.99
    solid_angle: bool = True
    low: float | Literal["auto"] | None = "auto"
    calibrant: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One detector file, resolved: what the source gives and what may be done to it. Handed to factories of readers,
    prepares and features that have a parameter named `detector`."""

    name: str
    source: str
    live: bool = False
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    unit: str = "counts"
    dims: tuple[str, ...] = ()
    varying: tuple[str, ...] = ()
    codec: Literal["fast", "small"] = "fast"
    shard_frames: int | None = None
    counter_bits: int | None = None
    timezone: str = "UTC"
    saturation: float | None = None
    calibration: Mapping[str, Feature] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    geometry: Geometry | None = None


class Reader(Protocol):
    """Iterating gives arrivals, invalid things, and None at least every 0.2 s when idle. Only a reader closes itself.
    An exception ends the source: `SourceError` for what was foreseen."""

    def __call__(self) -> Iterator[Arrival | Invalid | None]: ...


class Prepare(Protocol):
    """Pure: a frame to a better frame (same identity, other data, axes or sigma)."""

    def __call__(self, frame: Frame, refs: References, /) -> Frame: ...


class Extractor(Protocol):
    """Pure: features of one frame, exactly the keys of `outputs`. An attribute `before` says how many frames before
    it needs (0 without); an attribute `raw` that is True, that it sees frames as they arrived, not prepared ones."""

    @property
    def outputs(self) -> Mapping[str, Output]: ...

    def __call__(
        self, frame: Frame, refs: References, before: Sequence[Frame], /
    ) -> Mapping[str, Feature | ArrayFeature]: ...


class Model(Protocol):
    """Sees every measurement of every source in order of `n`, and may remember. None: nothing to say of this one
    (another source than the one it watches)."""

    def __call__(self, measurement: Measurement, /) -> Verdict | None: ...


class Rule(Protocol):
    """Sees every measurement with all verdicts by model name (models that had nothing to say are not in it), in
    order of `n`, and may remember."""

    def __call__(self, measurement: Measurement, verdicts: Mapping[str, Verdict], /) -> Decision | None: ...


Sink = Callable[[Record], None]
