"""The bill of materials of a network, as CycloneDX JSON: what it is made of, for tools that ask that of every file."""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from insitu.errors import MissingExtraError
from insitu.models.manifest import Manifest

NAME = "mlbom.json"


def make(manifest: Manifest, files: Mapping[str, str]) -> bytes:
    """CycloneDX 1.6: the network as a component with its licence, digests (`files`: name to `sha256:...`), its training
    data as components, figures as properties. The same manifest gives the same bytes."""
    cdx = _library()

    def component(name: str, kind: Any, digest: str, told: Mapping[str, Any], **more: Any) -> Any:
        ref = f"{name}@{more['version']}" if "version" in more else f"data:{name}"
        hashes = [cdx["HashType"](alg=cdx["HashAlgorithm"].SHA_256, content=digest)] if digest else []
        properties = [cdx["Property"](name=f"insitu:{key}", value=str(value)) for key, value in told.items()]
        return cdx["Component"](
            name=name, type=kind, bom_ref=cdx["BomRef"](ref), hashes=hashes, properties=properties, **more
        )

    network = component(
        manifest.name, cdx["ComponentType"].MACHINE_LEARNING_MODEL, _hex(files["model.onnx"]), _told(manifest),
        version=manifest.version, description=manifest.description,
        licenses=[cdx["DisjunctiveLicense"](id=manifest.licence)],
    )  # fmt: skip
    data = [
        component(d.name, cdx["ComponentType"].DATA, _hex(d.digest), {"kind": d.kind, "frames": d.n})
        for d in {d.name: d for d in manifest.training.data}.values()
    ]
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"insitu:{manifest.name}:{manifest.serial}:{files['model.onnx']}")
    bom = cdx["Bom"](serial_number=number, components=data)
    bom.metadata.timestamp = datetime.fromisoformat(manifest.created).replace(tzinfo=UTC)
    bom.metadata.component = network
    bom.register_dependency(network, data)
    return cdx["JsonV1Dot6"](bom).output_as_string(indent=2).encode() + b"\n"


def _told(manifest: Manifest) -> dict[str, Any]:
    """What CycloneDX has no field for in a component."""
    told: dict[str, Any] = {
        "task": manifest.task,
        "modality": manifest.modality,
        "serial": manifest.serial,
        "training": manifest.training.script,
        "split": manifest.training.split,
        "quantisation": manifest.quantisation.kind,
    }
    if manifest.parent:
        told["parent"] = manifest.parent
    for metric in manifest.metrics:
        told[f"metric:{metric.name}:{metric.data}:{metric.split}"] = f"{metric.value:g} (n = {metric.n})"
    return told


def _hex(digest: str) -> str:
    """A SHA-256 as CycloneDX wants it; digests of another kind are left out."""
    found = re.fullmatch(r"sha256:([0-9a-f]{64})", digest)
    return found[1] if found else ""


def _library() -> dict[str, Any]:
    """The names of CycloneDX's library that are used here (its types cannot be checked)."""
    places = {
        "cyclonedx.model": ["HashAlgorithm", "HashType", "Property"],
        "cyclonedx.model.bom": ["Bom"],
        "cyclonedx.model.bom_ref": ["BomRef"],
        "cyclonedx.model.component": ["Component", "ComponentType"],
        "cyclonedx.model.license": ["DisjunctiveLicense"],
        "cyclonedx.output.json": ["JsonV1Dot6"],
    }
    try:
        return {name: getattr(import_module(place), name) for place, names in places.items() for name in names}
    except ImportError as e:
        raise MissingExtraError("cyclonedx-python-lib", "models", purpose="writing a bundle") from e
