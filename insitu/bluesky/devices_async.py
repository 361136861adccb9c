"""The same signals as `insitu.bluesky.devices`, for ophyd-async: same names, same units, set by the same pipeline.

    twin = devices_async.twin(session.device, name="insitu")
    RE(count([detector, twin]))

Names of the readings are those of ophyd-async: `insitu-total` where ophyd says `insitu_total`. Readings may be a few
milliseconds behind: they are set in the event loop that connected the device.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ophyd import Kind

from insitu.errors import ConfigError

TYPES: tuple[type, ...] = (str, int, float)


def twin(told: Any, name: str = "") -> Any:
    """An ophyd-async device of read-only soft signals that follow those of `told`, an ophyd device of a session.

    It follows from the moment that it is connected. Raises `ConfigError` without the extra `async`.
    """
    try:
        from ophyd_async.core import StandardReadable, StandardReadableFormat, soft_signal_r_and_setter
    except ImportError as e:
        raise ConfigError(
            "ophyd-async is not installed", where="async", remedy="Install it: pip install 'insitu[async]'"
        ) from e

    class Pipeline(StandardReadable):
        """What the pipeline says, as signals of ophyd-async."""

        def __init__(self) -> None:
            self._setters: dict[str, Callable[[Any], None]] = {}
            self._followed: list[tuple[Any, Callable[..., None]]] = []
            for key in told.component_names:
                signal = getattr(told, key)
                soft, self._setters[key] = soft_signal_r_and_setter(
                    _type(signal.get()), signal.get(), units=signal.unit or None
                )
                setattr(self, key, soft)
                if signal.kind & Kind.config == Kind.config:
                    self.add_readables([soft], StandardReadableFormat.CONFIG_SIGNAL)
                elif signal.kind & Kind.normal:
                    self.add_readables([soft])
            super().__init__(name=name or told.name)

        async def connect(self, *args: Any, **kwargs: Any) -> None:
            """Connect, and follow from now on."""
            await super().connect(*args, **kwargs)
            self.leave()
            loop = asyncio.get_running_loop()
            for key, setter in self._setters.items():
                follow = _follower(loop, setter)
                getattr(told, key).subscribe(follow, run=True)
                self._followed.append((getattr(told, key), follow))

        def leave(self) -> None:
            """Follow no more."""
            for signal, follow in self._followed:
                signal.clear_sub(follow)
            self._followed.clear()

    return Pipeline()


def _type(value: Any) -> type:
    return next(kind for kind in TYPES if isinstance(value, kind))


def _follower(loop: asyncio.AbstractEventLoop, setter: Callable[[Any], None]) -> Callable[..., None]:
    def follow(value: Any, **_: Any) -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody looks any more
            loop.call_soon_threadsafe(setter, value)

    return follow
