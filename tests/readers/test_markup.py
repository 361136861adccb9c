"""XML from strangers: what is no instrument's, and what would fill the memory."""

import tracemalloc

import pytest

from insitu.errors import FormatError
from insitu.readers import markup
from insitu.readers.markup import is_markup, read_markup
from insitu.readers.pattern import Truncated

LAUGHS = b'<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&c;</a>'
FETCH = b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&f;</a>'


@pytest.mark.parametrize("text", [LAUGHS, FETCH, b"<!DOCTYPE a><a/>", b'<!DOCTYPE a SYSTEM "a.dtd"><a/>'])
def test_document_types_are_refused_and_so_are_entities(text: bytes) -> None:
    with pytest.raises(FormatError, match="declares a document type"):
        read_markup(text, "a.xml")
    with pytest.raises(FormatError, match="undefined entity"):
        read_markup(b"<a>&c;</a>", "a.xml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"<a " + b" ".join(b"a%d=''" % i for i in range(300_000)), "a tag has more than a million bytes"),
        (b"<a>" + b"<!--" + b"x" * 3_000_000, "a tag has more than a million bytes"),
        (b"<a>" * 1_000_000, "more than 64 in another"),
        (b"<r>" + b"<a/>" * 30_000, "more than 20,000 elements"),
    ],
    ids=["attributes", "comment", "depth", "elements"],
)
def test_what_would_fill_the_memory_is_refused(text: bytes, says: str, monkeypatch) -> None:
    monkeypatch.setattr(markup, "MOST_ELEMENTS", 20_000)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=says):
            read_markup(text, "a.xml")
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [b"<a><b></a>", b"<a>\xff</a>", b"<a/><b/>", b"10 5\n", b"<a b=1/>"])
def test_what_is_no_xml_is_refused_with_its_line(text: bytes) -> None:
    with pytest.raises(FormatError, match="no XML") as caught:
        read_markup(b"\n" + text, "a.xml")
    assert caught.value.where == "a.xml:2"


@pytest.mark.parametrize("code", ["rot13", "utf-7", "nobody-knows", "zlib"])
def test_character_sets_that_are_no_text_are_refused(code: str) -> None:
    with pytest.raises(FormatError):
        read_markup(f"<?xml version='1.0' encoding='{code}'?><a>b</a>".encode(), "a.xml")


def test_the_end_missing_is_told_from_damage() -> None:
    for text in (b"", b"<a", b"<a>", b"<a><b>5</b>", b"<a><![CDATA[x", "<a>é".encode()[:-1]):
        with pytest.raises(Truncated):
            read_markup(text, "a.xml")


def test_elements_know_their_text_attributes_and_bytes() -> None:
    data = b'<p:a xmlns:p="u">\n <p:b p:unit="deg"> 4<!-- c -->5 </p:b>\n</p:a>'
    root = read_markup(data, "a.xml")
    element = root.find("b")
    assert element is not None
    assert (element.text, element.attributes, element.line) == ("4 5".replace(" ", ""), {"unit": "deg"}, 2)
    assert data[element.begin : element.end].startswith(b"<p:b ")
    assert root.said("b/c") == ""


def test_the_first_element_is_seen_behind_declaration_and_comments() -> None:
    assert is_markup(b"<?xml version='1.0'?><!-- <b> --><x:a y='1'>", "a")
    assert not is_markup(b"<?xml version='1.0'?><b><a>", "a")
    assert not is_markup(b"10.0 5\n", "a")
