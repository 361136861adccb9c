"""What readers remark reaches the person and the script, not only the log."""

import logging

from insitu.cli.remarks import MOST, Remarks, remarks

ROWS = "".join(f"{x / 10} {x}\n" for x in range(100, 160))


def test_a_skipped_file_is_told_on_screen_and_in_the_notes(insitu, tmp_path):
    folder = tmp_path / "patterns"
    folder.mkdir()
    (folder / "a.xy").write_text(ROWS)
    (folder / "b.uxd").write_text("; a scan\n")
    said = insitu("run", "xrd_1d", "--input", folder, "--data-root", tmp_path)
    assert "note: skipped b.uxd: Bruker UXD is not read yet" in said.err
    assert "skipped b.uxd" in said.out
    body = insitu("run", "xrd_1d", "--input", folder, "--data-root", tmp_path, "--json").body
    assert [note for note in body["notes"] if note.startswith("skipped b.uxd")]


def test_many_remarks_are_counted_not_listed():
    handler = Remarks(shown=False)
    for i in range(MOST + 5):
        handler.handle(logging.LogRecord("insitu", logging.WARNING, "", 0, "file %d", (i,), None))
    assert len(handler.notes()) == MOST + 1
    assert handler.notes()[-1].startswith("and 5 more")


def test_nobody_listens_after_the_run():
    before = list(logging.getLogger("insitu").handlers)
    with remarks(shown=False):
        pass
    assert logging.getLogger("insitu").handlers == before
