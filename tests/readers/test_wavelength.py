"""Which wavelength counts, and who is told where two of them contradict each other."""

from pathlib import Path

import pytest

from insitu.readers.diffraction import Patterns
from insitu.readers.wavelength import Wavelengths, instrument_wavelengths
from insitu.testing import items
from insitu.types import Arrival, Detector, Feature
from tests.readers.written import rasx, xrdml

XY = b"10.0 5\n10.1 9\n10.2 4\n"


def detector(**calibration: Feature) -> Detector:
    return Detector(name="d", source="d", calibration=calibration)


def read(path: Path, known: Detector | None = None) -> tuple[list[Arrival], Patterns]:
    reader = Patterns(str(path), detector=known)
    return [item for item in items(reader) if isinstance(item, Arrival)], reader


def test_the_instrument_file_gives_both_wavelengths_and_their_ratio(data: Path) -> None:
    found = instrument_wavelengths((data / "xrd/ref_fluorapatite_lab/INST_XRY.PRM").read_bytes())
    values = {key: value.value for key, value in found.items()}
    assert values == {"wavelength": 1.5405, "wavelength2": 1.5443, "wavelength_ratio": 0.5}
    single = instrument_wavelengths((data / "xrd/ref_jadarite_11bm/11bmb_6231.prm").read_bytes())
    assert {key: value.value for key, value in single.items()} == {"wavelength": 0.413529}
    for text in (b"INS nothing", b"", b"INS  1 ICONS\n 1.5 1.6", b"INS  1 ICONS x y", b"INS  1 ICONS nan 1.5"):
        assert instrument_wavelengths(text) == {}


def test_a_header_that_contradicts_the_detector_file_is_told_once_and_loses(tmp_path: Path, caplog) -> None:
    for i in range(3):
        (tmp_path / f"{i}.xy").write_bytes(b"# Wavelength = 0.5 A\n" + XY)
    arrivals, reader = read(tmp_path, detector(wavelength=Feature(0.07, "nm")))
    for arrival in arrivals:
        assert arrival.context["wavelength"].value == pytest.approx(0.7)
        assert arrival.context["header_wavelength"] == Feature(0.5, "angstrom")
    (told,) = reader.contradictions
    assert told.startswith("0.xy: the header gives a wavelength of 0.5 angstrom, the detector file 0.7")
    assert [r.getMessage() for r in caplog.records if r.name.startswith("insitu")] == [told]
    items(reader)
    assert len(reader.contradictions) == 1  # of the last reading


def test_every_other_value_is_told_up_to_a_bound(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"{i}.xy").write_bytes(b"# Wavelength = 0.%d A\n" % (500 + i) + XY)
    _, reader = read(tmp_path, detector(wavelength=Feature(0.7, "angstrom")))
    assert len(reader.contradictions) == 20


@pytest.mark.parametrize("known", [Feature(0.50004, "angstrom"), Feature(0.51, "angstrom", sigma=0.004)])
def test_wavelengths_that_agree_within_their_digits_or_sigma_are_no_contradiction(
    known: Feature, tmp_path: Path
) -> None:
    (tmp_path / "a.xy").write_bytes(b"# Wavelength = 0.5 A\n" + XY)
    (arrival,), reader = read(tmp_path, detector(wavelength=known))
    assert (reader.contradictions, arrival.context["wavelength"]) == ([], known)
    assert "header_wavelength" not in arrival.context


def test_the_doublet_comes_from_where_the_wavelength_is_or_from_what_agrees_with_it(tmp_path: Path) -> None:
    (tmp_path / "a.xrdml").write_bytes(xrdml())
    (tmp_path / "b.rasx").write_bytes(rasx())
    (agreed, other), reader = read(tmp_path, detector(wavelength=Feature(1.5406, "angstrom")))
    assert agreed.context["wavelength"].value == 1.5406
    assert agreed.context["wavelength2"] == Feature(1.544426, "angstrom")
    assert agreed.context["wavelength_ratio"] == Feature(0.5)
    assert other.context["wavelength2"] == Feature(1.544414, "angstrom")
    assert reader.contradictions == []
    (wrong, _), reader = read(tmp_path, detector(wavelength=Feature(0.71, "angstrom")))
    assert "wavelength2" not in wrong.context
    assert len(reader.contradictions) == 2
    own = detector(wavelength=Feature(1.54, "angstrom"), wavelength2=Feature(1.55, "angstrom"))
    (declared, _), _ = read(tmp_path, own)
    assert declared.context["wavelength2"] == Feature(1.55, "angstrom")


def test_an_instrument_file_that_contradicts_the_header_is_told_and_the_header_wins(tmp_path: Path) -> None:
    (tmp_path / "a.xy").write_bytes(b"# Wavelength = 0.5 A\n" + XY)
    (tmp_path / "a.prm").write_bytes(b"INS  1 ICONS  0.6 0.0 0.0\n")
    (arrival,), reader = read(tmp_path)
    assert arrival.context["wavelength"].value == 0.5
    assert reader.contradictions[0].startswith("a.xy: a.prm gives a wavelength of 0.6 angstrom, the header 0.5")


def test_a_wavelength_that_the_header_cannot_say_stays_with_its_reason() -> None:
    why = Feature(None, "angstrom", why="no number")
    context, labels = Wavelengths(None).resolved({"wavelength": why}, "a", ("", {}))
    assert (context, labels) == ({"wavelength": why}, {})
    context, labels = Wavelengths(None).resolved({"wavelength": why}, "a", ("i.prm", {"wavelength": Feature(1.0)}))
    assert (context["wavelength"].value, labels) == (1.0, {"instrument_file": "i.prm"})
