"""A bluesky session whose words are PVs, and which is held by one."""

from insitu.bluesky import Session
from insitu.bluesky.serve import serve_session
from tests.epics_servers import new_environment
from tests.sessions import run_engine
from tests.waiting import until


def test_a_session_is_seen_and_held_by_pvs(tmp_path, monkeypatch):
    for key, value in new_environment().items():
        monkeypatch.setenv(key, value)
    from p4p.client.thread import Context

    recipe = {"format": 1, "title": "a session", "detectors": ["bench"], "features": [{"use": "totals"}]}
    bench = {"format": 1, "source": "cam", "reader": {"use": "documents", "data": "camera"}}
    with run_engine() as engine, Context("pva", nt=False) as client:
        with Session(engine, recipe, data_root=tmp_path, detectors={"bench": bench}) as session:
            pvs = serve_session(session, "T:S", ["total"])
            assert pvs.wait_ready(60), pvs.problem
            client.put("T:S:hold", 1)
            until(lambda: client.get("T:S:held")["value"] == 1, "it is held")
            assert session.run.status()["state"] == "held"
            client.put("T:S:release", 1)
            until(lambda: client.get("T:S:state")["value"] == "running", "it is released")
        pvs.close()
