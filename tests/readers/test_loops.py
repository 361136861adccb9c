"""The reader of hysteresis loops: the laboratory's files, formats of magnetometers, units, damage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers.loop_columns import How
from insitu.readers.loop_table import decode
from insitu.readers.loops import Loops
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Invalid

LOOP = [
    (1.0, 2.0),
    (0.5, 1.8),
    (0.0, 1.0),
    (-0.5, -1.5),
    (-1.0, -2.0),
    (-0.5, -1.8),
    (0.0, -1.0),
    (0.5, 1.5),
    (1.0, 2.0),
]
ROWS = "".join(f"{b},{m}\n" for b, m in LOOP)
QD = (
    "[Header]\nTITLE,loop\nINFO,VersaLab VSM,APPNAME\n[Data]\n"
    "Comment,Time Stamp (sec),Temperature (K),Magnetic Field (Oe),Moment (emu),M. Std. Err. (emu)\n"
    "begin,,,,,\n" + "".join(f",{i},300.5,{1e4 * b},{m},1e-6\n" for i, (b, m) in enumerate(LOOP))
)
MICROMAG = "\n".join(
    [
        "MicroMag 2900/3900 Data File (Series 0016.002)", "Hysteresis loop", "", "INSTRUMENT", "Configuration   VSM",
        "Units of measure   Hybrid SI", "", "SCRIPT", f"Number of data    {len(LOOP)}", "",
        "      Field          Moment", "       (T)           (Am2)", "",
        *[f"{b:+.6E},{m:+.6E}" for b, m in LOOP], "", "MicroMag 2900/3900 Data File ends", "",
    ]
)  # fmt: skip
FILES = {"a.csv": f"B_T,M_Am2_per_kg\n{ROWS}", "a.dat": QD, "a.txt": MICROMAG}


class TestFolder(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path):
        for name, text in FILES.items():
            (tmp_path / name).write_text(text)
        (tmp_path / "b.csv").write_text(f"B_T,M_Am2_per_kg\n{ROWS}0.3,nan\n")
        return lambda: Loops(str(tmp_path))


def test_the_laboratory_s_files_are_read_with_curve_and_sample(data):
    found = [a for a in items(Loops(str(data / "magnetic" / "vsm"))) if isinstance(a, Arrival)]
    assert len(found) == 11
    assert [a.labels["curve"] for a in found] == ["backfield"] * 5 + ["loop"] * 6
    assert {a.unit for a in found} == {("T", "A m^2/kg")}
    assert found[5].data.shape == (2, 802)
    assert found[5].labels["sample"] == found[0].labels["sample"] == "MA1-5-r_gelcap"
    np.testing.assert_array_equal(found[6].data[:, 0], [1.001, 0.1988])


@pytest.mark.parametrize(
    ("text", "units", "scale"),
    [
        (FILES["a.csv"], ("T", "A m^2/kg"), 1.0),
        (QD, ("Oe", "emu"), 1e4),
        (MICROMAG, ("T", "A m^2"), 1.0),
        (f"# run 7\nField (T), Moment (emu/g)\n{ROWS}", ("T", "emu/g"), 1.0),
        (f"H [kA/m];M [A/m]\n{ROWS.replace(',', ';').replace('.', ',')}", ("kA/m", "A/m"), 1.0),
        (f"Field(Oe)\tMoment(emu)\n{ROWS.replace(',', chr(9))}", ("Oe", "emu"), 1.0),
        (f"Applied Field   Magnetization\n(mT)   (Am2/kg)\n{ROWS.replace(',', '   ')}", ("mT", "A m^2/kg"), 1.0),
        (f"Feld [T];Moment [emu/g]\n{ROWS.replace(',', ';')}", ("T", "emu/g"), 1.0),
        (f"mu0H / T, M / A m^2 kg^-1\n{ROWS}", ("T", "A m^2/kg"), 1.0),
        (ROWS, ("", ""), 1.0),
    ],
)
def test_tables_are_read_with_their_units(text, units, scale):
    curve = decode(text.encode())
    assert curve.units == units
    np.testing.assert_allclose(curve.field, [scale * b for b, _ in LOOP])
    np.testing.assert_allclose(curve.moment, [m for _, m in LOOP])


def test_columns_and_units_can_be_told():
    text = "".join(f"{i} {m} {b}\n" for i, (b, m) in enumerate(LOOP))
    how = How(columns={"field": 3, "moment": 2}, field_unit="kOe", moment_unit="emu")
    curve = decode(text.encode(), how)
    assert curve.units == ("kOe", "emu")
    assert curve.field.tolist() == [b for b, _ in LOOP]
    with pytest.raises(FormatError, match="no column 7"):
        decode(text.encode(), How(columns={"field": 7, "moment": 2}))
    with pytest.raises(FormatError, match="no column is the field"):
        decode(text.encode())


def test_what_nobody_knows_is_a_warning(tmp_path):
    (tmp_path / "run.txt").write_text(ROWS)
    (arrival,) = items(Loops(str(tmp_path / "run.txt")))
    assert isinstance(arrival, Arrival)
    assert arrival.unit == ("", "")
    assert "unit of the field" in arrival.labels["warning"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        (f"B_T,M\n{ROWS}0.4,x\n", ":11"),
        (f"B_T,M\n{ROWS}0.4,nan\n", ":11"),
        (f"B_T,M\n{ROWS}0.4,1,2\n", "3 cells"),
        (f"B_T,M\n{ROWS}0.4\n{2 * ROWS}", ":11"),
        ("a note about the sample\n", "no table"),
        (QD[: QD.index("[Data]") + 7], "nothing follows"),
        (QD.replace(",2.0,1e-6", ",two,1e-6", 1), "'two'"),
        (MICROMAG.replace(" ends", ""), "last line"),
        (MICROMAG.replace(f"data    {len(LOOP)}", "data    99"), "declares 99"),
        (MICROMAG.replace("Hysteresis loop", "First-order reversal curves"), "First-order"),
        ("B_T,time\n1,2\n2,3\n3,4\n", "no column is the moment"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path, text, word):
    (tmp_path / "a.dat").write_text(text)
    with pytest.raises(SourceError, match=r"a\.dat") as error:
        items(Loops(str(tmp_path / "a.dat")))
    assert word in str(error.value)


def test_one_bad_file_of_a_folder_is_invalid_and_the_rest_is_read(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "c.csv").write_text(f"B_T,M\n{ROWS}0.4,x\n")
    (tmp_path / "notes.md").write_text("1,2\n")
    found = items(Loops(str(tmp_path)))
    assert [type(a) for a in found] == [Arrival, Arrival, Arrival, Invalid]


@pytest.mark.parametrize(
    "keys",
    [{"field_unit": "furlong"}, {"moment_unit": "T"}, {"columns": {"x": 1}}, {"order": "time"}, {"settle": -1.0}],
)
def test_impossible_settings_are_refused(keys):
    with pytest.raises(ConfigError):
        Loops("somewhere", **keys)


@given(
    name=st.sampled_from(sorted(FILES)), at=st.integers(0, 600), kept=st.integers(0, 600),
    noise=st.binary(max_size=6),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_damage_gives_finite_numbers_or_words(name, at, kept, noise):
    data = FILES[name].encode()
    damaged = data[: at % len(data)] + noise + data[at % len(data) : max(len(data) - kept, 0)]
    try:
        curve = decode(damaged)
    except FormatError as error:
        if not (error.what and error.where):
            raise AssertionError("a refusal without words or place") from error
        return
    assert curve.field.size == curve.moment.size >= 3
    assert np.isfinite(curve.field).all()
    assert np.isfinite(curve.moment).all()
