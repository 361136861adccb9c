"""bluesky's TiledWriter and Zarr: it has no consolidator for `application/x-zarr`, so here is one to register.

    from insitu.bluesky.tiled import teach
    teach()
    writer = TiledWriter.from_uri(...)          # not as a subscriber: see `insitu.bluesky.carrier`

Tiled's server reads Zarr by itself; it has to be started with the data root among its readable storage.
"""

from __future__ import annotations

from typing import Any

from bluesky.consolidators import CONSOLIDATOR_REGISTRY, Asset, ConsolidatorBase

ZARR = "application/x-zarr"


class ZarrConsolidator(ConsolidatorBase):
    """One Zarr array, one frame for each index along its first dimension."""

    supported_mimetypes = {ZARR}  # noqa: RUF012 - as the base class has it
    join_method = "stack"

    def __init__(self, stream_resource: Any, descriptor: Any) -> None:
        super().__init__(stream_resource, descriptor)
        self.assets.append(Asset(data_uri=self.uri, is_directory=True, parameter="data_uri"))


def teach() -> None:
    """Have every TiledWriter of this process take Zarr arrays."""
    CONSOLIDATOR_REGISTRY[ZARR] = ZarrConsolidator
