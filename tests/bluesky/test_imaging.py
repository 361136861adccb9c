"""Exposure, frame rate and region of pictures follow what is seen."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bluesky.simulators import summarize_plan
from ophyd import Signal
from ophyd.sim import SynSignal

from insitu.bluesky.conditions import Roi, rate_for, roi_for
from insitu.bluesky.plans import Settings, imaging_scan
from insitu.errors import ActionRefusedError, UsageError
from insitu.types import Feature, Limit
from tests.sessions import run_engine

WHOLE = (512, 384)


class Microscope:
    """A spot that wanders, events at a rate that jumps, light that rises tenfold, and a blurred stretch."""

    def __init__(self) -> None:
        self.exposure, self.rate = Signal(name="exposure_s", value=0.02), Signal(name="rate_hz", value=5.0)
        size = zip(("roi_x", "roi_y", "roi_width", "roi_height"), (0, 0, *WHOLE), strict=True)
        self.roi = [Signal(name=name, value=value) for name, value in size]
        self.rng, self.k, self.seen = np.random.default_rng(5), 0, list[dict[str, float]]()
        self.picture = SynSignal(func=self.take, name="picture")
        self.k = 0
        self.seen.clear()

    def take(self) -> float:
        self.k += 1
        return float(self.k)

    def look(self, readings: Any) -> dict[str, Feature]:
        k, v = self.k, {name: float(r["value"]) for name, r in readings.items() if "asked" not in name}
        x, y = 200 + 2 * k, 150 + k
        level = 20_000 * (v["exposure_s"] / 0.02) * 10 ** min(k / 40, 1.0)
        events = self.rng.poisson((8.0 if k < 40 else 60.0) / v["rate_hz"])
        blurred = 50 <= k < 55
        inside = v["roi_x"] <= x < v["roi_x"] + v["roi_width"] and v["roi_y"] <= y < v["roi_y"] + v["roi_height"]
        self.seen.append({**v, "level": level, "inside": inside, "blurred": blurred})
        place = {"x": x - v["roi_x"], "y": y - v["roi_y"], "size": 30.0}
        return {
            "maximum": Feature(min(level, 65535.0)), "saturated_fraction": Feature(float(level > 65535)),
            "events": Feature(float(events)), "focus": Feature(0.1 if blurred else 1.0),
            **{key: Feature(value) if inside else Feature(None, why="lost") for key, value in place.items()},
        }  # fmt: skip

    @property
    def settings(self) -> Settings:
        return Settings(
            exposure=self.exposure, full=65535, rate=self.rate, events="events", roi=self.roi,
            place=("x", "y", "size"), whole=WHOLE, focus="focus",
        )  # fmt: skip


def test_exposure_rate_and_region_follow_light_events_and_the_sample():
    bench = Microscope()
    limits = {"rate_hz": Limit(unit="Hz", low=1.0, high=50.0), "exposure_s": Limit(unit="s", low=1e-3, high=0.05)}
    session: Any = SimpleNamespace(limits=limits, watch=lambda _: lambda: None, points=iter(range(1, 999)), mode="act")
    with run_engine() as engine:
        engine._call_returns_result = True
        summarize_plan(imaging_scan(session, [bench.picture], bench.settings, 2, look=bench.look))
        bench.k = 0
        outcome = engine(imaging_scan(session, [bench.picture], bench.settings, 90, look=bench.look)).plan_result
        bench.exposure.put(1.0)
        with pytest.raises(ActionRefusedError, match="exposure_s 1 s"):
            engine(imaging_scan(session, [bench.picture], bench.settings, 2, look=bench.look))
    seen = bench.seen
    assert not any(s["level"] > 65535 for s in seen)  # tenfold light, nothing saturated
    assert all(s["inside"] for s in seen)
    small = [s["roi_width"] * s["roi_height"] for s in seen[5:48]]
    assert max(small) < 0.25 * WHOLE[0] * WHOLE[1]
    assert seen[51]["roi_width"] == WHOLE[0]  # blurred: the whole picture again
    assert seen[60]["roi_width"] < WHOLE[0]
    assert 4 < seen[39]["rate_hz"] < 20  # 8 events a second, one in a frame
    assert 30 < seen[-1]["rate_hz"] <= 50  # 60 a second, the limit
    assert outcome.value.value > 5


def test_without_answers_all_stays_and_settings_that_are_not_complete_are_refused():
    bench = Microscope()
    with run_engine() as engine:
        engine._call_returns_result = True
        outcome = engine(imaging_scan(None, [bench.picture], bench.settings, 3)).plan_result
    assert outcome.value.value == 0
    assert [s.get() for s in bench.roi] == [0, 0, *WHOLE]
    for wrong in (
        {},
        {"exposure": bench.exposure},
        {"rate": bench.rate},
        {"roi": bench.roi},
        {"roi": bench.roi[:3], "place": ("x", "y", "s")},
    ):
        with pytest.raises(UsageError):
            Settings(**wrong)


def test_regions_and_rates_are_bounded():
    whole = Roi(0, 0, *WHOLE)
    place = {"x": Feature(5.0), "y": Feature(380.0), "size": Feature(20.0)}
    found = roi_for(place, WHOLE, present=whole)
    assert (found.x, found.y + found.height) == (0, WHOLE[1])
    assert roi_for({"x": Feature(600.0), "y": Feature(1.0), "size": Feature(5.0)}, WHOLE, present=whole) == whole
    assert roi_for({}, WHOLE, present=found) == whole
    limit = Limit(unit="Hz", low=1.0, high=20.0, step=5.0)
    assert rate_for(10.0, Feature(400.0), 10, limit=limit).rate_hz == 15.0
    assert rate_for(10.0, Feature(400.0), 10, exposure_s=0.05).rate_hz == 20.0
    assert rate_for(10.0, Feature(0.0), 40).rate_hz == pytest.approx(2.5)
    assert rate_for(10.0, None, 1).rate_hz == 10.0
    with pytest.raises(UsageError):
        rate_for(0.0, None, 1)
