"""Recipes and detectors to setups: names, inputs, changes on the command line, and back from a stored run."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from insitu.config import load
from insitu.errors import ConfigError
from insitu.types import Feature, Limit, Output
from tests.config.recipes import DETECTORS, LEFT, RECIPE, one


def test_the_defaults_are_those_of_the_design() -> None:
    setup = load(one(), detectors=DETECTORS)
    budget, acquire = setup.budget, setup.acquire
    assert (budget.latency_s, budget.commit_s, budget.in_flight_bytes) == (0.05, 0.01, 512e6)
    assert (budget.lag_s, budget.drain_s, budget.linger_s, budget.measure_threads) == (1.0, 5.0, 5.0, 1)
    assert (budget.when_late, budget.act) == ("shed", "at_once")
    assert dataclasses.astuple(acquire) == (1000, 8, "continue", "record")


def test_what_a_recipe_says_of_its_own_is_in_the_setup() -> None:
    tables = {
        "budget": {"latency": "20 ms", "in_flight": "1 MiB", "measure_threads": 2, "when_late": "block"},
        "acquire": {"reorder": 3, "on_invalid": "stop"},
        "policy": {"features": ["total"], "max_rate": "120 1/min", "metadata": ["sample"]},
        "safe_state": {"exposure_s": "20 ms"},
        "kafka": {"bootstrap": "a:9092,b:9092", "beamline": "b01"},
        "references": [{"name": "empty", "first": 5}],
    }
    setup = load(one(**tables), detectors=DETECTORS)
    budget = setup.budget
    assert (budget.latency_s, budget.in_flight_bytes, budget.measure_threads) == (0.02, 1048576.0, 2)
    assert (budget.when_late, setup.acquire.reorder, setup.acquire.on_invalid) == ("block", 3, "stop")
    assert setup.policy.max_rate_hz == pytest.approx(2.0)
    assert (setup.policy.features, setup.policy.metadata) == (("total",), ("sample",))
    assert setup.safe_state == {"exposure_s": Feature(20.0, "ms")}
    assert setup.kafka == {"bootstrap": "a:9092,b:9092", "beamline": "b01", "required": False}
    assert (setup.references[0].name, setup.references[0].source, setup.references[0].first) == ("empty", "l", 5)


def test_a_detector_has_its_limits_in_one_unit() -> None:
    (source,) = load(one(), detectors=DETECTORS).sources
    assert source.detector.limits == {"exposure_s": Limit(unit="ms", low=10.0, high=1000.0, step=100.0, rate_hz=1.0)}
    assert source.detector.calibration == {"wavelength": Feature(1.5406, "angstrom")}
    assert (source.detector.name, source.detector.shape, source.detector.live) == ("left", (4096,), True)


def test_a_step_of_a_temperature_is_a_difference() -> None:
    limits = {"furnace": {"min": "20 degC", "max": "100 degC", "step": "2 K", "unit": "degC"}}
    with pytest.raises(ConfigError, match="K"):
        load(one(), detectors={"left": {**LEFT, "limits": {"furnace": {"min": "1 K", "max": "2 deg"}}}})
    (source,) = load(one(), detectors={"left": {**LEFT, "limits": limits}}).sources
    assert source.detector.limits["furnace"].step == pytest.approx(2.0)


def test_features_go_to_their_source_and_all_units_to_every_model() -> None:
    setup = load(RECIPE, detectors=DETECTORS)
    assert "peak1_area" in setup.outputs["l"]
    assert "peak1_area" not in setup.outputs["r"]
    assert setup.outputs["r"]["total"].unit == "counts"
    assert setup.simulated


def test_every_pipeline_is_fresh() -> None:
    setup = load(RECIPE, detectors=DETECTORS)
    assert setup.pipeline().models[0].call is not setup.pipeline().models[0].call


def test_pipelines_share_no_argument_that_could_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    features = [{"use": "tests_changing_lab:Greedy", "windows": [1.0, 2.0]}]
    monkeypatch.setitem(sys.modules, "tests_changing_lab", SimpleNamespace(Greedy=Greedy))
    setup = load(one(features=features, models=[], rules=[], policy={}), detectors=DETECTORS)
    assert [setup.pipeline().extractors[0].call.seen for _ in range(2)] == [2, 2]


class Greedy:
    """An extractor that empties the list that it is given."""

    def __init__(self, *, windows: list[float]) -> None:
        self.seen, self.outputs = len(windows), {"level": Output(unit="")}
        windows.clear()


def test_a_reader_is_made_only_when_it_is_called() -> None:
    detectors = {"left": {**LEFT, "reader": {"use": "simulated.diffractometer", "seed": -1}}}
    setup = load(one(), detectors=detectors)
    with pytest.raises(ConfigError, match=r"reader.seed: seed is -1"):
        setup.sources[0].reader()


LAB = """
from typing import Annotated
from insitu.types import Feature, Output

class Level:
    def __init__(self, *, height: Annotated[float, "mm"], name: str = "level") -> None:
        self.height, self.outputs = height, {f"{name}_height": Output(unit="mm")}
    def __call__(self, frame, refs, before):
        return {key: Feature(self.height, "mm") for key in self.outputs}

def silent(*, height: float = 1.0):
    return lambda frame, refs, before: {}

def loose(*, height=1.0):
    return silent()

def strict(*, height: float):
    raise ValueError("heights are never right")
"""


def test_a_thing_of_the_current_folder_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_level_lab.py").write_text(LAB)
    features = [{"use": "my_level_lab:Level", "height": "2 cm", "name": "tank"}]
    setup = load(one(features=features, models=[], rules=[], policy={}), detectors=DETECTORS)
    assert setup.outputs["l"].keys() == {"tank_height"}
    assert setup.pipeline().extractors[0].call.height == pytest.approx(20.0)
    for use, says in (
        ("silent", "does not say what it gives"),
        ("loose", "no annotated keyword"),
        ("strict", "heights are never right"),
        ("LAB_MISSING", "has no"),
    ):
        with pytest.raises(ConfigError, match=says):
            load(
                one(features=[{"use": f"my_level_lab:{use}", "height": 1.0}], models=[], rules=[]), detectors=DETECTORS
            )


def test_a_signal_that_a_rule_sets_must_be_allowed() -> None:
    rule = {"use": "adapt_step", "feature": "total", "high": "1e6 counts"}
    assert load(one(rules=[rule]), detectors=DETECTORS)
    with pytest.raises(ConfigError, match=r'rules.0.signal: no detector allows to set "furnace"'):
        load(one(rules=[{**rule, "signal": "furnace"}]), detectors=DETECTORS)
    with pytest.raises(ConfigError, match=r'no detector allows to set "exposure_s"'):
        load(one(rules=[rule]), detectors={"left": {**LEFT, "limits": {}}})


def test_two_detectors_of_one_source_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'the source "l" is also that of left'):
        load(RECIPE, detectors={"left": LEFT, "right": LEFT})


def test_one_key_in_two_units_is_refused() -> None:
    features = [
        {"use": "totals", "source": "l"},
        {"use": "totals", "source": "r", "unit": "arb"},
    ]
    with pytest.raises(ConfigError, match=r'total is in "counts" for source l and in "arb" for source r'):
        load({**RECIPE, "features": features, "models": [], "rules": [], "policy": {}}, detectors=DETECTORS)


def test_importing_config_imports_nothing_heavy() -> None:
    heavy = "pint scipy numba pybaselines matplotlib zarr watchdog h5py tomli_w"
    code = f"import sys, insitu.config; print([m for m in {heavy.split()} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"


def test_well_known_calibrations_are_brought_to_the_units_that_readers_rely_on() -> None:
    given = {"wavelength": "0.15406 nm", "wavelength2": "0.15444 nm", "temperature": "25 degC"}
    given |= {"distance": "208.651 mm", "my_own": "7"}
    setup = load(one(), detectors={"left": {**LEFT, "calibration": given}})
    found = setup.sources[0].detector.calibration
    assert found["wavelength"] == Feature(1.5406, "angstrom")
    assert found["temperature"] == Feature(298.15, "K")
    assert found["distance"] == Feature(208.651, "mm")  # of the right kind, and kept as it was written
    assert found["wavelength2"] == Feature(1.5444, "angstrom")
    assert found["my_own"] == Feature(7, "")  # a name of one's own
