from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xafs_foil import Foil
from insitu.types import Feature
from tests.maths.absorption.xafs_files import simulated
from tests.xafs import frames, scan, spectrum, value


def chambers(sample: float, foil: float, **labels: str):
    """A scan with three chambers: the edge of the sample and that of the foil, eV."""
    energy, mu = simulated(sample)
    behind = 0.8 * np.interp(energy, *simulated(foil))
    i0 = np.full(energy.size, 1e6)
    return scan(energy, {"i0": i0, "itrans": i0 * np.exp(-mu), "irefer": i0 * np.exp(-mu - behind)}, **labels)


def test_the_foil_tells_how_far_the_energies_are_off() -> None:
    for shift in (-3.0, 0.0, 4.5):
        found = Foil()(chambers(7121.0 + shift, 7112.0 + shift), {}, ())
        assert value(found["foil_e0"]) == pytest.approx(7112.0 + shift, abs=0.3)
        assert value(found["foil_offset"]) == pytest.approx(-shift, abs=0.3)
        assert value(found["foil_known"]) == 7112.0
        assert value(found["foil_step"]) == pytest.approx(0.8, abs=0.05)


def test_foil_and_sample_may_be_of_different_elements() -> None:
    """Cu foil behind a Ni sample: the header names Ni."""
    energy, mu = simulated(8333.0, above=900.0)
    foil = 0.5 + np.arctan((energy - 8979.0) / 1.5) / np.pi
    i0 = np.full(energy.size, 1e6)
    frame = scan(
        energy, {"i0": i0, "itrans": i0 * np.exp(-mu), "irefer": i0 * np.exp(-mu - foil)}, element="Ni", edge="K"
    )
    # on a grid of a few eV, which is what is left so far above the sample's edge
    found = Foil(element="Cu")(frame, {}, ())
    assert value(found["foil_e0"]) == pytest.approx(8979.0, abs=4.0)
    assert value(found["foil_known"]) == pytest.approx(8979.0, abs=0.2)
    assert value(Foil()(frame, {}, ())["foil_known"]) == value(found["foil_known"])


def test_a_known_energy_of_the_recipe_wins() -> None:
    found = Foil(energy=7110.75)(chambers(7121.0, 7112.0), {}, ())
    assert value(found["foil_known"]) == 7110.75
    assert value(found["foil_offset"]) == pytest.approx(-1.25, abs=0.3)


def test_a_series_and_beamline_files_have_their_foil(data: Path) -> None:
    """Nickel foil in a channel `reference` that holds mu, manganese in a third chamber, germanium in another."""
    foil, folder = Foil(), data / "xafs"
    series = [foil(f, {}, ()) for f in frames(folder / "series_lno_ni_k_operando")]
    e0 = np.array([value(f["foil_e0"]) for f in series])
    assert e0.mean() == pytest.approx(8333.0, abs=0.3)
    assert np.ptp(e0) < 0.15, "the monochromator keeps still"
    for file, known, largest in (("APS10BM_2019", 6539.0, 2.0), ("ESRF_BM08_LISA_2021", 11103.0, 0.2)):
        (frame,) = frames(folder / "beamline_formats" / f"{file}.dat")
        found = foil(frame, {}, ())
        assert value(found["foil_known"]) == pytest.approx(known, abs=0.2)
        assert abs(value(found["foil_offset"])) < largest


def test_chromium_foils_of_the_library_are_near_their_place(data: Path) -> None:
    seen = 0
    for path in sorted((data / "xafs" / "xaslib" / "Cr").glob("cr2o3_*.xdi"))[:6]:
        found = Foil()(frames(path)[0], {}, ())
        seen += 1
        assert abs(value(found["foil_offset"])) < 3.0, path.name
        assert value(found["foil_known"]) == pytest.approx(5989.2)
    assert seen == 6


def test_without_a_foil_there_is_no_number_but_a_reason(data: Path) -> None:
    energy, mu = simulated()
    i0 = np.full(energy.size, 1e6)
    dead = scan(energy, {"i0": i0, "itrans": i0 * np.exp(-mu), "irefer": np.zeros(energy.size)})
    flat = scan(energy, {"i0": i0, "itrans": i0 * np.exp(-mu), "irefer": 0.9 * i0 * np.exp(-mu)})
    two = scan(energy, {"i0": i0, "itrans": i0 * np.exp(-mu)})
    for frame, why in (
        (dead, "irefer is 0"), (flat, "edge"), (two, "no channel behind"), (spectrum(energy, mu), "no named channels"),
    ):  # fmt: skip
        found = Foil()(frame, {}, ())
        assert set(found) == set(Foil().outputs)
        for feature in found.values():
            assert feature.value is None
            assert why in (feature.why or ""), feature.why


def test_channels_may_be_named_by_the_recipe() -> None:
    energy, mu = simulated()
    i0 = np.full(energy.size, 1e6)
    frame = scan(energy, {"mon": i0, "a": i0 * np.exp(-0.2), "b": i0 * np.exp(-0.2 - mu)})
    found = Foil(channels={"itrans": "a", "irefer": "b"})(frame, {}, ())
    assert value(found["foil_e0"]) == pytest.approx(7112.0, abs=0.3)
    absent = Foil(channels={"itrans": "a", "irefer": "c"})(frame, {}, ())["foil_e0"]
    assert isinstance(absent, Feature)
    assert "'c'" in (absent.why or "")


@pytest.mark.parametrize(
    ("keys", "where"),
    [({"element": "Xx"}, "element"), ({"channels": {"i0": "a"}}, "channels"), ({"largest": 0.0}, "largest")],
)
def test_keys_that_make_no_sense_are_refused_by_name(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Foil(**keys)
    assert caught.value.where == where
