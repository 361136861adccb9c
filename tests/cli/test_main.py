"""The boundary of the command line: exit codes, errors as people and as machines read them, a quick start."""

import sqlite3
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from insitu import cli
from insitu.cli import COMMANDS, explain, main
from insitu.errors import (
    ConfigError,
    FormatError,
    InsituError,
    MissingExtraError,
    NotFoundError,
    RunLockedError,
    SourceError,
    StorageError,
    UsageError,
)

ERROR_KEYS = {"kind", "what", "where", "expected", "remedy"}


def words() -> list[str]:
    """Every command, those of families with both words."""
    found = []
    for command, place in COMMANDS.items():
        module, function = place.split(":")
        made = getattr(import_module(module), function)
        family = made().registered_commands if function == "application" else []
        found += [f"{command} {one.name}" for one in family] or [command]
    return found


@pytest.mark.parametrize("command", words())
def test_every_command_explains_itself_and_speaks_json(insitu, command):
    said = insitu(*command.split(), "--help")
    assert said.code == 0
    assert "--json" in said.out
    assert f"insitu {command}" in said.out


def test_help_lists_every_command_and_the_exit_codes(insitu):
    said = insitu("--help")
    assert said.code == 0
    assert all(f"  {command}" in said.out for command in COMMANDS)
    assert "130 interrupted" in " ".join(said.out.split())


def test_the_version_is_told(insitu):
    assert insitu("--version").out.startswith("insitu 0.")


def test_help_and_completion_import_nothing_heavy():
    heavy = ["numpy", "scipy", "rich", "numba", "pint", "zarr", "matplotlib", "orjson", "sqlite3"]
    heavy += ["insitu.types", "insitu.config", "insitu.run"]
    program = (
        "import sys\nfrom insitu.cli import main\n"
        "try:\n    main(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(cli.__file__).parents[2], check=True
    )
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConfigError("x"), 2),
        (NotFoundError("x"), 2),
        (MissingExtraError("matplotlib", "plot", purpose="x"), 2),
        (SourceError("x"), 3),
        (FormatError("x"), 3),
        (StorageError("x"), 4),
        (RunLockedError("x"), 4),
        (PermissionError(13, "Permission denied", "/data"), 4),
        (OSError(28, "No space left on device", "/data"), 4),
        (sqlite3.OperationalError("no such table: log"), 4),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("division by zero"), 70),
        (OSError("an error without a file is one of ours"), 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error, code):
    told, found = explain(error)
    assert found == code
    assert told.keys() == ERROR_KEYS
    assert told["what"]


def test_an_error_in_json_is_one_object_with_its_exit_code(insitu):
    said = insitu("run", "no_such_recipe", "--json")
    assert said.code == 2
    assert said.body.keys() == {"error", "exit_code"}
    assert said.body["exit_code"] == 2
    assert said.body["error"].keys() >= ERROR_KEYS
    assert said.body["error"]["kind"] == "not_found"
    assert "no_such_recipe" in said.err


def test_an_option_that_does_not_exist_is_a_usage_error(insitu):
    said = insitu("status", "--jsno")
    assert said.code == 2
    assert said.out == ""
    assert "--jsno" in said.err
    assert "insitu status --help" in said.err


def test_a_usage_error_in_json_is_one_object(insitu):
    body = insitu("run", "--json").body
    assert body["exit_code"] == 2
    assert body["error"]["kind"] == "usage"


def test_several_problems_of_a_recipe_are_all_told(insitu, tmp_path):
    (tmp_path / "bad.toml").write_text('format = 1\ndetectors = ["bench"]\ntitel = "x"\n[budget]\nlatency = "5 kg"\n')
    said = insitu("check", tmp_path / "bad.toml", "--json")
    assert said.code == 2
    problems = said.body["error"]["problems"]
    assert len(problems) == 2
    assert all(problem.keys() == ERROR_KEYS for problem in problems)
    assert "bad.toml:3" in said.err
    assert "bad.toml:5" in said.err


def test_a_bug_of_ours_says_so_with_its_traceback(insitu, monkeypatch):
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli, "application", lambda: lambda **_: broken())
    said = insitu("status", "--json")
    assert said.code == 70
    assert said.body["error"]["kind"] == "bug"
    assert "in broken" in said.err
    assert "bug of insitu" in said.err
    assert "safe" in said.err


def test_ctrl_c_outside_of_a_run_is_exit_130_without_a_traceback(insitu, monkeypatch):
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "application", lambda: lambda **_: stopped())
    said = insitu("status")
    assert said.code == 130
    assert said.err == "Interrupted.\n"


def test_a_reader_that_goes_away_is_no_error_of_ours(halted):
    """`insitu export | head`: the pipe is closed while we write."""
    program = "from insitu.cli import main; main()"
    root = Path(cli.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program, "why", str(halted), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=root,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read().decode()
    assert process.returncode == 141
    assert err == ""


def test_every_error_class_has_a_documented_exit_code():
    def below(kind: type[InsituError]) -> list[type[InsituError]]:
        return [kind, *(c for sub in kind.__subclasses__() for c in below(sub))]

    documented = {1, 2, 3, 4, 5, 6}
    assert {kind.exit_code for kind in below(InsituError)} <= documented
    assert main.__doc__ is not None


def test_what_a_module_of_the_user_prints_does_not_disturb_the_json(insitu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "chatty.py").write_text("print('hello from chatty')\nconstant = 3\n")
    said = insitu("check", "xrd_1d", "--set", "features.0.use=chatty:constant", "--json")
    assert said.code == 2
    assert "not a factory" in said.body["error"]["what"]
    assert "hello from chatty" in said.err


def test_help_stays_on_stdout_with_json(insitu):
    assert "Usage" in insitu("run", "--help", "--json").out


def test_no_command_at_all_shows_the_help(insitu):
    said = insitu()
    assert said.code == 2
    assert said.err.startswith("Usage: insitu")
    assert "See: insitu --help" not in said.err
