#!/usr/bin/env python3
"""vtap against other tools on the same captures in one run; prints Markdown, tables and the commands behind them.

CPU is what a process used in user and system mode, the median of RUNS runs. The tools take turns in every round, so a
change of the machine's mood meets all alike, and the capture is read into the page cache before each round. Memory comes
from one more round that is not timed: the peak, and of it what is the process's own (not pages of a mapped file).

Time to start does not tell about packets, and is 2 ms for one tool and a second for another: it is measured with a capture
of one packet, shown, and taken off before dividing by packets. Captures are pcap files of Ethernet frames with envelopes of
50 bytes, as editcap and the flow library are told to cut off that many.

VTAP=PATH measures that binary; otherwise it is built.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BASE, REFERENCE = "tcpdump", "vtap replay"


class Failed(Exception):
    """A tool ended with an error; it gets no row."""


@dataclass
class Tool:
    name: str
    # IN is the capture, CUT its first packets, INNER the capture without envelopes, OUT a directory.
    command: str
    work: str
    package: str = ""
    threads: bool = False
    # Counts flows in what the tool wrote: (directory, standard output) -> number.
    flows: object = None


def found(pattern):
    return lambda _, text: sum(int(number) for number in re.findall(pattern, text))


def lines(name, pattern):
    return lambda out, _: sum(1 for line in open(out / name, encoding="utf-8") if re.search(pattern, line))


def summary(out, _):
    return json.loads((out / "summary.json").read_text())["flows"]


FIELDS = "frame.number vxlan.vni ip.src ip.dst tcp.srcport tcp.dstport tcp.flags"
REPLAY = "vtap replay --threads 1 --summary OUT/summary.json --format"
TOOLS = [
    Tool("walk", "walk IN", "finds each packet, looks at none: the floor", "benches/peers"),
    Tool("cp", "cp --reflink=never IN OUT/copy", "copies the file", "coreutils"),
    Tool("tcpdump", "tcpdump --count -r IN", "counts packets (libpcap)", "tcpdump"),
    Tool("editcap", "editcap -F nsecpcap -C 50 -L IN OUT/inner.pcap", "cuts 50 bytes off, writes pcap",
         "wireshark-common"),
    Tool("vtap decap", "vtap decap IN -o OUT/inner.pcap --summary OUT/summary.json", "decapsulates, writes pcap"),
    Tool("vtap replay, checksums off", f"{REPLAY} none --checksum off IN", "decapsulates, tracks", flows=summary),
    Tool(REFERENCE, f"{REPLAY} none IN", "the same, and sums every byte", flows=summary),
    Tool("vtap replay to JSON", f"{REPLAY} json IN > OUT/events", "the same, writes events", flows=summary),
    Tool("vtap replay, 2 threads", f"{REPLAY} none IN".replace("--threads 1", "--threads 2"),
         "as vtap replay, on two threads", threads=True, flows=summary),
    Tool("flowscope", "flowscope IN", "cuts 50 bytes off, tracks flows without VNI (Rust library)", "benches/peers",
         flows=found(r"(\d+) flows")),
    Tool("nfpcapd", "nfpcapd -r INNER -w OUT", "flow records of packets without envelope, two for a connection",
         "nfdump", threads=True, flows=found(r"Flows: (\d+)")),
    Tool("suricata", "suricata -c SURICATA --runmode single -k all -S /dev/null -l OUT -r IN",
         "decapsulates, tracks, verifies, writes flow records", "suricata; Debian 12: of backports", threads=True,
         flows=lines("eve.json", '"proto":"TCP"')),
    Tool("zeek", "zeek -b -r IN base/frameworks/tunnels base/protocols/conn Log::default_logdir=OUT",
         "decapsulates, tracks, verifies, writes flow records", "zeek of zeek.org", threads=True,
         flows=lines("conn.log", r"\ttcp\t")),
    Tool("tshark", f"tshark -n -r CUT -T fields {' '.join(f'-e {field}' for field in FIELDS.split())} > OUT/fields",
         "dissects, writes seven fields", "tshark"),
]

# Flow records and nothing else: no rules, no application protocols, no statistics; memory for a million flows.
SURICATA = """%YAML 1.1
---
default-log-dir: /tmp
stats: {enabled: no}
outputs: [{eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [flow]}}]
decoder: {vxlan: {enabled: true, ports: "4789"}}
flow: {memcap: 4gb, hash-size: 1048576, prealloc: 10000, emergency-recovery: 30}
stream: {memcap: 4gb, checksum-validation: yes, inline: no, reassembly: {memcap: 1gb, depth: 1mb}}
app-layer:
  protocols:
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each tool (5)")
    parser.add_argument("--cut", type=int, default=200_000, help="packets for tshark, which is slow (200000)")
    parser.add_argument("--cpu", type=int, default=os.cpu_count() - 1, help="CPU to pin to (the last)")
    parser.add_argument("--scratch", type=Path, help="where tools write (a temporary directory)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures of every run to this file")
    return parser.parse_args()


def build():
    """Paths of the programs of ours, by name; a peer that does not build is left out."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")).resolve()
    cargo = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path"]
    programs = {"vtap": Path(os.environ.get("VTAP", target / "release/vtap")).resolve()}
    if "VTAP" not in os.environ:
        subprocess.run([*cargo, HERE.parent / "Cargo.toml", "--package", "vtap"], check=True)
    peers = [*cargo, HERE / "peers/Cargo.toml", "--target-dir", target / "peers"]
    if subprocess.run(peers, check=False).returncode == 0:
        programs |= {name: target / "peers/release" / name for name in ("walk", "flowscope")}
    return programs


def program(tool, programs):
    name = tool.command.split()[0]
    if name in ("vtap", "walk", "flowscope"):
        return programs.get(name)
    return shutil.which(name)


def text_of(*command):
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.strip()


def version(name, path):
    if name == "flowscope":
        lock = (HERE / "peers/Cargo.lock").read_text()
        return re.search(r'name = "flowscope"\nversion = "([^"]+)"', lock)[1]
    numbers = re.findall(r"\d+\.\d[\w.+-]*", text_of(path, "-V" if name in ("nfpcapd", "suricata") else "--version"))
    if name == "tcpdump":
        return " with libpcap ".join(numbers[:2])
    if name == "vtap" and "VTAP" not in os.environ:
        numbers[0] += f" ({text_of('git', '-C', HERE, 'describe', '--always', '--dirty')})"
    return numbers[0]


def head(source, packets, path):
    """Copies the first packets of a pcap file."""
    with open(source, "rb") as file, open(path, "wb") as copy:
        magic = file.read(24)
        order = {b"\xa1\xb2": ">", b"\xd4\xc3": "<", b"\x4d\x3c": "<"}.get(magic[:2])
        if order is None:
            sys.exit(f"{source}: not a pcap file (editcap -F nsecpcap makes one)")
        copy.write(magic)
        for _ in range(packets):
            header = file.read(16)
            if len(header) < 16:
                break
            copy.write(header + file.read(struct.unpack(order + "8xI4x", header)[0]))


def inputs(capture, cut, vtap, scratch):
    """The files that the tools read in place of IN, CUT and INNER, and the packets in each."""
    scratch.mkdir()
    files = {"IN": capture, "CUT": scratch / "cut.pcap", "INNER": scratch / "inner.pcap"}
    head(capture, cut, files["CUT"])
    told = scratch / "summary.json"
    subprocess.run([vtap, "decap", capture, "-o", files["INNER"], "--summary", told], check=True)
    packets = json.loads(told.read_text())["packets"]
    return files, {"IN": packets, "CUT": min(packets, cut), "INNER": packets}


def warm(files):
    for path in files.values():
        with open(path, "rb") as file:
            while file.read(1 << 20):
                pass


def start(tool, path, files, out, cpu):
    argv, target = tool.command.split()[1:], out / "stdout"
    if ">" in argv:
        target = Path(argv[-1].replace("OUT", str(out)))
        argv = argv[: argv.index(">")]
    argv = [str(files.get(arg) or arg.replace("OUT", str(out))) for arg in argv]
    pin = [] if tool.threads else ["taskset", "-c", str(cpu)]
    with open(target, "wb") as stdout, open(out / "stderr", "wb") as stderr:
        return subprocess.Popen([*pin, str(path), *argv], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


def run(tool, path, files, scratch, cpu, watch=False):
    """One run: seconds, or, watched, memory in bytes. Watching costs the watched time, so it is a run of its own."""
    out = scratch / "out"
    out.mkdir()
    begin, result = time.monotonic(), {"peak": 0, "own": 0}
    child = start(tool, path, files, out, cpu)
    if watch:
        while os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            memory(child.pid, result)
            time.sleep(0.002)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if not watch:
        result = {"wall": time.monotonic() - begin, "cpu": usage.ru_utime + usage.ru_stime}
    told = "".join(path.read_text(errors="replace") for path in out.glob("std*"))
    if child.returncode == 0 and watch and tool.flows:
        result["flows"] = tool.flows(out, told)
    shutil.rmtree(out)
    if child.returncode != 0:
        raise Failed(f"{tool.name}: status {child.returncode}: {told[-1000:]}")
    return result


def memory(pid, peak):
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return
    field = {name: int(kib) << 10 for name, kib in re.findall(r"(\w+):\s+(\d+) kB", status)}
    peak["peak"] = max(peak["peak"], field.get("VmHWM", 0))
    peak["own"] = max(peak["own"], field.get("RssAnon", 0))


def measure(capture, options, tools, programs, scratch):
    """A row for each tool, by name, and what failed."""
    files, packets = inputs(capture, options.cut, programs["vtap"], scratch)
    ones = {name: scratch / f"one-{name}" for name in files}
    for name, path in files.items():
        head(path, 1, ones[name])
    settings = {"SURICATA": scratch.parent / "suricata.yaml"}
    rows, failed = {tool.name: {"runs": [], "starts": []} for tool in tools}, []
    for number in range(options.runs + 1):
        print(f"{capture.name}: round {number + 1} of {options.runs + 1}", file=sys.stderr)
        warm(files)
        for tool in [tool for tool in tools if tool.name in rows]:
            row, path = rows[tool.name], program(tool, programs)
            try:
                if number == options.runs:
                    row |= run(tool, path, files | settings, scratch, options.cpu, watch=True)
                else:
                    row["starts"].append(run(tool, path, ones | settings, scratch, options.cpu))
                    row["runs"].append(run(tool, path, files | settings, scratch, options.cpu))
            except Failed as why:
                failed.append(str(why))
                del rows[tool.name]
    for tool in [tool for tool in tools if tool.name in rows]:
        row = rows[tool.name]
        row["packets"] = packets[next(word for word in tool.command.split() if word in packets)]
        row["cpu"], row["wall"] = (statistics.median(run[kind] for run in row["runs"]) for kind in ("cpu", "wall"))
        row["start"] = statistics.median(run["cpu"] for run in row["starts"])
        row["ns"] = max(row["cpu"] - row["start"], 0) / row["packets"] * 1e9
    return rows, failed


def table(capture, rows, tools):
    count = max(row["packets"] for row in rows.values())
    yield f"### {capture.name}: {count:,} packets, {capture.stat().st_size / count - 16:.0f} bytes each\n"
    yield (f"| tool | what it does | flows | CPU s | wall s | start s | ns/packet | x {BASE} | x {REFERENCE} "
           "| peak MiB | own MiB |")
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for tool in [tool for tool in tools if tool.name in rows]:
        row = rows[tool.name]
        work = tool.work if row["packets"] == count else f"{tool.work}; the first {row['packets']:,} packets only"
        flows = f"{row['flows']:,}" if "flows" in row else ""
        ratios = [f"{row['ns'] / rows[name]['ns']:.2f}" if rows.get(name, {}).get("ns") else ""
                  for name in (BASE, REFERENCE)]
        cells = [tool.name, work, flows, f"{row['cpu']:.2f}", f"{row['wall']:.2f}", f"{row['start']:.3f}",
                 f"{row['ns']:.0f}", *ratios, f"{row['peak'] / 2**20:.0f}", f"{row['own'] / 2**20:.0f}"]
        yield f"| {' | '.join(cells)} |"
    yield ""


def machine():
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return (f"{model[1] if model else platform.machine()}, {os.cpu_count()} CPUs, "
            f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB, Linux {platform.release()}")


LEGEND = """CPU and wall: the whole process. Start: CPU with a capture of one packet, taken off before ns/packet, the CPU time of a
packet. Peak: memory with the pages of the mapped capture; own: without them."""


def suricata_settings():
    """Names of protocols depend on the version; all are turned off."""
    told = subprocess.run(["suricata", "--list-app-layer-protos"], check=True, text=True, stdout=subprocess.PIPE)
    names = [line for line in told.stdout.split() if re.fullmatch("[a-z0-9-]+", line)]
    return SURICATA + "".join(f"    {name}: {{enabled: no}}\n" for name in names)


def markdown(report, tools, cpu):
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    before, after = report["load"]
    yield f"{report['date']}; {report['machine']}; load {before:.1f} before, {after:.1f} after (1 of it is this script)."
    yield f"Medians of {report['runs']} runs. {versions}.\n{LEGEND}"
    if report["skipped"]:
        yield f"Skipped, not installed: {', '.join(report['skipped'])}."
    yield from (f"Failed: {why}" for why in report["failed"])
    yield ""
    for capture, rows in report["captures"].items():
        yield from table(Path(capture), rows, tools)
    yield "```text"
    yield from (tool.command if tool.threads else f"taskset -c {cpu} {tool.command}" for tool in tools)
    yield "```"


def main():
    options = arguments()
    programs = build()
    tools = [tool for tool in TOOLS if program(tool, programs)]
    used = {tool.command.split()[0]: program(tool, programs) for tool in tools}
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "load": [os.getloadavg()[0]],
        "versions": {name: version(name, path) for name, path in used.items() if name != "walk"},
        "skipped": [f"{tool.name} ({tool.package})" for tool in TOOLS if tool not in tools],
        "failed": [],
        "runs": options.runs,
        "captures": {},
    }
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        if "suricata" in used:
            Path(scratch, "suricata.yaml").write_text(suricata_settings())
        for number, capture in enumerate(options.captures):
            below = Path(scratch, str(number))
            report["captures"][str(capture)], failed = measure(capture, options, tools, programs, below)
            report["failed"] += failed
            shutil.rmtree(below)
    report["load"].append(os.getloadavg()[0])
    print("\n".join(markdown(report, tools, options.cpu)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(1 if report["failed"] else 0)


if __name__ == "__main__":
    main()
