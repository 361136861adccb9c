"""Features of simulated absorption spectra against the true answers: no bias, honest uncertainties, faults seen."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from insitu.features.xafs_combination import Combination
from insitu.features.xafs_edge import EdgeFeatures
from insitu.features.xafs_exafs import Exafs
from insitu.features.xafs_foil import Foil
from insitu.features.xafs_quality import Quality
from insitu.features.xmcd import Xmcd
from insitu.prepare.absorption import Absorption
from insitu.readers.simulated_xas import XasBeamline
from insitu.types import Arrival, Feature, Frame

NAMES = [field.name for field in fields(Arrival)]
FINE = {"below": 100.0, "above": 300.0}
QUIET = {"photons": 1e13, "beam_noise": 0.0}


def raw(reader: XasBeamline, index: int) -> Frame:
    arrival = reader.arrival(index)
    return Frame(**{name: getattr(arrival, name) for name in NAMES}, seq=index, n=index)


def prepared(reader: XasBeamline, index: int, **keys) -> Frame:
    return Absorption(**{"mode": "transmission", **keys})(raw(reader, index), {})


def number(feature: Feature) -> float:
    assert feature.value is not None, feature.why
    return float(feature.value)


def pulls(errors: Iterable[float], sigmas: Iterable[float]) -> tuple[float, float]:
    found = np.array(list(errors)) / np.array(list(sigmas))
    return float(found.mean()), float(found.std(ddof=1))


@pytest.mark.parametrize("key", ["e0", "energy_half"])
def test_shifts_of_the_edge_are_unbiased_and_their_uncertainties_honest(key: str) -> None:
    """250 spectra on a grid of 0.25 eV, shifted at random by 0.3 eV; pulls (found - true)/sigma: 0 +- 0.15, 1 +- 0.2.

    Shifts, not E0 itself: a derivative over several points lies off the true one by a constant of the shape and the
    grid (here 0.02 eV; 0.12 eV at steps of 0.6 eV), which is taken from spectra without noise.
    """
    extract, keys = EdgeFeatures(), {**FINE, "reaction": "none", "energy_jitter": 0.3}
    still = [XasBeamline(**keys, **QUIET, seed=s) for s in range(8)]
    zero = np.mean([number(extract(prepared(r, 0), {}, ())[key]) + r.truth(0).energy_offset for r in still])
    reader = XasBeamline(**keys, photons=1e7, seed=4)
    found = [extract(prepared(reader, i), {}, ())[key] for i in range(250)]
    off = [number(f) - zero + reader.truth(i).energy_offset for i, f in enumerate(found)]
    mean, width = pulls(off, [f.sigma or 0.0 for f in found])
    assert abs(mean) < 0.15
    assert width == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("grid", "indices", "most"), [({}, (0, 199), 0.15), (FINE, (0, 60, 90, 110, 199), 0.05)])
def test_e0_without_noise_is_the_true_one_but_for_the_grid(grid: dict, indices: tuple[int, ...], most: float) -> None:
    """Averaging the derivative over a few points moves a skew edge by up to a fifth of a grid step."""
    reader = XasBeamline(**grid, **QUIET)
    for index in indices:
        found = number(EdgeFeatures()(prepared(reader, index), {}, ())["e0"])
        assert found == pytest.approx(reader.truth(index).e0_read, abs=most)


def test_the_foil_tells_how_far_the_scale_is_off_without_bias() -> None:
    """The uncertainty is taken from the noise of most points, which lie above both edges where fewer photons are left
    than at the edge of the foil: it is too large by up to a half here, and never too small."""
    extract = Foil(energy=8332.8)
    keys = {**FINE, "reaction": "none"}
    zero = number(extract(raw(XasBeamline(**keys, **QUIET), 0), {}, ())["foil_offset"])
    reader = XasBeamline(**keys, photons=1e7, energy_jitter=0.3, seed=5)
    found = [extract(raw(reader, i), {}, ())["foil_offset"] for i in range(200)]
    off = [number(f) - zero - reader.truth(i).energy_offset for i, f in enumerate(found)]
    mean, width = pulls(off, [f.sigma or 0.0 for f in found])
    assert abs(zero) < 0.05
    assert abs(mean) < 0.15
    assert 0.6 < width < 1.2


def test_correcting_by_the_foil_removes_drift_and_jumps_of_the_monochromator() -> None:
    reader = XasBeamline(
        reaction="none", photons=1e8, energy_drift=0.05, energy_jitter=0.1, faults=("energy_jump@30-39=3",), **FINE
    )
    extract = EdgeFeatures()
    e0 = {
        corrected: np.array(
            [number(extract(prepared(reader, i, **way), {}, ())["e0"]) for i in range(0, 60, 2)],
        )
        for corrected, way in ((False, {}), (True, {"foil_energy": 8332.8}))
    }
    assert np.ptp(e0[False]) > 3.0
    truth = [reader.truth(i).e0_read for i in range(0, 60, 2)]
    np.testing.assert_allclose(e0[False], truth, atol=0.1)
    np.testing.assert_allclose(e0[True], 8344.2, atol=0.1)
    assert np.std(e0[True]) < 0.03


def test_a_corrected_edge_is_as_uncertain_as_it_scatters() -> None:
    """Energies that were put right by the foil hold the foil's uncertainty: without it pulls would be twice as wide."""
    reader = XasBeamline(reaction="none", photons=1e7, energy_jitter=0.3, seed=8, **FINE)
    extract = EdgeFeatures()
    found = [extract(prepared(reader, i, foil_energy=8332.8), {}, ())["energy_half"] for i in range(100)]
    values = np.array([number(f) for f in found])
    _, width = pulls(values - values.mean(), [f.sigma or 0.0 for f in found])
    assert 0.6 < width < 1.25


def standards(folder: Path, sample: str, way: dict, **keys) -> list[Path]:
    """The first and the last compound of a reaction, measured pure and well, as columns of energy and mu."""
    written = []
    for start in (1e6, -1e6):
        reader = XasBeamline(sample=sample, reaction="linear", reaction_start=start, seed=99, photons=1e9, **keys)
        (name,) = (name for name, part in reader.truth(0).shares.items() if part == 1.0)
        frame = prepared(reader, 0, **way)
        written.append(folder / f"{name}.txt")
        table = np.column_stack([frame.axes["energy"].values, frame.data])
        np.savetxt(written[-1], table, header="energy mu", comments="# ")
    return written


@pytest.mark.parametrize(
    ("keys", "grid", "way"),
    [
        ({}, {}, {}),
        ({"energy_drift": 0.01, "energy_jitter": 0.05, "photons": 1e8}, FINE, {"foil_energy": 8332.8}),
    ],
    ids=["steady", "drifting, corrected by the foil"],
)
def test_shares_of_a_reaction_are_found_within_two_points(keys: dict, grid: dict, way: dict, tmp_path: Path) -> None:
    extract = Combination(standards=standards(tmp_path, "nickel_oxidation", way, **grid), element="Ni")
    reader = XasBeamline(seed=2, **keys, **grid)
    found, true = [], []
    for index in range(0, 200, 4):
        features = extract(prepared(reader, index, **way), {}, ())
        assert features["mix_spanned"].value == 1
        found.append([number(features[f"mix_{name}_share"]) for name in ("lithiated", "delithiated")])
        true.append(list(reader.truth(index).shares.values()))
    off = np.array(found) - np.array(true)
    assert np.abs(off).max() < 0.02
    assert np.ptp(np.array(true)[:, 0]) > 0.99


def test_an_intermediate_that_no_standard_has_is_said_not_to_be_spanned(tmp_path: Path) -> None:
    extract = Combination(standards=standards(tmp_path, "iron_reduction", {}), element="Fe")
    reader = XasBeamline(sample="iron_reduction")
    spanned = {i: extract(prepared(reader, i), {}, ())["mix_spanned"].value for i in (0, 100)}
    assert reader.truth(100).shares["iron_ii"] > 0.4
    assert spanned == {0: 1, 100: 0}


def test_a_bond_that_shortens_shows_in_the_first_shell() -> None:
    extract, reader = Exafs(kmax=12.0), XasBeamline(photons=1e7, reaction_start=5.0, reaction_time=20.0)
    first, last = (extract(prepared(reader, i), {}, ())["shell_position"] for i in (0, 100))
    true = [member.shells[0].distance for member in reader.specimen.members]
    assert number(last) - number(first) == pytest.approx(true[1] - true[0], abs=0.02)


@pytest.mark.parametrize("flip", ["helicity", "field"])
def test_moments_are_found_within_two_percent(flip: str) -> None:
    reader = XasBeamline(sample="iron_film", flip=flip, photons=1e7, seed=3)
    extract = Xmcd(polarisation=0.9, pair="context:field" if flip == "field" else "auto")
    found = []
    for j in range(20):
        pair = [prepared(reader, 2 * j + half, mode="auto") for half in (0, 1)]
        found.append(extract(pair[1], {}, (pair[0],)))
    moments = reader.truth(1).moments
    assert moments is not None
    for key, true in (("xmcd_m_orb", moments.m_orb), ("xmcd_m_spin", moments.m_spin)):
        assert np.mean([number(f[key]) for f in found]) == pytest.approx(true, rel=0.02)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("beam_loss@1", lambda a, b: a["edge_found"] == 1 and b["edge_found"] != 1),
        ("glitch@1", lambda a, b: a["n_glitches"] == 0 and b["n_glitches"] >= 1),
        ("energy_jump@1", lambda a, b: abs(b["foil_offset"] - a["foil_offset"] - 2.0) < 0.15),
        ("sample_moved@1", lambda a, b: b["edge_step"] < 0.75 * a["edge_step"]),
        ("saturated@1", lambda a, b: b["edge_step"] is None or b["edge_step"] < 0.75 * a["edge_step"]),
    ],
)
def test_every_fault_is_seen_in_the_features(fault: str, seen) -> None:
    reader = XasBeamline(reaction="none", faults=(fault,), seed=6)
    both = []
    for index in (0, 1):
        found = dict(Foil()(raw(reader, index), {}, ()))
        try:
            frame = prepared(reader, index)
        except ValueError:
            found |= {"edge_found": Feature(0), "edge_step": Feature(None, why="no spectrum")}
        else:
            for extract in (EdgeFeatures(), Quality()):
                found |= extract(frame, {}, ())
        both.append({key: feature.value for key, feature in found.items()})
    assert seen(*both), both
