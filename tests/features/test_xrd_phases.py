from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xrd_phases import Phases
from insitu.maths.diffraction.phases import ROOM_K, batio3_tetragonal, ceria, corundum, phases, rutile, silicon
from insitu.maths.diffraction.reference_pattern import from_structure
from insitu.types import Axis, Detector, Feature
from tests import decoys, patterns

OURS = {"ceo2": ceria(ROOM_K), "si": silicon(ROOM_K), "al2o3": corundum(ROOM_K), "tio2": rutile(ROOM_K)}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def crowd(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Phases:
    """The data's two structures, 26 tables, 36 published structures, 20 decoys, CeO2 and fluorapatite."""
    folder = tmp_path_factory.mktemp("crowd")
    decoys.write(folder)
    (folder / "ceria.cif").write_text(decoys.cif("ceria", *decoys.CERIA))
    (folder / "fluorapatite.cif").write_text(decoys.cif("fluorapatite", *decoys.FLUORAPATITE))
    series = data / "xrd" / "series_cucr2o4_7-289K"
    made = Phases(files=[series / "CuCr2O4.cif", series / "CuO.cif", data / "xrd" / "dspacing_tables", folder])
    assert len(made.phases) >= 80
    return made


@pytest.fixture(scope="module")
def standards() -> Phases:
    return Phases(standards=True)


def found(features: dict[str, Feature]) -> list[str]:
    """Names of the phases found, the largest share first."""
    shares = {k[6:-6]: f.value for k, f in features.items() if k.endswith("_share") and f.value}
    return sorted(shares, key=lambda name: -shares[name])


def weights(volumes: dict[str, float]) -> dict[str, float]:
    """Weight fractions of volumes."""
    mass = {n: v * (from_structure(n, OURS[n]).density or 0.0) for n, v in volumes.items()}
    return {n: m / sum(mass.values()) for n, m in mass.items()}


def test_the_impurity_of_copper_chromite_is_found_among_more_than_fifty(crowd: Phases, data: Path) -> None:
    """CuO beside CuCr2O4: the data README. At every temperature the main phase, and nothing that is not there."""
    with_impurity = 0
    for kelvin, frame in patterns.copper_chromite(data).items():
        features = crowd(frame, {}, ())
        names = found(features)
        assert names[0] == "cucr2o4", kelvin
        assert set(names) <= {"cucr2o4", "cuo"}, kelvin
        assert features["phase_unexplained"].value < 0.1
        assert abs(features["phase_zero"].value) < 0.002
        with_impurity += "cuo" in names
        if kelvin < 60.0:
            fraction = features["phase_cuo_fraction"]
            assert 0.003 < fraction.value < 0.008
            assert fraction.value > 10.0 * fraction.sigma
    assert with_impurity >= 14


def test_ceria_and_fluorapatite_are_first_among_more_than_fifty(crowd: Phases, data: Path) -> None:
    """The laboratory pattern is shifted by -0.05 +- 0.02 deg: five lines of the data README."""
    by_authors = crowd(patterns.ceria_by_its_authors(data), {}, ())
    assert found(by_authors) == ["ceria"]
    assert by_authors["phase_unexplained"].value < 0.15
    laboratory = crowd(patterns.fluorapatite(data), {}, ())
    assert found(laboratory) == ["fluorapatite"]
    assert laboratory["phase_unexplained"].value < 0.1
    assert laboratory["phase_zero"].value == pytest.approx(-0.05, abs=0.02)


def test_a_sample_that_is_no_candidate_is_unknown(crowd: Phases, data: Path) -> None:
    _, jadarite = patterns.fxye(data / "xrd" / "ref_jadarite_11bm" / "11bmb_6231.fxye", 0.413529)
    features = crowd(jadarite, {}, ())
    assert features["n_phases"].value == 0
    assert features["phase_unexplained"].value == 1.0
    assert features["phase_cuo_fraction"].why == "none of the candidates is found"


@pytest.mark.parametrize("seed", range(3))
def test_a_known_phase_that_is_not_among_the_candidates_is_not_taken_for_another(seed: int) -> None:
    sample = [(batio3_tetragonal(300.0), 1.0)]
    features = Phases(standards=True)(patterns.mixture(sample, seed=seed), {}, ())
    assert features["n_phases"].value == 0


def test_a_frame_without_lines_says_so(standards: Phases) -> None:
    features = standards(patterns.mixture([]), {}, ())
    assert features.keys() == standards.outputs.keys()
    assert {f.why for f in features.values()} == {"no peak above 5 sigma"}


@pytest.mark.parametrize(
    "volumes",
    [
        {"ceo2": 0.5, "si": 0.5},
        {"ceo2": 0.05, "si": 0.3, "al2o3": 0.65},
        {"al2o3": 0.97, "tio2": 0.03},
        {"ceo2": 0.25, "si": 0.25, "al2o3": 0.25, "tio2": 0.25},
    ],
)
@pytest.mark.parametrize("shift", [0.0, -0.04])
def test_weight_fractions_of_mixtures_come_within_two_points(standards: Phases, volumes, shift: float) -> None:
    truth = weights(volumes)
    sample = patterns.mixture([(OURS[n], v) for n, v in volumes.items()], seed=1, shift=shift)
    features = standards(sample, {}, ())
    for name in OURS:
        fraction = features[f"phase_{name}_fraction"]
        assert fraction.value == pytest.approx(truth.get(name, 0.0), abs=0.02)
        assert fraction.sigma is not None
        assert fraction.sigma < 0.01
    assert set(found(features)) == set(volumes)


def test_fractions_hold_among_a_crowd_with_other_form_factors(crowd: Phases) -> None:
    volumes = {"ceo2": 0.05, "si": 0.3, "al2o3": 0.65}
    features = crowd(patterns.mixture([(OURS[n], v) for n, v in volumes.items()], seed=2), {}, ())
    assert features["n_phases"].value == 3
    assert features["phase_corundum_share"].value == pytest.approx(0.5, abs=0.35)
    assert "si" in "".join(found(features))


def test_a_phase_that_comes_is_seen_within_one_frame(standards: Phases) -> None:
    """Rutile grows by 1 % of the volume a frame from frame 5 on; nothing of it is said before."""
    onset = []
    for seed in (1, 2):
        said = []
        for n in range(9):
            part = max(0.0, 0.01 * (n - 4))
            sample = patterns.mixture([(OURS["al2o3"], 1.0 - part), (OURS["tio2"], part)], seed=10 * seed + n)
            said.append("tio2" in found(standards(sample, {}, ())))
        onset.append(said.index(True))
        assert all(said[onset[-1] :])
    assert all(abs(first - 5) <= 1 for first in onset)


def test_the_simulated_transition_of_barium_titanate_is_told_by_its_fractions(tmp_path: Path) -> None:
    """Tetragonal below, cubic above 393 K; half of each at the transition (the simulator's own fractions)."""
    group = {"cubic": "P m -3 m", "tetragonal": "P 4 m m"}
    for structure, name in ((s.structure(393.0), s.name) for s in phases("batio3", 393.0)):
        c = structure.cell
        sites = [(a.ion.rstrip("+-").rstrip("0123456789"), a.x, a.y, a.z) for a in structure.atoms]
        kept = [sites[i] for i in ((0, 1, 2, 3) if name == "tetragonal" else (0, 1, 2))]
        text = decoys.cif(name, group[name], (c.a, c.b, c.c, c.alpha, c.beta, c.gamma), kept)
        (tmp_path / f"{name}.cif").write_text(text)
    extractor = Phases(files=tmp_path)
    first = {}
    for kelvin in (383.0, 403.0):
        sample = [(p.structure(kelvin), p.fraction) for p in phases("batio3", kelvin)]
        features = extractor(patterns.mixture(sample, counts=20000.0), {}, ())
        first[kelvin] = found(features)[0]
    assert first == {383.0: "tetragonal", 403.0: "cubic"}


def test_a_lattice_that_grew_is_still_found(standards: Phases) -> None:
    """500 K warmer: cells grow by 0.3 to 0.5 %."""
    features = standards(patterns.mixture([(ceria(700.0), 0.5), (corundum(700.0), 0.5)]), {}, ())
    assert set(found(features)) == {"ceo2", "al2o3"}


@pytest.mark.parametrize(("kelvin", "shift"), [(300, 0.02), (340, -0.04), (420, 0.04), (500, -0.02), (520, 0.0)])
def test_ceria_is_not_taken_for_silicon_whose_lines_lie_beside(standards: Phases, kelvin: int, shift: float) -> None:
    """Cells of 5.41 and 5.43 angstrom: what is placed better before any fit is not yet the better one."""
    sample = patterns.mixture([(ceria(float(kelvin)), 1.0)], seed=kelvin, shift=shift, counts=20000.0)
    assert found(standards(sample, {}, ())) == ["ceo2"]


def test_candidates_that_are_alike_are_told_as_such(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.cif").write_text(decoys.cif(name, *decoys.CERIA))
    features = Phases(files=tmp_path)(patterns.mixture([(OURS["ceo2"], 1.0)]), {}, ())
    assert features["phase_one_fraction"].value == 1.0
    assert "cannot be told from those of one" in features["phase_two_fraction"].why


def test_tables_give_shares_and_no_weights(data: Path) -> None:
    tables = data / "xrd" / "dspacing_tables"
    extractor = Phases(files=[tables / "CeO2.D"], standards=False)
    assert "phase_ceo2_fraction" not in extractor.outputs
    assert extractor(patterns.mixture([(OURS["ceo2"], 1.0)]), {}, ())["phase_ceo2_share"].value == 1.0


def test_the_wavelength_is_that_of_recipe_frame_or_detector(standards: Phases) -> None:
    sample = patterns.mixture([(OURS["ceo2"], 1.0)])
    without = replace(sample, context={})
    why = standards(without, {}, ())["n_phases"].why
    assert "wavelength is not known" in why
    assert "[calibration]" in why
    known = Detector(name="d", source="det", calibration={"wavelength": Feature(patterns.CU_K_ALPHA1, "angstrom")})
    assert Phases(standards=True, detector=known)(without, {}, ())["n_phases"].value == 1
    assert Phases(standards=True, wavelength=patterns.CU_K_ALPHA1)(without, {}, ())["n_phases"].value == 1
    wrong = Phases(standards=True, wavelength=1.2)(sample, {}, ())
    assert wrong["n_phases"].value == 0


@pytest.mark.parametrize("wavelength", [0.1, 0.4066, 0.7093, 2.2897])
def test_any_wavelength_serves(standards: Phases, wavelength: float) -> None:
    from insitu.maths.diffraction.powder import Width, powder_lines, profile

    x = np.linspace(3.0, 12.0, 4000) if wavelength < 0.2 else np.linspace(5.0, 30.0, 4000) * wavelength / 0.5
    x = x[x < 150.0]
    tube = wavelength > 0.7  # Mo and Cr: unpolarised; else a synchrotron
    lines = powder_lines(OURS["ceo2"], wavelength, float(x[-1]), float(tube))
    narrow = Width(0.0, 0.0, (5.0 * (x[1] - x[0])) ** 2)
    y = profile(x, lines.two_theta, lines.area, narrow)
    sample = patterns.frame(x, y / y.max() * 5000.0 + 20.0, wavelength=wavelength)
    assert found(standards(sample, {}, ())) == ["ceo2"]


def test_masked_and_saturated_points_are_ignored(standards: Phases) -> None:
    sample = patterns.mixture([(OURS["ceo2"], 1.0)])
    mask = np.zeros(sample.data.size, dtype=bool)
    data = sample.data.copy()
    mask[500:520], data[500:520] = True, 4_000_000
    data[2000:2005] = np.iinfo(np.uint32).max
    assert found(standards(replace(sample, data=data, mask=mask), {}, ())) == ["ceo2"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"axes": {"two_theta": Axis(np.linspace(1.0, 4.0, 4250), "1/angstrom")}}, "expected 'deg'"),
        ({"data": np.full(4250, np.nan)}, "not finite"),
        ({"mask": np.ones(4250, dtype=bool)}, "can be used"),
        ({"context": {"wavelength": Feature(1.5, "nm")}}, "expected 0.01 to 100 angstrom"),
        ({"context": {"wavelength": Feature(None, "angstrom", why="no header")}}, "wavelength is not known"),
    ],
)
def test_frames_that_cannot_be_used_say_why(standards: Phases, change: dict, says: str) -> None:
    sample = replace(patterns.mixture([(OURS["ceo2"], 1.0)]), **change)
    features = standards(sample, {}, ())
    assert features.keys() == standards.outputs.keys()
    assert all(f.value is None and says in f.why for f in features.values())


def test_the_same_frame_gives_the_same_bits_whatever_its_memory(standards: Phases) -> None:
    sample = patterns.mixture([(OURS["ceo2"], 0.5), (OURS["si"], 0.5)])
    wide = np.zeros(2 * sample.data.size + 3, dtype=sample.data.dtype)
    wide[3::2] = sample.data
    first, second = standards(sample, {}, ()), standards(replace(sample, data=wide[3::2]), {}, ())
    assert {k: (f.value, f.sigma) for k, f in first.items()} == {k: (f.value, f.sigma) for k, f in second.items()}


@pytest.mark.parametrize("kind", ["noise", "spikes", "slope", "constant", "one line", "huge"])
def test_no_pattern_raises_or_finds_what_is_not_there(standards: Phases, kind: str) -> None:
    x, rng = np.linspace(10.0, 90.0, 3000), np.random.default_rng(3)
    y = {
        "noise": rng.normal(0.0, 5.0, x.size),
        "spikes": 50.0 + 5000.0 * (rng.random(x.size) > 0.99),
        "slope": 1e6 / x,
        "constant": np.full(x.size, 7.0),
        "one line": 10.0 + 1e4 * np.exp(-(((x - 40.0) / 0.1) ** 2)),
        "huge": 1e90 * rng.random(x.size),
    }[kind]
    features = standards(patterns.frame(x, y, wavelength=1.5406), {}, ())
    assert features.keys() == standards.outputs.keys()
    assert not features["n_phases"].value


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "no phase to look for"),
        ({"standards": True, "strain": 0.5}, "strain = 0.5"),
        ({"standards": True, "wavelength": -1.0}, "no wavelength"),
        ({"standards": True, "name": "Phase"}, "cannot begin a key"),
        ({"files": Path("nowhere")}, "is not there"),
    ],
)
def test_impossible_recipes_are_refused(keys: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Phases(**keys)


def test_all_broken_files_of_a_folder_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text("nothing")
    (tmp_path / "worse.D").write_text("x\n")
    (tmp_path / "good.cif").write_text(decoys.cif("ceria", *decoys.CERIA))
    with pytest.raises(ConfigError) as caught:
        Phases(files=tmp_path)
    assert "bad.cif" in str(caught.value)
    assert "worse.D:1" in str(caught.value)


def test_names_come_from_files_and_differ(tmp_path: Path) -> None:
    for name in ("CeO2 (cubic).cif", "ceo2-cubic.cif", "9009008.cif"):
        (tmp_path / name).write_text(decoys.cif("ceria", *decoys.CERIA))
    keys = Phases(files=tmp_path).outputs.keys()
    assert {"phase_ceo2_cubic_score", "phase_ceo2_cubic_2_score", "phase_9009008_score"} <= keys


@pytest.mark.parametrize(
    "name", ["halite", "calcite", "anatase", "zincite", "barite", "baddeleyite", "tungsten", "spinel"]
)
def test_each_published_structure_is_found_and_alone(crowd: Phases, name: str) -> None:
    """Patterns made of the candidates' own lines, lattice 0.2 % larger, zero off by 0.02 deg."""
    from insitu.maths.diffraction.observed import LineWidth
    from insitu.maths.diffraction.phase_fit import Beam, pattern, start
    from insitu.maths.diffraction.reference_pattern import lines_within

    x, beam = np.arange(15.0, 100.0, 0.02), Beam(patterns.CU_K_ALPHA1)
    phase = next(p for p in crowd.phases if p.name == name)
    lines = lines_within(phase, beam.wavelength, 10.0, 102.0)
    y = pattern(start(phase, lines, 0.002), x, LineWidth(0.006, 0.004, 0.4), 0.02, beam)
    counts = np.random.default_rng(5).poisson(y / y.max() * 3000.0 + 50.0)
    features = crowd(patterns.frame(x, counts, wavelength=beam.wavelength), {}, ())
    assert features[f"phase_{name}_share"].value == 1.0 or "cannot be told" in features[f"phase_{name}_share"].why
    assert features["n_phases"].value == 1
    assert features["phase_unexplained"].value < 0.1
