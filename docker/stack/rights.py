"""What the running containers may do: each that is up is inspected, and asked from within.

python docker/stack/rights.py <folder of the secrets>

No process is root, no root file system can be written, no process has a capability, only the ports that are meant are
open, and no secret's text is in what ``docker inspect`` shows. Needs the environment of ``scripts/stack.sh``.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PORTS = {"airflow-apiserver": {"8080/tcp"}, "pmo-db": {"5432/tcp"}}
"""The ports that are open on this machine; the others are open to the stack's own network alone."""
SHORTEST_SECRET = 16
WRITE = "touch /written 2>/dev/null || touch /etc/written 2>/dev/null || touch /usr/written 2>/dev/null"
NO_CAPABILITY = "0000000000000000"


def command(*words: str, check: bool = True) -> str:
    """Run a command; return what it printed."""
    return subprocess.run(words, check=check, capture_output=True, text=True).stdout  # noqa: S603 - our own words alone


def texts(folder: Path) -> dict[str, str]:
    """Return every text that is secret, with where it stands: whole files, and passwords within them."""
    found: dict[str, str] = {}

    def add(name: str, text: str) -> None:
        if len(text) >= SHORTEST_SECRET:
            found[text] = name

    for path in sorted(folder.iterdir()):
        content = path.read_text(encoding="utf-8").strip()
        if path.suffix == ".json":
            for connection in json.loads(content).values():
                add(path.name, connection["password"])
        elif path.suffix == ".conf":
            add(path.name, content.split()[1])
        else:
            add(path.name, content)
    return found


def faults(container: dict[str, Any], secret: dict[str, str]) -> list[str]:
    """Return what a container may do that it must not, as its inspection says."""
    service = container["Config"]["Labels"]["com.docker.compose.service"]
    host, shown = container["HostConfig"], json.dumps(container, ensure_ascii=False)
    open_ports = {port for port, bound in (container["NetworkSettings"]["Ports"] or {}).items() if bound}
    addresses = {bound["HostIp"] for found in container["NetworkSettings"]["Ports"].values() for bound in found or ()}
    found = [
        "its root file system can be written" if not host["ReadonlyRootfs"] else "",
        "it is privileged" if host["Privileged"] or host["CapAdd"] else "",
        f"its ports are {sorted(open_ports)}" if open_ports != PORTS.get(service, set()) else "",
        f"its ports are open on {sorted(addresses)}" if addresses - {"127.0.0.1"} else "",
        "its memory has no limit" if not host["Memory"] else "",
        *(f"docker inspect shows a secret of {name}" for text, name in secret.items() if text in shown),
    ]
    return [f"{service}: {fault}" for fault in found if fault]


def faults_within(container: dict[str, Any]) -> list[str]:
    """Return what the processes of a container have that they must not have."""
    service = container["Config"]["Labels"]["com.docker.compose.service"]
    found = []
    for pid in command("docker", "top", container["Id"], "-eo", "pid").split()[1:]:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except FileNotFoundError:  # a process that has ended
            continue
        lines = dict(line.split(":", 1) for line in status.splitlines())
        if "0" in lines["Uid"].split():
            found.append(f"{service}: a process is root")
        if {lines[name].strip() for name in ("CapEff", "CapPrm", "CapBnd")} != {NO_CAPABILITY}:
            found.append(f"{service}: a process has capabilities")
        if lines["NoNewPrivs"].strip() != "1":
            found.append(f"{service}: a process can get new rights")
    if command("docker", "exec", container["Id"], "sh", "-c", f"({WRITE}) && echo written", check=False):
        found.append(f"{service}: a file outside its volumes was written")
    return sorted(set(found))


def main(folder: str) -> None:
    """Say what is wrong with any container, and end with 1; or say how many were looked at."""
    ids = command("docker-compose", "ps", "--quiet").split()
    containers = json.loads(command("docker", "inspect", *ids))
    secret = texts(Path(folder))
    found = [fault for container in containers for fault in faults(container, secret)]
    running = [container for container in containers if container["State"]["Running"]]
    found += [fault for container in running for fault in faults_within(container)]
    if found:
        raise SystemExit("\n".join(["the stack fails:", *found]))
    sys.stdout.write(f"  {len(containers)} containers, {len(running)} of them up, have no more rights than they need\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
