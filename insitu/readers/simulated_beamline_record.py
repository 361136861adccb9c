"""A record type `motor` for a soft IOC: the fields of the EPICS motor record that clients use, moved by us.

EPICS base brings no motor record, and softioc no way to make a type of one's own. But a type's definition is text, and
its code knows fields by their position alone: the definition of `calcout`, as the installed EPICS base has it, with
other names for its fields, is a `motor` that `calcout`'s code serves. Its expression is `VAL`, so that processing
changes nothing; we set the fields, and what a client writes to VAL, STOP, HOMF or HOMR processes the record, whose FLNK
tells us.

HIGH stands for the readback because it has the record's unit and precision, which A to U have not.
"""

from __future__ import annotations

import ctypes
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

BASE = "calcout"
_MENUS = {
    "motorOffset": ("Variable", "Frozen"),
    "motorUse": ("Use", "Set"),
    "motorDirection": ("Pos", "Neg"),
}
_SHORTS = ("DMOV", "MOVN", "STOP", "HLS", "LLS", "TDIR", "HOMF", "HOMR", "LVIO", "MSTA", "JOGF", "JOGR", "CNEN")
_CHOICES = {"FOFF": "motorOffset", "SET": "motorUse", "DIR": "motorDirection"}
_STATES = [f"IN{letter}V" for letter in "ABCDEFGHIJKLMNOPQRSTU"]
"""Fields of 16 bits; `calcout` sets them only when the IOC starts, as long as nothing is linked."""
_NUMBERS = (
    "OFF", "VELO", "ACCL", "VMAX", "DLLM", "DHLM", "MRES", "UREV", "ERES", "DVAL", "DRBV", "VBAS", "BVEL", "BACC",
    "BDST", "TWV", "DIFF", "RDIF", "HVEL", "JVEL", "S",
)  # fmt: skip
_NAMES = {
    **dict(zip("ABCDEFGHIJKLMNOPQRSTU", _NUMBERS, strict=True)),
    "HIGH": "RBV", "HIHI": "RDBD", "HOPR": "HLM", "LOPR": "LLM", "CLCV": "SREV",
}  # fmt: skip
COMMANDS = ("VAL", "STOP", "HOMF", "HOMR")
"""Fields that do something when they are written."""
WHOLE = frozenset({*_SHORTS, *_CHOICES, "SREV"})
"""Fields that are no floating point numbers."""


def definition() -> str:
    """The text of the record type."""
    text = files("epicscorelibs").joinpath("dbd", f"{BASE}Record.dbd").read_text(encoding="utf-8")
    body = text[text.index(f"recordtype({BASE})") :].replace(f"recordtype({BASE})", "recordtype(motor)")
    body = re.sub(r"field\((\w+), ?DBF_(\w+)\) \{(.*?)\n\t\}", _renamed, body, flags=re.DOTALL)
    menus = [
        f"menu({name}) {{ " + " ".join(f'choice({name}_{k},"{text}")' for k, text in enumerate(texts)) + " }"
        for name, texts in _MENUS.items()
    ]
    support = f'device(motor,CONSTANT,dev{BASE.capitalize()}Soft,"Soft Channel")'
    return "\n".join([*menus, body, support, ""])


def _renamed(field: re.Match[str]) -> str:
    """One field of the definition, under our name, of a type of the same size."""
    name, kind = field[1], field[2]
    body = re.sub(r"\n\s*pp\(TRUE\)", "", field[3])
    ours = dict(zip(_STATES, (*_SHORTS, *_CHOICES), strict=False)).get(name) or _NAMES.get(name, name)
    if name in _STATES or ours == "SREV":
        body = re.sub(r"\n\s*(menu|special|initial)\([^)]*\)", "", body)
    if ours in _CHOICES:
        body += f"\n\t\tmenu({_CHOICES[ours]})"
    elif name in _STATES:
        kind = "SHORT"
    if ours in COMMANDS:
        body += "\n\t\tpp(TRUE)"
    return f"field({ours},DBF_{kind}) {{{body}\n\t}}"


def load_type(folder: Path) -> None:
    """Make the type known to the IOC of this process. Before the first record of it, and before the IOC starts."""
    from softioc import imports
    from softioc.softioc import pdbbase

    (folder / "motor.dbd").write_text(definition(), encoding="utf-8")
    common = str(files("epicscorelibs").joinpath("dbd"))
    imports.dbLoadDatabase("motor.dbd", f"{folder}:{common}", None)
    find, register = imports.dbCore.registryRecordTypeFind, imports.dbCore.registerRecordTypes
    find.argtypes, find.restype = [ctypes.c_char_p], ctypes.c_void_p
    register.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_char_p), ctypes.c_void_p]
    register.restype = None
    register(pdbbase, 1, (ctypes.c_char_p * 1)(b"motor"), find(BASE.encode()))


def load_record(folder: Path, name: str, unit: str, forward: str, low: float, high: float) -> None:
    """A record of the type. `forward`: what is processed when a client writes a command."""
    from softioc import imports

    fields = {
        "CALC": "VAL", "EGU": unit, "PREC": "4", "FLNK": forward, "HLM": f"{high:.17g}", "LLM": f"{low:.17g}",
    }  # fmt: skip
    text = "".join(f'field({key},"{value}") ' for key, value in fields.items())
    (folder / "motor.db").write_text(f'record(motor,"{name}") {{ {text}}}\n', encoding="utf-8")
    imports.dbLoadDatabase("motor.db", str(folder), None)


class Fields:
    """The fields of one record; setting one does not process it."""

    def __init__(self, name: str) -> None:
        from softioc import imports

        codes = imports.get_DBF_values()
        self._name, self._imports = name, imports
        self._codes: dict[bool, tuple[int, Any]] = {
            True: (codes["DBF_LONG"], ctypes.c_int32),
            False: (codes["DBF_DOUBLE"], ctypes.c_double),
        }

    def __getitem__(self, field: str) -> float:
        code, kind = self._codes[field in WHOLE]
        held = kind()
        self._imports.db_get_field(f"{self._name}.{field}", code, ctypes.addressof(held), 1)
        return held.value

    def __setitem__(self, field: str, value: float) -> None:
        self.put(field, value)

    def put(self, field: str, value: float, *, process: bool = False) -> None:
        """`process`: as a client's writing does; a new VAL is told to clients only so."""
        code, kind = self._codes[field in WHOLE]
        held = kind(int(value) if field in WHOLE else value)
        self._imports.db_put_field_process(f"{self._name}.{field}", code, ctypes.addressof(held), 1, process)
