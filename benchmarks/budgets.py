"""Every shipped recipe live: frames paced as they come from its instrument, p50 and p99 of frame to verdict as the run
records them, beside the recipe's budget.

    INSITU_DATA=DIR python -m benchmarks budgets [--quick]

Frames are real ones where there are some, else the recipe's simulator's, read beforehand and given over and over: what
is timed is storing, preparing, measuring and judging. Where all frames of a source are alike, the detector file is made
to say their shape and type, as that of a live detector must. `first` is the run's first frame, `ready` how long a
loaded recipe takes until its sources start. The load of the machine is printed with each.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.config import Setup, Source, load
from insitu.readers.simulated_barkhausen import Barkhausen
from insitu.readers.simulated_core import DrivenCore
from insitu.readers.simulated_line import Line
from insitu.run import LiveRun
from insitu.store.runs import StoredRun
from insitu.types import Arrival

DISTINCT = 24
"""Frames that are given over and over."""


class Live(NamedTuple):
    """How a recipe is run: frames a second, what it reads below the data folder (or a function that makes files in a
    folder, or a simulator), and settings."""

    rate: float
    source: str | Callable[[Path, Path], Path] | Callable[[], Any]
    sets: tuple[str, ...] = ()

    @property
    def real(self) -> bool:
        """Whether it needs measured frames."""
        return self.source not in ("", _core, _noise, _line)


class Paced:
    """A reader that gives `arrivals` over and over, `rate` a second."""

    def __init__(self, arrivals: Sequence[Arrival], rate: float, frames: int) -> None:
        self.arrivals, self.rate, self.frames = arrivals, rate, frames

    def __call__(self) -> Iterator[Arrival]:
        began = time.perf_counter()
        for k in range(self.frames):
            time.sleep(max(0.0, began + k / self.rate - time.perf_counter()))
            yield replace(self.arrivals[k % len(self.arrivals)], source_seq=k, time_ns=time.time_ns(), series="")


def _pictures(where: str) -> Callable[[Path, Path], Path]:
    def make(data: Path, folder: Path) -> Path:
        for path in sorted((data / where).glob("*.png")):
            if "_mask" not in path.name:
                shutil.copy(path, folder)
        return folder

    return make


def _contrast(data: Path, folder: Path) -> Path:
    from PIL import Image

    picture = np.load(data / "video" / "ebsd_ni_superalloy_dev.npz")["band_contrast"].astype(float)
    rng = np.random.default_rng(0)
    for k in range(8):
        noisy = np.clip(np.rint(picture + rng.normal(0.0, 3.0, picture.shape)), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"map_{k}.png")
    return folder


def _core() -> DrivenCore:
    return DrivenCore(frames=12, frequency=2e4, frequency_stop=5e5, steps=12)


def _noise() -> Barkhausen:
    return Barkhausen(frames=6)


def _line() -> Line:
    return Line(frames=DISTINCT)


PATTERNS = "xrd/series_cucr2o4_7-289K"
CERIA = "xrd/frame2d_ceo2_pilatus1m"
RECIPES: dict[str, Live] = {
    "barkhausen": Live(1.0, _noise),
    "barkhausen_state": Live(1.0, _noise),
    "gearbox": Live(5.0, "line/gearbox/h30hz0.npy"),
    "hydraulic": Live(5.0, "line/hydraulic_dev.npz"),
    "line": Live(5.0, _line),
    "loops": Live(2.0, "magnetic/vsm"),
    "permeability": Live(5.0, _core),
    "permeability_sweep": Live(2.0, "magnetic/n87_permeability_dev.npz"),
    "video_defects": Live(1.0, _pictures("video/superalloy_dev")),
    "video_front": Live(10.0, "video/meltpool_lpbf_xray_dev.tif"),
    "video_grains": Live(1.0, _contrast),
    "video_layers": Live(0.5, _pictures("video/ebc_dev")),
    "video_particles": Live(5.0, "video/bulk_water_dev"),
    "video_segmentation": Live(1.0, _pictures("video/superalloy_dev")),
    "xafs": Live(5.0, "xafs/xaslib/Fe"),
    "xafs_network": Live(5.0, "xafs/xaslib/Fe"),
    "xmcd": Live(5.0, "xafs/xmcd_fe_pf_bl16"),
    "xrd_1d": Live(5.0, PATTERNS),
    "xrd_2d": Live(2.0, CERIA),
    "xrd_heating_demo": Live(20.0, ""),
    "xrd_network": Live(2.0, PATTERNS),
    "xrd_phases": Live(2.0, PATTERNS),
    "xrd_two_detectors": Live(20.0, ""),
}


def main(folder: Path, *, quick: bool) -> None:
    named = os.environ.get("INSITU_DATA")
    if not named:
        print("\nINSITU_DATA names no folder: recipes on real frames are left out")
    print("\nFrame received to verdict, ms, as recorded in the run")
    late, tried = [], 0
    for name, live in RECIPES.items():
        if live.real and not named:
            continue
        tried += 1
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            try:
                told, inside = one(name, live, Path(named or ""), Path(scratch), 30 if quick else 200)
            except Exception as e:  # noqa: BLE001 - one that fails is told, the others go on
                told, inside = f"FAILED: {type(e).__name__}: {e}", False
        print(f"  {name:<20} {told}  load {os.getloadavg()[0]:.1f}{'' if inside else '  NOT inside'}", flush=True)
        late += [] if inside else [name]
    print(f"  inside their budgets: {tried - len(late)} of {tried}")


def one(name: str, live: Live, data: Path, scratch: Path, frames: int) -> tuple[str, bool]:
    """One live run; what is told of it, and whether its p99 is inside the budget."""
    setup = paced(name, live, data, scratch, frames)
    began = time.perf_counter()
    live_run = LiveRun(setup, data_root=scratch / "runs")
    ready_s = time.perf_counter() - began
    summary = live_run.wait()
    edge, budget = summary.latency_ms["edge"], setup.budget.latency_s * 1e3
    if summary.ended != "complete" or edge is None or summary.frames["stored"] == 0:
        return f"{summary.ended}: {summary.reason}", False
    with StoredRun(Path(summary.path)) as stored:
        first = next(body["edge_us"] for _, body in stored.timings()) / 1e3
    return (
        f"{summary.frames['stored']:>4} frames at {live.rate:>4g}/s  first {first:>6.1f}"
        f"  p50 {edge['p50']:>6.1f}  p99 {edge['p99']:>7.1f}"
        f"  max {edge['max']:>7.1f}  budget {budget:>5g}"
        f"  ready {ready_s:.2f} s",
        edge["p99"] <= budget,
    )


def paced(name: str, live: Live, data: Path, scratch: Path, frames: int) -> Setup:
    """The recipe, with a reader that gives its frames at their rate."""
    inputs, sets, made = None, [], None
    if isinstance(live.source, str):
        inputs, sets = _files(name, data / live.source) if live.source else (None, [])
    elif isinstance(made := _called(live.source, data, scratch), Path):
        inputs, sets = _files(name, made)
    else:
        inputs = "unused"
    setup = load(name, inputs=inputs, sets=sets)
    arrivals = [_arrivals(source, None if isinstance(made, Path) else made) for source in setup.sources]
    if stated := _stated(setup, arrivals):
        setup = load(name, inputs=inputs, sets=[*sets, *stated])
    sources = tuple(
        replace(source, reader=lambda a=found: Paced(a, live.rate, frames))
        for source, found in zip(setup.sources, arrivals, strict=True)
    )
    return replace(setup, sources=sources)


def _stated(setup: Setup, arrivals: Sequence[Sequence[Arrival]]) -> list[str]:
    """Settings that say the shape and type of the frames, where nobody has and all are alike."""
    kinds = {(a.data.shape, a.data.dtype.name) for found in arrivals for a in found}
    if len(setup.sources) != 1 or len(kinds) != 1 or setup.sources[0].detector.shape is not None:
        return []
    shape, dtype = kinds.pop()
    return [f"detector.shape={list(shape)}", f'detector.dtype="{dtype}"']


def _arrivals(source: Source, simulator: Any) -> list[Arrival]:
    """Frames of a source, or of a simulator in its place."""
    if simulator is None:
        return list(_first(source.reader()))
    return [replace(a, source=source.detector.source) for a in _first(simulator)]


def _called(make: Callable[..., Any], data: Path, scratch: Path) -> Any:
    if make in (_noise, _core, _line):
        return make()
    (scratch / "frames").mkdir()
    return make(data, scratch / "frames")


def _files(name: str, path: Path) -> tuple[str, list[str]]:
    """What a recipe reads, and its settings."""
    if name != "xrd_2d":
        return str(path), []
    (poni,) = path.glob("*.poni")
    (image,) = path.glob("*.tif*")
    return str(image), [f"detector.geometry.poni={poni}"]


def _first(reader: Any) -> Iterator[Arrival]:
    found = 0
    for arrival in reader():
        if isinstance(arrival, Arrival) and arrival.complete and not arrival.provisional:
            yield arrival
            found += 1
            if found == DISTINCT:
                return
