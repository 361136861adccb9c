from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.features.xafs_edge import EdgeFeatures
from insitu.prepare.absorption import Absorption
from insitu.types import Axis, Feature
from tests.maths.absorption.xafs_files import athena, simulated, table
from tests.xafs import frames, prepared, scan, spectrum, value

EDGE = EdgeFeatures()


def chambers(**labels: str):
    energy, mu = simulated()
    i0 = np.linspace(1e6, 9e5, energy.size)
    return energy, mu, scan(energy, {"i0": i0, "itrans": i0 * np.exp(-mu), "ifluor": 0.1 * i0 * mu}, **labels)


def test_transmission_fluorescence_and_mu_give_the_same_spectrum() -> None:
    energy, mu, frame = chambers()
    for mode in ("auto", "transmission", "fluorescence"):
        out = Absorption(mode=mode)(frame, {})
        assert (out.dims, out.unit) == (("energy",), "")
        assert np.array_equal(out.axes["energy"].values, energy)
        scale = 0.1 if mode == "fluorescence" else 1.0
        assert out.data / scale == pytest.approx(mu, abs=1e-9)
        assert out.labels["mode"] == ("transmission" if mode == "auto" else mode)
    alone = Absorption()(spectrum(energy, mu), {})
    assert np.array_equal(alone.data, mu)
    assert alone.labels["measured"] == "mu as it is"


def test_the_frame_keeps_its_identity_and_labels() -> None:
    _, _, frame = chambers(sample="hematite")
    frame = replace(frame, context={"temperature": Feature(300.0, "K")}, complete=False)
    out = Absorption()(frame, {})
    assert (out.seq, out.n, out.source, out.complete) == (frame.seq, frame.n, frame.source, False)
    assert out.labels["sample"] == "hematite"
    assert out.context == frame.context


def test_points_at_one_energy_become_their_mean() -> None:
    energy, mu = simulated()
    twice = spectrum(np.repeat(energy, 2), np.column_stack([mu - 0.1, mu + 0.1]).ravel())
    out = Absorption()(twice, {})
    assert np.array_equal(out.axes["energy"].values, energy)
    assert out.data == pytest.approx(mu)


def test_the_recipe_may_say_what_is_what_and_what_is_not_to_be_used() -> None:
    energy, mu = simulated()
    i0 = np.full(energy.size, 1e6)
    named = scan(energy, {"a": i0, "b": i0 * np.exp(-mu)})
    out = Absorption(mode="transmission", channels={"i0": "a", "itrans": "b"})(named, {})
    assert out.data == pytest.approx(mu)
    spikes = 1e5 * mu * np.random.default_rng(0).uniform(0.0, 5.0, energy.size)
    detector = {"i0": i0, "mca1": 1e5 * mu, "mca2": spikes, "mca3": 2e5 * mu}
    clean = Absorption(mode="fluorescence", exclude=["mca2"])(scan(energy, detector), {})
    assert clean.data == pytest.approx(0.3 * mu)
    both = Absorption(channels={"i0": "i0", "ifluor": "mca1 mca3"})(scan(energy, detector), {})
    assert both.data == pytest.approx(0.3 * mu)


def test_dead_elements_are_left_out_and_said(data: Path) -> None:
    energy, mu = simulated()
    i0 = np.full(energy.size, 1e6)
    frame = scan(energy, {"i0": i0, "mca1": 1e5 * mu, "mca2": np.zeros(energy.size)})
    out = Absorption()(frame, {})
    assert out.data == pytest.approx(0.1 * mu)
    assert "without mca2" in out.labels["measured"]


def test_the_foil_puts_the_energies_right() -> None:
    energy, mu = simulated(7120.0)
    foil = np.interp(energy, *simulated(7112.0))
    i0 = np.full(energy.size, 1e6)
    channels = {"i0": i0, "itrans": i0 * np.exp(-mu), "irefer": i0 * np.exp(-mu - foil)}
    off = scan(energy + 3.0, channels)
    out = Absorption(foil_element="Fe")(off, {})
    assert out.axes["energy"].values == pytest.approx(energy, abs=0.3)
    shift = out.context["energy_shift"]
    assert (value(shift), shift.unit) == (pytest.approx(-3.0, abs=0.3), "eV")
    assert shift.sigma is not None
    by_angle = replace(off, context={"d_spacing": Feature(3.1356, "angstrom")})
    turned = Absorption(foil_energy=7112.0)(by_angle, {}).axes["energy"].values
    assert turned - off.axes["energy"].values == pytest.approx(-3.0 * np.ones(energy.size), abs=1.2)
    with pytest.raises(ValueError, match="foil"):
        Absorption(foil_element="Fe")(scan(energy, {k: channels[k] for k in ("i0", "itrans")}), {})


def foil_scan(shift: float, seed: int):
    """A scan of a sample with a foil behind it, on an energy scale that is off by `shift`."""
    energy, mu = simulated(7120.0)
    foil = np.interp(energy, *simulated(7112.0))
    rng, i0 = np.random.default_rng(seed), np.full(energy.size, 1e6)
    noisy = (np.exp(rng.normal(0.0, 1e-3, energy.size)) for _ in range(2))
    channels = {"i0": i0, "itrans": i0 * np.exp(-mu) * next(noisy), "irefer": i0 * np.exp(-mu - foil) * next(noisy)}
    return energy, scan(energy + shift, channels)


def written(path: Path, frame) -> Path:
    rows = np.column_stack([frame.axes["energy"].values, *frame.data])
    np.savetxt(path, rows, header=f"energy {frame.labels['channels']}")
    return path


def test_the_foil_is_laid_on_that_of_a_reference_scan(tmp_path: Path) -> None:
    """Shifts within their uncertainty, and that is told with the spectrum; the energies are those of the reference."""
    file = written(tmp_path / "first.dat", foil_scan(0.0, 0)[1])
    align, pulls = Absorption(foil_reference=file), []
    for seed, off in enumerate(np.linspace(-3.0, 3.0, 13), 1):
        energy, frame = foil_scan(off, seed)
        out = align(frame, {})
        shift = out.context["energy_shift"]
        assert value(shift) == pytest.approx(-off, abs=0.02)
        assert shift.unit == "eV"
        assert out.axes["energy"].values == pytest.approx(energy, abs=0.02)
        assert shift.sigma is not None
        pulls.append((value(shift) + off) / shift.sigma)
    assert 0.4 < np.std(pulls) < 2.0


def test_with_the_energy_of_the_foil_told_its_edge_is_there_and_not_where_the_reference_scan_has_it(
    tmp_path: Path,
) -> None:
    file = written(tmp_path / "first.dat", foil_scan(2.0, 0)[1])
    energy, frame = foil_scan(-1.0, 1)
    found = Absorption(foil_reference=file, foil_element="Fe")(frame, {})
    assert found.axes["energy"].values == pytest.approx(energy, abs=0.3)
    plain = Absorption(foil_reference=file)(frame, {})
    assert plain.axes["energy"].values == pytest.approx(energy + 2.0, abs=0.05)


def test_step_and_quick_scans_of_an_iron_foil_agree_within_their_uncertainty(data: Path) -> None:
    """Data README: E0 within 0.15 eV of one another."""
    project = data / "xafs" / "athena" / "FeFoil_QXAFS_Compare.prj"
    align = Absorption(foil_reference=project, foil_group="Fe_foil_500msec_stepscan.001")
    for energy, mu in athena(project)[1:]:
        frame = scan(energy, {"mu": mu, "reference": mu})
        shift = align(frame, {}).context["energy_shift"]
        assert shift.sigma is not None
        assert abs(value(shift)) < min(0.15, 3.0 * shift.sigma)


def test_the_foils_of_a_series_are_aligned_with_that_of_its_first_spectrum(data: Path) -> None:
    files = sorted((data / "xafs" / "series_lno_ni_k_operando").glob("norm_*.txt"))
    align = Absorption(mode="mu", channels={"mu": "normalised"}, foil_reference=files[0])
    for file in (files[0], files[30], files[-1]):
        columns = table(file).T
        frame = scan(columns[0], {"normalised": columns[1], "reference": columns[2]})
        shift = align(frame, {}).context["energy_shift"]
        assert abs(value(shift)) < 0.1
        assert shift.sigma is not None
        assert shift.sigma < 0.05


def test_a_reference_scan_that_cannot_be_one_is_refused_with_its_file(data: Path, tmp_path: Path) -> None:
    project = data / "xafs" / "athena" / "FeFoil_QXAFS_Compare.prj"
    for path, group, said in (
        (project, "", "foil_group"), (project, "x", "Fe_foil_500msec_stepscan"), (tmp_path / "none.dat", "", "cannot"),
        (data / "xafs" / "columns_misc" / "cu10k.chi", "", "cu10k"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=said):
            Absorption(foil_reference=path, foil_group=group)
    with pytest.raises(ConfigError, match="foil"):
        Absorption(foil_reference=data / "xafs" / "columns_misc" / "cu_10k.xmu", foil_element="Fe")
    with pytest.raises(ConfigError, match="foil_reference"):
        Absorption(foil_group="x")


def test_what_counters_count_in_the_dark_is_taken_off() -> None:
    energy, mu = simulated()
    i0, time = np.full(energy.size, 1e6), np.full(energy.size, 2.0)
    dark = {"i0": i0 + 2e4, "itrans": i0 * np.exp(-mu) + 6e4, "time_s": time}
    frame = replace(
        scan(energy, dark),
        context={"offset_i0": Feature(1e4, "counts/s"), "offset_itrans": Feature(3e4, "counts/s")},
    )
    assert Absorption()(frame, {}).data == pytest.approx(mu)
    assert Absorption(offsets=False)(frame, {}).data != pytest.approx(mu)


def test_data_that_are_no_spectrum_are_said_to_be_none(data: Path) -> None:
    """The three valid XDI files that are not XAFS, and chi(k)."""
    folder = data / "xafs"
    for path, why in (
        ("xdi_spec_samples/nonxafs_1d.xdi", "no absorption spectrum"),
        ("xdi_spec_samples/nonxafs_2d.xdi", "map"),
        ("xdi_spec_samples/nonxafs_negvalues.xdi", "no absorption spectrum"),
        ("columns_misc/cu10k.chi", "chi"),
        ("xdi_malformed/bad_12.xdi", "angle"),
    ):
        (frame,) = frames(folder / path)
        with pytest.raises(ValueError, match=why):
            Absorption()(frame, {})
    assert prepared(folder / "xdi_spec_samples/nonxafs_2d.xdi", maps=True)


def test_what_cannot_be_made_is_said_with_the_channels_there_are() -> None:
    energy, mu = simulated()
    two = scan(energy, {"i0": np.full(energy.size, 1e6), "itrans": 1e6 * np.exp(-mu)})
    with pytest.raises(ValueError, match="no fluorescence can be made of the channels i0, itrans"):
        Absorption(mode="fluorescence")(two, {})
    with pytest.raises(ValueError, match="no channel 'x'"):
        Absorption(channels={"i0": "x"})(two, {})
    noise = np.random.default_rng(0).uniform(1e3, 1.1e3, (3, energy.size))
    with pytest.raises(ValueError, match="shows an absorption edge"):
        Absorption()(scan(energy, dict(zip("abc", noise, strict=True))), {})
    wrong = replace(two, axes={"energy": Axis(energy / 1000.0, "keV")})
    with pytest.raises(ValueError, match="keV"):
        Absorption()(wrong, {})


@pytest.mark.parametrize(
    ("keys", "where"), [({"channels": {"it": "a"}}, "channels"), ({"foil_element": "Xx"}, "foil_element")]
)
def test_keys_that_make_no_sense_are_refused_by_name(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Absorption(**keys)
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("file", "e0"),
    [
        ("APS10BM_2019", 6557.0), ("APS20BM_2001", 7123.0), ("APS9BM_2006", 2473.5), ("CLSHXMA", 11865.5),
        ("FDMNES_2022_Mo2C_out", 20001.0), ("NSLS6BM_2019", 5479.6), ("PF9A_2022", 7121.9), ("SSRL1_2006", 25521.1),
        ("generic_columns_no_header", 11103.0),
    ],
)  # fmt: skip
def test_the_files_of_all_beamlines_show_their_edge(data: Path, file: str, e0: float) -> None:
    """The edge lies where the element of each file has it; the numbers were read off plots."""
    (frame,) = prepared(data / "xafs" / "beamline_formats" / f"{file}.dat")
    assert value(EDGE(frame, {}, ())["e0"]) == pytest.approx(e0, abs=1.0)
