#!/usr/bin/env python3
"""What a receiver pays for a mirrored packet, and what it loses, side by side: benches/live.py [CAPTURE] [options]

Two network namespaces, a veth pair between them. On one end `flood` sends the envelopes of a capture, as fast as one core
can or at the rates that are asked for; on the other one receiver at a time takes them: tcpdump writing to nowhere, vtap with
each of its sources and its events written to nowhere, Suricata's flow records where it is installed. Printed are the CPU time
of the receiver for each packet it saw (user and system; what the kernel does in the sender's time is not in it) and the
losses: `sent = seen + dropped` has to come out even, or the line says so. Needs root.

  benches/live.py                          makes a capture of small packets with `vtap bench`
  benches/live.py f.pcap --rate 200000     at that rate as well as at the highest
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SENDER, RECEIVER = (f"live{os.getpid()}-{end}" for end in "ab")
ADDRESS = "10.1.1.4"


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def build():
    """A pair of namespaces with a cable."""
    for namespace in (SENDER, RECEIVER):
        run("ip", "netns", "add", namespace)
    run("ip", "link", "add", "a0", "netns", SENDER, "type", "veth", "peer", "name", "b0", "netns", RECEIVER)
    for namespace, device, address in ((SENDER, "a0", "10.1.1.1"), (RECEIVER, "b0", ADDRESS)):
        run("ip", "-n", namespace, "addr", "add", f"{address}/24", "dev", device)
        run("ip", "-n", namespace, "link", "set", device, "mtu", "9000", "up")
        run("ip", "-n", namespace, "link", "set", "lo", "up")
    # So that the first packets do not wait for its answer.
    run("ip", "netns", "exec", SENDER, "bash", "-c", f"echo > /dev/udp/{ADDRESS}/9; sleep 0.3")


def tear_down():
    for namespace in (SENDER, RECEIVER):
        subprocess.run(["ip", "netns", "del", namespace], check=False, stderr=subprocess.DEVNULL)


class Receiver:
    """A program that takes packets. `ready` is what it says when it does, on standard error, or on standard output with `talks`."""

    def __init__(self, name, command, ready, hold=False, talks=False):
        self.name, self.command, self.ready, self.hold, self.talks = name, command, ready, hold, talks

    def start(self, folder):
        self.log = Path(folder) / "stderr"
        holder = None
        if self.hold:
            # Or the kernel answers each packet, at the sender's cost and the receiver's.
            holder = subprocess.Popen(["ip", "netns", "exec", RECEIVER, "python3", str(ROOT / "testdata/lab/traffic.py"), "hold",
                                       "4789"], stdout=subprocess.PIPE)
            holder.stdout.readline()
        command = ["ip", "netns", "exec", RECEIVER, *[str(part) for part in self.command]]
        with self.log.open("w") as log:
            self.child = subprocess.Popen(command, stdout=log if self.talks else subprocess.DEVNULL, stderr=log, cwd=folder)
        for _ in range(600):
            if re.search(self.ready, self.log.read_text()):
                time.sleep(0.5)
                return holder
            time.sleep(0.05)
        self.child.kill()
        if holder:
            holder.kill()
        sys.exit(f"{self.name} does not come up: {self.log.read_text()}")

    def stop(self, holder):
        # Time for what is in the ring.
        time.sleep(1.5)
        self.child.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = status
        if holder:
            holder.kill()
            holder.wait()
        return usage.ru_utime + usage.ru_stime, *self.counted(self.log.read_text())


class Tcpdump(Receiver):
    def counted(self, said):
        number = lambda what: int(re.search(rf"(\d+) packets? {what}", said)[1])
        return number("captured"), number("dropped by kernel")


class Vtap(Receiver):
    def counted(self, said):
        told = json.loads(said[said.index("\n{") + 1:])
        return told["packets"], told["source"]["dropped"]


class Suricata(Receiver):
    def counted(self, said):
        last = {}
        for line in (self.log.parent / "eve.json").read_text().splitlines():
            record = json.loads(line)
            if record["event_type"] == "stats":
                last = record["stats"]
        return last["capture"]["kernel_packets"] - last["capture"].get("kernel_drops", 0), last["capture"].get("kernel_drops", 0)


SURICATA = """%YAML 1.1
---
vars: {address-groups: {HOME_NET: any, EXTERNAL_NET: any}}
default-log-dir: .
stats: {enabled: yes, interval: 1}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [flow, stats]}
af-packet: [{interface: b0, threads: 1, cluster-id: 99, cluster-type: cluster_flow, defrag: yes, ring-size: 200000}]
logging: {outputs: [{console: {enabled: yes, level: notice}}]}
app-layer: {protocols: {}}
"""


def receivers(vtap, sources, folder):
    filter = "udp dst port 4789"
    tcpdump = ["tcpdump", "-n", "-Z", "root", "-B", "65536", "-s", "262144", "-i", "b0", "-w", "/dev/null", filter]
    yield Tcpdump("tcpdump -w /dev/null", tcpdump, "listening on", hold=True)
    for source in sources:
        command = [vtap, "collect", "--source", source, "-i", "b0", "--format", "json", "--summary", "json"]
        yield Vtap(f"vtap collect --source {source}", command, "collecting from")
    if shutil.which("suricata"):
        (Path(folder) / "suricata.yaml").write_text(SURICATA)
        yield Suricata("suricata, flow records", ["suricata", "-c", "suricata.yaml", "--af-packet", "-l", ".", filter],
                       r"(?i)engine started", hold=True, talks=True)


def softnet():
    rows = [line.split() for line in Path("/proc/net/softnet_stat").read_text().splitlines()]
    return sum(int(row[1], 16) for row in rows)


def measure(receiver, flood, capture, packets, rate, folder):
    holder = receiver.start(folder)
    before = softnet()
    said = run("ip", "netns", "exec", SENDER, flood, capture, f"{ADDRESS}:4789", packets, *([rate] if rate else []))
    cpu, seen, dropped = receiver.stop(holder)
    backlog = softnet() - before
    sent, reached = int(said.split()[0]), int(said.split()[4])
    even = "" if sent == seen + dropped + backlog else f"  NOT EVEN: {sent} sent"
    print(f"| {receiver.name:28} | {reached:9,} | {seen:10,} | {dropped:9,} | {backlog:7,} | {cpu / max(seen, 1) * 1e9:7.0f} |{even}",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", nargs="?", type=Path)
    parser.add_argument("--vtap", type=Path, default=ROOT / "target/release/vtap")
    parser.add_argument("--flood", type=Path, help="the sender, if it is built already")
    parser.add_argument("--packets", type=int, default=2_000_000)
    parser.add_argument("--rate", type=int, action="append", default=[], help="packets a second; repeatable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sources", default="pcap,ring,udp")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("live: needs root, for network namespaces")
    flood = options.flood
    if not flood:
        peers = ROOT / "benches/peers"
        run("cargo", "build", "--release", "--locked", "--bin", "flood", cwd=peers)
        flood = peers / "target/release/flood"
    with tempfile.TemporaryDirectory() as folder:
        capture = options.capture
        if not capture:
            capture = Path(folder) / "small.pcap"
            run(options.vtap, "bench", "--size", "small", "--packets", options.packets, "--flows", 20_000, "--write", capture)
        try:
            build()
            print(f"| {'receiver':28} | packets/s |       seen |   dropped | backlog | ns each |")
            print(f"| {'-' * 28} | --------: | ---------: | --------: | ------: | ------: |")
            for rate in [*options.rate, None]:
                for _ in range(options.rounds):
                    for receiver in receivers(options.vtap, options.sources.split(","), folder):
                        measure(receiver, flood, capture, options.packets, rate, folder)
        finally:
            tear_down()


if __name__ == "__main__":
    main()
