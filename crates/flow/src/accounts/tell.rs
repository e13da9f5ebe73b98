//! From what was counted of a flow to its [`Record`].

use vtap_packet::{Protocol, Timestamp};

use super::Accounts;
use crate::account::Account;
use crate::cold::Cold;
use crate::conn_state;
use crate::details::{Macs, Moment};
use crate::flow::Flow;
use crate::key::End;
use crate::record::{Half, Link, Phase, Record, Tcp, Traffic};
use crate::sight::TapId;
use crate::sink::Sink;
use crate::taps::Taps;
use crate::trace::Once;

impl Accounts {
    /// Tells what there is to tell; nothing of a flow that goes on but was quiet.
    pub(super) fn tell<S: Sink>(
        &mut self,
        at: u32,
        now: Timestamp,
        phase: Phase,
        (flow, cold, taps): (&Flow, &Cold, &Taps),
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Some((account, details)) = self.places.entry(at) else { return Ok(()) };
        details.told_at = Moment::at(now);
        let mut counted = details.moved();
        account.add_to(&mut counted);
        let half = |end: End| {
            let [total, told] = [counted.totals, counted.told].map(|both| end.of(both));
            let since = if phase == Phase::Begin { Traffic::default() } else { total.beyond(told) };
            let macs = end.of(details.macs);
            let link = macs.map(|Macs { dst, src, tap }| Link {
                src,
                dst,
                tap: taps.get(tap).and_then(|tap| tap.address),
            });
            let flags = account.half(end).flags;
            Half { total, since, retransmissions: end.of(counted.retransmissions), flags, link }
        };
        // Who is who stays as it was told before.
        let client = *details.client.get_or_insert(flow.client);
        let server = client.other();
        let (to_server, to_client) = (half(client), half(server));
        let links = details.macs.map(|macs| macs.map_or(TapId::NONE, |macs| macs.tap));
        let quiet = [&to_server, &to_client].iter().all(|half| half.since.packets == 0);
        if phase == Phase::Continue && quiet {
            return Ok(());
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
        match phase {
            Phase::Begin => {}
            Phase::Continue => {
                let moved = details.moved_mut();
                account.move_to(moved);
                moved.told = moved.totals;
            }
            Phase::End(_) => {
                self.recorded.told +=
                    record.to_server.total.packets + record.to_client.total.packets;
                *account = Account::NONE;
            }
        }
        sink.record(&record)
    }
}
