#!/usr/bin/env bash
# What a mirror does to traffic, each in a lab of its own. taplab.sh is the plain case: one tapped host, nothing odd.
#
#   client ---.                  .--- mirror NIC of each tapped host
#   server ----- [PREFIX-net] -----
#   router ---'  two switches    '--- collector
#
# Each host is a network namespace with nic0 on the one switch. A tapped host's kernel copies frames of nic0 into VXLAN,
# sent from nic0's address over mir0, on the other switch, to the collector's only NIC, col0. Nothing else is sent there.
#
#   sudo ./scenarios.sh up NAME         build one (what was there of the same prefix is removed first)
#   sudo ./scenarios.sh mirror off|on   take the tapped client's mirror away, bring it back
#   sudo ./scenarios.sh down            remove it; says nothing when there is none
#   ./scenarios.sh list                 the names
#   ./scenarios.sh help                 this text
#
# Addresses: vm 10.0.2.4 (the client), srv 10.0.2.6, rtr 10.0.2.5, bck 10.0.2.7, col 10.1.1.4. In all but `router` the client is tapped.
#
#   fragments       an MTU of 1500 on the way to the collector: envelopes of full-sized frames go in two fragments
#   both-ends       client and server are tapped, same VNI: each packet is mirrored by its sender and by its receiver
#   both-ends-vnis  the same with VNI 27 at the client and 28 at the server
#   asymmetric      the server answers from its nic1 to the client's nic1, which is not tapped
#   snat-egress     the client's source becomes 203.0.113.7 on the way out and only what it sends is mirrored, as behind a
#                   NAT gateway; the server is 198.51.100.6
#   gap             the plain case, for `mirror off`
#   any             the collector has a VXLAN device for the mirror's VNI, vx0: `-i any` has each packet twice. Its socket
#                   takes UDP port 4789 there
#   router          client and server reach each other through the tapped rtr, which has one NIC: in and out again
#   two-routers     the client reaches the server through rtr, the server the client through another router, bck: as where a
#                   route to a firewall is missing on one side
#
# With nothing bound to UDP port 4789 in PREFIX-col, its kernel answers mirrored packets with ICMP port unreachable.
#
# Settings, from the environment:
#   TAPLAB_PREFIX   namespace prefix (tap)
#   TAPLAB_OFFLOAD  keep or off: as for taplab.sh (keep)
set -Eeuo pipefail

prefix=${TAPLAB_PREFIX:-tap}
offload=${TAPLAB_OFFLOAD:-keep}
net=$prefix-net vm=$prefix-vm srv=$prefix-srv rtr=$prefix-rtr bck=$prefix-bck col=$prefix-col
scenarios=(fragments both-ends both-ends-vnis asymmetric snat-egress gap any router two-routers)

fail() {
  printf 'scenarios: %s\n' "$1" >&2
  exit "${2:-1}"
}

usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

check_settings() {
  [[ $prefix =~ ^[A-Za-z0-9][A-Za-z0-9_-]*$ ]] || fail "TAPLAB_PREFIX=$prefix: use letters, digits, - and _" 2
  [[ $offload =~ ^(keep|off)$ ]] || fail "TAPLAB_OFFLOAD=$offload: use keep or off" 2
}

check_machine() {
  ((EUID == 0)) || fail "network namespaces need root: run it with sudo"
  local tool tools=(ip tc)
  if [[ $offload == off || ${1:-} == any ]]; then tools+=(ethtool); fi
  if [[ ${1:-} == snat-egress ]]; then tools+=(nft); fi
  for tool in "${tools[@]}"; do
    command -v "$tool" >/dev/null || fail "'$tool' is missing"
  done
}

# --- pieces

# No IPv6: its neighbour discovery sends at random times what nobody asked for.
namespace() {
  ip netns add "$1"
  ip netns exec "$1" sysctl -q net.ipv6.conf.{all,default}.disable_ipv6=1
  ip -n "$1" link set lo up
  # Answers come by other ways here, and a router with one NIC would tell its neighbours to do without it.
  ip netns exec "$1" sysctl -q net.ipv4.conf.{all,default}.{rp_filter,send_redirects}=0
}

plain_frames() {
  local feature
  for feature in tx rx tso gso gro; do
    ip netns exec "$1" ethtool -K "$2" "$feature" off >/dev/null
  done
}

declare -A mtus

# switch NAME MTU
switch() {
  mtus[$1]=$2
  ip -n "$net" link add "$1" mtu "$2" type bridge mcast_snooping 0
  ip -n "$net" link set "$1" up
}

# nic NAMESPACE DEVICE SWITCH MAC ADDRESS...: a NIC on a switch
nic() {
  local ns=$1 dev=$2 switch=$3 mac=$4 address port=${1#"$prefix"-}-$2
  shift 4
  ip link add "$dev" mtu "${mtus[$switch]}" netns "$ns" type veth peer name "$port" mtu "${mtus[$switch]}" netns "$net"
  ip -n "$net" link set "$port" master "$switch" up
  ip -n "$ns" link set "$dev" address "$mac"
  for address in "$@"; do ip -n "$ns" addr add "$address" dev "$dev"; done
  ip -n "$ns" link set "$dev" up
  if [[ $offload == off ]]; then
    plain_frames "$ns" "$dev"
    plain_frames "$net" "$port"
  fi
}

# tap NAMESPACE VNI LAST_BYTE DIRECTION...: mirrors nic0; the last byte is that of its addresses.
tap() {
  local ns=$1 vni=$2 last=$3 dir
  shift 3
  nic "$ns" mir0 mirrors "02:00:0a:01:02:0$last" "10.1.1.10$last/24"
  # The envelope has no UDP checksum and may be fragmented, as the cloud's.
  ip -n "$ns" link add tap0 mtu 1550 type vxlan id "$vni" dstport 4789 local "10.0.2.$last" remote 10.1.1.4 noudpcsum
  ip -n "$ns" link set tap0 up
  ip netns exec "$ns" tc qdisc add dev nic0 clsact
  for dir in "$@"; do
    ip netns exec "$ns" tc filter add dev nic0 "$dir" protocol all u32 match u32 0 0 action mirred egress mirror dev tap0
  done
}

# hosts SERVER_ADDRESS...: what all scenarios have.
hosts() {
  local ns
  for ns in "$net" "$vm" "$srv" "$col"; do namespace "$ns"; done
  switch customers 1500
  switch mirrors "${mirror_mtu:-1600}"
  nic "$vm" nic0 customers 02:00:0a:00:02:04 10.0.2.4/24
  nic "$srv" nic0 customers 02:00:0a:00:02:06 "$@"
  nic "$col" col0 mirrors 02:00:0a:01:01:04 10.1.1.4/24
}

# --- scenarios

up_fragments() {
  mirror_mtu=1500 hosts 10.0.2.6/24
  tap "$vm" 27 4 ingress egress
}

up_both_ends() {
  hosts 10.0.2.6/24
  tap "$vm" 27 4 ingress egress
  tap "$srv" "${1:-27}" 6 ingress egress
}

up_both_ends_vnis() {
  up_both_ends 28
}

up_asymmetric() {
  hosts 10.0.2.6/24
  switch others 1500
  nic "$vm" nic1 others 02:00:0a:00:03:04 10.0.3.4/24
  nic "$srv" nic1 others 02:00:0a:00:03:06 10.0.3.6/24
  ip -n "$srv" route add 10.0.2.4/32 via 10.0.3.4 dev nic1 src 10.0.2.6
  tap "$vm" 27 4 ingress egress
}

up_snat_egress() {
  hosts 10.0.2.6/24 198.51.100.6/32
  ip -n "$vm" route add 198.51.100.0/24 via 10.0.2.6 dev nic0
  ip -n "$srv" route add 203.0.113.0/24 via 10.0.2.4 dev nic0
  ip netns exec "$vm" nft -f - <<<'table ip nat {
    chain out { type nat hook postrouting priority srcnat; oifname "nic0" ip daddr 198.51.100.0/24 snat to 203.0.113.7; }
  }'
  tap "$vm" 27 4 egress
}

up_gap() {
  hosts 10.0.2.6/24
  tap "$vm" 27 4 ingress egress
}

up_any() {
  hosts 10.0.2.6/24
  tap "$vm" 27 4 ingress egress
  ip -n "$col" link add vx0 type vxlan id 27 dstport 4789 local 10.1.1.4 dev col0 nolearning
  # An open VXLAN socket makes the kernel join what it takes out of the envelopes; then frames of vx0 are no copies.
  ip netns exec "$col" ethtool -K vx0 gro off
  ip -n "$col" link set vx0 up
}

# router NAMESPACE LAST_BYTE: with one NIC; the last byte is that of its addresses.
router() {
  namespace "$1"
  ip netns exec "$1" sysctl -q net.ipv4.ip_forward=1
  nic "$1" nic0 customers "02:00:0a:00:02:0$2" "10.0.2.$2/24"
}

# routes THERE BACK: the last bytes of the routers between client and server.
routes() {
  ip -n "$vm" route add 10.0.2.6/32 via "10.0.2.$1" dev nic0
  ip -n "$srv" route add 10.0.2.4/32 via "10.0.2.$2" dev nic0
}

up_router() {
  hosts 10.0.2.6/24
  router "$rtr" 5
  routes 5 5
  tap "$rtr" 27 5 ingress egress
}

up_two_routers() {
  hosts 10.0.2.6/24
  router "$rtr" 5
  router "$bck" 7
  routes 5 7
  tap "$vm" 27 4 ingress egress
}

up() {
  down
  trap 'trap - ERR; down; fail "building the lab failed; what was built has been removed"' ERR
  "up_${1//-/_}"
  trap - ERR
}

down() {
  local ns
  for ns in "$net" "$vm" "$srv" "$rtr" "$bck" "$col"; do
    if [[ -e /run/netns/$ns ]]; then ip netns del "$ns"; fi
  done
}

case "${1:-} ${2:-}" in
  "up "*)
    [[ " ${scenarios[*]} " == *" ${2:-} "* ]] || fail "no scenario is named '${2:-}': choose from ${scenarios[*]}" 2
    check_settings
    check_machine "$2"
    up "$2"
    ;;
  "mirror on" | "mirror off")
    check_settings
    check_machine
    # Both directions at the same moment.
    ip -n "$vm" link set tap0 "$([[ $2 == on ]] && echo up || echo down)"
    ;;
  "down ")
    check_settings
    check_machine
    down
    ;;
  "list ") printf '%s\n' "${scenarios[@]}" ;;
  "help "*) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
