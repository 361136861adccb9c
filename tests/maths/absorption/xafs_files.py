"""The real spectra that the tests of XAFS use, read with numpy alone (also by `make_larch_reference.py`)."""

import csv
import gzip
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Known(NamedTuple):
    """One file of `reference_e0.csv`: tabulated edge, and E0 of its independent reader, eV."""

    path: str
    element: str
    tabulated: float
    e0: float
    energy: np.ndarray
    mu: np.ndarray

    @property
    def hexavalent(self) -> bool:
        """A chromate or dichromate: the reference's plain maximum derivative lands on the pre-edge."""
        return any(name in self.path for name in ("k2cro4", "k2cr2o7", "na2cro4"))


def table(path: Path) -> np.ndarray:
    """Numbers of a text file; lines that begin with # are left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return np.array([line.split() for line in lines if line.strip() and not line.startswith("#")], dtype=np.float64)


def sorted_once(energy: np.ndarray, mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In order of energy; of points at one energy the first."""
    order = np.argsort(energy, kind="stable")
    keep = np.concatenate([[True], np.diff(energy[order]) > 0.0])
    return energy[order][keep], mu[order][keep]


def library(folder: Path) -> list[Known]:
    """All files of `reference_e0.csv` that have an E0, in its order."""
    found = []
    with (folder / "reference_e0.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if not row["e0_max_derivative_eV"]:
                continue
            columns = dict(zip(row["column_names"].split(), table(folder / row["path"]).T, strict=False))
            mu = columns["mutrans"] if "mutrans" in columns else np.log(columns["i0"] / columns["itrans"])
            tabulated = float(row["tabulated_edge_eV_xraydb"] or 8979.0)
            energy, mu = sorted_once(columns["energy"], mu)
            e0 = float(row["e0_max_derivative_eV"])
            found.append(Known(row["path"], row["element"], tabulated, e0, energy, mu))
    return found


def cu_foils(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Cu foil at 10, 50, 150 K and room temperature: energy and mu."""
    names = ("cu_10k", "cu_50k", "cu_150k", "cu_rt01")
    return {name: sorted_once(*table(folder / f"columns_misc/{name}.xmu").T[:2]) for name in names}


def operando(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The LiNiO2 series, normalised by its authors: one energy axis (n,) and mu (58, n)."""
    tables = [table(path) for path in sorted((folder / "series_lno_ni_k_operando").glob("norm_*.txt"))]
    assert all(np.array_equal(one[:, 0], tables[0][:, 0]) for one in tables)
    return tables[0][:, 0], np.stack([one[:, 1] for one in tables])


def athena(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Energy and mu of every record of an Athena project, of either generation (Perl or JSON)."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        records = [one for one in json.loads(text).values() if isinstance(one, dict) and "x" in one]
        return [sorted_once(*(np.array(one[axis], dtype=np.float64) for axis in "xy")) for one in records]

    def lists(name: str) -> list[np.ndarray]:
        found = re.findall(rf"^@{name} = \((.*?)\);", text, re.M | re.S)
        return [np.array([float(v) for v in re.findall(r"'([^']*)'", body)]) for body in found]

    return [sorted_once(x, y) for x, y in zip(lists("x"), lists("y"), strict=True)]


def larch_edges(here: Path) -> dict[str, tuple[float, float]]:
    """E0 and edge step that larch recorded, by name."""
    lines = (here / "larch_edges.csv").read_text(encoding="utf-8").splitlines()[2:]
    return {name: (float(e0), float(step)) for name, e0, step in (line.split(",") for line in lines)}


def larch_curves(here: Path) -> dict[str, dict[str, np.ndarray]]:
    """Curves that larch recorded: name to {what: values}, with "e0" and "step" (1,)."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for line in (here / "larch_curves.csv").read_text(encoding="utf-8").splitlines()[2:]:
        name, e0, step, what, values = line.split(",")
        one = found.setdefault(name, {"e0": np.array([float(e0)]), "step": np.array([float(step)])})
        one[what] = np.array(values.split(), dtype=np.float64)
    return found


def simulated(
    e0: float = 7112.0,
    *,
    below: float = 200.0,
    above: float = 900.0,
    fine: float = 0.5,
    width: float = 1.5,
    pre_edge: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """A step scan of an edge with white line, EXAFS of one shell at 2.5 angstrom and, if asked, a pre-edge peak of
    that area (eV) 8 eV below e0; the steepest point is at e0 within 0.3 eV."""
    parts = [
        np.arange(-below, -20.0, 5.0), np.arange(-20.0, 40.0 - 1e-6, fine),
        3.81 * np.arange(np.sqrt(40.0 / 3.81), np.sqrt(above / 3.81), 0.05) ** 2,
    ]  # fmt: skip
    x = np.concatenate(parts)
    k = np.sqrt(np.maximum(x, 0.0) / 3.81)
    mu = 0.5 + np.arctan(x / width) / np.pi + 0.3 * np.exp(-0.5 * ((x - 6.0) / 3.0) ** 2)
    mu += np.where(x > 12.0, 0.4 * np.sin(2.0 * k * 2.5) * np.exp(-0.01 * k * k) / (1.0 + k), 0.0)
    mu += pre_edge / (0.8 * np.sqrt(2.0 * np.pi)) * np.exp(-0.5 * ((x + 8.0) / 0.8) ** 2)
    mu += 0.3 - 2e-4 * x + np.random.default_rng(seed).normal(0.0, noise, x.size) if noise else 0.3 - 2e-4 * x
    return x + e0, mu
