"""The reader of absorption spectra: every beamline's file, series, folders that are followed, and damage."""

import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers import athena, xafs_columns
from insitu.readers.spectra import Spectra
from insitu.readers.spectrum import How
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Invalid

ROWS = "".join(f"{7000 + i}.5 {1000 + i} {900 - i}\n" for i in range(40))


def one(path: Path, **keys) -> Arrival:
    (arrival,) = items(Spectra(str(path), **keys))
    assert isinstance(arrival, Arrival)
    return arrival


def channels(arrival: Arrival) -> list[str]:
    return arrival.labels["channels"].split()


class TestXdi(ReaderContract):
    @pytest.fixture
    def make(self, data):
        return lambda: Spectra(str(data / "xafs" / "xaslib" / "Mn"))


class TestColumns(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path):
        for i in range(3):
            (tmp_path / f"{i}.dat").write_text(f"# energy i0 itrans\n{ROWS}")
        (tmp_path / "x.dat").write_text(f"# energy i0 itrans\n{ROWS}7041.0 wrong\n")
        return lambda: Spectra(str(tmp_path))


class TestAthena(ReaderContract):
    @pytest.fixture
    def make(self, data):
        return lambda: Spectra(str(data / "xafs" / "athena" / "cu.prj"))


@pytest.mark.parametrize(
    ("file", "shape", "first", "last", "names"),
    [
        ("APS10BM_2019.dat", (4, 3464), 6390.0, 7601.36, ["io", "it", "iref", "if"]),
        ("APS13ID_2019.dat", (20, 221), 6389.0, 6537.01, ["tscaler", "i0", "i1", "i2"]),
        ("APS20BM_2001.dat", (4, 412), 6911.77, 8084.09, ["scaler_preset_time", "i0", "i1", "if"]),
        ("APS9BM_2006.dat", (35, 258), 2460.0, 2500.0, ["h", "k", "l", "epoch", "current", "i0", "i1", "i2", "lytle"]),
        ("CLSHXMA.dat", (10, 414), 11667.0, 12842.36, ["event_id"]),
        ("ESRF_BM08_LISA_2021.dat", (6, 198), 10906.93, 11505.62, ["i0_eh1", "i1_eh1", "mu"]),
        ("FDMNES_2022_Mo2C_out.dat", (559,), 19975.0, 20119.8, ["xanes"]),
        ("NSLS6BM_2019.dat", (22, 352), 5264.99, 6120.53, ["requested_energy", "measurement_time", "xmu", "i0"]),
        ("PF9A_2022.dat", (4, 1426), 6606.2, 8211.2, ["angle_c", "time_s", "i0", "ifluor"]),
        ("SSRL1_2006.dat", (5, 455), 25285.0, 26534.93, ["real_time_clock", "requested_energy", "i0", "i1", "i2"]),
        ("generic_columns_no_header.dat", (6, 198), 10906.93, 11505.62, ["col2"]),
    ],
)
def test_every_beamline_s_file_is_read_with_its_energy_in_eV(data, file, shape, first, last, names):
    arrival = one(data / "xafs" / "beamline_formats" / file)
    assert arrival.data.shape == shape
    energy = arrival.axes["energy"]
    assert energy.unit == "eV"
    assert energy.values[[0, -1]] == pytest.approx([first, last], abs=0.15)
    assert channels(arrival)[: len(names)] == names


def test_a_file_without_a_head_is_read_as_the_same_file_with_one(data):
    folder = data / "xafs" / "beamline_formats"
    a, b = one(folder / "generic_columns_no_header.dat"), one(folder / "ESRF_BM08_LISA_2021.dat")
    np.testing.assert_array_equal(a.data, b.data)


def test_repeated_scans_xmcd_scans_and_glitch_files_are_read(data):
    assert len(items(Spectra(str(data / "xafs" / "repeat_scans")))) == 2
    assert [a.data.shape for a in items(Spectra(str(data / "xafs" / "xmcd_fe_pf_bl16"))) if isinstance(a, Arrival)] == [
        (10, 127)
    ] * 2
    glitch = items(Spectra(str(data / "xafs" / "glitch_dnd")))
    assert [a.data.shape for a in glitch if isinstance(a, Arrival)] == [(56, 342), *[(26, 223)] * 3]


def test_chi_of_k_is_said_to_be_no_spectrum(data):
    arrival = one(data / "xafs" / "columns_misc" / "cu10k.chi")
    assert arrival.dims == ("k",)
    assert "no absorption spectrum" in arrival.labels["warning"]


def test_the_operando_series_has_its_own_times(data):
    reader = Spectra(str(data / "xafs" / "series_lno_ni_k_operando"), timezone="Europe/Paris")
    found = [a for a in items(reader) if isinstance(a, Arrival)]
    assert len(found) == 58
    assert {a.clock for a in found} == {"header"}
    steps = np.diff([a.time_ns for a in found]) / 60e9
    assert np.median(steps) == pytest.approx(11.45, abs=0.05)  # min, the data's README
    assert channels(found[0]) == ["normalized", "reference", "ref_derivative", "i0"]
    assert reader.skipped == []


def test_an_athena_project_gives_a_spectrum_for_each_group(data):
    cu = [a for a in items(Spectra(str(data / "xafs" / "athena" / "cu.prj"))) if isinstance(a, Arrival)]
    assert [a.data.size for a in cu] == [612, 620, 618]
    assert [a.labels["sample"] for a in cu] == ["cu010k.dat", "cu050k.dat", "cu150k.dat"]
    assert {a.labels["element"] for a in cu} == {"Cu"}
    fe = [
        a for a in items(Spectra(str(data / "xafs" / "athena" / "FeFoil_QXAFS_Compare.prj"))) if isinstance(a, Arrival)
    ]
    assert [a.data.shape for a in fe] == [(3, 504), (3, 494), (3, 494), (3, 406)]
    np.testing.assert_allclose(one_channel(fe[0], "mu")[:2], [-0.53068, -0.53207], atol=1e-5)


def one_channel(arrival: Arrival, name: str) -> np.ndarray:
    return arrival.data[channels(arrival).index(name)]


def test_the_same_foil_is_the_same_in_a_project_and_in_columns(data):
    a = items(Spectra(str(data / "xafs" / "athena" / "cu.prj")))[0]
    b = one(data / "xafs" / "columns_misc" / "cu_10k.xmu")
    assert isinstance(a, Arrival)
    np.testing.assert_allclose(a.axes["energy"].values, b.axes["energy"].values, atol=0.002)


def test_a_name_that_promises_xdi_must_keep_it(tmp_path):
    (tmp_path / "a.xdi").write_text(f"# energy i0 itrans\n{ROWS}")
    with pytest.raises(FormatError, match=r"XDI/1\.0"):
        items(Spectra(str(tmp_path / "a.xdi")))


def test_an_axis_that_counts_rows_is_refused_unless_a_column_is_named(tmp_path):
    path = tmp_path / "a.dat"
    path.write_text("".join(f"{i} {i * 7 % 13} {(i * 5) % 11}\n" for i in range(30)))
    with pytest.raises(FormatError, match="counts rows"):
        items(Spectra(str(path)))
    path.write_text("".join(f"{i} {i * 7 % 13} {9.0 + i / 1000}\n" for i in range(30)))
    arrival = one(path, columns={"energy": 3})
    assert arrival.axes["energy"].values[0] == pytest.approx(9000.0)
    with pytest.raises(FormatError, match="no column 7"):
        items(Spectra(str(path), columns={"energy": 7}))


def test_a_bragg_angle_needs_the_d_spacing_and_takes_it_from_the_detector_file(tmp_path):
    path = tmp_path / "a.dat"
    path.write_text("# angle i0 itrans\n" + "".join(f"{14.4 - i / 1000:.4f} 5 4\n" for i in range(40)))
    assert "d-spacing" in one(path).labels["warning"]
    arrival = one(path, d_spacing=3.1355)
    assert arrival.axes["energy"].values[0] == pytest.approx(7950, abs=2)
    with pytest.raises(ConfigError, match="d-spacing"):
        Spectra(str(path), d_spacing=-1.0)


def test_a_broken_file_of_a_series_is_kept_and_counted_and_alone_an_error(tmp_path):
    (tmp_path / "1.dat").write_text(f"# energy i0 itrans\n{ROWS}")
    (tmp_path / "2.dat").write_text(f"# energy i0 itrans\n{ROWS}7100.0 1 2 3\n")
    (tmp_path / "3.dat").write_text(f"# energy i0 itrans\n{ROWS}")
    first, broken, third = items(Spectra(str(tmp_path)))
    assert isinstance(broken, Invalid)
    assert "2.dat:42" in broken.reason
    assert [getattr(i, "source_seq", None) for i in (first, broken, third)] == [0, 1, 2]
    with pytest.raises(FormatError, match=r"2\.dat:42"):
        items(Spectra(str(tmp_path / "2.dat")))


def test_notes_and_pictures_beside_the_spectra_are_passed_over(tmp_path):
    (tmp_path / "1.dat").write_text(f"# energy i0 itrans\n{ROWS}")
    (tmp_path / "notes").write_text("what we did\n")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    reader = Spectra(str(tmp_path))
    assert len(items(reader)) == 1
    assert reader.skipped == ["notes"]
    (tmp_path / "1.dat").unlink()
    with pytest.raises(SourceError, match="no absorption spectrum"):
        items(Spectra(str(tmp_path)))


def test_a_folder_is_followed_and_a_file_is_read_when_it_is_whole(tmp_path):
    reader = Spectra(str(tmp_path), follow=True, idle=60.0, settle=0.1, sentinel="END")

    def write():
        time.sleep(0.2)
        with (tmp_path / "1.dat").open("w") as file:
            file.write(f"# energy i0 itrans\n{ROWS[:300]}")
            file.flush()
            time.sleep(0.4)
            file.write(ROWS[300:])
        shutil.copy(tmp_path / "1.dat", tmp_path / "2.dat")
        (tmp_path / "END").touch()

    thread = threading.Thread(target=write)
    thread.start()
    found = items(reader)
    thread.join()
    assert [a.data.shape for a in found if isinstance(a, Arrival)] == [(2, 40)] * 2


@given(st.data())
def test_no_damage_to_columns_makes_it_crash_or_invent(draw):
    good = b"# energy i0 itrans\n" + ROWS.encode()
    at = draw.draw(st.integers(0, len(good)))
    junk = draw.draw(st.one_of(st.binary(max_size=12), st.text("0123456789.eE+-, \n#", max_size=12).map(str.encode)))
    text = good[:at] + junk + good[at + draw.draw(st.integers(0, 30)) :]
    with suppress(FormatError):
        for spectrum in xafs_columns.decode(text):
            assert np.isfinite(spectrum.values).all()
            assert (np.diff(spectrum.axis.values) >= 0).all() or spectrum.dim != "energy"


@given(st.data())
def test_no_damage_to_a_project_makes_it_crash_or_invent(data, draw):
    good = (data / "xafs" / "athena" / "cu.prj").read_bytes()
    at = draw.draw(st.integers(0, len(good) - 1))
    text = good[:at] + draw.draw(st.binary(max_size=8)) + good[at + draw.draw(st.integers(0, 30)) :]
    with suppress(FormatError):
        for spectrum in athena.decode(text):
            assert np.isfinite(spectrum.values).all()


def test_a_project_that_unpacks_without_end_is_refused(monkeypatch):
    import gzip

    monkeypatch.setattr("insitu.maths.absorption.athena.MOST_BYTES", 10_000)
    bomb = gzip.compress(b"# Athena project file\n" + b" " * 1_000_000)
    with pytest.raises(FormatError, match="unpacks to more"):
        athena.decode(bomb, How(name="bomb.prj"))


def test_the_log_of_a_cell_alone_is_said_to_be_one_and_what_it_is_for(data):
    (log,) = (data / "xafs" / "series_lno_ni_k_operando").glob("*.mpt")
    with pytest.raises(FormatError, match=r"log of a cell.*\[\[join\]\]"):
        list(Spectra(str(log))())
