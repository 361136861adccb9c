"""Videos for tests: written in every format, and judged by a stock recipe frame by frame."""

from __future__ import annotations

import dataclasses
import fractions
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from insitu.config import load
from insitu.types import Arrival, Frame, Record


def scene(index: int, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A small grey picture, another one for each index."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = 120 + 60 * np.sin((x + 2 * index) / 5.0) * np.cos(y / 4.0) + index
    return np.clip(wave, 0, 255).astype(np.uint8)


def write_movie(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "ffv1",
    pixels: str = "gray",
    times_ms: Sequence[int] | None = None,
    rate: int = 25,
) -> Path:
    """A movie of grey or RGB frames; `times_ms`: when each is shown (default: as `rate` says)."""
    base = fractions.Fraction(1, 1000) if times_ms is not None else fractions.Fraction(1, rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=1000 if times_ms is not None else rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base, stream.codec_context.time_base = pixels, base, base
        for i, pixel in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixel, format="gray" if pixel.ndim == 2 else "rgb24")
            frame = frame.reformat(format=pixels)
            frame.pts, frame.time_base = times_ms[i] if times_ms is not None else i, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def framed(arrival: Arrival, n: int) -> Frame:
    """An arrival with its numbers."""
    given = {field.name: getattr(arrival, field.name) for field in dataclasses.fields(arrival)}
    return Frame(**given, seq=n, n=n)


def judged(arrivals: Sequence[Arrival], recipe: str, *sets: str) -> list[Record]:
    """The records of a stock recipe about these frames."""
    pipeline = load(recipe, sets=list(sets), inputs=".").pipeline()
    reach = pipeline.before(arrivals[0].source)
    frames: list[Frame] = []
    records = []
    for n, arrival in enumerate(arrivals):
        frames.append(framed(arrival, n))
        records.append(pipeline.step(frames[-1], {}, frames[max(0, n - reach) : n]))
    return records


def flagged(records: Sequence[Record]) -> dict[int, list[str]]:
    """Frames that any model calls an anomaly or a change, and the models."""
    found: dict[int, list[str]] = {}
    for n, record in enumerate(records):
        names = [name for name, verdict in record.verdicts.items() if verdict.label in ("anomaly", "change")]
        if names:
            found[n] = names
    return found
