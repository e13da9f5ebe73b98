#!/usr/bin/env bash
# A Virtual Network TAP in a box: a tapped host, a server and a collector, each a network namespace of this machine.
#
#   srv0 ---- nic0 [PREFIX-vm] mir0 ---- col0 [PREFIX-col]
#   [PREFIX-srv]      \- tc mirred -> tap0 (VXLAN over mir0) -/
#
# The tapped host's kernel copies each frame of nic0 into a VXLAN device that points at the collector, so the bytes on
# col0 are those a cloud TAP sends: outer IP, UDP 4789, VXLAN header, the frame as the NIC had it.
#
#   sudo ./taplab.sh up        build the lab (an older one of the same prefix is removed first)
#   sudo ./taplab.sh down      remove it; says nothing when there is none
#   ./taplab.sh help           this text
#
#   ip netns exec tap-col tcpdump -i any -w out.pcap     the collector's view, link type LINUX_SLL2
#   ip netns exec tap-srv python3 -m http.server 80      something to talk to
#   ip netns exec tap-vm  curl http://10.0.2.6/          the tapped traffic
#
# Addresses: vm 10.0.2.4 and fd00:10:2::4 (tapped), srv 10.0.2.6 and fd00:10:2::6, col 10.1.1.4 and fd00:10:1::4.
# The envelope comes from the tapped NIC's own address and, over IPv4, has no UDP checksum: both as the cloud sends it.
#
# Settings, from the environment:
#   TAPLAB_PREFIX   namespace prefix (tap); two labs with different prefixes do not meet
#   TAPLAB_OUTER    4 or 6: IP version of the VXLAN envelope (4)
#   TAPLAB_MIRROR   both, ingress or egress: directions of nic0 that are mirrored (both)
#   TAPLAB_OFFLOAD  keep or off: keep leaves the veth devices' checksum and segmentation offloads on, so captures
#                   hold unfinished checksums and super-packets; off gives finished, MTU-sized frames (keep)
#   TAPLAB_VNI      VXLAN network identifier (27)
#   TAPLAB_PORT     UDP destination port of the envelope (4789)
#
# With nothing bound to the UDP port in PREFIX-col, its kernel answers mirrored packets with ICMP port unreachable, as
# the kernel of a collector VM does.
set -Eeuo pipefail

prefix=${TAPLAB_PREFIX:-tap}
outer=${TAPLAB_OUTER:-4}
mirror=${TAPLAB_MIRROR:-both}
offload=${TAPLAB_OFFLOAD:-keep}
vni=${TAPLAB_VNI:-27}
port=${TAPLAB_PORT:-4789}
vm=$prefix-vm srv=$prefix-srv col=$prefix-col

fail() {
  printf 'taplab: %s\n' "$1" >&2
  exit "${2:-1}"
}

usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

check_settings() {
  [[ $prefix =~ ^[A-Za-z0-9][A-Za-z0-9_-]*$ ]] || fail "TAPLAB_PREFIX=$prefix: use letters, digits, - and _" 2
  [[ $outer == [46] ]] || fail "TAPLAB_OUTER=$outer: use 4 or 6" 2
  [[ $mirror =~ ^(both|ingress|egress)$ ]] || fail "TAPLAB_MIRROR=$mirror: use both, ingress or egress" 2
  [[ $offload =~ ^(keep|off)$ ]] || fail "TAPLAB_OFFLOAD=$offload: use keep or off" 2
  if ! [[ $vni =~ ^(0|[1-9][0-9]*)$ ]] || ((vni > 0xffffff)); then fail "TAPLAB_VNI=$vni: use 0 to 16777215" 2; fi
  if ! [[ $port =~ ^[1-9][0-9]*$ ]] || ((port > 0xffff)); then fail "TAPLAB_PORT=$port: use 1 to 65535" 2; fi
}

check_machine() {
  ((EUID == 0)) || fail "network namespaces need root: run it with sudo"
  local tool
  for tool in ip tc; do
    command -v "$tool" >/dev/null || fail "'$tool' is missing: install iproute2"
  done
  if [[ $offload == off ]]; then
    command -v ethtool >/dev/null || fail "TAPLAB_OFFLOAD=off needs ethtool: install it, or leave the offloads on"
  fi
}

# link NAMESPACE DEVICE MAC ADDRESS...: addresses a device and brings it up. No link-local address and no duplicate
# address detection: the device can send at once and adds no frames of its own.
link() {
  local ns=$1 dev=$2 mac=$3 address
  shift 3
  ip -n "$ns" link set "$dev" address "$mac" addrgenmode none
  for address in "$@"; do
    case $address in
      *:*) ip -n "$ns" addr add "$address" dev "$dev" nodad ;;
      *) ip -n "$ns" addr add "$address" dev "$dev" ;;
    esac
  done
  ip -n "$ns" link set "$dev" up
}

plain_frames() {
  local feature
  for feature in tx rx tso gso gro; do
    ip netns exec "$1" ethtool -K "$2" "$feature" off >/dev/null
  done
}

up() {
  local ns dir envelope
  down
  trap 'trap - ERR; down; fail "building the lab failed; what was built has been removed"' ERR
  for ns in "$vm" "$srv" "$col"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
  done

  ip link add nic0 netns "$vm" type veth peer name srv0 netns "$srv"
  link "$vm" nic0 02:00:0a:00:02:04 10.0.2.4/24 fd00:10:2::4/64
  link "$srv" srv0 02:00:0a:00:02:06 10.0.2.6/24 fd00:10:2::6/64

  # 1600: the envelope adds 50 bytes (70 over IPv6) to a full frame, and VXLAN over IPv6 is dropped, never fragmented.
  ip link add mir0 mtu 1600 netns "$vm" type veth peer name col0 mtu 1600 netns "$col"
  # The link-local address: neighbour discovery for envelopes from another device's address is sent from it.
  link "$vm" mir0 02:00:0a:01:01:01 10.1.1.1/24 fd00:10:1::1/64 fe80::1/64
  link "$col" col0 02:00:0a:01:01:04 10.1.1.4/24 fd00:10:1::4/64

  if [[ $offload == off ]]; then
    plain_frames "$vm" nic0
    plain_frames "$srv" srv0
    plain_frames "$vm" mir0
    plain_frames "$col" col0
  fi

  # The way back, for what the collector's kernel answers.
  ip -n "$col" route add 10.0.2.0/24 dev col0 via 10.1.1.1
  ip -n "$col" route add fd00:10:2::/64 dev col0 via fd00:10:1::1

  envelope=(local 10.0.2.4 remote 10.1.1.4 noudpcsum)
  if [[ $outer == 6 ]]; then envelope=(local fd00:10:2::4 remote fd00:10:1::4); fi
  ip -n "$vm" link add tap0 mtu 1550 type vxlan id "$vni" dstport "$port" "${envelope[@]}"
  ip -n "$vm" link set tap0 addrgenmode none
  ip -n "$vm" link set tap0 up

  ip netns exec "$vm" tc qdisc add dev nic0 clsact
  for dir in ingress egress; do
    if [[ $mirror == both || $mirror == "$dir" ]]; then
      ip netns exec "$vm" tc filter add dev nic0 "$dir" protocol all u32 match u32 0 0 action mirred egress mirror dev tap0
    fi
  done
  trap - ERR
}

down() {
  local ns
  for ns in "$vm" "$srv" "$col"; do
    if [[ -e /run/netns/$ns ]]; then ip netns del "$ns"; fi
  done
}

case ${1:-} in
  up | down)
    check_settings
    check_machine
    "$1"
    ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
