"""Clean frames of every registered simulator, through the shipped network or recipe that finds its faults: what is not
called normal. Used by a test (a few of each) and by `tests/prove.py` (30,000 of each)."""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import count, islice
from pathlib import Path

from insitu.config import Setup, load
from insitu.inference.onnx import Onnx
from insitu.inference.onnx_verdict import Network
from insitu.readers.simulated_furnace import Furnace
from insitu.run.shared import frame_of
from insitu.training import trials, xafs_anomaly, xrd_anomaly
from insitu.training.anomaly import measured
from insitu.training.anomaly_kinds import KINDS
from insitu.types import Action, Measurement

ROOT = Path(__file__).resolve().parent.parent
MODELS, FURNACE = ROOT / "pipelines" / "models", ROOT / "examples" / "furnace"
FIRST = 20_000_000
"""Seeds from here on were used by no training."""
FURNACE_S = 250.0
ABSTAINED = 0.005
"""Part of the clean frames of a share that may be called unknown: a loop of few noisy points has no known Ms."""
Labels = Callable[[int, int], Iterator[str]]
"""Seed and number of frames to labels; "normal" where nothing is found."""


@cache
def network(name: str) -> Network:
    return Network(bundle=MODELS / name)


def label(of: Network, measurement: Measurement) -> str:
    verdict = of(measurement)
    return verdict.label if verdict else "nothing said"


def kind(name: str, which: str, seed: int, frames: int) -> Iterator[str]:
    """Of the simulators of `KINDS[name]` whose names hold `which`, in equal parts."""
    chosen, judge = KINDS[name], network(f"{name}_anomaly")
    some = [of for of in chosen.simulators if which in of.name]
    for of in some:
        each = (measured(chosen, of, s, chosen.frames) for s in count(FIRST + 100_000 * seed))
        told = (m for one in each for m in islice(one, chosen.skip, None))
        yield from (label(judge, m) for m in islice(told, -(-frames // len(some))))


def diffractometer(seed: int, frames: int) -> Iterator[str]:
    """Five samples."""
    extractor, judge = Onnx(bundle=MODELS / "xrd_anomaly"), network("xrd_anomaly")
    for sample in sorted(xrd_anomaly.SAMPLES):
        for frame in xrd_anomaly.frames_of(sample, FIRST + seed, frames // 5):
            yield label(judge, trials.measurement(frame, [], [extractor]))


def spectra(seed: int, frames: int) -> Iterator[str]:
    """Three reactions; both networks, the one for any spectrum and the one for a session."""
    measure, judges = xafs_anomaly.Measure(session=True), (network("xafs_anomaly"), network("xafs_session_anomaly"))
    for reaction in sorted(xafs_anomaly.REACTIONS):
        for frame in xafs_anomaly.simulated(reaction, FIRST + seed, -(-frames // 3)):
            measurement = trials.measurement(frame, measure.steps, measure.extractors)
            said = {label(judge, measurement) for judge in judges}
            yield "normal" if said == {"normal"} else " ".join(sorted(said))


def furnace_setup(seed: int) -> Setup:
    """The example's recipe without damage, every instrument disturbed now and then."""
    recipe = tomllib.loads((FURNACE / "pipelines/furnace.toml").read_text())
    detectors = {}
    for name in recipe["detectors"]:
        table = detectors[name] = tomllib.loads((FURNACE / f"detectors/{name}.toml").read_text())
        del table["reader"]["onset"]
        table["reader"] |= {"seed": seed, "duration": f"{FURNACE_S} s"}
    return load(recipe, detectors=detectors)


def furnace(seed: int, frames: int) -> Iterator[str]:
    """Verdicts of all instruments together, and actions. "unknown" is allowed: clocks are learnt in the beginning."""
    told = (one for s in count(FIRST + 1000 * seed) for one in furnace_series(s))
    yield from islice(told, frames)


def furnace_series(seed: int) -> Iterator[str]:
    """One experiment, all its frames in order of their true time."""
    setup = furnace_setup(seed)
    pipeline, arrivals = setup.pipeline(), []
    for source in setup.sources:
        reader = source.reader()
        assert isinstance(reader, Furnace)
        arrivals += [
            (i / reader.rate + reader.exposure_s, source.detector.source, i, reader) for i in range(reader.frames)
        ]
    for n, (_, _, i, reader) in enumerate(sorted(arrivals, key=lambda a: a[:3])):
        record = pipeline.step(frame_of(reader.arrival(i), i, n))
        acted = record.decision.action is not Action.CONTINUE
        verdict = record.verdicts.get("damage")
        said = "normal" if verdict is None or verdict.label == "unknown" else verdict.label
        yield record.decision.action.name if acted else said


READERS: dict[str, tuple[Labels, ...]] = {
    "simulated.area_detector": (partial(kind, "area", ""),),
    "simulated.barkhausen": (partial(kind, "barkhausen", ""),),
    "simulated.colloid": (partial(kind, "video", "colloid"),),
    "simulated.core": (partial(kind, "core", ""),),
    "simulated.diffractometer": (diffractometer,),
    "simulated.furnace": (furnace,),
    "simulated.grains": (partial(kind, "video", "grains"),),
    "simulated.line": (partial(kind, "line", ""),),
    "simulated.loops": (partial(kind, "loops", ""),),
    "simulated.precipitates": (partial(kind, "video", "precipitates"),),
    "simulated.xas": (spectra, partial(kind, "film", "")),
}
"""By the name of the reader in `insitu.readers`."""


def clean(reader: str, seed: int, frames: int) -> dict[str, int]:
    """Frames tried and, by label, those not called normal."""
    found = Counter(said for labels in READERS[reader] for said in labels(seed, frames))
    return {"frames": found.total(), **{k: n for k, n in found.items() if k != "normal"}}


def share(seed: int, frames: int) -> dict[str, int]:
    """So many frames of every simulator: how many by reader, and how many of them were called unknown. AssertionError
    where one is called anything else than normal, or more than `ABSTAINED` unknown."""
    found = {reader: clean(reader, seed, frames) for reader in READERS}
    wrong = {reader: said for reader, said in found.items() if set(said) - {"frames", "unknown"}}
    assert not wrong, f"seed {seed}, clean frames with a false alarm: {wrong}"
    counts = {}
    for reader, said in found.items():
        unknown, name = said.get("unknown", 0), reader.removeprefix("simulated.")
        assert unknown <= ABSTAINED * said["frames"], f"seed {seed}: {reader} abstains in {unknown} clean frames"
        counts |= {name: said["frames"]} | ({f"{name}_unknown": unknown} if unknown else {})
    return counts
