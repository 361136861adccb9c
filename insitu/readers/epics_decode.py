"""EPICS structures to frames, without sockets and without a clock: NTNDArray, NTScalarArray, and what Channel Access
gives in the shape of an NTScalarArray. A structure is anything with `value["field"]` and `value.get("field")`: p4p's
`Value`, or plain dicts.

`source_seq` is the NTNDArray's `uniqueId`, as `epics_numbers` believes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from insitu.readers.document_layout import is_colour
from insitu.readers.epics_codec import check_known, scalar_type, unpacked
from insitu.readers.epics_numbers import Numbers
from insitu.readers.spectrum import clean
from insitu.types import Arrival, Clock, Feature, Invalid

EPICS_EPOCH_S = 631152000
SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
STATUSES = ("none", "device", "driver", "record", "db", "conf", "undefined", "client")
MOST_LABEL = 400
_COLOURS = {2: ("y", "x", "channel"), 3: ("y", "channel", "x"), 4: ("channel", "y", "x")}
_MODES = ("mono", "bayer", "rgb1", "rgb2", "rgb3")
LATEST_S = 9_000_000_000
"""Seconds since 1970 beyond which a time is none (it would not go into 64 bits of nanoseconds)."""


class WrongTypeError(Exception):
    """This PV gives no arrays at all."""


def field(value: Any, path: str) -> Any:
    """A field by its path, None where there is none."""
    for name in path.split("."):
        try:
            value = value.get(name)
        except AttributeError:
            return None
    return value


def stamp_ns(stamp: Any) -> int | None:
    """Nanoseconds since 1970 UTC; None for a clock that was never set."""
    try:
        seconds, nano = int(field(stamp, "secondsPastEpoch")), int(field(stamp, "nanoseconds") or 0)
    except (TypeError, ValueError):
        return None
    return None if seconds == EPICS_EPOCH_S or not 0 < seconds < LATEST_S else seconds * 1_000_000_000 + nano


def alarm_of(value: Any) -> tuple[int | None, str, str]:
    """Severity as a number and as text, and what is said of it."""
    severity = field(value, "alarm.severity")
    if not isinstance(severity, (int, np.integer)):
        return None, "", ""
    status, message = field(value, "alarm.status"), str(field(value, "alarm.message") or "")
    if isinstance(status, (int, np.integer)) and 0 < int(status) < len(STATUSES) and not message:
        message = STATUSES[int(status)]
    k = int(severity)
    return k, SEVERITIES[k] if 0 <= k < len(SEVERITIES) else "UNDEFINED", message


def number(value: Any, unit: str = "") -> Feature | None:
    """A plain number as a Feature; None for what is no number."""
    if isinstance(value, (str, bytes)) or value is None or np.ndim(value):
        return None
    try:
        plain = float(value) if not isinstance(value, (int, np.integer)) else int(value)
        finite = math.isfinite(plain)
    except (TypeError, ValueError, OverflowError):
        return None
    return Feature(plain, unit) if finite else Feature(None, unit, why=f"it was {plain}")


class Decoder:
    """The frames of one PV. `dims`, `shape`, `dtype`, `unit`: of the detector file; `within_s`: how far the IOC's clock
    may be from ours before the frame says so. `given_again`: frames that the PV gave twice."""

    def __init__(
        self,
        *,
        source: str,
        pv: str,
        dims: tuple[str, ...] = (),
        shape: tuple[int, ...] | None = None,
        dtype: str | None = None,
        unit: str = "counts",
        wraps: bool = False,
        within_s: float = 5.0,
    ) -> None:
        self.source, self.pv, self.dims, self.shape, self.unit, self.within_s = source, pv, dims, shape, unit, within_s
        self.dtype = None if dtype is None else np.dtype(dtype)
        self.numbers, self.given_again = Numbers(wraps=wraps), 0

    def __call__(
        self, value: Any, now_ns: int, context: Mapping[str, Feature] = {}, labels: Mapping[str, str] = {}
    ) -> Arrival | Invalid | None:
        """One update that came at `now_ns`, with numbers and texts from elsewhere. None where there is no frame yet, or
        not a new one; `Invalid` for whatever cannot be. `WrongTypeError` where the PV gives no arrays."""
        try:
            return self._decoded(value, now_ns, (dict(context), dict(labels)))
        except WrongTypeError:
            raise
        except Exception as e:  # noqa: BLE001 - it comes from outside: whatever is wrong with it is told
            return self.invalid(f"{type(e).__name__}: {e}", np.frombuffer(repr(value).encode(), np.uint8))

    def _decoded(
        self, value: Any, now_ns: int, more: tuple[dict[str, Feature], dict[str, str]]
    ) -> Arrival | Invalid | None:
        image = field(value, "dimension") is not None and field(value, "codec") is not None
        data = field(value, "value")
        if image and data is None:
            return None  # no picture has been taken yet
        if not isinstance(data, (np.ndarray, list, tuple)):
            raise WrongTypeError(f"PV {self.pv} is {kind_of(value)}, which is no array of numbers")
        data = np.asarray(data)
        if data.dtype.kind not in "biuf":
            raise WrongTypeError(f"PV {self.pv} is an array of {data.dtype}, not of numbers")
        time_ns = stamp_ns(field(value, "dataTimeStamp")) or stamp_ns(field(value, "timeStamp"))
        seq: int | None = None
        if image:
            unique_id = int(field(value, "uniqueId") or 0)
            if self.numbers.repeated(unique_id, time_ns):
                self.given_again += 1
                return None
            seq = self.numbers(unique_id, time_ns)
        elif not data.size:
            return None
        try:
            array, dims = self._image(value, data) if image else self._waveform(data)
        except (ValueError, TypeError, OverflowError) as e:
            return self.invalid(str(e), data, seq)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return self._arrival(value, array, dims, seq, time_ns, now_ns, more)

    def invalid(self, why: str, data: np.ndarray, seq: int | None = None) -> Invalid:
        """An update that is no frame."""
        return Invalid(source=self.source, reason=f"PV {self.pv}: {why}", payload=data.tobytes(), source_seq=seq)

    def _arrival(
        self,
        value: Any,
        array: np.ndarray,
        dims: tuple[str, ...],
        seq: int | None,
        time_ns: int | None,
        now_ns: int,
        more: tuple[dict[str, Feature], dict[str, str]],
    ) -> Arrival:
        context, labels = more
        _attributes(value, context, labels)
        _regions(value, dims, context)
        _alarm(value, context, labels)
        sigma_ns, clock = 0, "ioc"
        if time_ns is None:
            time_ns, clock = now_ns, "arrival"
            labels["clock_warning"] = "the IOC gives no time: this is ours"
        elif abs(off := time_ns - now_ns) > self.within_s * 1e9:
            sigma_ns = abs(off)
            side = "in the future" if off > 0 else "in the past"
            labels["clock_warning"] = f"the IOC's time is {abs(off) / 1e9:.3g} s {side}"
        known: Clock = "arrival" if clock == "arrival" else "ioc"
        return Arrival(
            source=self.source,
            data=array,
            dims=dims,
            unit=str(field(value, "display.units") or "") or self.unit,
            time_ns=time_ns,
            clock=known,
            clock_sigma_ns=sigma_ns,
            source_seq=seq,
            context=context,
            labels=labels,
        )

    def _image(self, value: Any, data: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        sizes = [int(field(d, "size") or 0) for d in field(value, "dimension")]
        shape = [*reversed(sizes)] or [data.size]
        if min(shape) < 1:
            raise ValueError(f"its dimensions are {shape}")
        count, codec = math.prod(shape), str(field(value, "codec.name") or "")
        if codec and codec != "none":
            check_known(codec)
            dtype = np.dtype("uint8") if codec == "jpeg" else scalar_type(field(value, "codec.parameters"))
            size = int(field(value, "compressedSize") or 0)
            packed = data.tobytes()
            data = unpacked(packed[:size] if size > 0 else packed, codec, dtype, count)
        if data.size != count:
            raise ValueError(f"it has {data.size} values, its dimensions {shape} say {count}")
        while self.dims and len(shape) > len(self.dims) and shape[0] == 1:
            del shape[0]  # one picture, of a stack of one
        return data.reshape(shape), self._dims(value, tuple(shape))

    def _dims(self, value: Any, shape: tuple[int, ...]) -> tuple[str, ...]:
        ndim = len(shape)
        if len(self.dims) == ndim:
            return self.dims
        if ndim == 3:
            mode = _colour_mode(value)
            return _COLOURS.get(2 if mode is None and is_colour(shape) else mode or 0, ("z", "y", "x"))
        return ("x",) if ndim == 1 else ("y", "x") if ndim == 2 else tuple(f"d{k}" for k in range(ndim))

    def _waveform(self, data: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        if self.shape is not None and len(self.shape) > 1:
            count = math.prod(self.shape)
            if data.size < count:
                raise ValueError(f"it has {data.size} values, the detector file's shape {list(self.shape)} has {count}")
            data = data.reshape(-1)[:count].reshape(self.shape)  # a waveform record may be longer than the picture
        if self.dtype is not None and data.dtype != self.dtype and data.dtype.kind in "if":
            with np.errstate(all="ignore"):  # Channel Access has no whole numbers without sign: it widens them
                narrow = data.astype(self.dtype)
            data = narrow if np.array_equal(narrow, data) else data
        if len(self.dims) == data.ndim:
            return data, self.dims
        return data, ("sample",) if data.ndim == 1 else ("y", "x") if data.ndim == 2 else ("z", "y", "x")


def _colour_mode(value: Any) -> int | None:
    """The number of `ColorMode`, however the attribute writes it; None where there is none."""
    for attribute in field(value, "attribute") or ():
        if str(field(attribute, "name") or "").lower() == "colormode":
            mode = field(attribute, "value")
            mode = field(mode, "index") if field(mode, "index") is not None else mode
            if isinstance(mode, str):
                return _MODES.index(mode.lower()) if mode.lower() in _MODES else None
            told = number(mode)
            return None if told is None or told.value is None else int(told.value)
    return None


def kind_of(value: Any) -> str:
    """What a structure says that it is."""
    try:
        return str(value.getID())
    except AttributeError:
        inner = field(value, "value")
        return f"a {type(inner if inner is not None else value).__name__}"


def _attributes(value: Any, context: dict[str, Feature], labels: dict[str, str]) -> None:
    """Numbers into the context, texts into the labels. An attribute has no unit: it takes that of a PV of this name."""
    for attribute in field(value, "attribute") or ():
        name, told = clean(str(field(attribute, "name") or "")), field(attribute, "value")
        if not name:
            continue
        if not isinstance(told, (str, int, float, np.generic)) and field(told, "value") is not None:
            told = field(told, "value")
        feature = number(told, context[name].unit if name in context else "")
        if feature is not None:
            context[name] = feature
        elif isinstance(told, str) and told:
            labels[name] = told[:MOST_LABEL]


def _regions(value: Any, dims: tuple[str, ...], context: dict[str, Feature]) -> None:
    """Where a region of the chip was read, or pixels were taken together."""
    sizes = field(value, "dimension") or ()
    for dim, size in zip(reversed(dims), sizes, strict=False):
        if offset := int(field(size, "offset") or 0):
            context[f"{dim}_offset"] = Feature(offset)
        if (binning := int(field(size, "binning") or 1)) != 1:
            context[f"{dim}_binning"] = Feature(binning)
        if field(size, "reverse"):
            context[f"{dim}_reversed"] = Feature(1)


def _alarm(value: Any, context: dict[str, Feature], labels: dict[str, str]) -> None:
    severity, name, message = alarm_of(value)
    if severity is not None:
        context["alarm_severity"] = Feature(severity)
    if severity:
        labels["alarm"] = f"{name}: {message}" if message else name
