#!/usr/bin/env python3
"""Reads a virtual-network flow log as Microsoft documents it, and says what the tuples of each flow add up to.

    read_vnet_flow_log.py DIRECTORY

DIRECTORY is the container, `insights-logs-flowlogflowevent`. What the documentation does not allow is an error. Written
from the pages "Virtual network flow logs" (record and tuple) and "Read flow logs" (path and blocks), for the cloud's logs
as well as for ours: both notations of a begin, and times in seconds, are accepted.

Output: one JSON object a flow, in the order of their keys.
"""

import ipaddress
import json
import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

BLOB = re.compile(
    r"flowLogResourceID=/[^/]+_[^/]+/[^/]+_[^/]+"
    r"/y=(?P<y>\d{4})/m=(?P<m>\d\d)/d=(?P<d>\d\d)/h=(?P<h>\d\d)/m=00/macAddress=(?P<mac>[0-9A-F]{12})/PT1H\.json")
TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{7}Z")
GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
RECORD = ["time", "flowLogVersion", "flowLogGUID", "macAddress", "category", "flowLogResourceID", "targetResourceID",
          "operationName", "flowRecords"]
ENCRYPTION = {"X", "NX", "NX_HW_NOT_SUPPORTED", "NX_SW_NOT_READY", "NX_NOT_ACCEPTED", "NX_NOT_SUPPORTED", "NX_LOCAL_DST",
              "NX_FALLBACK"}


def expect(fact, *what):
    if not fact:
        sys.exit(": ".join(str(part) for part in what))


def keys(value, names, where):
    expect(isinstance(value, dict) and sorted(value) == sorted(names), where, "keys are not", names, value)


def number(text, where):
    expect(re.fullmatch(r"0|[1-9]\d*", text), where, "no number", text)
    return int(text)


def read_tuple(text, where):
    """The key of the flow, its state, its time in milliseconds, and four counts."""
    fields = text.split(",")
    expect(len(fields) == 13, where, "not 13 fields", text)
    time, source, destination, source_port, destination_port, protocol, direction, state, encryption, *counts = fields
    expect(len(time) in (10, 13), where, "neither seconds nor milliseconds", time)
    milliseconds = number(time, where) * (1000 if len(time) == 10 else 1)
    versions = {ipaddress.ip_address(address).version for address in (source, destination)}
    expect(len(versions) == 1, where, "addresses of two kinds", text)
    for port in (source_port, destination_port):
        expect(number(port, where) < 65536, where, "no port", port)
    expect(number(protocol, where) < 256, where, "no protocol", protocol)
    expect(direction in ("I", "O"), where, "no direction", direction)
    expect(state in ("B", "C", "E", "D"), where, "no state", state)
    expect(encryption in ENCRYPTION, where, "no encryption", encryption)
    if state == "B" and counts == [""] * 4:
        counts = ["0"] * 4
    counts = [number(count, where) for count in counts]
    expect(state in ("C", "E") or counts == [0, 0, 0, 0], where, "counts in a begin or a refusal", text)
    return " ".join([source, destination, source_port, destination_port, protocol, direction]), state, milliseconds, counts


def read_blob(path, blob, flows):
    text = path.read_bytes().decode("utf-8")
    expect(text.startswith('{"records":[') and text.endswith("]}"), path, "other first or last block")
    log = json.loads(text)
    keys(log, ["records"], path)
    begin = datetime(int(blob["y"]), int(blob["m"]), int(blob["d"]), int(blob["h"]), tzinfo=timezone.utc)
    expect(log["records"], path, "no records")
    for record in log["records"]:
        keys(record, RECORD, path)
        stamp = TIME.fullmatch(record["time"])
        expect(stamp, path, "no time", record["time"])
        time = datetime.fromisoformat(stamp[1]).replace(tzinfo=timezone.utc)
        expect(begin <= time < begin + timedelta(hours=1), path, "a record of another hour", record["time"])
        expect(record["flowLogVersion"] == 4, path, "version", record["flowLogVersion"])
        expect(GUID.fullmatch(record["flowLogGUID"]), path, "no GUID", record["flowLogGUID"])
        expect(record["macAddress"] == blob["mac"], path, "a record of another card", record["macAddress"])
        expect(record["category"] == record["operationName"] == "FlowLogFlowEvent", path, "another category")
        expect(record["flowLogResourceID"] == record["flowLogResourceID"].upper(), path, "id not in capitals")
        expect("/FLOWLOGS/" in record["flowLogResourceID"], path, "no flow log", record["flowLogResourceID"])
        keys(record["flowRecords"], ["flows"], path)
        for flow in record["flowRecords"]["flows"]:
            keys(flow, ["aclID", "flowGroups"], path)
            for group in flow["flowGroups"]:
                keys(group, ["rule", "flowTuples"], path)
                expect(group["flowTuples"], path, "a group of nothing")
                for text in group["flowTuples"]:
                    key, state, milliseconds, counts = read_tuple(text, path)
                    told = flows.setdefault(f"{blob['mac']} {key}", {"states": [], "sums": [0, 0, 0, 0]})
                    told["states"].append((milliseconds, state))
                    told["sums"] = [a + b for a, b in zip(told["sums"], counts)]


def main():
    root = Path(sys.argv[1])
    flows = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        blob = BLOB.fullmatch(path.relative_to(root).as_posix())
        expect(blob, path, "no blob of a flow log has this name")
        read_blob(path, blob, flows)
    for key, told in sorted(flows.items()):
        states = "".join(state for _, state in told["states"])
        times = [time for time, _ in told["states"]]
        expect(times == sorted(times), key, "times go back")
        print(json.dumps({"flow": key, "states": states, "sums": told["sums"]}))


if __name__ == "__main__":
    main()
