"""Which two spectra make a pair of opposite helicity or field, and which one of them is counted positive."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from insitu.errors import ConfigError
from insitu.types import KEY, Frame

LABELS = ("helicity", "polarisation", "polarization", "circular", "field_direction", "magnetisation", "magnetization")
CONTEXTS = ("helicity", "polarisation", "polarization", "field", "magnetic_field", "magnet", "b_field", "phase")
_PLUS = re.compile(r"\+.*|.*\+|p(lus|os(itive)?)?|r(ight|cp)?|c?r|up|parallel|cp", re.I)
_MINUS = re.compile(r"[-\u2212].*|.*[-\u2212]|m(inus)?|n(eg(ative)?)?|l(eft|cp)?|c?l|down|anti_?parallel|cm", re.I)


class Pairing(NamedTuple):
    """`kind`: label, context, alternate or auto; `key` of the label or context number."""

    kind: str
    key: str

    def sign(self, frame: Frame) -> int | None:
        """+1 or -1; None where the frame does not say."""
        if self.kind == "label":
            return sign_of(frame.labels.get(self.key, ""))
        if self.kind == "context":
            number = frame.context.get(self.key)
            return None if number is None or not number.value else (1 if number.value > 0 else -1)
        if self.kind == "alternate":
            return 1 if frame.seq % 2 == 0 else -1
        kinds = [Pairing("label", key) for key in LABELS] + [Pairing("context", key) for key in CONTEXTS]
        said = next((s for one in kinds if (s := one.sign(frame)) is not None), None)
        return said

    def first(self, frame: Frame, before: Sequence[Frame]) -> bool | str:
        """Whether of this frame and the one before it this one is positive; a sentence where they are no pair.

        No spectrum is used twice where signs alternate: then every second frame closes a pair.
        """
        if not before:
            return "the first spectrum: a pair needs the next one"
        here, last = self._or_alternate(frame), self._or_alternate(before[-1])
        if here is None or last is None:
            what = f"{self.kind} {self.key!r}" if self.key else "helicity or field"
            return f"the {what} of one of the two spectra is not known"
        if here == last:
            return "this spectrum and the one before it have the same sign: a pair needs opposite ones"
        earlier = self._or_alternate(before[-2]) if len(before) > 1 else None
        if frame.seq % 2 == 0 and earlier != last:
            return "the spectrum before it belongs to a pair already: this one waits for the next"
        return here > 0

    def _or_alternate(self, frame: Frame) -> int | None:
        sign = self.sign(frame)
        if sign is None and self.kind == "auto" and not self._says(frame):
            return Pairing("alternate", "").sign(frame)
        return sign

    @staticmethod
    def _says(frame: Frame) -> bool:
        return any(key in frame.labels for key in LABELS) or any(key in frame.context for key in CONTEXTS)


def pairing(text: str) -> Pairing:
    """The setting from a recipe's key.

    >>> pairing("label:helicity")
    Pairing(kind='label', key='helicity')
    """
    kind, _, key = text.partition(":")
    if (kind in ("auto", "alternate") and not key) or (kind in ("label", "context") and KEY.fullmatch(key)):
        return Pairing(kind, key)
    raise ConfigError(
        f"{text!r} says not what makes a pair",
        where="pair",
        expected='"auto", "alternate", "label:helicity", "context:field" or the like',
    )


def sign_of(text: str) -> int | None:
    """+1 or -1 of a text such as `+1`, `left`, `C-`, `pos`; None of any other.

    >>> [sign_of(t) for t in ("+1", "-0.9", "left", "CR", "C-", "linear")]
    [1, -1, -1, 1, -1, None]
    """
    words = text.strip()
    try:
        number = float(words.replace("\u2212", "-"))
    except ValueError:
        plus, minus = _PLUS.fullmatch(words), _MINUS.fullmatch(words)
        return None if bool(plus) == bool(minus) else (1 if plus else -1)
    return None if number == 0 else (1 if number > 0 else -1)
