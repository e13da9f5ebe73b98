#!/usr/bin/env python3
"""Reads traffic analytics with DuckDB, and says what its rows add up to.

    read_traffic_analytics.py DIRECTORY

Parquet and JSON lines have to say the same, row by row. Types are those of the reference of the table NTANetAnalytics.

Output: one JSON object for each network card, destination, port, protocol and direction.
"""

import json
import sys
from pathlib import Path

import duckdb

LONG = ["AllowedInFlows", "AllowedOutFlows", "BytesDestToSrc", "BytesSrcToDest", "CompletedFlows", "DeniedInFlows",
        "DeniedOutFlows", "PacketsDestToSrc", "PacketsSrcToDest"]
TIME = ["FlowEndTime", "FlowIntervalEndTime", "FlowIntervalStartTime", "FlowStartTime", "TimeGenerated", "TimeProcessed"]
OTHERS = {"DestPort": "INTEGER", "IsFlowCapturedAtUdrHop": "BOOLEAN", "_BilledSize": "DOUBLE"}


def kind(column):
    if column in LONG:
        return "BIGINT"
    if column in TIME:
        return "TIMESTAMP WITH TIME ZONE"
    return OTHERS.get(column, "VARCHAR")


def main():
    root = Path(sys.argv[1])
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"CREATE VIEW columns_ AS SELECT * FROM read_parquet('{root}/NTANetAnalytics-*.parquet')")
    types = {name: type_ for name, type_, *_ in db.execute("DESCRIBE columns_").fetchall()}
    for column, type_ in types.items():
        if kind(column) != type_:
            sys.exit(f"{column}: {type_}, not {kind(column)}")
    # Every column by name, as what is null is left out of JSON.
    as_types = ", ".join(f"'{column}': '{kind(column)}'" for column in types)
    db.execute(f"CREATE VIEW lines AS SELECT * FROM read_json('{root}/NTANetAnalytics-*.jsonl', "
               f"format = 'newline_delimited', columns = {{{as_types}}})")
    # Parquet has microseconds, as DuckDB has.
    for one, other in (("columns_", "lines"), ("lines", "columns_")):
        names = ", ".join(f'"{column}"' for column in types)
        left = db.execute(f"SELECT {names} FROM {one} EXCEPT ALL SELECT {names} FROM {other}").fetchall()
        if left:
            sys.exit(f"in {one} alone: {left[:3]}")
    rows = db.execute("""
        SELECT MacAddress, coalesce(DestIp, split_part(DestPublicIps, '|', 1)) AS dest, DestPort, L4Protocol, FlowDirection,
               sum(AllowedInFlows + AllowedOutFlows), sum(CompletedFlows),
               sum(PacketsSrcToDest), sum(BytesSrcToDest), sum(PacketsDestToSrc), sum(BytesDestToSrc)
        FROM columns_ GROUP BY ALL ORDER BY ALL""").fetchall()
    for *key, begun, ended, there, bytes_there, back, bytes_back in rows:
        flow = " ".join(str(part) for part in key)
        print(json.dumps({"flows": flow, "begun": int(begun), "ended": int(ended),
                          "sums": [int(there), int(bytes_there), int(back), int(bytes_back)]}))


if __name__ == "__main__":
    main()
