"""A real Apache Kafka for the tests: one KRaft node on loopback, from Maven Central's artifacts on Java 17.

The jars are pinned by `tests/broker.sha256` and kept outside the repository, in `$INSITU_CACHE` or `~/.cache/insitu`.
`INSITU_KAFKA=host:port` names a broker that runs already: tests that must pause or kill it are skipped then.
`python -m tests.broker` starts one in the foreground (`make broker`).
"""

import argparse
import gc
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.certificates import Authority

VERSION = "4.1.1"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
DIGESTS = Path(__file__).with_suffix(".sha256")
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>insitu</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
  </dependency></dependencies>
</project>
"""
JAVA = ("-Xmx320m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
USER, PASSWORD = "insitu", "only-for-tests"
USERS = {USER: PASSWORD, "other": "also-only-for-tests"}
"""Accounts of the listeners that ask for a password, by PLAIN and by SCRAM-SHA-512."""
READY_S = 60.0


class NoBrokerError(RuntimeError):
    """There is no broker here, and why: the reason that a skipped test shows."""


def cache() -> Path:
    """Where the jars are kept."""
    return Path(os.environ.get("INSITU_CACHE") or Path.home() / ".cache" / "insitu") / f"kafka-{VERSION}"


def digests() -> dict[str, str]:
    """Jar to sha256, as committed."""
    lines = (line.split() for line in DIGESTS.read_text(encoding="utf-8").splitlines() if line)
    return {name: digest for digest, name in lines}


def jars() -> Path:
    """The folder of the jars, fetched where it is not there yet; every jar is compared with its digest."""
    java = shutil.which("java")
    if java is None:
        raise NoBrokerError("there is no `java`: install Java 17, or name a broker with INSITU_KAFKA=host:port")
    folder = cache()
    if not folder.is_dir():
        _fetch(folder)
    wanted = digests()
    found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.jar")}
    if found != wanted:
        odd = sorted({name for name, _ in found.items() ^ wanted.items()})
        raise NoBrokerError(f"{folder}: not the jars of {DIGESTS.name}: {', '.join(odd)}; delete the folder, try again")
    return folder


def _fetch(folder: Path) -> None:
    if shutil.which("mvn") is None:
        raise NoBrokerError("there is no `mvn`: install Maven, or name a broker with INSITU_KAFKA=host:port")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        pom, lib = Path(place) / "pom.xml", Path(place) / "lib"
        pom.write_text(POM, encoding="utf-8")
        command = ["mvn", "-B", "-q", "-f", str(pom), PLUGIN, "-DincludeScope=runtime", f"-DoutputDirectory={lib}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise NoBrokerError(f"Maven could not bring Kafka {VERSION}: {(done.stdout + done.stderr)[-500:]}")
        if not folder.is_dir():  # another worker of the tests may have been quicker
            lib.rename(folder)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def answers(port: int, wait_s: float = 0.5) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as s:
        s.settimeout(wait_s)
        return s.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Broker:
    """One node. `port`: plain; `behind`: plain, but it tells its clients to come to `proxy` (where a test may put a
    proxy); `guarded`: wants one of `USERS`. Where an `authority` has signed for it, also `tls` (takes certificates of
    clients) and `guarded_tls`. Who comes without a name may do everything. `settings`: more lines of its
    configuration."""

    folder: Path
    settings: Sequence[str] = ()
    port: int = 0
    authority: Authority | None = None
    process: subprocess.Popen[bytes] | None = None
    behind: int = field(init=False)
    proxy: int = field(init=False)
    guarded: int = field(init=False)
    tls: int = field(init=False)
    guarded_tls: int = field(init=False)

    def __post_init__(self) -> None:
        plain, self._controller, self.behind, self.proxy, self.guarded, self.tls, self.guarded_tls = free_ports(7)
        self.port = self.port or plain
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _guards(self, listener: str) -> Iterator[str]:
        """How a listener asks for a password."""
        prefix = f"listener.name.{listener.lower()}"
        modules, users = "org.apache.kafka.common.security", "".join(f' user_{u}="{p}"' for u, p in USERS.items())
        yield f"{prefix}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512"
        yield f"{prefix}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required{users};"
        yield f"{prefix}.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;"

    def _certificates(self) -> Iterator[str]:
        if self.authority is not None:
            yield from ("ssl.keystore.type=PEM", f"ssl.keystore.location={self.authority.issue('broker')}")
            yield from ("ssl.truststore.type=PEM", f"ssl.truststore.location={self.authority.ca}")
            yield "ssl.client.auth=requested"

    def _properties(self) -> Path:
        here = {"PLAINTEXT": self.port, "BEHIND": self.behind, "GUARDED": self.guarded}
        if self.authority is not None:
            here |= {"TLS": self.tls, "GUARDEDTLS": self.guarded_tls}
        protocols = {
            "PLAINTEXT": "PLAINTEXT", "BEHIND": "PLAINTEXT", "GUARDED": "SASL_PLAINTEXT", "TLS": "SSL",
            "GUARDEDTLS": "SASL_SSL", "CONTROLLER": "PLAINTEXT",
        }  # fmt: skip
        listening, told = {**here, "CONTROLLER": self._controller}, {**here, "BEHIND": self.proxy}
        lines = (
            "process.roles=broker,controller", "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{self._controller}", "controller.listener.names=CONTROLLER",
            "listeners=" + ",".join(f"{k}://127.0.0.1:{v}" for k, v in listening.items()),
            "advertised.listeners=" + ",".join(f"{k}://127.0.0.1:{v}" for k, v in told.items()),
            "listener.security.protocol.map=" + ",".join(f"{k}:{v}" for k, v in protocols.items()),
            "inter.broker.listener.name=PLAINTEXT",
            *self._guards("GUARDED"), *self._guards("GUARDEDTLS"), *self._certificates(),
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS", "allow.everyone.if.no.acl.found=true",
            f"log.dirs={self.folder / 'data'}",
            "num.partitions=1", "default.replication.factor=1", "offsets.topic.replication.factor=1",
            "offsets.topic.num.partitions=1", "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1", "group.initial.rebalance.delay.ms=0",
            "num.network.threads=2", "num.io.threads=2", "auto.create.topics.enable=true",
            "log.cleaner.dedupe.buffer.size=2097152",
            "broker.heartbeat.interval.ms=300", "broker.session.timeout.ms=1500",  # a killed node is soon forgotten
            *self.settings,
        )  # fmt: skip
        path = self.folder / "server.properties"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _java(self, *arguments: str) -> list[str]:
        return ["java", *JAVA, "-cp", f"{jars()}/*", *arguments]

    def start(self) -> "Broker":
        """Format the storage where it is new, start the node, and wait until it takes connections."""
        properties = self._properties()
        with (self.folder / "broker.log").open("ab") as log:
            if not (self.folder / "data").exists():
                scram = [f"--add-scram=SCRAM-SHA-512=[name={u},password={p}]" for u, p in USERS.items()]
                format_ = ("format", "-t", "insitu-tests-0000000000", "-c", str(properties))
                command = self._java("kafka.tools.StorageTool", *format_, *scram)
                subprocess.run(command, stdout=log, stderr=log, timeout=READY_S, check=True)
            self.process = subprocess.Popen(self._java("kafka.Kafka", str(properties)), stdout=log, stderr=log)
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def _await_ready(self) -> None:
        until = time.monotonic() + READY_S
        while not self._ready():
            if time.monotonic() > until or self.process is None or self.process.poll() is not None:
                raise NoBrokerError(f"Kafka did not start: {self.log()[-800:]}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        """It answers a question about topics: a port that is open is not enough."""
        if not answers(self.port):
            return False
        from kafka import KafkaConsumer
        from kafka.errors import KafkaError

        try:
            consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000)
        except KafkaError:
            with warnings.catch_warnings():  # of the sockets that kafka-python leaves behind
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
            return False
        consumer.close()
        return True

    def log(self) -> str:
        return (self.folder / "broker.log").read_text(encoding="utf-8", errors="replace")

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: as if the node lost its power."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(READY_S)
            self.process = None

    def restart(self) -> "Broker":
        self.kill()
        return self.start()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "this broker does not run"
        self.process.send_signal(number)


def main(arguments: Sequence[str] | None = None) -> None:
    """A broker in the foreground, until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m tests.broker", description=main.__doc__)
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--folder", type=Path, help="where its data stays; a temporary folder by default")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="insitu-kafka-") as place:
        try:
            broker = Broker(given.folder or Path(place), port=given.port).start()
        except NoBrokerError as e:
            sys.exit(f"Error: {e}")
        print(f"Kafka {VERSION} at {broker.bootstrap}; Ctrl-C ends it", flush=True)
        try:
            broker.process.wait()  # type: ignore[union-attr]
        except KeyboardInterrupt:
            pass
        finally:
            broker.kill()


if __name__ == "__main__":
    main()
