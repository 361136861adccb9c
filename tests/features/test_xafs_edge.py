import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xafs_edge import EdgeFeatures
from insitu.types import ArrayFeature, Feature
from tests.maths.absorption.xafs_files import larch_edges, simulated
from tests.xafs import computed, frames, prepared, scan, spectrum, value

EDGE = EdgeFeatures()
HERE = Path(__file__).resolve().parent
HEXAVALENT = ("k2cro4", "k2cr2o7", "na2cro4")


@pytest.fixture(scope="module")
def library(data: Path) -> dict[str, dict]:
    """{path: features} of the files of `reference_e0.csv` that are spectra, and the row itself."""
    found = {}
    with (data / "xafs" / "reference_e0.csv").open() as lines:
        for row in csv.DictReader(lines):
            if row["e0_max_derivative_eV"]:
                (frame,) = prepared(data / "xafs" / row["path"], maps=True)  # one is a row of a map
                found[row["path"]] = {"row": row, **EDGE(frame, {}, ())}
    return found


def test_E0_of_the_library_is_that_of_the_reference_within_1_eV(library: dict[str, dict]) -> None:
    """`reference_e0.csv`: largest derivative by an independent reader; 78 of the files that are not Cr(VI) at least."""
    plain = {p: f for p, f in library.items() if not any(name in p.lower() for name in HEXAVALENT)}
    off = [p for p, f in plain.items() if abs(value(f["e0"]) - float(f["row"]["e0_max_derivative_eV"])) > 1.0]
    assert len(plain) >= 80
    assert len(off) <= len(plain) - 78, off
    assert len(off) <= 2, off


def test_hexavalent_chromium_is_measured_on_its_main_edge_not_on_the_pre_edge_peak(library: dict[str, dict]) -> None:
    hexavalent = {p: f for p, f in library.items() if any(name in p.lower() for name in HEXAVALENT)}
    assert len(hexavalent) >= 17
    for path, found in hexavalent.items():
        assert 6003.0 < value(found["e0"]) < 6012.0, path
        assert 5992.0 < value(found["pre_edge_centroid"]) < 5996.0, path
        assert value(found["pre_edge_height"]) > 0.5, path


def test_pre_edge_peaks_tell_chromium_6_from_chromium_3(library: dict[str, dict]) -> None:
    """Data README (larch): about 0.13 of the step in Cr2O3, 0.91 in K2CrO4 as norm, without the baseline taken off."""
    trivalent = value(library["xaslib/Cr/cr2o3_rt_001.xdi"]["pre_edge_height"])
    assert 0.0 < trivalent < 0.15
    assert value(library["xaslib/Cr/k2cro4_rt_001.xdi"]["pre_edge_height"]) > 5.0 * trivalent


def test_edge_steps_are_those_of_larch_within_2_percent(library: dict[str, dict]) -> None:
    """Where larch's E0 is on the same flank."""
    known, seen = larch_edges(HERE.parent / "maths" / "absorption"), 0
    for path, (e0, step) in known.items():
        if path in library and abs(value(library[path]["e0"]) - e0) < 1.0:
            seen += 1
            assert value(library[path]["edge_step"]) == pytest.approx(step, rel=0.02), path
    assert seen > 70


def test_the_energy_at_half_height_orders_manganese_by_its_valence(library: dict[str, dict]) -> None:
    """Data README (larch): MnO 6544.0, Mn3O4 6546.1, Mn2O3 6548.95, MnO2 6551.6 eV."""
    for repeat in ("01", "02", "03"):
        oxides = ("MnO", "Mn3O4", "Mn2O3", "MnO2")
        found = [value(library[f"xaslib/Mn/{name}_rt_{repeat}.xdi"]["energy_half"]) for name in oxides]
        assert found == pytest.approx([6544.0, 6546.1, 6549.0, 6551.6], abs=0.3)
        assert found == sorted(found)


def test_the_header_tells_the_edge_and_without_one_the_energy_does(library: dict[str, dict], data: Path) -> None:
    for path, found in library.items():
        assert value(found["edge_energy"]) == float(found["row"]["tabulated_edge_eV_xraydb"] or 8979.0), path
    (frame,) = prepared(data / "xafs" / "columns_misc" / "feo_xafs.dat")
    assert "element" not in frame.labels
    assert value(EDGE(frame, {}, ())["edge_energy"]) == 7112.0


def test_step_scan_and_quick_scans_of_one_foil_agree_within_0_15_eV(data: Path) -> None:
    """Data README (larch): 7110.80 (step), 7110.85, 7110.75, 7110.65 (quick)."""
    found = [value(EDGE(f, {}, ())["e0"]) for f in prepared(data / "xafs" / "athena" / "FeFoil_QXAFS_Compare.prj")]
    assert len(found) == 4
    assert max(found) - min(found) <= 0.15
    assert found == pytest.approx([7110.8] * 4, abs=0.2)


def test_the_files_own_normalisation_is_kept_and_the_oxidation_of_nickel_is_seen(data: Path) -> None:
    """Data README: energy at 0.5 of the series as its authors normalised it."""
    series = prepared(data / "xafs" / "series_lno_ni_k_operando")
    half = {1: 8344.76, 7: 8344.86, 19: 8345.03, 31: 8345.42, 43: 8345.94, 58: 8346.16}
    for number, known in half.items():
        found = EDGE(series[number - 1], {}, ())
        assert value(found["energy_half"]) == pytest.approx(known, abs=0.1)
        assert value(found["edge_step"]) == 1.0
    again = EdgeFeatures(normalised=False)(series[0], {}, ())
    assert value(again["edge_step"]) != 1.0


def test_uncertainties_are_the_scatter_of_repeated_spectra() -> None:
    keys = ("edge_step", "energy_half", "white_line_position", "white_line_height")
    runs = [EDGE(computed(noise=0.003, seed=seed), {}, ()) for seed in range(60)]
    for key in keys:
        features = [run[key] for run in runs]
        values = np.array([value(f) for f in features])
        told = np.median([f.sigma for f in features if isinstance(f, Feature) and f.sigma is not None])
        assert values.std(ddof=1) / told == pytest.approx(1.0, abs=0.45), key


@pytest.mark.parametrize("e0", [2472.0, 5989.0, 11564.0, 25514.0])
def test_any_element_is_measured_without_a_setting(e0: float) -> None:
    found = EDGE(computed(e0, noise=0.001), {}, ())
    assert value(found["e0"]) == pytest.approx(e0, abs=0.4)
    assert value(found["edge_energy"]) == e0
    assert value(found["edge_step"]) == pytest.approx(1.0, abs=0.05)


def test_a_header_that_names_another_edge_than_the_spectrum_holds_is_not_believed() -> None:
    found = EDGE(computed(7112.0, labels={"element": "Cu", "edge": "K"}), {}, ())
    assert value(found["e0"]) == pytest.approx(7112.0, abs=0.4)
    assert value(found["edge_energy"]) == 7112.0


def test_the_recipe_chooses_between_two_edges_in_one_scan() -> None:
    energy, iron = simulated(7112.0, below=700.0, above=900.0)
    manganese = 2.0 * (0.5 + np.arctan((energy - 6539.0) / 1.5) / np.pi)
    frame = spectrum(energy, iron + manganese)
    assert value(EdgeFeatures(element="Fe")(frame, {}, ())["e0"]) == pytest.approx(7112.0, abs=0.5)


def test_the_post_edge_of_L3_ends_before_L2() -> None:
    energy = np.concatenate(
        [np.arange(5600.0, 5700.0, 5.0), np.arange(5700.0, 5760.0, 0.5), np.arange(5760.0, 6400.0, 2.0)]
    )
    step = 0.5 + np.arctan((energy - 5723.0) / 1.5) / np.pi
    second = 0.5 * (0.5 + np.arctan((energy - 6164.0) / 1.5) / np.pi)
    found = EdgeFeatures(element="Ce", edge="L3", nnorm=1)(spectrum(energy, 0.2 + step + second), {}, ())
    assert value(found["edge_step"]) == pytest.approx(1.0, abs=0.04)  # the arctangents' tails
    both = EdgeFeatures(element="Ce", edge="L3", nnorm=1, norm2=670.0)(spectrum(energy, 0.2 + step + second), {}, ())
    assert abs(value(both["edge_step"]) - 1.0) > 0.1


def test_curves_are_given_when_asked_for() -> None:
    found = EdgeFeatures(arrays=True, name="fe")(computed(), {}, ())
    flat = found["fe_flattened"]
    assert isinstance(flat, ArrayFeature)
    assert flat.axes["energy"].unit == "eV"
    assert flat.values[-50:].mean() == pytest.approx(1.0, abs=0.05)
    assert set(found) == set(EdgeFeatures(arrays=True, name="fe").outputs)


def whys(found) -> set[str]:
    return {f.why for f in found.values() if f.value is None}


def test_what_is_no_spectrum_gives_no_numbers_and_says_why(data: Path) -> None:
    energy, mu = simulated()
    nothing = spectrum(energy, np.ones_like(mu))
    falls = spectrum(energy, 3.0 - mu)
    broken = spectrum(energy, np.where(np.arange(mu.size) == 100, np.nan, mu))
    short = spectrum(energy[:7], mu[:7])
    counts = scan(energy, {"i0": np.full_like(mu, 1e5), "itrans": 1e5 * np.exp(-mu)})
    for frame, reason in (
        (nothing, "same at every energy"), (falls, "rises nowhere"), (broken, "not finite"), (short, "points"),
        (counts, "`absorption`"),
    ):  # fmt: skip
        found = EDGE(frame, {}, ())
        assert set(found) == set(EDGE.outputs)
        assert all(f.value is None for f in found.values() if isinstance(f, Feature))
        assert all(reason in why for why in whys(found)), whys(found)


def test_a_scan_that_is_still_short_says_so_until_the_edge_has_passed(data: Path) -> None:
    energy, mu = simulated(noise=0.001)
    whole = value(EDGE(spectrum(energy, mu), {}, ())["e0"])
    told = False
    for points in range(5, energy.size, 5):
        frame = replace(spectrum(energy[:points], mu[:points]), complete=False)
        e0 = EDGE(frame, {}, ())["e0"]
        assert isinstance(e0, Feature)
        if e0.value is None:
            assert f"{points} points so far" in (e0.why or "")
            assert not told, "once told, E0 stays"
        else:
            told = True
            assert e0.value == pytest.approx(whole, abs=0.5)
            assert energy[points - 1] > whole
    assert told


def test_a_step_that_the_ranges_cannot_tell_is_not_told_but_E0_is(data: Path) -> None:
    """A calculation that begins 25 eV below the edge, with peaks in what would be the pre-edge."""
    (frame,) = prepared(data / "xafs" / "beamline_formats" / "FDMNES_2022_Mo2C_out.dat")
    found = EDGE(frame, {}, ())
    assert value(found["e0"]) == pytest.approx(20001.0, abs=5.0)
    step = found["edge_step"]
    assert isinstance(step, Feature)
    assert step.value is None
    assert "step" in (step.why or "")


def test_an_incomplete_scan_of_a_beamline_gives_no_edge(data: Path) -> None:
    (frame,) = prepared(data / "xafs" / "beamline_formats" / "APS13ID_2019.dat")
    e0 = EDGE(frame, {}, ())["e0"]
    assert isinstance(e0, Feature)
    assert e0.value is None


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"edge": "K"}, "edge"), ({"element": "Xx"}, "element"), ({"element": "Fe", "edge": "N7"}, "element"),
        ({"level": 1.5}, "level"), ({"pre1": -50.0, "pre2": -100.0}, "pre1"), ({"nnorm": 7}, "pre2"),
        ({"e0": 3.0}, "e0"), ({"name": "Fe"}, "name"),
    ],
)  # fmt: skip
def test_keys_that_make_no_sense_are_refused_by_name(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EdgeFeatures(**keys)
    assert caught.value.where == where


def test_the_same_frame_gives_the_same_numbers_whatever_was_looked_at_before(data: Path) -> None:
    one, two = prepared(data / "xafs" / "athena" / "cu.prj")[:2]
    fresh = EdgeFeatures()(one, {}, ())
    EDGE(two, {}, ())
    EdgeFeatures(norm1=200.0)(one, {}, ())
    assert EDGE(one, {}, ()) == fresh


def test_raw_frames_are_not_needed_twice(data: Path) -> None:
    """A file that holds mu alone needs no `absorption`."""
    (frame,) = frames(data / "xafs" / "columns_misc" / "cu_10k.xmu")
    assert value(EDGE(frame, {}, ())["e0"]) == pytest.approx(8977.58, abs=0.1)


def test_energies_are_as_uncertain_as_the_scale_that_a_foil_gave() -> None:
    plain = computed(noise=0.001, fine=0.3, pre_edge=0.5, seed=1)
    moved = replace(plain, context={"energy_shift": Feature(1.2, "eV", sigma=0.05)})
    before, after = (EDGE(frame, {}, ()) for frame in (plain, moved))
    for key in ("e0", "energy_half", "white_line_position", "pre_edge_centroid"):
        assert after[key].value == before[key].value
        assert after[key].sigma == pytest.approx(np.hypot(before[key].sigma, 0.05))
    for key in ("edge_step", "white_line_height", "pre_edge_area"):
        assert after[key].sigma == before[key].sigma
