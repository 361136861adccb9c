"""Frequency sweeps from files of many writers: names, units, several sweeps in a file, and what is wrong in words."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import FormatError, SourceError
from insitu.readers.sweep_names import known
from insitu.readers.sweeps import Sweeps
from insitu.testing import ReaderContract
from insitu.types import Arrival, Invalid, Reader

GOOD = "Frequency (kHz),mu',mu''\n10,2000,3\n20,1990,8\n40,1980,20\n"


class TestContract(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Reader]:
        (tmp_path / "a.csv").write_text(GOOD)
        np.savez(tmp_path / "b.npz", f_Hz=np.array([1e3, 2e3]), mu_r=np.array([[5 - 1j, 6 - 1j], [np.nan, 6 - 2j]]).T)
        return lambda: Sweeps(str(tmp_path))

    @pytest.fixture
    def idle(self, tmp_path: Path) -> Callable[[], Reader]:
        return lambda: Sweeps(str(tmp_path), follow=True, idle=5.0)

    @pytest.fixture
    def bad(self, tmp_path: Path) -> Callable[[], Reader]:
        (tmp_path / "bad.csv").write_text("f,mu_real\n1,2\n3\n")
        return lambda: Sweeps(str(tmp_path / "bad.csv"))


def read(path: Path, **keys) -> list[Arrival]:
    found = [item for item in Sweeps(str(path), **keys)() if item is not None]
    assert all(isinstance(item, Arrival) for item in found), found
    return found


@pytest.mark.parametrize(
    ("text", "names", "f", "first"),
    [
        (GOOD, "mu_real mu_imag", 1e4, (2000.0, 3.0)),
        ("# an analyser\nf/Hz;Ls [uH];Rs [mOhm]\n1,0e3;12,5;3,1\n2,0e3;12,4;3,5\n", "l r", 1e3, (12.5e-6, 3.1e-3)),
        ("Freq [MHz]\t|Z| (kOhm)\ttheta (deg)\n1\t2\t80\n2\t3\t81\n", "z theta", 1e6, (2000.0, 80.0)),
        ("freq_Hz mu_real mu_imag\n500 7 1\n100 8 2\n", "mu_real mu_imag", 100.0, (8.0, 2.0)),
        ("1e3 7 1\n2e3 6 2\n", "mu_real mu_imag", 1e3, (7.0, 1.0)),
        ("\ufeff% f, Re(mu), Im(mu)\n% next\n1e3, 7, 1\n2e3, 6, 2\n", "mu_real mu_imag", 1e3, (7.0, 1.0)),
        ("Frequency,µr',µr''\r\n1e3,7,1\r\n2e3,6,2\r\n", "mu_real mu_imag", 1e3, (7.0, 1.0)),
    ],
)
def test_tables_of_many_writers_are_read(tmp_path: Path, text: str, names: str, f: float, first: tuple) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    (sweep,) = read(tmp_path / "x.csv")
    assert sweep.labels["channels"] == names
    assert sweep.dims == ("channel", "frequency")
    axis = sweep.axes["frequency"]
    assert (axis.unit, axis.values[0]) == ("Hz", pytest.approx(f))
    assert sweep.data[:, 0] == pytest.approx(first)


def test_titles_are_known_by_what_they_mean() -> None:
    told = {
        "Frequency (kHz)": ("frequency", "kHz"), "f_Hz": ("frequency", "Hz"), "mu''": ("mu_imag", ""),
        "mu_r": ("mu_real", ""), "B_T": ("b_peak", "T"), "Ls [uH]": ("l", "uH"), "Temp (C)": ("temperature", "degC"),
        "Im(mu)": ("mu_imag", ""), "|Z| (Ohm)": ("z", "ohm"), "tan delta": ("tan_delta", ""),
    }  # fmt: skip
    assert {title: known(title) for title in told} == told


def test_a_table_in_which_the_frequency_turns_back_holds_several_sweeps(tmp_path: Path) -> None:
    rows = [f"{f},{1000 * b + f / 1e3},{b},{b}" for b in (0.1, 0.2, 0.3) for f in (1e3, 2e3, 3e3)]
    (tmp_path / "x.csv").write_text("f,mu_real,mu_imag,B_T\n" + "\n".join(rows) + "\n")
    found = read(tmp_path / "x.csv")
    assert [s.context["b_peak"].value for s in found] == [0.1, 0.2, 0.3]
    assert [s.data[0, 0] for s in found] == pytest.approx([101.0, 201.0, 301.0])
    assert [s.source_seq for s in found] == [0, 1, 2]


def test_the_archive_of_n87_gives_a_sweep_for_each_amplitude_and_the_small_one(data: Path) -> None:
    path = data / "magnetic" / "n87_permeability_dev.npz"
    table = np.load(path)
    found = read(path)
    small = found[-1]
    assert small.data.shape == (2, 21)
    assert small.data[:, 0] == pytest.approx([2155.0, 9.0])
    assert "b_peak" not in small.context
    several = np.count_nonzero(np.isfinite(table["mu_r"]).sum(axis=0) >= 2)
    assert len(found) == several + 1
    one = found[100]
    at = int(np.argmin(np.abs(np.nanmedian(table["B_T"], axis=0) - one.context["b_peak"].value)))
    there = ~one.mask[0]
    np.testing.assert_array_equal(there, np.isfinite(table["mu_r"][:, at]))
    np.testing.assert_allclose(one.data[0][there], table["mu_r"][there, at].real)
    np.testing.assert_allclose(one.data[1][there], -table["mu_r"][there, at].imag)


def test_real_and_imaginary_arrays_belong_together_and_either_side_may_be_the_frequency(tmp_path: Path) -> None:
    f, b = np.geomspace(1e3, 1e6, 5), np.array([0.1, 0.2])
    mu = 1000.0 + np.arange(10.0).reshape(2, 5)
    np.savez(tmp_path / "x.npz", freq_kHz=f / 1e3, mu_real=mu, mu_imag=mu / 10, B_T=b)
    found = read(tmp_path / "x.npz")
    assert [s.labels["channels"] for s in found] == ["mu_real mu_imag"] * 2
    np.testing.assert_allclose(found[1].data, [mu[1], mu[1] / 10])
    np.testing.assert_allclose(found[1].axes["frequency"].values, f)
    assert [s.context["b_peak"].value for s in found] == [0.1, 0.2]


def test_columns_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("alpha,beta,gamma\n1,7,1000\n2,6,2000\n")
    (sweep,) = read(tmp_path / "x.csv", columns={"frequency": 3, "mu_real": "beta", "mu_imag": 1})
    assert sweep.data[:, 0] == pytest.approx([7.0, 1.0])
    assert sweep.axes["frequency"].values.tolist() == [1000.0, 2000.0]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("f,mu_real\n1,2\n3\n", "x.csv:3"), ("a,b\n1,2\n3,4\n", "no column is a frequency"), ("hello\n", "no sweep"),
        ("f,mu_real\n1,2\nabc,d\n", "no row of numbers"), ("f,mu_real\n-1,2\n3,4\n", "not above 0"),
        ("f,mu_real\n1,2\n1,4\n2,5\n", "twice|no sweep"), ("f (K),mu_real\n1,2\n2,4\n", "frequency in K"),
        ("f,B_T\n1,2\n2,4\n", "nothing"), ("PK\x03\x04 nonsense", "archive"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_the_place(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(FormatError, match=word):
        read(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text(GOOD)
    items = [item for item in Sweeps(str(tmp_path))() if item is not None]
    assert [type(item) for item in items] == [Invalid, Arrival]


def test_a_folder_without_sweeps_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no frequency sweep"):
        list(Sweeps(str(tmp_path))())
