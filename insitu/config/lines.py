"""On which line of a TOML text each key stands: `tomllib` does not tell.

The text must be valid TOML (`tomllib` has read it), so that this needs only to know where things begin and end. A key
path holds names and, for arrays and `[[tables]]`, indices from 0: `("models", 1, "low")`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\]|\\.)*"'),
    re.compile(r"'[^']*'"),
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


class _Scanner:
    """Walks the text once; `lines` is what it found so far."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.lines: dict[KeyPath, int] = {}
        self._rows: dict[KeyPath, int] = {}
        self._counted, self._line = 0, 1

    def document(self) -> None:
        """The whole text: tables, arrays of tables, and their keys."""
        table: KeyPath = ()
        while self.skip(_BLANK) < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> KeyPath:
        """`[a.b]` or `[[a.b]]`: the path that its keys belong to."""
        line, several = self.line(), self.text.startswith("[[", self.at)
        self.at += 2 if several else 1
        path: KeyPath = ()
        names = self.key()
        for i, name in enumerate(names):
            path = (*path, name)
            if several and i == len(names) - 1:
                self.lines.setdefault(path, line)
                self._rows[path] = self._rows.get(path, -1) + 1
            if path in self._rows:
                path = (*path, self._rows[path])
        self.lines[path] = line
        self.skip(_SPACE)
        self.at += 2 if several else 1
        return path

    def pair(self, table: KeyPath) -> None:
        """`key = value`, also `a.b = value`."""
        line, path = self.line(), table
        for name in self.key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self.skip(_SPACE)
        self.at += 1  # the equals sign
        self.skip(_SPACE)
        self.value(path)

    def key(self) -> list[str]:
        """The parts of a key: bare, quoted or dotted."""
        names: list[str] = []
        while True:
            self.skip(_SPACE)
            token = self.string() or self.take(_BARE_KEY)
            names.append(tomllib.loads(f"k = {token}")["k"] if token[0] in "\"'" else token)
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return names
            self.at += 1

    def value(self, path: KeyPath) -> None:
        """One value; what is inside of it gets lines too."""
        if self.text.startswith("[", self.at):
            self.array(path)
        elif self.text.startswith("{", self.at):
            self.inline_table(path)
        elif not self.string():
            self.take(_BARE_VALUE)

    def array(self, path: KeyPath) -> None:
        """`[a, b, ...]`, over as many lines as it likes."""
        self.at += 1
        index = 0
        while self.skip(_BLANK) >= 0 and not self.text.startswith("]", self.at):
            self.lines[(*path, index)] = self.line()
            self.value((*path, index))
            index += 1
            self.skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        """`{a = 1, b.c = 2}`."""
        self.at += 1
        while self.skip(_BLANK) >= 0 and not self.text.startswith("}", self.at):
            self.pair(path)
            self.skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
        self.at += 1

    def string(self) -> str:
        """The string literal here, or "" where there is none."""
        for literal in _STRINGS:
            if match := literal.match(self.text, self.at):
                self.at = match.end()
                return match[0]
        return ""

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"line {self.line()} is no valid TOML")
        self.at = match.end()
        return match[0]

    def skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def line(self) -> int:
        """The line, from 1, at which the scanner is."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line


def lines(text: str) -> Mapping[KeyPath, int]:
    """{key path: line from 1} of a valid TOML text, with tables, array elements and inline tables.

    >>> lines('a = 1\\n[[b]]\\nc = [2,\\n 3]\\n')[("b", 0, "c", 1)]
    4
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def line_of(path: KeyPath, found: Mapping[KeyPath, int]) -> int | None:
    """The line of a key, or of the nearest table around it; None where not even that is known."""
    while path:
        if path in found:
            return found[path]
        path = path[:-1]
    return None
