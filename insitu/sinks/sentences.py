"""Sentences on their way out, where the policy lets reasons leave: without what it does not name.

A sentence of a rule, model or feature may quote anything. Out of it are taken: errors (their texts stay with the run),
paths and file names, and every text of the run or of the frame (sample, operator, title, ...) that the policy does not
name; one that leaves as a pseudonym is replaced by it. What remains are words and numbers: a sentence that must not
tell a number must not leave, and no filter can know.

>>> tell = Sentences({"operator": "anna"}, frozenset(), str.upper)
>>> tell.see({"sample": "NaCl"})
>>> tell("anna's NaCl in /data/anna/x.xy has 3 peaks at 28.44 deg", {})
"<operator>'s <sample> in <path> has 3 peaks at 28.44 deg"
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from insitu.store.canonical import text as valid

SHORTEST = 3
"""Texts with fewer characters are not looked for: they are parts of numbers and words."""
REMEMBERED = 256
"""So many texts of frames are looked for."""
HIDDEN = "<hidden>"
ERROR = "an error: its text stays with the run"

_QUOTED_PATH = re.compile(r"""(['"])[^'"\n]*[/\\][^'"\n]*\1""")
_PATH = re.compile(
    r"(?:\b[A-Za-z][\w+.-]*://|(?<![\w/])[A-Za-z]:\\|\\\\|(?<![\w.])(?:~|\.{1,2})?/(?=\w))[^\s'\",;()]*"
    r"|(?<![\w./])[\w.-]+(?:/[\w.-]+){2,}"
)
_FILE = re.compile(r"(?<![\w.])(?!(?:e\.g|i\.e)\b)[\w-][\w.+-]*\.[A-Za-z][A-Za-z0-9]{0,7}(?::\d+)?(?!\w|\.\w)")

Hide = Callable[[str, str], str]


class Sentences:
    """`run`: texts of the run by name; `named`: names that leave as they are or as pseudonyms; `hide`: what leaves of a
    named text (itself, or its pseudonym)."""

    def __init__(self, run: Mapping[str, str], named: frozenset[str], hide: Hide) -> None:
        self._named, self._hide = named, hide
        self._run = self._shown(run)
        self._seen: dict[str, str] = {}  # texts of frames, the newest last: a rule may quote an earlier frame

    def see(self, labels: Mapping[str, str]) -> None:
        """The labels of a record, whether it leaves or not."""
        for secret, shown in self._shown(labels).items():
            self._seen.pop(secret, None)
            self._seen[secret] = shown
        while len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def __call__(self, sentence: Any, body: Mapping[str, Any]) -> str:
        """What may leave of a sentence in the record `body`."""
        told = valid(sentence)
        if not told:
            return ""
        if any(fault in told for fault in body.get("faults", ())):
            return ERROR
        small, secrets = told.lower(), self._seen | self._run
        found = [secret for secret in secrets if secret in small]
        if found:
            longest = "|".join(re.escape(s) for s in sorted(found, key=lambda s: (-len(s), s)))
            told = re.sub(longest, lambda hit: secrets.get(hit[0].lower(), HIDDEN), told, flags=re.IGNORECASE)
        return _FILE.sub("<file>", _PATH.sub("<path>", _QUOTED_PATH.sub("<path>", told)))

    def _shown(self, texts: Mapping[str, str]) -> dict[str, str]:
        """{text in small letters: what is said instead}, of those that may not be said."""
        found: dict[str, str] = {}
        for name, secret in texts.items():
            shown = self._hide(name, secret) if name in self._named else f"<{name}>"
            if shown != secret and len(secret.strip()) >= SHORTEST:
                found.setdefault(secret.strip().lower(), shown)
        return found
