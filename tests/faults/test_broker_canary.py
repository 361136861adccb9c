"""A canary is planted wherever data come from, and a whole run is sent to a real broker: no byte that a client has
written to the connection holds it, nor a name of this machine or its user, unless the policy names the place."""

import getpass
import socket
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.forwarders import link
from tests.proxy import Proxy
from tests.run.test_canary import CANARY, SENTENCES, planted
from tests.topics import end_offset

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("policy", [SENTENCES, {"metadata": ["proposal"], "features": ["*"], "triage": True}])
def test_the_canary_leaves_over_the_wire_only_where_the_policy_names_it(
    tmp_path: Path, broker: Broker, policy: dict[str, object]
) -> None:
    to = link(f"127.0.0.1:{broker.proxy}")
    proxy = Proxy(broker.proxy, broker.behind, capture=True)
    try:
        kafka = {"bootstrap": to.bootstrap, "beamline": to.beamline}
        summary = planted(policy, tmp_path, kafka=kafka, budget={"linger": "30 s"})
    finally:
        proxy.close()
    sent = bytes(proxy.captured).lower()
    assert summary.notes[-1:] == () or "wait in the outbox" not in summary.notes[-1]
    assert end_offset(broker.bootstrap, to.topic) > 3
    assert sent.count(b"run_start") >= 2, "documents are read as they are: nothing is compressed"
    assert sent.count(CANARY.encode()) == ("metadata" in policy), "in the start document, once"
    for name in (str(tmp_path), socket.gethostname(), f"/home/{getpass.getuser()}"):
        assert name.lower().encode() not in sent
