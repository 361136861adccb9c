"""XML from strangers: bytes to a tree, in bounded memory, without document types and entities.

No instrument writes a document type (DTD) into its data; entities that unfold to gigabytes, and entities that
fetch other files, are made of: a file that has one is refused. Tags are bounded in size, elements in number and depth.
Text may be as long as the file. Namespaces are left out of names: `{http://.../1.6}scan` is `scan`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated

MOST_ELEMENTS = 500_000
DEEPEST = 64
LONGEST_TAG = 1_000_000
"""Bytes of one tag or comment; long lists of numbers are text, not tags."""
_PIECE = 65536
_E = expat.errors
_CUT = {
    _E.codes[text]
    for text in (
        _E.XML_ERROR_NO_ELEMENTS,
        _E.XML_ERROR_UNCLOSED_TOKEN,
        _E.XML_ERROR_PARTIAL_CHAR,
        _E.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
_REMEDY = "Copy or export the file again"


@dataclass(slots=True)
class Element:
    """An element: its name without namespace, the line where it begins, the bytes at which its two tags
    begin, attributes, children in order."""

    name: str
    line: int = 0
    begin: int = 0
    end: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text directly inside, without outer blanks."""
        return "".join(self.pieces).strip()

    def all(self, name: str) -> list[Element]:
        """Children of a name."""
        return [child for child in self.children if child.name == name]

    def find(self, path: str) -> Element | None:
        """The first element at a path such as `header/startTimeStamp`."""
        here: Element | None = self
        for name in path.split("/"):
            here = next((child for child in here.children if child.name == name), None) if here else None
        return here

    def said(self, path: str) -> str:
        """The text at a path; empty where there is none."""
        found = self.find(path)
        return found.text if found else ""

    def every(self, name: str) -> Iterator[Element]:
        """Elements of a name at any depth, in order."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.every(name)


def is_markup(data: bytes, root: str) -> bool:
    """Whether the text begins like XML whose first element has this name (also in UTF-16)."""
    head = data[:4096].replace(b"\0", b"")
    found = re.search(rb"<(?![?!])(?:[\w.-]+:)?([\w.-]+)", re.sub(rb"<!--.*?(?:-->|$)", b"", head, flags=re.DOTALL))
    return found is not None and found[1] == root.encode()


def read_markup(data: bytes, name: str) -> Element:
    """The root element. Raises `FormatError` with the line; `Truncated` where the text ends too early.

    >>> read_markup(b'<a xmlns="http://x/1.6"><b unit="deg"> 4.5 </b></a>', "a.xml").said("b")
    '4.5'
    """
    builder = _Builder(name)
    parser = builder.parser
    try:
        for begin in range(0, len(data), _PIECE):
            parser.Parse(data[begin : begin + _PIECE], False)
            if begin + _PIECE - max(parser.CurrentByteIndex, 0) > LONGEST_TAG + _PIECE:
                raise builder.refusal("a tag has more than a million bytes")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        ended = error.code in _CUT
        kind = Truncated if ended else FormatError
        what = "the file ends before its last closing tag"
        what = what if ended else f"this is no XML: {expat.ErrorString(error.code)}"
        raise kind(what, where=f"{name}:{error.lineno}", expected="well-formed XML", remedy=_REMEDY) from error
    except (LookupError, ValueError) as error:  # a character set that nobody knows
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"the text cannot be decoded: {error}", where=f"{name}:1", expected="UTF-8", remedy=_REMEDY
        ) from error
    return builder.root.children[0]


class _Builder:
    """Makes the tree while expat reads."""

    def __init__(self, name: str) -> None:
        self.name, self.count, self.root = name, 0, Element("")
        self.open = [self.root]
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.buffer_size = _PIECE
        self.parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.text
        self.parser.StartDoctypeDeclHandler = self.doctype

    def refusal(self, what: str) -> FormatError:
        return FormatError(
            what,
            where=f"{self.name}:{self.parser.CurrentLineNumber}",
            expected="the XML of an instrument's data file",
            remedy="Check where the file comes from; export it again",
        )

    def doctype(self, *_: object) -> None:
        raise self.refusal("the file declares a document type")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MOST_ELEMENTS or len(self.open) > DEEPEST:
            raise self.refusal(f"there are more than {MOST_ELEMENTS:,} elements, or more than {DEEPEST} in another")
        local = {key.rpartition(":")[2]: value for key, value in attributes.items()}
        parser = self.parser
        element = Element(name.rpartition(":")[2], parser.CurrentLineNumber, parser.CurrentByteIndex, attributes=local)
        self.open[-1].children.append(element)
        self.open.append(element)

    def end(self, _name: str) -> None:
        self.open.pop().end = self.parser.CurrentByteIndex

    def text(self, text: str) -> None:
        if not text.isspace():
            self.open[-1].pieces.append(text)
