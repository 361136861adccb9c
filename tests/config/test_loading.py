"""Recipes and detectors to setups: names, inputs, changes on the command line, and back from a stored run."""

import copy
import dataclasses
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from insitu import catalog
from insitu.config import Setup, describe, load, load_stored, render, stored_detectors
from insitu.errors import ConfigError, NotFoundError, UsageError
from insitu.types import Feature, Limit, Output

RECIPE: dict[str, Any] = {
    "format": 1,
    "title": "two of a kind",
    "detectors": ["left", "right"],
    "features": [
        {"use": "totals"},
        {"use": "xrd.peaks", "name": "peak", "source": "l", "windows": [["38.3 deg", "39.5 deg"]]},
    ],
    "models": [{"use": "limits", "feature": "peak1_area", "low": "100 counts deg"}],
    "rules": [{"use": "halt_after", "model": "limits"}],
    "policy": {"features": ["peak1_*"]},
}
LEFT: dict[str, Any] = {
    "format": 1,
    "source": "l",
    "live": True,
    "shape": [4096],
    "dtype": "uint32",
    "dims": ["two_theta"],
    "reader": {"use": "simulated.diffractometer", "frames": 2},
    "calibration": {"wavelength": "1.5406 angstrom"},
    "limits": {"exposure_s": {"min": 10, "max": 1000, "step": "0.1 s", "rate": "1 Hz", "unit": "ms"}},
}
RIGHT = {**LEFT, "source": "r", "live": False, "limits": {}}
DETECTORS = {"left": LEFT, "right": RIGHT}
FILES = {**LEFT, "live": False, "reader": {"use": "patterns"}}
SHIPPED = [*catalog.shipped("pipelines")]


def one(**changes: Any) -> dict[str, Any]:
    """The recipe with the left detector alone."""
    return {**copy.deepcopy(RECIPE), "detectors": ["left"], **changes}


def stored(setup: Setup, folder: Path) -> Path:
    """A run folder as far as config reads it."""
    folder.mkdir(exist_ok=True)
    (folder / "recipe.toml").write_text(setup.recipe_toml)
    (folder / "detectors.toml").write_text(setup.detectors_toml)
    for name, path in setup.files.items():
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).write_bytes(path.read_bytes())
    return folder


def digests(setup: Setup) -> dict[str, str]:
    """Names and digests of what judges."""
    pipeline = setup.pipeline()
    return {stage.name: stage.digest for stage in (*pipeline.models, *pipeline.rules)}


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


def test_what_a_run_stores_makes_the_same_pipeline(tmp_path: Path) -> None:
    setup = load(RECIPE, detectors=DETECTORS, sets=["models.limits.low=90 counts deg", "detector.left.reader.seed=7"])
    again = load_stored(stored(setup, tmp_path))
    assert (again.recipe_toml, again.detectors_toml) == (setup.recipe_toml, setup.detectors_toml)
    assert digests(again) == digests(setup)
    assert again.outputs == setup.outputs
    assert [s.detector for s in again.sources] == [s.detector for s in setup.sources]
    assert (again.budget, again.policy, again.simulated) == (setup.budget, setup.policy, True)


def test_what_a_run_stores_holds_every_default() -> None:
    recipe = tomllib.loads(load(one(), detectors=DETECTORS).recipe_toml)
    assert recipe["models"][0]["window"] == 50
    assert recipe["budget"]["linger"] == "5 s"


def test_a_default_written_out_does_not_change_a_digest_and_another_value_does() -> None:
    first = load(one(), detectors=DETECTORS)
    same = load(one(), detectors=DETECTORS, sets=["models.limits.window=50"])
    other = load(one(), detectors=DETECTORS, sets=["models.limits.window=60"])
    assert digests(first) == digests(same)
    assert digests(first)["limits"] != digests(other)["limits"]
    assert digests(first)["limits"].startswith("blake3:")


def test_a_stored_run_does_not_look_at_its_readers(tmp_path: Path) -> None:
    folder = stored(load(one(), detectors=DETECTORS), tmp_path)
    text = (folder / "detectors.toml").read_text().replace("simulated.diffractometer", "lost_lab:Reader")
    (folder / "detectors.toml").write_text(text)
    setup = load_stored(folder)
    with pytest.raises(UsageError, match="not read from its instrument again"):
        setup.sources[0].reader()


def test_another_recipe_runs_on_the_detectors_of_a_stored_run(tmp_path: Path) -> None:
    folder = stored(load(one(), detectors=DETECTORS), tmp_path)
    other = load(one(models=[], rules=[]), detectors=stored_detectors(folder), purpose="replay")
    assert other.sources[0].detector.source == "l"


def test_the_recipe_of_a_stored_run_by_path_is_a_replay(tmp_path: Path) -> None:
    folder = stored(load(one(), detectors=DETECTORS), tmp_path)
    text = (folder / "detectors.toml").read_text().replace("simulated.diffractometer", "lost_lab:Reader")
    (folder / "detectors.toml").write_text(text)
    setup = load(str(folder / "recipe.toml"), sets=["models.limits.low=10 counts deg"])
    assert 'low = "10 counts deg"' in setup.recipe_toml


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"has no recipe.toml"):
        load_stored(tmp_path)


def test_a_file_that_a_recipe_names_goes_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").write_bytes(b"not read here")
    recipe = one(references=[{"name": "empty", "file": str(tmp_path / "empty.npy")}])
    setup = load(recipe, detectors=DETECTORS)
    assert setup.files == {"empty.npy": tmp_path / "empty.npy"}
    assert str(tmp_path) not in setup.recipe_toml
    again = load_stored(stored(setup, tmp_path / "run"))
    assert again.references[0].file == tmp_path / "run" / "files" / "empty.npy"
    assert again.references[0].source == "l"


@pytest.mark.parametrize("inputs", ["ramp.xy", ["ramp.xy"], ["l=ramp.xy"], {"l": "ramp.xy"}])
def test_an_input_is_what_the_reader_reads(inputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ramp.xy").write_text("1 2\n2 3\n3 4\n")
    setup = load(one(), detectors={"left": FILES}, inputs=inputs)
    assert tomllib.loads(setup.detectors_toml)["left"]["reader"]["path"] == str(tmp_path / "ramp.xy")
    assert not setup.simulated


def test_a_run_without_input_says_how_to_give_one() -> None:
    with pytest.raises(ConfigError, match=r"reader.path: nothing says what to read.*--input PATH"):
        load(one(), detectors={"left": FILES})
    setup = load(one(), detectors={"left": FILES}, purpose="check")
    with pytest.raises(UsageError, match="--input PATH"):
        setup.sources[0].reader()


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ("ramp.xy", "given to none of several sources"),
        ("ll=ramp.xy", r'Did you mean "l"'),
        (["l=a", "l=b"], "has two inputs"),
        ("l=a", r'--input .*/a: the reader "simulated.diffractometer" of this source reads no files'),
    ],
)
def test_an_input_that_fits_no_source_is_refused(inputs: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(RECIPE, detectors=DETECTORS, inputs=inputs)


@pytest.mark.parametrize(
    ("text", "where", "wanted"),
    [
        ("budget.latency=20 ms", ("budget", "latency"), "20 ms"),
        ("budget.measure_threads=2", ("budget", "measure_threads"), 2),
        ('policy.features=["total", "snr"]', ("policy", "features"), ["total", "snr"]),
        ("models.limits.low=7 counts deg", ("models", 0, "low"), "7 counts deg"),
        ("models.0.low=7 counts deg", ("models", 0, "low"), "7 counts deg"),
        ("title=a = b", ("title",), "a = b"),
        ("acquire.on_invalid=stop", ("acquire", "on_invalid"), "stop"),
    ],
)
def test_a_key_can_be_set_on_the_command_line(text: str, where: tuple[str | int, ...], wanted: Any) -> None:
    found: Any = tomllib.loads(load(one(), detectors=DETECTORS, sets=[text]).recipe_toml)
    for part in where:
        found = found[part]
    assert found == wanted


@pytest.mark.parametrize("text", ["detector.reader.seed=5", "detector.left.reader.seed=5"])
def test_a_key_of_the_only_detector_can_be_set(text: str) -> None:
    detectors = tomllib.loads(load(one(), detectors=DETECTORS, sets=[text]).detectors_toml)
    assert detectors["left"]["reader"]["seed"] == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("budget.latancy=20 ms", r'--set budget.latancy=20 ms: budget.latancy: .*Did you mean "latency"'),
        ("budget.latency=20 mm", r'--set budget.latency=20 mm: budget.latency: "mm" cannot be converted'),
        ("nothing", "sets nothing"),
        ("a..b=1", "is not a key"),
        ("models.limit.low=1", r'no entry is named "limit"; expected one of limits, 0. Did you mean "limits"'),
        ("title.deep=1", "is a value, not a table"),
        ("detector.reader.seed=5", r'no detector is named "reader"'),
        ("detector.lft.codec=small", r'Did you mean "left"'),
        ("detector.left=1", "is no key of a detector"),
        ("detector=1", "names no key of the detector"),
        ("detector.left.codec=smal", r'--set detector.left.codec=smal: .*Did you mean "small"'),
    ],
)
def test_a_change_that_fits_nothing_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(RECIPE, detectors=DETECTORS, sets=[text])


def test_what_is_given_is_not_changed() -> None:
    recipe, detectors = copy.deepcopy(RECIPE), copy.deepcopy(DETECTORS)
    load(recipe, detectors=detectors, sets=["models.limits.low=1 counts deg", "detector.left.reader.seed=3"])
    assert (recipe, detectors) == (RECIPE, DETECTORS)


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


PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 1e-4, "pixel2": 1e-4, "max_shape": [64, 64]}
Distance: 0.2
Poni1: 0.003
Poni2: 0.003
Rot1: 0
Rot2: 0
Rot3: 0
Wavelength: 1e-10
"""


def needed(recipe: str, folder: Path) -> list[str]:
    """What a shipped recipe has to be given before it can run: files that only its user has."""
    if recipe != "xrd_2d":
        return []
    (folder / "a.poni").write_text(PONI)
    return [f"detector.geometry.poni={folder / 'a.poni'}"]


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_recipe_loads_describes_and_reads_back(path: Path, tmp_path: Path) -> None:
    setup = load(path, purpose="check", sets=needed(path.stem, tmp_path))
    assert (setup.name, bool(setup.title)) == (path.stem, True)
    again = load_stored(stored(setup, tmp_path))
    assert (again.recipe_toml, digests(again)) == (setup.recipe_toml, digests(setup))
    description = describe(setup)
    assert orjson.loads(orjson.dumps(description)) == description
    text = render(description)
    assert all(key in text for keys in setup.outputs.values() for key in keys)
    assert all(source.detector.source in text for source in setup.sources)


@pytest.mark.parametrize("path", catalog.shipped("detectors"), ids=lambda path: path.stem)
def test_a_shipped_detector_loads(path: Path) -> None:
    setup = load({"format": 1, "detectors": [str(path)]}, purpose="check")
    assert setup.sources[0].detector.name == path.stem


def test_there_are_shipped_recipes() -> None:
    assert {"xrd_1d", "xrd_heating_demo"} <= {path.stem for path in SHIPPED}


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
