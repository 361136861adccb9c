"""Drive insitu from a laboratory automation script: the command line, its JSON, and its exit status.

    python examples/automation.py [DATA_ROOT]

Measures two samples one after the other, on the simulated diffractometer; in the second one the crystalline phase is
lost on the way. `insitu run` in mode `act` ends with exit status 0 where all went well and 1 where a rule halted it;
anything else is trouble with the set-up, and the script stops there. With `--json`, stdout holds one object.
"""

import json
import subprocess
import sys
from typing import Any

INSITU = [sys.executable, "-c", "from insitu.cli import main; main()"]  # where `insitu` is on the path: ["insitu"]
DONE, HALTED = 0, 1
SAMPLES = {"first": "[]", "second": '["lost_phase@25"]'}
"""Sample, and what the simulator is to plant in it."""


def insitu(*arguments: str) -> tuple[int, dict[str, Any]]:
    """One command: its exit status and the object that it printed."""
    done = subprocess.run([*INSITU, *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def measure(sample: str, faults: str, data_root: str) -> bool:
    """Measure one sample; whether it came through."""
    settings = [
        "detector.reader.frames=50",
        "detector.reader.rate=500 Hz",
        "detector.reader.exposure=1 ms",
        f"detector.reader.faults={faults}",
    ]
    given = ["run", "xrd_heating_demo", "--mode", "act", "--operator", "robot", "--data-root", data_root]
    code, run = insitu(*given, *(word for setting in settings for word in ("--set", setting)))
    if code not in (DONE, HALTED):
        error = run["error"]
        sys.exit(f"{sample}: {error['what']} (exit status {code}). {error['remedy']}")
    frames = run["frames"]
    print(f"{sample}: {run['ended']}, {frames['stored']} of {frames['expected']} frames stored")
    if code == HALTED:
        print(f"  because {run['reason']}")
    code, proof = insitu("verify", run["path"])
    print(f"  {'proved' if code == DONE else 'NOT PROVED'}: {proof['records']} records, {proof['mode']}")
    return run["ended"] == "complete"


def main() -> None:
    data_root = sys.argv[1] if len(sys.argv) > 1 else "insitu-data"
    good = [sample for sample, faults in SAMPLES.items() if measure(sample, faults, data_root)]
    print(f"to go on with: {', '.join(good)}")


if __name__ == "__main__":
    main()
