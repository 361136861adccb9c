"""Inputs and single keys that are given on the command line."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from insitu.config import load
from insitu.errors import ConfigError, UsageError
from tests.config.recipes import DETECTORS, FILES, RECIPE, one


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
