"""XDI: every rule of the format, on the format's own samples, a library of real spectra, and damaged files."""

import csv
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.spectrum import How, bragg_energy
from insitu.readers.xdi import decode, looks_like


@pytest.fixture
def good(data) -> bytes:
    return (data / "xafs" / "xdi_malformed" / "bad_00.xdi").read_bytes()


def changed(good: bytes, old: str, new: str) -> bytes:
    assert good.count(old.encode()) >= 1
    return good.replace(old.encode(), new.encode(), 1)


def one(text: bytes, name: str = "a.xdi", **how):
    (spectrum,) = decode(text, How(name=name, **how))
    return spectrum


def read_status(data) -> dict[str, str]:
    """File and status of `BadFiles.txt`."""
    rows = (data / "xafs" / "xdi_malformed" / "BadFiles.txt").read_text().splitlines()
    return {row.split()[0]: " ".join(row.split()[1:3]) for row in rows if row.startswith("bad_")}


def test_every_damaged_file_is_read_or_refused_as_its_authors_say(data):
    folder, told = data / "xafs" / "xdi_malformed", {}
    for path in sorted(folder.glob("*.xdi")):
        try:
            told[path.name] = bool(one(path.read_bytes(), path.name).warnings)
        except FormatError as e:
            told[path.name] = None if path.name in str(e) else "it is not named"
    status = read_status(data)
    assert len(told) == 18
    for name, warned in told.items():
        if status[name] == "error msg":
            assert warned is None, f"{name} should be refused"
        elif status[name] in ("file read(1)", "file read(7)"):
            assert warned is True, f"{name} should be read with a warning"
        else:
            assert warned is not None, f"{name} should be read"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("# XDI/1.0 GSE/1.0\n", "", "XDI/1.0"),  # 01
        ("  8809.0  125444.7", "  125444.7", "too few"),  # 13
        ("-1.3043", "NaN", ""),  # 15, where there is such a number
        ("8809.0", "1.2.3", "no number|not a finite number"),  # 17
        ("# Element.edge: K", "# Element.edge K", "no header field"),  # 19
        ("# Element.edge: K", "# Elementedge: K", "no header field"),  # 21
    ],
)
def test_what_the_format_forbids_is_refused_with_its_line(good, old, new, told):
    if old.encode() not in good:
        old, new = "144864.7", "NaN"
    with pytest.raises(FormatError, match=told or "finite") as e:
        one(changed(good, old, new))
    assert "a.xdi:" in str(e.value)


@pytest.mark.parametrize(
    ("old", "new", "warned"),
    [
        ("# Element.symbol: Cu\n", "", "Element.symbol"),  # 03
        ("# Element.symbol: Cu", "# Element.symbol: Foo", "Foo"),  # 05
        ("# Scan.start_time: 2001-06-26T22:27:31", "# Scan.start_time: 2001-16-26T22:27:31", "no ISO time"),  # 29
        ("# Mono.d_spacing: 3.13553", "# Mono.d_spacing: none", "d_spacing"),  # 31
        ("# Sample.name: Cu", "# Sample.name: Cu\n# Sample.temperature: warm", "no temperature"),  # 33
        ("# Facility.energy: 7.00 GeV", "# Facility.energy: 7.00 GeV\n# Facility.current: 100 lamps", "lamps"),  # 35
        ("# energy i0 itrans mutrans\n", "; what is this\n# energy\n", "begins no comment"),  # 11
    ],
)
def test_what_can_be_borne_is_read_with_a_warning(good, old, new, warned):
    spectrum = one(changed(good, old, new))
    assert spectrum.values.shape == (3, 12)
    assert any(warned in w for w in spectrum.warnings), spectrum.warnings


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# XDI/1.0 GSE/1.0", "# XDI/1.0"),  # 25
        ("# Cu foil Room Temperature\n# measured at beamline 13-ID\n", ""),  # 27
        ("# GSE.EXTRA:  config 1", "# GSE.1EXTRA:  config 1"),  # 23
        ("# Column.4: mutrans", "# Column.4: mutrans\n# Column.5: more"),  # 09
        ("# energy i0 itrans mutrans\n", ""),  # 07
    ],
)
def test_what_is_optional_may_be_missing(good, old, new):
    assert one(changed(good, old, new)).names == ("i0", "itrans", "mutrans")


def test_columns_without_a_name_are_numbered(good):
    text = changed(changed(good, "# Column.3: itrans\n", ""), "# energy i0 itrans mutrans\n", "")
    assert one(text).names == ("i0", "col3", "mutrans")


def test_every_spectrum_of_the_library_is_read_with_the_rows_and_names_that_are_on_record(data):
    with (data / "xafs" / "reference_e0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 100
    seen = 0
    for row in rows:
        path = data / "xafs" / row["path"]
        spectrum = one(path.read_bytes(), path.name)
        if "nonxafs" in path.name:
            assert any("no " in w for w in spectrum.warnings)
            continue
        seen += 1
        assert spectrum.dim == "energy"
        assert spectrum.axis.values.size == int(row["rows"])
        assert len(spectrum.names) == int(row["columns"]) - 1
        assert (spectrum.labels.get("element"), spectrum.labels.get("edge")) == (row["element"], row["edge"])
        assert (np.diff(spectrum.axis.values) >= 0).all()
    assert seen == 97


def test_data_that_are_no_absorption_spectrum_are_said_to_be_none(data):
    told = {
        path.name: " ".join(one(path.read_bytes(), path.name).warnings)
        for path in (data / "xafs" / "xdi_spec_samples").glob("nonxafs*")
    }
    assert len(told) == 3
    assert "no absorption spectrum" in told["nonxafs_1d.xdi"]
    assert "no absorption spectrum" in told["nonxafs_negvalues.xdi"]
    assert "map" in told["nonxafs_2d.xdi"]


def test_temperatures_times_and_samples_are_taken_from_the_header(data):
    spectrum = one((data / "xafs" / "xaslib" / "Cr" / "cr2o3_100K_001.xdi").read_bytes())
    temperature = spectrum.context["temperature"]
    assert (temperature.value, temperature.unit) == (100.0, "K")
    room = one((data / "xafs" / "xaslib" / "Cr" / "cr2o3_rt_001.xdi").read_bytes()).context["temperature"]
    assert room.value == 295.5
    assert room.sigma == 2.5
    assert spectrum.time_ns is not None
    assert spectrum.labels["sample"]


def test_bragg_angles_become_energies(good):
    angles = np.linspace(13.2, 12.5, 12)
    head, _, _ = good.partition(b"  8779.0")
    text = changed(head, "# Column.1: energy eV", "# Column.1: angle degrees")
    text += b"".join(f"  {a:.6f}  1.0 2.0 3.0\n".encode() for a in angles)
    spectrum = one(text)
    np.testing.assert_allclose(spectrum.axis.values, bragg_energy(angles, 3.13553), rtol=1e-6)
    assert spectrum.axis.unit == "eV"


def test_keV_become_eV_and_a_scan_downwards_is_turned(good):
    head, _, _ = good.partition(b"  8779.0")
    text = changed(head, "# Column.1: energy eV", "# Column.1: energy keV")
    text += b"".join(f"  {e:.4f}  {e} 2.0 3.0\n".encode() for e in (8.99, 8.98, 8.97))
    spectrum = one(text)
    np.testing.assert_allclose(spectrum.axis.values, [8970.0, 8980.0, 8990.0])
    assert spectrum.values[0].tolist() == [8.97, 8.98, 8.99]
    assert spectrum.labels["scan_direction"] == "down"


def test_two_scans_in_one_table_are_refused_and_a_trembling_axis_is_put_in_order(good):
    rows = good[good.index(b"  8779.0") :]
    with pytest.raises(FormatError, match="turns back"):
        one(good + rows)
    head, _, _ = good.partition(b"  8779.0")
    text = head + b"".join(f"  {e}  {i} 2 3\n".encode() for i, e in enumerate((100.0, 110.0, 109.9, 120.0, 130.0)))
    spectrum = one(text)
    assert spectrum.axis.values.tolist() == [100.0, 109.9, 110.0, 120.0, 130.0]
    assert spectrum.values[0].tolist() == [0, 2, 1, 3, 4]


def test_a_number_of_the_row_is_no_energy(good):
    head, _, _ = good.partition(b"  8779.0")
    with pytest.raises(FormatError, match="counts rows"):
        one(head + b"".join(f"  {i}  1 2 3\n".encode() for i in range(9)))


def test_a_file_that_was_cut_is_told_from_a_wrong_one(good):
    with pytest.raises(Truncated):
        one(good[:-25])
    with pytest.raises(Truncated):
        one(good[: good.index(b"  8779.0")])


@given(st.data())
def test_no_damage_makes_it_crash_or_invent(data, draw):
    good = (data / "xafs" / "xdi_malformed" / "bad_00.xdi").read_bytes()
    at = draw.draw(st.integers(0, len(good) - 1))
    junk = draw.draw(st.binary(max_size=8))
    with suppress(FormatError):
        for spectrum in decode(good[:at] + junk + good[at + draw.draw(st.integers(0, 40)) :]):
            assert np.isfinite(spectrum.values).all()
            assert spectrum.values.shape == (len(spectrum.names), spectrum.axis.values.size)


def test_the_first_line_tells_xdi(good):
    assert looks_like(good)
    assert not looks_like(b"# energy mu\n")
