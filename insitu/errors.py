"""Every error that insitu raises on purpose: one base class, each also a standard one.

A message says where (file, line, key or frame), what is wrong, what was expected and the remedy.
`exit_code` is the exit status of the command line: 2 usage or recipe, 3 source, 4 storage, 5 broker,
6 model refused.
"""


class InsituError(Exception):
    """Base of all errors raised on purpose.

    Parameters: `what` is wrong; `where`: file, line, key or frame; `expected`: what is allowed;
    `remedy`: what the reader of the message can do now.
    """

    exit_code = 1
    kind = "error"

    def __init__(self, what: str, *, where: str = "", expected: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.expected, self.remedy = what, where, expected, remedy

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.expected:
            text += f"; expected {self.expected}"
        if self.remedy:
            text += f". {self.remedy}"
        return text

    def as_dict(self) -> dict[str, str]:
        """For `--json`: kind, what, where, expected, remedy (all text, empty where not known)."""
        return {
            "kind": self.kind,
            "what": self.what,
            "where": self.where,
            "expected": self.expected,
            "remedy": self.remedy,
        }


class UsageError(InsituError, ValueError):
    """The command line or a call was used wrongly."""

    exit_code = 2
    kind = "usage"


class ConfigError(UsageError):
    """A recipe or a detector file is wrong. `problems` lists all that were found, each a `ConfigError`."""

    kind = "recipe"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        remedy: str = "",
        problems: tuple["ConfigError", ...] = (),
    ) -> None:
        super().__init__(what, where=where, expected=expected, remedy=remedy)
        self.problems = problems or (self,)

    def __str__(self) -> str:
        if len(self.problems) > 1:
            return "\n".join(str(p) for p in self.problems)
        return super().__str__()


class UnitError(ConfigError):
    """A unit that is unknown, or that cannot be converted to the one needed."""

    kind = "unit"


class NotFoundError(UsageError, LookupError):
    """A recipe, detector or run that no path, name or prefix finds."""

    kind = "not_found"


class MissingExtraError(InsituError, ImportError):
    """A package that only an extra installs is not there; the message names the extra."""

    exit_code = 2
    kind = "missing_extra"

    def __init__(self, package: str, extra: str, *, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            remedy=f"Install it with: pip install 'insitu[{extra}]'",
        )


class SourceError(InsituError, OSError):
    """An instrument or input that cannot be read at all."""

    exit_code = 3
    kind = "source"


class FormatError(SourceError, ValueError):
    """The content of one file or frame is not what its format says; `where` is `file:line`."""

    kind = "format"


class StorageError(InsituError, OSError):
    """The disk refused, or a stored run cannot be trusted."""

    exit_code = 4
    kind = "storage"


class RunLockedError(StorageError):
    """Another process is writing this run."""

    kind = "locked"


class LedgerBusyError(StorageError):
    """Somebody reads the ledger of a run that is to be sealed. Nothing is lost."""

    kind = "busy"


class ActionRefusedError(InsituError, RuntimeError):
    """An actuator refused an action: out of limits, stale, held, or not able to."""

    kind = "refused"


class BrokerError(InsituError, ConnectionError):
    """The broker cannot be reached, or refuses. The documents stay in the outbox; raw data is never concerned."""

    exit_code = 5
    kind = "broker"


class ModelError(InsituError, ValueError):
    """A model that is not run: its bundle is damaged, unsigned, expired, too old or too large, or it does not reproduce
    its own golden outputs. `where` is the file of the bundle, and the key in it."""

    exit_code = 6
    kind = "model"
