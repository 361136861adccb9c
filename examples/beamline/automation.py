"""A laboratory automation script: a bench beamline, driven through the command line, its JSON and its exit status.

    python examples/beamline/automation.py [DATA_ROOT]

A first run is watched, held, released, ended and proved. A second one asks more of the sample than it has: it halts by
itself, and the script asks why. No line of this needs EPICS, bluesky or anything of insitu but its command.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

INSITU = [sys.executable, "-c", "from insitu.cli import main; main()"]  # where `insitu` is on the path: ["insitu"]
RECIPE = Path(__file__).resolve().parent / "pipelines" / "bench_heating.toml"
DONE, FINDINGS, INTERRUPTED = 0, 1, 130
PATIENCE_S = 90.0
Environment = dict[str, str]


def start(*arguments: str, env: Environment) -> subprocess.Popen[str]:
    """A command that goes on; its object comes on its stdout."""
    return subprocess.Popen([*INSITU, *arguments, "--json"], stdout=subprocess.PIPE, text=True, env=os.environ | env)


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The one object of a command; an error ends the script."""
    assert process.stdout is not None
    return checked(json.loads(process.stdout.readline()))


def checked(found: dict[str, Any]) -> dict[str, Any]:
    """What a command said, unless it could not do what it was asked."""
    if "error" in found and "run_uid" not in found:
        sys.exit(f"{found['error']['what']} {found['error']['remedy']}")
    return found


def insitu(*arguments: str) -> tuple[int, dict[str, Any]]:
    """A command that ends: its exit status and its object."""
    done = subprocess.run([*INSITU, *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, checked(json.loads(done.stdout))


def run(root: str, env: Environment, *settings: str) -> subprocess.Popen[str]:
    """A run on what the beamline's detector gives, in mode `act`."""
    given = ["run", str(RECIPE), "--mode", "act", "--operator", "robot", "--data-root", root]
    settings = ('detectors=["bench_pva"]', *settings)
    return start(*given, *(word for setting in settings for word in ("--set", setting)), env=env)


def until_judged(process: subprocess.Popen[str], root: str) -> None:
    """Wait until a run has judged a frame."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        if any(Path(root).glob("runs/*/*/ledger.db")):
            code, found = insitu("status", "last", "--data-root", root)
            if code == DONE and found["last"]:
                return
        time.sleep(1.0)
    sys.exit(f"no frame was judged: {process.communicate()[0] if process.poll() is not None else 'none came'}")


def first(root: str, env: Environment) -> bool:
    """Watch, hold, release, end and prove a run."""
    with run(root, env) as process:
        return operate(process, root)


def operate(process: subprocess.Popen[str], root: str) -> bool:
    until_judged(process, root)
    held, _ = insitu("hold", "last", "--data-root", root, "--reason", "looking at the sample", "--operator", "robot")
    _, standing = insitu("status", "last", "--data-root", root)
    released, _ = insitu("release", "last", "--data-root", root, "--operator", "robot")
    print(f"first: held ({held}), state {standing['state']}, released ({released})")
    process.send_signal(signal.SIGINT)
    summary, code = said(process), process.wait(PATIENCE_S)
    print(f"first: {summary['ended']} ({code}), {summary['frames']['lost']} frames lost")
    proved, report = insitu("verify", summary["path"])
    print(f"first: {'proved' if proved == DONE else f'NOT PROVED: {report}'} ({proved}), {report['mode']}")
    return (held, standing["state"], released, code, proved) == (DONE, "held", DONE, INTERRUPTED, DONE)


def second(root: str, env: Environment) -> bool:
    """A run that must halt by itself, and why it did."""
    with run(root, env, 'models.sample.low="1000 counts deg"') as process:
        summary, code = said(process), process.wait(PATIENCE_S)
    print(f"second: {summary['ended']} ({code})")
    asked, why = insitu("why", summary["path"])
    print(f"second: {why['decision']['rule']}: {why['decision']['reason']} ({asked})")
    return (code, summary["ended"]) == (FINDINGS, "halted")


def main() -> int:
    """0 if both runs went as they should."""
    root = sys.argv[1] if len(sys.argv) > 1 else "insitu-data"
    with start("sim", "beamline", "--acquire", "--exposure", "0.05", "--period", "0.2", env={}) as bench:
        try:
            environment = said(bench)["environment"]
            return 0 if first(root, environment) and second(root, environment) else 1
        finally:
            bench.terminate()
            print(f"the beamline ended with {bench.wait(PATIENCE_S)}")


if __name__ == "__main__":
    sys.exit(main())
