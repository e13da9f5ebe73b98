//! From what was counted of a flow to its [`Record`].

use vtap_packet::{Protocol, Timestamp};

use super::Accounts;
use crate::account::Account;
use crate::cold::Cold;
use crate::conn_state;
use crate::details::Macs;
use crate::flow::Flow;
use crate::key::End;
use crate::record::{Half, Link, Phase, Record, Tcp, Traffic};
use crate::sight::TapId;
use crate::taps::Taps;
use crate::trace::Once;

impl Accounts {
    /// What there is to tell; nothing of a flow that goes on but was quiet.
    pub(super) fn tell(
        &mut self,
        at: u32,
        now: Timestamp,
        phase: Phase,
        (flow, cold, taps): (&Flow, &Cold, &Taps),
    ) -> Option<Record> {
        let (account, details) = self.places.entry(at)?;
        details.told_at = Some(now);
        account.move_to(details);
        let mut half = |end: End| {
            let counted = account.half(end);
            let total = *details.totals.get(end as usize)?;
            let told = details.told.get_mut(end as usize)?;
            let mut half = Half {
                total,
                since: total.beyond(*told),
                retransmissions: *details.retransmissions.get(end as usize)?,
                flags: counted.flags,
                link: None,
            };
            if phase == Phase::Begin {
                half.since = Traffic::default();
            } else {
                *told = total;
            }
            let macs = details.macs.get(end as usize).copied().flatten();
            half.link = macs.map(|Macs { dst, src, tap }| Link {
                src,
                dst,
                tap: taps.get(tap).and_then(|tap| tap.address),
            });
            Some(half)
        };
        // Who is who stays as it was told before.
        let client = *details.client.get_or_insert(flow.client);
        let server = client.other();
        let (to_server, to_client) = (half(client)?, half(server)?);
        let links = details.macs.map(|macs| macs.map_or(TapId::NONE, |macs| macs.tap));
        let quiet = [&to_server, &to_client].iter().all(|half| half.since.packets == 0);
        if phase == Phase::Continue && quiet {
            return None;
        }
        self.latest = self.latest.max(now);
        let letters = [client, server].map(|end| account.half(end).letters);
        let packets = [to_server, to_client].map(|half| half.total.packets > 0);
        let protocol = flow.key.protocol();
        let is_tcp = protocol == Protocol::TCP;
        let record = Record {
            phase,
            packet: details.packet,
            protocol,
            client: flow.key.named(client),
            server: flow.key.named(server),
            tunnel: details.tunnel,
            taps: taps.shown(details.tunnel, cold.taps, links),
            start: details.start,
            end: account.last,
            told: now,
            to_server,
            to_client,
            tcp: is_tcp.then(|| Tcp {
                state: flow.state().state(),
                handshake: details.handshake.behind_syn(details.handshake.ack),
                syn_ack: details.handshake.behind_syn(details.handshake.syn_ack),
                invalid: details.invalid,
            }),
            conn_state: conn_state::of(protocol, letters, packets),
            history: details.history(account, client),
            midstream: details.midstream,
            missing: flow.marks.missing().map(|side| match flow.client {
                as_told if as_told == client => side,
                _ => side.peer(),
            }),
            egress_only: flow.marks.has_said(Once::EgressOnly),
        };
        if let Phase::End(_) = phase {
            self.recorded.told += record.to_server.total.packets + record.to_client.total.packets;
            *account = Account::NONE;
        }
        Some(record)
    }
}
