from pathlib import Path

import pytest

from insitu.errors import ConfigError
from insitu.maths.diffraction.azimuthal import Cut
from insitu.maths.diffraction.geometry import read_setting
from insitu.maths.diffraction.raw_image import RawImage
from insitu.types import Detector, Geometry
from tests import ceo2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no Distance"),
        ("Distance: 0.2\nPoni1: 0.1\n", "no Poni2"),
        ("Distance: far\nPoni1: 0.1\nPoni2: 0\n", "'far', no number"),
        ("Distance: -1\nPoni1: 0.1\nPoni2: 0\n", "Distance is -1"),
        ("Distance: nan\nPoni1: 0.1\nPoni2: 0\n", "Distance is nan"),
        ("Distance: 0.2\nPoni1: 0.1\nPoni2: 0\n", "size of the pixels"),
        ("Detector: Nonesuch\nDistance: 0.2\nPoni1: 0.1\nPoni2: 0\n", "(?i)nonesuch"),
        (b"\xff\xfe\x00", "no text"),
    ],
)
def test_a_poni_that_says_nothing_is_refused(tmp_path: Path, text, says) -> None:
    path = tmp_path / "bad.poni"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=says) as wrong:
        read_setting(Detector(name="a", source="det", shape=(40, 40), geometry=Geometry(poni=path)), "a test")
    assert "bad.poni" in str(wrong.value)


@pytest.mark.parametrize("geometry", [None, Geometry()])
def test_without_a_poni_the_remedy_is_told(geometry) -> None:
    for detector in (None, Detector(name="a", source="det", geometry=geometry)):
        with pytest.raises(ConfigError, match=r"detector\.geometry\.poni=FILE"):
            read_setting(detector, "a test")


def test_a_setting_is_equal_where_the_content_of_its_files_is(data: Path, tmp_path: Path) -> None:
    ours = ceo2.detector(data)
    assert ours.geometry is not None
    assert ours.geometry.poni is not None
    copy = tmp_path / "copy.poni"
    copy.write_bytes(ours.geometry.poni.read_bytes())
    twin = Detector(name="b", source="other", geometry=Geometry(poni=copy, flip="up_down"))
    assert read_setting(ours, "a test") == read_setting(twin, "a test")
    other = Detector(name="b", source="other", geometry=Geometry(poni=copy))
    assert read_setting(ours, "a test") != read_setting(other, "a test")
    cut = Cut(bins=300, split="no")
    frame = ceo2.frame(ceo2.image(data))
    images = [RawImage(read_setting(d, "a test"), cut, d) for d in (ours, twin)]
    assert images[0].integrator(frame, {}) is images[1].integrator(frame, {})  # laid out once in the process
