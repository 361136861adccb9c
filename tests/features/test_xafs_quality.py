from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xafs_quality import Quality
from insitu.inference.limits import Limits
from insitu.types import Feature, Measurement
from tests.maths.absorption.xafs_files import simulated
from tests.xafs import computed, prepared, scan, spectrum, value

QUALITY = Quality()


def test_the_file_with_a_glitch_is_flagged_by_a_stock_model_and_its_siblings_are_not(data: Path) -> None:
    model = Limits(feature="n_glitches", high=Feature(0, ""), units={"n_glitches": ""})
    labels = {}
    for seq, file in enumerate(("dnd_testfile1", "dnd_glitchfile", "dnd_testfile2", "dnd_testfile3")):
        (frame,) = prepared(data / "xafs" / "glitch_dnd" / f"{file}.dat")
        measured = Measurement(source="xas", seq=seq, n=seq, time_ns=seq, features=QUALITY(frame, {}, ()))
        verdict = model(measured)
        assert verdict is not None
        labels[file] = verdict.label
    assert labels.pop("dnd_glitchfile") == "anomaly"
    assert set(labels.values()) == {"normal"}


def test_clean_spectra_have_no_glitches(data: Path) -> None:
    """Foils, oxides and the operando series: what is repeated in every scan of a sample is no glitch."""
    folder = data / "xafs"
    paths = [*sorted((folder / "xaslib" / "Fe").glob("*")), *sorted((folder / "columns_misc").glob("cu_*.xmu"))]
    found = [QUALITY(frame, {}, ()) for path in paths for frame in prepared(path)]
    series = [QUALITY(f, {}, ()) for f in prepared(folder / "series_lno_ni_k_operando")]
    flagged = sum(value(f["n_glitches"]) > 0 for f in found)
    assert flagged <= 1, f"{flagged} of {len(found)}"
    assert not any(value(f["n_glitches"]) for f in series)


@pytest.mark.parametrize("points", [1, 2, 3])
def test_a_planted_glitch_is_found_where_it_is_with_its_size(points: int) -> None:
    energy, mu = simulated(noise=0.0005)
    at = int(np.searchsorted(energy, 7112.0 + 300.0))
    mu[at : at + points] += 0.1
    found = QUALITY(spectrum(energy, mu), {}, ())
    assert value(found["n_glitches"]) == 1
    assert value(found["glitch_energy"]) == pytest.approx(energy[at], abs=15.0)
    assert 0.03 < value(found["glitch_size"]) < 0.16


def test_the_noise_is_that_of_a_point_in_edge_steps() -> None:
    energy, mu = simulated(noise=0.004, seed=3)
    for scale in (1.0, 250.0):
        found = QUALITY(spectrum(energy, scale * mu), {}, ())
        assert value(found["noise"]) == pytest.approx(0.004, rel=0.25)
        assert value(found["n_glitches"]) == 0


def test_noise_is_seldom_taken_for_glitches() -> None:
    found = [value(QUALITY(computed(noise=0.01, seed=s), {}, ())["n_glitches"]) for s in range(100)]
    assert sum(found) <= 1


def test_a_grid_too_coarse_for_exafs_is_not_full_of_glitches(data: Path) -> None:
    """A germanium foil: points 15 to 40 eV apart at the end of the scan."""
    (frame,) = prepared(data / "xafs" / "beamline_formats" / "generic_columns_no_header.dat")
    assert value(QUALITY(frame, {}, ())["n_glitches"]) == 0


def test_a_spectrum_without_edge_is_told_and_still_has_noise() -> None:
    energy, _ = simulated()
    rng = np.random.default_rng(1)
    found = QUALITY(spectrum(energy, 1.0 - 1e-4 * (energy - 7000.0) + 0.001 * rng.standard_normal(energy.size)), {}, ())
    assert value(found["edge_found"]) == 0
    assert value(found["n_points"]) == energy.size
    assert value(found["noise"]) > 0.0


def test_what_is_no_spectrum_has_no_quality() -> None:
    energy, mu = simulated()
    found = QUALITY(scan(energy, {"i0": mu, "itrans": mu}), {}, ())
    assert set(found) == set(QUALITY.outputs)
    assert all(f.value is None and f.why for f in found.values())


@pytest.mark.parametrize(("keys", "where"), [({"threshold": 1.0}, "threshold"), ({"least": 2.0}, "least")])
def test_keys_that_make_no_sense_are_refused_by_name(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Quality(**keys)
    assert caught.value.where == where
