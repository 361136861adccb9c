"""Files as area detectors write them, made small for tests."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

PILATUS_HEADER = """# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000320 m
# Exposure_time 0.500000 s
# Exposure_period 0.600000 s
# Tau = 124.0e-09 s
# Count_cutoff 1048500 counts
# Wavelength 1.03320 A
# Detector_distance 0.30000 m
# Beam_xy (487.00, 619.00) pixels
# Start_angle 12.5000 deg.
"""


def picture(seed: int = 0, shape: tuple[int, int] = (20, 30), dtype: Any = np.int32) -> np.ndarray:
    """Counts with a few large ones."""
    random = np.random.default_rng(seed)
    data = random.poisson(20, shape)
    data[3, 4] = 200 if np.dtype(dtype).itemsize == 1 else 30_000
    return data.astype(dtype)


def write_tiff(
    path: Path,
    pages: list[np.ndarray],
    *,
    description: str = "",
    date: str = "",
    order: str = "<",
    big: bool = False,
    compression: int = 1,
    extra: dict[int, tuple[int, int]] | None = None,
    packed: list[bytes] | None = None,
) -> Path:
    """A TIFF (or BigTIFF) with one strip a page, after Adobe's TIFF 6.0. `extra`: {tag: (type, value)}."""
    head, offset = ("Q", "Q") if big else ("H", "I")
    start = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    out = bytearray((b"II" if order == "<" else b"MM") + start)
    room = struct.calcsize(order + offset)
    for number, page in enumerate(pages):
        kind = {"u": 1, "i": 2, "f": 3}[page.dtype.kind]
        raw = packed[number] if packed else page.astype(page.dtype.newbyteorder(order)).tobytes()
        tags: dict[int, tuple[int, int, bytes]] = {}

        def number_tag(tag: int, value: int, code: int = 4, tags: dict = tags) -> None:
            tags[tag] = (code, 1, struct.pack(order + ("I" if code == 4 else "H"), value))

        for tag, value in ((256, page.shape[1]), (257, page.shape[0]), (278, page.shape[0]), (279, len(raw))):
            number_tag(tag, value)
        for tag, value in ((258, page.itemsize * 8), (259, compression), (262, 1), (277, 1), (339, kind)):
            number_tag(tag, value, 3)
        for tag, (code, value) in (extra or {}).items():
            number_tag(tag, value, code)
        for tag, text in ((270, description), (306, date)):
            if text:
                tags[tag] = (2, len(text) + 1, text.encode() + b"\0")
        number_tag(273, 0)
        width = struct.calcsize(order + head) + len(tags) * (20 if big else 12) + room
        behind = len(out) + width
        tail = bytearray()
        entries = bytearray()
        strip = behind + sum(len(v) for _, _, v in tags.values() if len(v) > room)
        tags[273] = (4, 1, struct.pack(order + "I", strip))
        for tag in sorted(tags):
            code, count, value = tags[tag]
            if len(value) > room:
                field = struct.pack(order + offset, behind + len(tail))
                tail += value
            else:
                field = value.ljust(room, b"\0")
            entries += struct.pack(order + "HH" + offset, tag, code, count) + field
        following = 0 if number == len(pages) - 1 else strip + len(raw)
        out += struct.pack(order + head, len(tags)) + entries + struct.pack(order + offset, following) + tail + raw
    path.write_bytes(out)
    return path


def write_edf(path: Path, frames: list[np.ndarray], keys: dict[str, str] | None = None, order: str = "<") -> Path:
    """An EDF file of the ESRF with one block a frame."""
    words = {"i4": "SignedInteger", "u2": "UnsignedShort", "f4": "FloatValue", "u4": "UnsignedInteger"}
    out = bytearray()
    for number, frame in enumerate(frames):
        lines = {
            "HeaderID": f"EH:{number + 1:06d}:000000:000000",
            "Image": str(number + 1),
            "ByteOrder": "LowByteFirst" if order == "<" else "HighByteFirst",
            "DataType": words[frame.dtype.str[1:]],
            "Dim_1": str(frame.shape[1]),
            "Dim_2": str(frame.shape[0]),
            "Size": str(frame.nbytes),
            **(keys or {}),
        }
        text = "{\n" + "".join(f"{k} = {v} ;\n" for k, v in lines.items())
        out += text.ljust(-(-(len(text) + 2) // 512) * 512 - 2).encode() + b"}\n"
        out += frame.astype(frame.dtype.newbyteorder(order)).tobytes()
    path.write_bytes(out)
    return path


def write_img(path: Path, frame: np.ndarray, keys: dict[str, str] | None = None) -> Path:
    """An .img file of Area Detector Systems (unsigned short, little endian)."""
    lines = {"HEADER_BYTES": "  512", "DIM": "2", "BYTE_ORDER": "little_endian", "TYPE": "unsigned_short"}
    lines |= {"SIZE1": str(frame.shape[1]), "SIZE2": str(frame.shape[0]), **(keys or {})}
    text = "{\n" + "".join(f"{k}={v};\n" for k, v in lines.items()) + "}\f\n"
    path.write_bytes(text.ljust(512).encode() + frame.astype("<u2").tobytes())
    return path


def write_ge(path: Path, frames: list[np.ndarray], *, adept: bool = True) -> Path:
    """A GE file: a header of 8 KiB and frames of unsigned shorts."""
    head = b""
    if adept:
        rows, columns = frames[0].shape
        head = struct.pack("<10sHIHIHHHH", b"ADEPT", 1, 8192, 1, 0, len(frames), rows, columns, 16)
    path.write_bytes(head.ljust(8192, b"\0") + b"".join(f.astype("<u2").tobytes() for f in frames))
    return path


def write_cbf(path: Path, frame: np.ndarray, header: str = "", date: str = "") -> Path:
    """A CBF file, packed by fabio, with Dectris' header contents put in front."""
    from fabio.cbfimage import CbfImage

    CbfImage(data=frame).write(str(path))
    raw = path.read_bytes()
    if header:
        date = f"# {date}\n" if date else ""
        contents = f'_array_data.header_convention "PILATUS_1.2"\n_array_data.header_contents\n;\n{date}{header};\n\n'
        at = raw.index(b"_array_data.data")
        path.write_bytes(raw[:at] + contents.encode() + raw[at:])
    return path


def write_mar345(path: Path, frame: np.ndarray, wavelength: float = 0.7) -> Path:
    """A mar345 file, packed by fabio."""
    from fabio.fabioutils import ENDIANNESS
    from fabio.mar345image import Mar345Image

    header = {"WAVELENGTH": str(wavelength), "DISTANCE": "200.0", "PIXEL_LENGTH": "150", "PIXEL_HEIGHT": "150"}
    image = Mar345Image(data=frame, header=header)
    image.byteorder = ENDIANNESS.LITTLE
    image.write(str(path))
    return path


def write_marccd(path: Path, frame: np.ndarray) -> Path:
    """A marCCD file: TIFF whose pixels begin at byte 4096 and a header of 3072 bytes before them."""
    plain = write_tiff(path, [frame.astype(np.uint16)]).read_bytes()
    begin = len(plain) - frame.size * 2
    head = bytearray(plain[:begin].ljust(4096, b"\0"))
    at = head.index(struct.pack("<HHII", 273, 4, 1, begin))
    head[at + 8 : at + 12] = struct.pack("<I", 4096)
    marccd = {640: 250_000, 656: 2000, 772: 80_000, 776: 80_000, 908: 97_900}
    head[1024:1031] = struct.pack("<I", 2) + b"MMX"
    for offset, value in marccd.items():
        head[1024 + offset : 1028 + offset] = struct.pack("<i", value)
    head[2368:2383] = b"040112302014.30"
    path.write_bytes(bytes(head) + plain[begin:])
    return path


def write_eiger(folder: Path, files: int = 2, each: int = 3, *, missing: int | None = None, **codec: Any) -> Path:
    """An Eiger master with data files; the k-th frame of all is `picture(k)` as uint32."""
    import h5py

    for number in range(files):
        low = number * each
        with h5py.File(folder / f"run_data_{number + 1:06d}.h5", "w") as file:
            frames = np.stack([picture(low + i, dtype=np.uint32) for i in range(each)])
            data = file.create_dataset("entry/data/data", data=frames, chunks=(1, *frames.shape[1:]), **codec)
            data.attrs["image_nr_low"], data.attrs["image_nr_high"] = low + 1, low + each
    master = folder / "run_master.h5"
    with h5py.File(master, "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        group = entry.create_group("data")
        group.attrs["NX_class"] = "NXdata"
        for number in range(files):
            name = f"run_data_{number + 1:06d}.h5"
            group[f"data_{number + 1:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        detector = entry.create_group("instrument/detector")
        detector["description"] = "Dectris EIGER2 Si 1M"
        for name, value, unit in (
            ("detector_distance", 0.25, "m"),
            ("x_pixel_size", 75e-6, "m"),
            ("y_pixel_size", 75e-6, "m"),
            ("count_time", 0.0099, "s"),
            ("frame_time", 0.01, "s"),
        ):
            detector[name] = value
            detector[name].attrs["units"] = unit
        specific = detector.create_group("detectorSpecific")
        specific["nimages"], specific["ntrigger"] = files * each, 1
        specific["data_collection_date"] = "2024-03-01T10:00:00.000000"
        entry["instrument/beam/incident_wavelength"] = 0.7
        entry["instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
    if missing is not None:
        (folder / f"run_data_{missing:06d}.h5").unlink()
    return master


def write_nexus(path: Path, frames: np.ndarray, *, place: str = "entry/data/data", signal: bool = True) -> Path:
    """A NeXus stack with its pointers."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group(place.rpartition("/")[0])
        data = group.create_dataset(place.rpartition("/")[2], data=frames, chunks=(1, *frames.shape[1:]))
        if signal:
            file.attrs["default"], file["entry"].attrs["NX_class"] = "entry", "NXentry"
            group.attrs["NX_class"], group.attrs["signal"] = "NXdata", place.rpartition("/")[2]
            data.attrs["units"] = "counts"
    return path
