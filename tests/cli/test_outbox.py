"""`insitu outbox`: one run, several, all; what one of them lacks does not stop the others."""

import uuid
from pathlib import Path

import orjson
import pytest

from insitu.cli import main
from insitu.sinks.forward import only_one
from tests.broker import free_ports
from tests.outboxes import Outgoing
from tests.topics import end_offset

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Called:
    """What a command came to."""

    def __init__(self, capfd: pytest.CaptureFixture[str], *arguments: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        self.code = ended.value.code
        self.out, self.err = capfd.readouterr()

    @property
    def json(self) -> dict:
        return orjson.loads(self.out)


@pytest.fixture
def beamline() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def stored(root: Path, bootstrap: str, beamline: str, count: int, *, more: str = "") -> Outgoing:
    """A sealed run with so many documents and a recipe that names the broker."""
    out = Outgoing(root / "runs" / "2026-11-22").offer(count - 1).seal()
    kafka = f'[kafka]\nbootstrap = "{bootstrap}"\nbeamline = "{beamline}"\n' if bootstrap else ""
    (out.folder / "recipe.toml").write_text(kafka + more)
    return out


def nowhere() -> str:
    return f"127.0.0.1:{free_ports(1)[0]}"


def test_all_runs_are_drained_oldest_first_and_what_fails_is_told(
    tmp_path: Path, bootstrap: str, beamline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    good = [stored(tmp_path, bootstrap, beamline, count) for count in (30, 50)]
    lost = stored(tmp_path, nowhere(), beamline, 20)
    damaged = stored(tmp_path, bootstrap, beamline, 10, more="this is no TOML")
    without = stored(tmp_path, "", beamline, 5)
    found = Called(capfd, "outbox", "drain", "--all", "--data-root", tmp_path, "--give-up", 1, "--json")
    assert found.code == 5
    runs = {body["run_uid"]: body for body in found.json["runs"]}
    assert list(runs) == sorted(runs), "uids are in order of time"
    assert [runs[out.uid]["exit_code"] for out in good] == [0, 0]
    assert [runs[out.uid]["complete"] for out in good] == [True, True]
    assert (runs[lost.uid]["exit_code"], runs[lost.uid]["waiting"]) == (5, 20)
    assert "cannot be reached" in runs[lost.uid]["problem"]
    assert (runs[damaged.uid]["exit_code"], runs[damaged.uid]["error"]["kind"]) == (2, "recipe")
    assert "names no broker" in runs[without.uid]["error"]["what"]
    assert end_offset(bootstrap, f"{beamline}.bluesky.insitu.documents") == 80
    assert (found.json["complete"], found.json["waiting"]) == (False, 20)


def test_a_second_call_has_nothing_left_to_send(
    tmp_path: Path, bootstrap: str, beamline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path, bootstrap, beamline, 30)
    stored(tmp_path, bootstrap, beamline, 50)
    for _ in range(2):
        assert Called(capfd, "outbox", "drain", "--all", "--data-root", tmp_path).code == 0
    assert end_offset(bootstrap, f"{beamline}.bluesky.insitu.documents") == 80


def test_several_runs_are_named_and_shown(
    tmp_path: Path, bootstrap: str, beamline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    outs = [stored(tmp_path, bootstrap, beamline, count) for count in (30, 50, 70)]
    named = [out.folder for out in outs[:2]]
    assert Called(capfd, "outbox", "drain", *named).code == 0
    shown = Called(capfd, "outbox", "status", "--all", "--data-root", tmp_path)
    assert shown.code == 0
    lines = {line.split()[0]: line for line in shown.out.splitlines()}
    assert "50 sent, 0 waiting" in lines[outs[1].uid]
    assert "0 sent, 70 waiting" in lines[outs[2].uid]
    assert "drain --all" in shown.out


def test_with_all_a_run_that_another_process_sends_is_left_to_it(
    tmp_path: Path, bootstrap: str, beamline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    busy, free = (stored(tmp_path, bootstrap, beamline, count) for count in (30, 50))
    with only_one(busy.folder):
        found = Called(capfd, "outbox", "drain", "--all", "--data-root", tmp_path, "--json")
        assert Called(capfd, "outbox", "drain", busy.folder, free.folder, "--json").code == 5
    assert found.code == 0
    runs = {body["run_uid"]: body for body in found.json["runs"]}
    assert runs[busy.uid]["waiting"] == 30
    assert "sending this run already" in runs[busy.uid]["error"]["what"]
    assert runs[free.uid]["complete"]


def test_the_data_root_without_an_outbox_is_no_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = Called(capfd, "outbox", "drain", "--all", "--data-root", tmp_path)
    assert (found.code, found.out.strip()) == (0, "No run here has an outbox.")


@pytest.mark.parametrize("arguments", [("x", "--all"), ("--all", "--follow"), ("x", "y", "--follow")])
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert Called(capfd, "outbox", "drain", *arguments).code == 2


@pytest.mark.parametrize(
    "option",
    [("--bootstrap", "nowhere"), ("--bootstrap", "host:99999"), ("--beamline", "a b/c"), ("--beamline", "b" * 201)],
)
def test_a_broker_that_no_recipe_may_name_is_refused_on_the_command_line_too(
    tmp_path: Path, beamline: str, capfd: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    out = stored(tmp_path, nowhere(), beamline, 3)
    found = Called(capfd, "outbox", "drain", out.folder, *option)
    assert (found.code, option[0][2:] in found.err) == (2, True)
