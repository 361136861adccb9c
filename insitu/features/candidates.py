"""Candidate phases from the files that a recipe names: CIF structures, .D tables of d-spacings, folders of both.

The name of a candidate is that of its file, in small letters: `CuCr2O4.cif` is `cucr2o4`. Where two files have one
name the second is called `name_2`.
"""

import re
from pathlib import Path

from insitu.errors import ConfigError
from insitu.maths.diffraction.cif import cif_phases, read_cif
from insitu.maths.diffraction.library import LIBRARY, cif
from insitu.maths.diffraction.phases import ROOM_K, ceria, corundum, rutile, silicon
from insitu.maths.diffraction.reference_pattern import ReferencePhase, from_structure, read_d_table

STANDARDS = {"ceo2": ceria, "si": silicon, "al2o3": corundum, "tio2": rutile}
"""Our own structures, at room temperature (NIST standards)."""
SUFFIXES = (".cif", ".d")


def read_candidates(
    files: Path | list[Path] | None, standards: bool = False, library: bool = False
) -> tuple[ReferencePhase, ...]:
    """All candidates, folders in order of file names, then our own; one `ConfigError` that tells of every file that is
    wrong."""
    paths = [files] if isinstance(files, Path) else list(files or [])
    phases: list[ReferencePhase] = []
    problems: list[ConfigError] = []
    for path in paths:
        found, wrong = _of(path)
        phases += found
        problems += wrong
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ConfigError("candidate phases cannot be read", problems=tuple(problems))
    if standards:
        phases += [from_structure(name, make(ROOM_K)) for name, make in STANDARDS.items()]
    if library:
        for name, entry in LIBRARY.items():
            phases += cif_phases(cif(name, entry).encode(), name, Path(f"{name}.cif"))
    if not phases:
        raise ConfigError(
            "there is no phase to look for",
            where="files",
            expected="CIF files or a folder of them, or standards = true, or library = true",
        )
    return _named(phases)


def _of(path: Path) -> tuple[list[ReferencePhase], list[ConfigError]]:
    """The phases of a file or a folder, and what is wrong with them."""
    if path.is_dir():
        within = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        if not within:
            return [], [ConfigError("holds no candidate phase", where=str(path), expected="files *.cif or *.D")]
    elif path.is_file():
        within = [path]
    else:
        return [], [
            ConfigError("is not there", where=str(path), expected="a CIF file, a .D table, or a folder of them")
        ]
    phases: list[ReferencePhase] = []
    problems: list[ConfigError] = []
    for file in within:
        try:
            phases += _read(file)
        except ConfigError as e:
            problems.append(e)
    return phases, problems


def _read(file: Path) -> list[ReferencePhase]:
    name = key_of(file.stem)
    if file.suffix.lower() == ".cif":
        return read_cif(file, name)
    if file.suffix.lower() == ".d":
        return [read_d_table(file, name)]
    raise ConfigError("is no file of a phase", where=str(file), expected="a name that ends in .cif or .D")


def key_of(text: str) -> str:
    """A file's stem as part of a key.

    >>> key_of("CuCr2O4 (7 K)")
    'cucr2o4_7_k'
    """
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "phase"


def _named(phases: list[ReferencePhase]) -> tuple[ReferencePhase, ...]:
    """The same with names that differ."""
    from dataclasses import replace

    taken: set[str] = set()
    out: list[ReferencePhase] = []
    for phase in phases:
        name, i = phase.name, 1
        while name in taken:
            i += 1
            name = f"{phase.name}_{i}"
        taken.add(name)
        out.append(phase if name == phase.name else replace(phase, name=name))
    return tuple(out)
