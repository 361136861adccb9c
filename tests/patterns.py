"""Real and simulated 1-D patterns as frames, for the tests of the powder analysis."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from insitu.maths.diffraction.crystal import Structure
from insitu.maths.diffraction.powder import Width, background, powder_lines, profile
from insitu.types import Axis, Feature, Frame

CU_K_ALPHA1 = 1.5405929


def frame(x: np.ndarray, y: np.ndarray, sigma: np.ndarray | None = None, **context: float) -> Frame:
    """A pattern; `context` in angstrom."""
    return Frame(
        source="det",
        data=np.ascontiguousarray(y),
        dims=("two_theta",),
        unit="counts",
        time_ns=0,
        seq=0,
        n=0,
        axes={"two_theta": Axis(np.ascontiguousarray(x, dtype=np.float64), "deg")},
        sigma=sigma,
        context={name: Feature(value, "angstrom") for name, value in context.items()},
    )


def fxye(path: Path, wavelength: float) -> tuple[float, Frame]:
    """Temperature (0 where not given) and pattern of a GSAS FXYE file: two theta in centidegrees."""
    lines = path.read_text(errors="replace").splitlines()
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    table = np.array([line.split() for line in lines[bank + 1 :] if line.strip()], dtype=np.float64)
    kelvin = re.search(r"Temp \(K\) =\s*([\d.]+)", "\n".join(lines[:bank]))
    x, y, esd = (np.ascontiguousarray(column) for column in table.T)
    return float(kelvin[1]) if kelvin else 0.0, frame(x / 100.0, y, esd, wavelength=wavelength)


def copper_chromite(data: Path) -> dict[float, Frame]:
    """The CuCr2O4 series by temperature in K; wavelength from its instrument file."""
    folder = data / "xrd" / "series_cucr2o4_7-289K"
    found = dict(sorted(fxye(path, 0.413263) for path in folder.glob("*.fxye")))
    assert len(found) == 17
    return found


def fluorapatite(data: Path) -> Frame:
    """GSAS STD, laboratory Cu K-alpha; wavelengths from its instrument file."""
    lines = (data / "xrd" / "ref_fluorapatite_lab" / "FAP.XRA").read_text().splitlines()
    bank = next(i for i, line in enumerate(lines) if line.startswith("BANK"))
    _, _, points, _, _, first, step = lines[bank].split()[:7]
    fields = [line.ljust(80)[i + 2 : i + 8] for line in lines[bank + 1 :] for i in range(0, 80, 8)]
    y = np.array([float(f) for f in fields if f.strip()])[: int(points)]
    x = (float(first) + float(step) * np.arange(y.size)) / 100.0
    return frame(x, y, wavelength=1.5405, wavelength2=1.5443)


def ceria_by_its_authors(data: Path) -> Frame:
    """The authors' own integration of the CeO2 image; wavelength of its poni file."""
    table = np.loadtxt(data / "xrd" / "frame2d_ceo2_pilatus1m" / "CeO2_Pilatus1M.xy", comments="#")
    return frame(table[:, 0], table[:, 1], wavelength=0.4066)


def mixture(
    volumes: Mapping[Structure, float] | list[tuple[Structure, float]],
    *,
    seed: int = 0,
    counts: float = 5000.0,
    shift: float = 0.0,
    x: np.ndarray | None = None,
) -> Frame:
    """A simulated pattern of phases by volume, Cu K-alpha1, `counts` at its highest point on a background of 30."""
    x = np.arange(15.0, 100.0, 0.02) if x is None else x
    y = np.zeros(x.size)
    for structure, volume in volumes.items() if isinstance(volumes, Mapping) else volumes:
        lines = powder_lines(structure, CU_K_ALPHA1, 102.0)
        y += volume * profile(x, lines.two_theta + shift, lines.area, Width())
    top = float(y.max())
    clean = (y / top * counts if top > 0.0 else y) + 30.0 * background(x)
    return frame(x, np.random.default_rng(seed).poisson(clean).astype(np.uint32), wavelength=CU_K_ALPHA1)
