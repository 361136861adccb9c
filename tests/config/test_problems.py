"""Broken recipes and detectors: each problem is told with file, line, key, what is allowed and the nearest match."""

import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from insitu.config import load
from insitu.errors import ConfigError

RECIPE = """\
format = 1
title = "a test"
detectors = ["bench"]

[[prepare]]
use = "baseline"
window = "0.5 deg"

[[features]]
use = "totals"

[[features]]
use = "xrd.peaks"
name = "peak"
windows = [
  ["28.2 deg", "28.7 deg"],
  ["31 deg", "32 deg"],
]

[[models]]
use = "limits"
feature = "peak1_position"
low = "28.2 deg"

[[rules]]
use = "halt_after"
model = "limits"
count = 3

[policy]
features = ["peak1_*"]
max_rate = "10 Hz"

[budget]
latency = "50 ms"
"""

DETECTOR = """\
format = 1
source = "det"
live = true
shape = [4096]
dtype = "uint32"
dims = ["two_theta"]

[reader]
use = "simulated.diffractometer"
seed = 1

[calibration]
wavelength = "1.5406 angstrom"

[limits.exposure_s]
min = "10 ms"
max = "1 s"
"""


class Case(NamedTuple):
    """Replace `old` by `new`; the problem is on `line` about `key`, and its text holds `says`."""

    old: str
    new: str
    line: int
    key: str
    says: str


RECIPES = {
    "a table misspelt": Case("[budget]", "[buget]", 34, "buget", 'Did you mean "budget"'),
    "a key misspelt": Case("latency", "latancy", 35, "budget.latancy", 'Did you mean "latency"'),
    "a key of a role misspelt": Case("count = 3", "cuont = 3", 28, "rules.0.cuont", 'Did you mean "count"'),
    "a number without unit": Case('low = "28.2 deg"', 'low = "28.2"', 23, "models.0.low", "28.2 deg"),
    "a number that needs a unit": Case('"0.5 deg"', "0.5", 7, "prepare.0.window", 'such as "0.5 deg"'),
    "a unit of another kind": Case('"0.5 deg"', '"0.5 K"', 7, "prepare.0.window", '"K" cannot be converted to "deg"'),
    "a unit misspelt": Case('"50 ms"', '"50 milis"', 35, "budget.latency", '"milis" is not a known unit'),
    "a unit deep in an array": Case('"32 deg"', '"32 degr"', 17, "features.1.windows.1.1", 'Did you mean "deg'),
    "an array too short": Case('["31 deg", "32 deg"]', '["31 deg"]', 17, "features.1.windows.1", "2 elements"),
    "a text for a number": Case("count = 3", 'count = "three"', 28, "rules.0.count", "a whole number"),
    "a fraction for a whole number": Case("count = 3", "count = 3.5", 28, "rules.0.count", "a whole number"),
    "true for a number": Case("count = 3", "count = true", 28, "rules.0.count", "true is not a whole number"),
    "a value for a table": Case('[budget]\nlatency = "50 ms"', "budget = 1", 34, "policy.budget", "not a key"),
    "a name unknown": Case('use = "totals"', 'use = "total"', 10, "features.0.use", 'Did you mean "totals"'),
    "a role of another kind": Case('use = "limits"', 'use = "totals"', 21, "models.0.use", "one of change_point"),
    "no use": Case('use = "baseline"\n', "", 5, "prepare.0", 'the key "use" is missing'),
    "a required key missing": Case('window = "0.5 deg"\n', "", 5, "prepare.0", 'the key "window" is missing'),
    "a module missing": Case('"totals"', '"no_such_lab:Thing"', 10, "features.0.use", 'no module "no_such_lab"'),
    "a thing missing": Case('"totals"', '"insitu.features.totals:Total"', 10, "features.0.use", "Totals"),
    "a model unknown": Case('model = "limits"', 'model = "limit"', 27, "rules.0.model", 'Did you mean "limits"'),
    "a feature unknown": Case('"peak1_position"', '"peak1_positon"', 22, "models.0.feature", "peak1_position"),
    "a pattern of nothing": Case('["peak1_*"]', '["peek1_*"]', 31, "policy.features.0", "matches no feature"),
    "a choice unknown": Case('latency = "50 ms"', 'when_late = "shedd"', 35, "budget.when_late", 'Did you mean "shed"'),
    "an impossible value": Case('latency = "50 ms"', 'latency = "-1 s"', 35, "budget.latency", "more than 0"),
    "an impossible value of a role": Case("count = 3", "count = 0", 28, "rules.0.count", "1 or more"),
    "a bad name": Case('name = "peak"', 'name = "Peak 1"', 14, "features.1.name", "small letters"),
    "a source unknown": Case('name = "peak"', 'source = "dett"', 14, "features.1.source", 'Did you mean "det"'),
    "a credit below one frame": Case(
        'latency = "50 ms"', 'in_flight = "1 kB"', 35, "budget.in_flight", "one frame of det"
    ),
    "a detector unknown": Case('["bench"]', '["bencch"]', 3, "detectors.0", 'Did you mean "bench"'),
    "a detector twice": Case('["bench"]', '["bench", "bench"]', 3, "detectors.1", "named twice"),
    "no detector": Case('["bench"]', "[]", 3, "detectors", "no detector is named"),
    "a format of tomorrow": Case("format = 1", "format = 2", 1, "format", "Install a newer insitu"),
    "a format missing": Case("format = 1\n", "", 0, "", 'the key "format" is missing'),
    "a rate without limit": Case('"10 Hz"', '"0 Hz"', 32, "policy.max_rate", "more than 0"),
    "a signal that nobody allows": Case(
        "[budget]", '[safe_state]\nexposure = "1 s"\n[budget]', 35, "safe_state.exposure", 'Did you mean "exposure_s"'
    ),
    "a safe state outside": Case(
        "[budget]", '[safe_state]\nexposure_s = "2 s"\n[budget]', 35, "safe_state.exposure_s", "10 to 1000 ms"
    ),
    "a reference of both kinds": Case(
        "[budget]", '[[references]]\nname = "empty"\n[budget]', 34, "references.0.first", "either first or file"
    ),
    "a reference file missing": Case(
        "[budget]", '[[references]]\nname = "e"\nfile = "no.npy"\n[budget]', 36, "references.0.file", "there is no file"
    ),
    "an address without port": Case(
        "[budget]", '[kafka]\nbootstrap = "host"\nbeamline = "b1"\n[budget]', 35, "kafka.bootstrap", "host:port"
    ),
}

DETECTORS = {
    "a key misspelt": Case("dtype", "dtpye", 5, "dtpye", 'Did you mean "dtype"'),
    "a dtype unknown": Case('"uint32"', '"uint33"', 5, "dtype", 'Did you mean "uint32"'),
    "live without shape": Case("shape = [4096]\n", "", 3, "live", "shape = [4096]"),
    "a shape against its dims": Case("[4096]", "[64, 64]", 6, "dims", "2 and dims has 1"),
    "a shape of nothing": Case("[4096]", "[0]", 4, "shape", "positive"),
    "a source that is no name": Case('"det"', '"Det 1"', 2, "source", "small letters"),
    "a unit unknown": Case("live = true", 'live = true\nunit = "cuonts"', 4, "unit", 'Did you mean "counts"'),
    "a time zone unknown": Case(
        "live = true", 'live = true\ntimezone = "Europe/Berlim"', 4, "timezone", 'Did you mean "Europe/Berlin"'
    ),
    "a codec unknown": Case("live = true", 'live = true\ncodec = "smal"', 4, "codec", 'Did you mean "small"'),
    "a reader's key misspelt": Case("seed = 1", "sede = 1", 10, "reader.sede", 'Did you mean "seed"'),
    "a clock that the reader has not": Case("live = true", 'live = true\nclock = "ioc"', 4, "clock", 'no "clock"'),
    "limits upside down": Case('"10 ms"', '"10 s"', 16, "limits.exposure_s.min", "is not below max"),
    "limits in another unit": Case('"10 ms"', '"10 mm"', 17, "limits.exposure_s.max", '"s" cannot be converted'),
    "a calibration without number": Case('"1.5406 angstrom"', '"no"', 13, "calibration.wavelength", "is not a number"),
    "a wavelength by weight": Case('"1.5406 angstrom"', '"0.4 kg"', 13, "calibration.wavelength", 'like "angstrom"'),
    "a wavelength without unit": Case('"1.5406 angstrom"', "1.5406", 13, "calibration.wavelength", '"1.5406 angstrom"'),
    "a wavelength of nothing": Case('"1.5406 angstrom"', '"0 nm"', 13, "calibration.wavelength", "more than 0"),
    "a wavelength misspelt": Case("wavelength", "wavelenght", 13, "calibration.wavelenght", "expected wavelength"),
    "a distance in kelvin": Case("[limits", 'distance = "0.4 K"\n[limits', 15, "calibration.distance", 'like "m"'),
    "a pixel size of an angle": Case("[limits", 'pixel_size = "1 deg"\n[limits', 15, "calibration.pixel_size", '"um"'),
    "an energy as length": Case("[limits", 'energy = "1 angstrom"\n[limits', 15, "calibration.energy", '"keV"'),
    "a temperature below 0": Case("[limits", 'temperature = "-3 K"\n[limits', 15, "calibration.temperature", "0"),
}


def written(folder: Path, recipe: str, detector: str) -> Path:
    """The recipe's path, with the detector where it is looked for."""
    (folder / "pipelines").mkdir()
    (folder / "detectors").mkdir()
    (folder / "pipelines" / "broken.toml").write_text(recipe)
    (folder / "detectors" / "bench.toml").write_text(detector)
    return folder / "pipelines" / "broken.toml"


def check(error: ConfigError, file: str, case: Case) -> None:
    """The one problem has the file, line and key of the case, and says what it should."""
    place = f"{file}:{case.line}: {case.key}" if case.line else file
    assert [p.where for p in error.problems] == [place], str(error)
    assert case.says in str(error)


def test_what_the_cases_break_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(written(tmp_path, RECIPE, DETECTOR)).title == "a test"


@pytest.mark.parametrize("case", RECIPES.values(), ids=RECIPES)
def test_a_broken_recipe_is_refused_with_its_line(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert case.old in RECIPE
    path = written(tmp_path, RECIPE.replace(case.old, case.new), DETECTOR)
    with pytest.raises(ConfigError) as e:
        load(path)
    check(e.value, "pipelines/broken.toml", case)


@pytest.mark.parametrize("case", DETECTORS.values(), ids=DETECTORS)
def test_a_broken_detector_is_refused_with_its_line(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert case.old in DETECTOR
    path = written(tmp_path, RECIPE, DETECTOR.replace(case.old, case.new))
    with pytest.raises(ConfigError) as e:
        load(path)
    check(e.value, "detectors/bench.toml", case)


def test_text_that_is_no_toml_is_refused_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"pipelines/broken.toml:7: this is not valid TOML"):
        load(written(tmp_path, RECIPE.replace('"0.5 deg"', "0.5 deg"), DETECTOR))


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = RECIPE.replace("latency", "latancy").replace("count = 3", "count = 0").replace('"32 deg"', '"32 degr"')
    path = written(tmp_path, recipe.replace('["28.2 deg"', '["28.2 K"'), DETECTOR.replace("[4096]", "[0]"))
    with pytest.raises(ConfigError) as e:
        load(path, sets=["acquire.reorder=-1"])
    assert {p.where for p in e.value.problems} == {
        "detectors/bench.toml:4: shape",
        "pipelines/broken.toml:16: features.1.windows.0.0",
        "pipelines/broken.toml:17: features.1.windows.1.1",
        "pipelines/broken.toml:35: budget.latancy",
        "--set acquire.reorder=-1: acquire.reorder",
    }
    assert len(str(e.value).splitlines()) == 5


def test_two_entries_that_give_one_key_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = RECIPE.replace("[policy]", '[[features]]\nuse = "totals"\n[policy]')
    with pytest.raises(ConfigError, match=r"broken.toml:30: features.2: background, maximum, .* of source det"):
        load(written(tmp_path, recipe, DETECTOR))


def test_two_models_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    second = textwrap.dedent("""\
        [[models]]
        use = "limits"
        feature = "total"
        low = "1 counts"
        [policy]""")
    with pytest.raises(ConfigError, match=r"broken.toml:30: models.1: two of \[\[models\]\] are named \"limits\""):
        load(written(tmp_path, RECIPE.replace("[policy]", second), DETECTOR))


def test_a_rule_is_not_blamed_for_a_model_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as e:
        load(written(tmp_path, RECIPE.replace('low = "28.2 deg"', "lwo = 1"), DETECTOR))
    assert [p.where for p in e.value.problems] == ["pipelines/broken.toml:23: models.0.lwo"]


@pytest.mark.parametrize(
    ("text", "use", "says"),
    [
        ("x = 1/0\n", "broken:X", "ZeroDivisionError: division by zero, line 1 of .*broken.py"),
        ("import sys\nsys.exit(3)\n", "broken:X", "SystemExit: 3, line 2 of .*broken.py"),
        ("def x(:\n", "broken:X", "is no Python: invalid syntax, line 1 of .*broken.py"),
        ("class X:\n    def __init__(self): {}['a']\n", "broken:X", "raised KeyError: 'a', line 2 of .*broken.py"),
        ("", "broken:", '"broken:" is not known here'),
        ("", ":X", '":X" is not known here'),
    ],
)
def test_a_module_of_the_users_own_that_fails_is_told_with_its_line(
    text: str, use: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    (tmp_path / "broken.py").write_text(text)
    recipe = RECIPE + f'\n[[features]]\nuse = "{use}"\n'
    with pytest.raises(ConfigError, match=says):
        load(written(tmp_path, recipe, DETECTOR))


@pytest.mark.parametrize(
    ("option", "where"),
    [("a.b.c=1", "--set a.b.c=1"), ("detector.foo.seed=1", "--set detector.foo.seed=1")],
)
def test_a_key_that_only_the_command_line_has_is_told_as_its_option(
    option: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as e:
        load(written(tmp_path, RECIPE, DETECTOR), sets=[option])
    assert e.value.where.startswith(where)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ('title = "again"\n', "stands twice"),
        ('[references]\nname = "x"\n', r"double brackets: \[\[references\]\]"),
    ],
)
def test_slips_of_toml_are_told_with_their_remedy(
    extra: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = extra + RECIPE if extra.startswith("title") else RECIPE + extra
    with pytest.raises(ConfigError, match=says):
        load(written(tmp_path, recipe, DETECTOR))


def test_a_byte_order_mark_and_dos_lines_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "\ufeff" + RECIPE.replace("\n", "\r\n"), DETECTOR)
    assert load(path).title == "a test"


def test_check_finds_what_a_reader_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reader\.pattern: 'a/b' holds a folder"):
        load("xrd_1d", inputs=str(tmp_path), sets=["detector.reader.pattern=a/b"], purpose="check")


@pytest.mark.parametrize("given", ["", "det="])
def test_an_empty_input_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="the path is empty"):
        load("xrd_1d", inputs=[given], purpose="check")
