"""Shell completion and the options that several commands share."""

from types import SimpleNamespace

import pytest

from insitu.cli import options


def test_recipes_of_the_current_folder_and_shipped_ones_are_completed():
    assert "ramp" in options.recipes("ra")
    assert options.recipes("zz") == []


def test_runs_are_completed_newest_first_with_their_date(halted):
    context = SimpleNamespace(params={"data_root": halted.parents[2]})
    found = options.runs(context, "")
    assert found[0] == ("last", "the newest run")
    assert (halted.name, halted.parent.name) in found
    assert options.runs(context, halted.name) == [(halted.name, halted.parent.name)]


def test_the_shell_completes_commands(insitu, monkeypatch):
    monkeypatch.setenv("_INSITU_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "insitu ver")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert insitu().out.split() == ["verify"]


@pytest.mark.parametrize("given", ["anna", ""])
def test_an_operator_is_always_named(given):
    assert options.operator_name(given) != ""


def test_an_operator_without_a_login_name_is_a_number(monkeypatch):
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert options.operator_name("").startswith("uid ")
