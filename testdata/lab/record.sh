#!/usr/bin/env bash
# Records the captures of ../tap with the labs (taplab.sh, scenarios.sh) and the sessions of traffic.py, then checks them.
#
#   sudo ./record.sh [NAME...]     all captures, or those named (http, http-sll, ssh, ...: the list `records` below)
#   sudo ./record.sh check         only check what is there
#
# Needs root, iproute2, nft, tcpdump, python3, zstd, and tshark with editcap. RECORD_OUT names another folder than ../tap.
# Each capture gets a lab of its own, so it starts with the ARP (or neighbour discovery) of a fresh network.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${RECORD_OUT:-$here/../tap}
# Its own, so that recordings can run side by side and beside a lab.
export TAPLAB_PREFIX=${TAPLAB_PREFIX:-rec$$}
vm=$TAPLAB_PREFIX-vm srv=$TAPLAB_PREFIX-srv col=$TAPLAB_PREFIX-col
server4=10.0.2.6 server6=fd00:10:2::6
logs=$(mktemp -d)
background=()

# Full frames, no immediate mode: on `-i any`, immediate mode takes a ring slot of snaplen size for each packet and
# loses bursts. -Z root: tcpdump would otherwise give up its rights before it opens the file.
tcpdump_options=(-n -Z root -B 4096 -s 65535)
# libpcap hands a block of packets over when it is full or this much time has passed (its timeout is 1 s).
flush_seconds=1.3

clean_up() {
  local pid
  for pid in "${background[@]}"; do kill "$pid" 2>/dev/null || true; done
  # Of either script.
  "$here/scenarios.sh" down || true
  rm -rf "$logs"
}

fail() {
  printf 'record: %s\n' "$1" >&2
  exit 1
}

# wait_for FILE TEXT: until a background program has said in FILE that it is ready.
wait_for() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    if grep -q "$2" "$1"; then return; fi
    sleep 0.05
  done
  cat "$1" >&2
  fail "'$2' did not appear within 5 s"
}

# capture NAMESPACE INTERFACE FILE [TCPDUMP OPTION...]: starts tcpdump; leaves its process id in `captured`.
capture() {
  local ns=$1 interface=$2 file=$3
  shift 3
  mkdir -p "$(dirname "$file")"
  : >"$logs/tcpdump-$interface"
  ip netns exec "$ns" tcpdump "${tcpdump_options[@]}" -i "$interface" -w "$file" "$@" 2>"$logs/tcpdump-$interface" &
  captured=$!
  background+=("$captured")
  wait_for "$logs/tcpdump-$interface" 'listening on'
}

# stop PROCESS INTERFACE: ends a capture once its packets are in the file, and refuses a capture with losses.
stop() {
  kill "$1"
  wait "$1"
  grep -q '^0 packets dropped by kernel' "$logs/tcpdump-$2" || fail "tcpdump on $2 lost packets: $(cat "$logs/tcpdump-$2")"
}

# lab [NAME=VALUE...]: a new lab with these settings of taplab.sh. The pause lets the multicast listener reports of
# new IPv6 addresses go by: they come at random times in the first second or two.
lab() {
  env "$@" "$here/taplab.sh" up
  sleep 2.5
}

# scenario NAME: the same with a lab of scenarios.sh, which has no IPv6.
scenario() {
  "$here/scenarios.sh" up "$1"
}

hold_port() {
  : >"$logs/hold"
  ip netns exec "$col" python3 "$here/traffic.py" hold 4789 >"$logs/hold" &
  holder=$!
  background+=("$holder")
  wait_for "$logs/hold" ready
}

# session NAME SERVER_ADDRESS: both sides of a session, to its end.
session() {
  local server
  : >"$logs/serve"
  ip netns exec "$srv" python3 "$here/traffic.py" serve "$1" "$2" >"$logs/serve" &
  server=$!
  background+=("$server")
  wait_for "$logs/serve" ready
  ip netns exec "$vm" python3 "$here/traffic.py" connect "$1" "$2"
  wait "$server"
  sleep "$flush_seconds"
}

# one FILE SESSION [TCPDUMP OPTION...]: what most captures are, in the lab that is up: the collector's `-i any`.
one() {
  local file=$1 name=$2 collector
  shift 2
  hold_port
  capture "$col" any "$out/$file" "$@"
  collector=$captured
  session "$name" "${address:-$server4}"
  stop "$collector" any
}

# --- the captures

record_http() {
  local collector nic
  lab
  hold_port
  capture "$vm" nic0 "$out/nic/http-nic.pcap" --time-stamp-precision=nano
  nic=$captured
  capture "$col" any "$out/http.pcap" --time-stamp-precision=nano
  collector=$captured
  session http "$server4"
  stop "$collector" any
  stop "$nic" nic0
  editcap -F pcapng "$out/http.pcap" "$out/http.pcapng"
  gzip -9 -n -c "$out/http.pcap" >"$out/http.pcap.gz"
  zstd -q -f -19 "$out/http.pcap" -o "$out/http.pcap.zst"
}

record_http_sll() {
  lab
  one http-sll.pcap http -y LINUX_SLL
}

record_http_ethernet() {
  local collector
  lab
  hold_port
  capture "$col" col0 "$out/http-ethernet.pcap"
  collector=$captured
  session http "$server4"
  stop "$collector" col0
}

record_snaplen() {
  lab
  one snaplen.pcap half-closed -s 160
}

# 128 bytes end inside the last option of a SYN, the window scale: its kind is there, its length and value are not.
record_snaplen_options() {
  lab
  one snaplen-options.pcap half-closed -s 128
}

record_ssh() {
  lab
  one ssh.pcap ssh
}

record_refused() {
  lab
  one refused.pcap refused
}

record_reset() {
  lab
  one reset.pcap reset
}

record_half_closed() {
  lab
  one half-closed.pcap half-closed
}

record_asymmetric() {
  lab TAPLAB_MIRROR=egress
  one asymmetric.pcap several
}

record_asymmetric_reply() {
  lab TAPLAB_MIRROR=ingress
  one asymmetric-reply.pcap several
}

record_ipv6() {
  lab
  address=$server6 one ipv6.pcap http
}

record_ipv6_outer() {
  lab TAPLAB_OUTER=6
  one ipv6-outer.pcap http
}

record_icmp_unreachable() {
  local collector
  lab
  capture "$col" any "$out/icmp-unreachable.pcap"
  collector=$captured
  session http "$server4"
  stop "$collector" any
}

record_both_ends() {
  scenario both-ends
  one both-ends.pcap several
}

record_snat_egress() {
  scenario snat-egress
  address=198.51.100.6 one snat-egress.pcap several
}

record_router() {
  scenario router
  one router.pcap several
}

record_two_routers() {
  scenario two-routers
  one two-routers.pcap named
}

record_gap() {
  local absence
  scenario gap
  # The client starts within the first second.
  (sleep 7 && "$here/scenarios.sh" mirror off && sleep 10 && "$here/scenarios.sh" mirror on) &
  absence=$!
  background+=("$absence")
  one gap.pcap gap
  wait "$absence"
}

records=(http http-sll http-ethernet snaplen snaplen-options ssh refused reset half-closed asymmetric asymmetric-reply
  ipv6 ipv6-outer icmp-unreachable both-ends snat-egress router two-routers gap)

# --- main

check() {
  python3 "$here/check.py" "$out"
}

if [[ ${1:-} == check ]]; then
  rm -rf "$logs"
  check
  exit
fi

for name in "$@"; do
  [[ " ${records[*]} " == *" $name "* ]] || fail "no capture is named '$name': choose from ${records[*]}"
done
((EUID == 0)) || fail "network namespaces need root: run it with sudo"
for tool in ip tc nft tcpdump tshark editcap python3 gzip zstd; do
  command -v "$tool" >/dev/null || fail "'$tool' is missing"
done
trap clean_up EXIT

if (($# == 0)); then set -- "${records[@]}"; fi
for name in "$@"; do
  printf 'recording %s\n' "$name"
  "record_${name//-/_}"
  for pid in "${background[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  background=()
done
check
