from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError
from insitu.maths.diffraction.calibrants import d_spacings, rings_of

README = (7.4615, 8.6179, 12.199, 14.315)
"""CeO2 (111) (200) (220) (311) at 0.4066 angstrom, deg: the data's README."""


def test_a_name_and_a_file_give_the_same_rings(data: Path) -> None:
    file = data / "xrd" / "dspacing_tables" / "CeO2.D"
    by_name, by_file = rings_of("CeO2", 0.4066), rings_of(str(file), 0.4066)
    assert (np.diff(by_name) > 0).all()
    for ring in README:
        for rings in (by_name, by_file):
            assert np.abs(rings - ring).min() < 5e-4


def test_planes_too_close_to_diffract_are_left_out() -> None:
    d = d_spacings("CeO2")
    assert rings_of("CeO2", 4.0).size == np.count_nonzero(d > 2.0)


@pytest.mark.parametrize(
    ("text", "says"), [("", "no d-spacings"), ("3.1\n-2.0\n", "no d-spacings"), ("3.1 111\nx\n", "2: 'x' is no number")]
)
def test_a_file_without_rings_is_refused(tmp_path: Path, text, says) -> None:
    path = tmp_path / "a.D"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        d_spacings(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        d_spacings(str(tmp_path / "none.D"))
