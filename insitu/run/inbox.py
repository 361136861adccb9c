"""The operator's words reach a running process as JSON files renamed into `<run>/inbox/`, read by main."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

COMMANDS = ("hold", "release", "label")
LARGEST = 64 * 1024


def messages(inbox: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """(message, why it is refused) of every file that has come, oldest first; each file is removed."""
    try:
        names = sorted(p for p in inbox.iterdir() if p.suffix == ".json" and not p.name.startswith("."))
    except FileNotFoundError:
        return
    for path in names:
        data = path.read_bytes()[:LARGEST]
        path.unlink()
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError as e:
            yield {"command": "", "file": path.name}, f"not JSON: {e}"
            continue
        if not isinstance(message, dict) or message.get("command") not in COMMANDS:
            yield {"command": "", "file": path.name}, f"no command out of {', '.join(COMMANDS)}"
            continue
        yield message, ""
