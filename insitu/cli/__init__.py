"""The command line: `insitu COMMAND ...`, thin over the functions that Python users call.

One file per command or family. This file has the list of commands and the one place that decides what an
error means for the exit status: 0 done, 1 findings, 2 usage or recipe, 3 source, 4 storage, 5 broker (only
when required), 6 model refused, 70 a bug of insitu, 130 interrupted, 141 the reader of our output went away.
With `--json` stdout carries exactly one JSON object, also when something failed; text for people goes to stderr.

Nothing heavy is imported here or at the top of a command's file: `insitu --help` has to be quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from importlib import import_module
from typing import Annotated, Any

import typer

from insitu import __version__
from insitu.cli.say import Aside, emit, note
from insitu.errors import ConfigError, InsituError

COMMANDS: dict[str, str] = {
    "run": "insitu.cli.run:run",
    "check": "insitu.cli.check:check",
    "demo": "insitu.cli.demo:demo",
    "init": "insitu.cli.init:init",
    "doctor": "insitu.cli.doctor:doctor",
    "status": "insitu.cli.status:status",
    "why": "insitu.cli.why:why",
    "plot": "insitu.cli.plot:plot",
    "export": "insitu.cli.export:export",
    "verify": "insitu.cli.verify:verify",
    "reanalyse": "insitu.cli.reanalyse:reanalyse",
    "recover": "insitu.cli.recover:recover",
    "hold": "insitu.cli.operator:hold",
    "release": "insitu.cli.operator:release",
    "resume": "insitu.cli.operator:resume",
    "outbox": "insitu.cli.outbox:outbox",
    "model": "insitu.cli.model:application",
    "label": "insitu.cli.label:application",
    "sim": "insitu.cli.sim:sim",
}
"""Command to the function that does it, or that gives its sub-commands; `--help` lists them in this order."""

HELP = """Stream processing next to the instrument: raw data safe, a decision per frame, proof afterwards.

First steps: `insitu demo`, then `insitu run xrd_1d --input FOLDER`, then `insitu why last`.
RUN is a path, a uid, a unique beginning of a uid, or `last`."""

EPILOG = (
    "Exit status: 0 done, 1 findings (halted by a rule, verify found a difference), 2 usage or recipe, "
    "3 source, 4 storage, 5 broker, 6 model refused, 70 a bug of insitu, 130 interrupted."
)

BUG = 70
"""Exit status for an error that nobody foresaw (EX_SOFTWARE of BSD's sysexits)."""

USAGE: type[Any] = typer.BadParameter.__bases__[0]
"""What typer raises for a command line that it cannot read; it has no public name in every version."""


def application() -> typer.Typer:
    """The typer application with all commands."""
    app = typer.Typer(
        name="insitu",
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_top)
    for name, place in COMMANDS.items():
        module, function = place.split(":")
        command = getattr(import_module(module), function)
        if function == "application":
            app.add_typer(command(), name=name)
        else:
            app.command(name)(command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs one command and ends the process with its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    asking = as_json and not {"--help", "-h", "--version", "--show-completion"} & set(given)
    with redirect_stdout(Aside(sys.stdout)) if asking else nullcontext():
        code = _outcome(given, as_json=as_json)
    sys.exit(code)


def _outcome(given: list[str], *, as_json: bool) -> int:
    """Runs the command, tells of its error if there was one, and returns the exit status."""
    try:
        code = application()(args=given, prog_name="insitu", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost boundary: everything is told, nothing swallowed
        told, code = explain(error)
        if type(error).__name__ == "NoArgsIsHelpError":
            note(told["what"])  # the help itself, no sentence about an error
        elif code == BUG:
            _tell_bug(error)
        else:
            note(_text(error, told))
        if as_json:
            emit({"error": told, "exit_code": code})
        return code


def explain(error: BaseException) -> tuple[dict[str, Any], int]:
    """What an error means: its object for `--json` and the exit status.

    >>> explain(KeyboardInterrupt())[1], explain(PermissionError(13, "Permission denied", "/data"))[1]
    (130, 4)
    """
    if isinstance(error, InsituError):
        told: dict[str, Any] = error.as_dict()
        if isinstance(error, ConfigError) and len(error.problems) > 1:
            told["problems"] = [problem.as_dict() for problem in error.problems]
        return told, error.exit_code
    if isinstance(error, USAGE):
        return _misused(error), 2
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return _told("interrupted", "stopped by the keyboard"), 130
    if type(error).__module__ == "sqlite3":  # not imported for the sake of this line
        remedy = "If the run has just begun, try again; else `insitu verify` tells what is damaged"
        return _told("storage", f"a ledger cannot be read: {error}", remedy=remedy), 4
    if isinstance(error, OSError) and error.filename is not None:
        from insitu.store.files import storage_error

        return explain(storage_error(error, str(error.filename), "use this path"))
    return _told("bug", f"{type(error).__name__}: {error}", remedy="Raw data already stored is safe; see stderr."), BUG


def _misused(error: Any) -> dict[str, Any]:
    """A command line that typer could not read; its errors know the command (`ctx`) where there is one."""
    path = error.ctx.command_path if error.ctx is not None else "insitu"
    return _told("usage", error.format_message(), where=path, remedy=f"See: {path} --help")


def _told(kind: str, what: str, *, where: str = "", expected: str = "", remedy: str = "") -> dict[str, Any]:
    return {"kind": kind, "what": what, "where": where, "expected": expected, "remedy": remedy}


def _text(error: BaseException, told: dict[str, Any]) -> str:
    """The error for people, one problem a line."""
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "Interrupted."
    if isinstance(error, InsituError):
        return f"Error: {error}"
    where = f"{told['where']}: " if told["where"] else ""
    return f"Error: {where}{told['what']}" + (f". {told['remedy']}" if told["remedy"] else "")


def _tell_bug(error: BaseException) -> None:
    import traceback

    note("".join(traceback.format_exception(error)).rstrip())
    note(
        f"\nThis is a bug of insitu {__version__} (exit status {BUG}); please report it with the lines above and the "
        "command you gave.\nRaw data that was already stored is safe: `insitu recover last` brings an unfinished run "
        "into order, `insitu verify last` checks it."
    )


def _version(wanted: bool) -> None:
    if wanted:
        print(f"insitu {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    # The docstring would become the help text, which is HELP.
    del version
