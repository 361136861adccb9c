"""The raw frames of one source on disk: segments, their arrays, axes and columns.

A segment is a stretch of frames of one kind. A change of shape, dtype, unit, static axes, exposure, series or of what
comes with the data (sigma, mask) opens the next one. `row = seq - first_seq`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from insitu.errors import StorageError
from insitu.maths.aligned import aligned
from insitu.store import columns
from insitu.store.canonical import axes_body, digest_array
from insitu.store.codec import DAMAGED, Codec, encode
from insitu.store.files import Disk
from insitu.store.frames import ArraySpec, FrameArray, frames_per_shard
from insitu.types import Arrival, Axis, Frame

EXPOSURE_CHANGE = 0.05
"""A relative change of exposure above this opens a new segment; jitter below it does not."""

Encoded = Mapping[str, tuple[str, tuple[bytes, bytes]]]
"""By array name: digest of the data, and the chunk."""

OME_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "angstrom": "angstrom", "m": "meter"}
"""Ours, and how OME-NGFF spells them."""
TIME_UNITS = frozenset({"s", "ms", "us", "ns", "min", "h", "hour", "second", "seconds", "day", "days"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSpec:
    """How the frames of a source are kept. `varying`: axes that are stored with every frame. `attributes` go to the
    Zarr group (calibration, simulated, ...); `geometry` is the digest of the geometry, if any."""

    codec: Codec = "fast"
    shard_frames: int | None = None
    varying: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    geometry: str = ""
    prompt: bool = False
    """Somebody reads beside the run: the views are brought up to date with every commit."""


def frame_arrays(frame: Arrival, varying: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays that are stored for every frame, by name."""
    arrays = {"frames": frame.data}
    if frame.sigma is not None:
        arrays["sigma"] = frame.sigma
    if frame.mask is not None:
        arrays["mask"] = frame.mask
    for name in varying:
        if name in frame.axes:
            arrays[name] = frame.axes[name].values
    return arrays


def encode_frame(frame: Arrival, spec: SourceSpec) -> Encoded:
    """Digest and chunk of every array of a frame. Pure; any thread."""
    return {name: (digest_array(a), encode(a, spec.codec)) for name, a in frame_arrays(frame, spec.varying).items()}


def unit_attributes(unit: str | tuple[str, ...]) -> dict[str, Any]:
    """`unit`, and `units` where a reader of CF attributes would not take the numbers for a time."""
    if isinstance(unit, tuple):
        return {"unit": list(unit)}
    return {"unit": unit} if unit in TIME_UNITS or not unit else {"unit": unit, "units": unit}


def _same_axes(a: Mapping[str, Axis], b: Mapping[str, Axis]) -> bool:
    if a is b:
        return True
    return a.keys() == b.keys() and all(
        a[k].unit == b[k].unit and (a[k].values is b[k].values or np.array_equal(a[k].values, b[k].values)) for k in a
    )


class _Kind(NamedTuple):
    """What the frames of one segment have in common, and its first row."""

    first_seq: int
    structure: tuple[Any, ...]
    static: Mapping[str, Axis]
    exposure_ns: int

    def fits(self, structure: tuple[Any, ...], static: Mapping[str, Axis], exposure_ns: int) -> bool:
        change = abs(exposure_ns - self.exposure_ns)
        if structure != self.structure or change > EXPOSURE_CHANGE * max(exposure_ns, self.exposure_ns):
            return False
        return _same_axes(self.static, static)


class Segmenter:
    """Says which segment a frame belongs to, in order of arrival. Pure in what it was shown."""

    REMEMBERED = 16

    def __init__(self, spec: SourceSpec) -> None:
        self._varying = spec.varying
        self._kinds: list[_Kind] = []
        self._forgotten = 0

    def assign(self, frame: Arrival, seq: int, *, refill: bool = False) -> int | None:
        """The segment's number (one more than the last: it opens), or None: a late frame whose row lies in a segment
        of another kind."""
        arrays = frame_arrays(frame, self._varying)
        structure = (frame.series, frame.dims, frame.unit, tuple((k, a.shape, a.dtype.str) for k, a in arrays.items()))
        static = static_axes(frame, self._varying)
        if refill:
            for i in range(len(self._kinds) - 1, -1, -1):
                if seq >= self._kinds[i].first_seq:
                    fits = self._kinds[i].fits(structure, static, frame.duration_ns)
                    return i + self._forgotten if fits else None
            return None
        if not self._kinds or not self._kinds[-1].fits(structure, static, frame.duration_ns):
            self._kinds.append(_Kind(seq if self._kinds else 0, structure, static, frame.duration_ns))
            if len(self._kinds) > self.REMEMBERED:
                del self._kinds[0]
                self._forgotten += 1
        return len(self._kinds) - 1 + self._forgotten


def static_axes(frame: Arrival, varying: tuple[str, ...]) -> Mapping[str, Axis]:
    """The axes that are stored once per segment."""
    return {k: a for k, a in frame.axes.items() if k not in varying} if varying else frame.axes


class Segment:
    """One stretch of frames of one kind, on disk."""

    def __init__(self, folder: Path, index: int, first_seq: int, frame: Frame, spec: SourceSpec, disk: Disk) -> None:
        self.folder, self.index, self.first_seq, self.disk = folder, index, first_seq, disk
        self.prompt = spec.prompt
        self.rows = 0
        self._awake = True  # something is open, or not published for good
        static = static_axes(frame, spec.varying)
        self.body = _segment_body(frame, spec, index, first_seq, static)
        disk.make_folders(folder)
        write_static(folder, self.body, static, disk)
        self.arrays = {
            name: FrameArray(folder / name, array_spec(self.body, name), disk) for name in self.body["arrays"]
        }
        self.columns = columns.FrameColumns(folder, disk)
        self.columns.publish(0)

    def mark(self, seq: int, state: int) -> None:
        """Say what became of a row without a frame."""
        row = seq - self.first_seq
        self._awake = True
        self.columns.state(row, state)
        self.rows = max(self.rows, row + 1)

    def put(self, frame: Frame) -> None:
        """The columns of a stored frame."""
        row = frame.seq - self.first_seq
        self._awake = True
        self.columns.frame(row, frame.time_ns, frame.duration_ns, frame.clock_sigma_ns, frame.source_seq)
        self.rows = max(self.rows, row + 1)

    def publish(self, rows: int, *, durable: bool = False) -> None:
        """Bring the views up to date; `rows`: length including fill rows at the end."""
        self.rows = max(self.rows, rows)
        self.columns.publish(self.rows, durable=durable)
        for array in self.arrays.values():
            array.publish(self.rows, durable=durable)

    def rest(self, rows: int) -> None:
        """No frame is expected any more: everything durable, files closed, memory let go. `put` wakes it up."""
        if not self._awake:
            return
        self.publish(rows, durable=True)
        self.abandon()
        self.columns.forget()
        self._awake = False

    def sync(self) -> None:
        for array in self.arrays.values():
            array.sync()

    def abandon(self) -> None:
        for array in self.arrays.values():
            array.abandon()


def _segment_body(
    frame: Frame, spec: SourceSpec, index: int, first_seq: int, static: Mapping[str, Axis]
) -> dict[str, Any]:
    arrays = frame_arrays(frame, spec.varying)
    return {
        "source": frame.source,
        "segment": index,
        "first_seq": first_seq,
        "dims": list(frame.dims),
        "unit": list(frame.unit) if isinstance(frame.unit, tuple) else frame.unit,
        "exposure_ns": frame.duration_ns,
        "geometry": spec.geometry,
        "codec": spec.codec,
        "attributes": dict(spec.attributes),
        "axes": axes_body(static),
        "arrays": {
            name: {
                "shape": list(a.shape),
                "dtype": a.dtype.newbyteorder("<").str,
                "dims": [name] if name in frame.axes and name not in ("frames",) else list(frame.dims),
                "unit": frame.axes[name].unit if name in frame.axes else ("" if name == "mask" else _unit(frame)),
                "per_shard": spec.shard_frames or frames_per_shard(a.nbytes),
            }
            for name, a in arrays.items()
        },
        **_series(frame, first_seq),
    }


def _series(frame: Frame, first_seq: int) -> dict[str, Any]:
    """Which series a segment holds, and its frame that opened it: the instrument's number, and the row."""
    begun = {"uid": frame.series, "source_seq": frame.source_seq, "row": frame.seq - first_seq}
    return {"series": begun} if frame.series else {}


def _unit(frame: Frame) -> str | list[str]:
    return list(frame.unit) if isinstance(frame.unit, tuple) else frame.unit


def array_spec(body: Mapping[str, Any], name: str) -> ArraySpec:
    """What an array of a segment is, from the segment's ledger entry alone."""
    a = body["arrays"][name]
    attributes: dict[str, Any] = unit_attributes(tuple(a["unit"]) if isinstance(a["unit"], list) else a["unit"])
    attributes["source"] = body["source"]
    attributes["coordinates"] = "time exposure clock_sigma source_seq state"
    return ArraySpec(
        item=tuple(a["shape"]),
        dtype=np.dtype(a["dtype"]),
        dims=tuple(a["dims"]),
        per_shard=a["per_shard"],
        codec=body["codec"],
        attributes=attributes,
    )


def group_metadata(attributes: Mapping[str, Any]) -> bytes:
    """`zarr.json` of a group."""
    return orjson.dumps(
        {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}, option=orjson.OPT_INDENT_2
    )


def segment_attributes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a segment's group: NeXus' way to say what is signal and what are axes, and what we know."""
    return {
        "NX_class": "NXdata",
        "signal": "frames",
        "axes": [".", *body["dims"]],
        "source": body["source"],
        "segment": body["segment"],
        "first_seq": body["first_seq"],
        "exposure_ns": body["exposure_ns"],
        **_ome(body),
        **body["attributes"],
    }


def _ome(body: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures as OME-NGFF 0.5 names them: axes, and the size of a pixel where the detector's calibration tells it."""
    if tuple(body["dims"][-2:]) != ("y", "x"):
        return {}
    calibration = body["attributes"].get("calibration", {})
    pixel = calibration.get("pixel_size") or calibration.get("scale") or {}
    unit = OME_UNITS.get(str(pixel.get("unit", "")), "")
    edge = float(pixel["value"]) if unit else 1.0
    axes: list[dict[str, str]] = [{"name": "frame", "type": "time"}]
    for name in body["dims"]:
        space = {"type": "space", **({"unit": unit} if unit else {})} if name in ("y", "x") else {"type": "channel"}
        axes.append({"name": name, **space})
    scale = [1.0, *(edge if name in ("y", "x") else 1.0 for name in body["dims"])]
    dataset = {"path": "frames", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    multiscale = {"name": f"{body['source']}/{body['segment']}", "axes": axes, "datasets": [dataset]}
    return {"ome": {"version": "0.5", "multiscales": [multiscale]}}


def write_static(folder: Path, body: Mapping[str, Any], static: Mapping[str, Axis], disk: Disk) -> None:
    """The group's metadata and its static axes, durable: no frame is acknowledged before."""
    disk.write_file(folder / "zarr.json", group_metadata(segment_attributes(body)))
    for name, axis in static.items():
        columns.write_whole(folder / name, axis.values, (name,), unit_attributes(axis.unit), disk)


def read_axis(folder: Path, name: str, expected: Mapping[str, Any]) -> Axis:
    """A static axis as stored; the digest is checked."""
    path = folder / name / "c" / "0"
    data = path.read_bytes() if path.exists() else b""
    dtype = np.dtype(expected["dtype"]).newbyteorder("<")
    values = aligned(np.frombuffer(data, dtype)) if len(data) == expected["n"] * dtype.itemsize else None
    if values is None or digest_array(values) != expected["digest"]:
        raise StorageError(f"the axis {name!r} is not the one that was stored", where=str(path), remedy=DAMAGED)
    return Axis(values, expected["unit"])
