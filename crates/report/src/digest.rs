//! What a run comes to, in bounded memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vtap_flow::record::Phase;
use vtap_flow::{Answer, Event, EventFlag, Gap, Record, Side};
use vtap_networks::{Description, End, FlowType};
use vtap_packet::Timestamp;

use crate::amounts::{Carried, Exchange, Failed, Named, Talker, Timing};
use crate::handshake::Failure;
use crate::notable::{Flow, Notable};
use crate::services::Service;
use crate::tally::{Amount, Tally};
use crate::timeline::{Step, Timeline};

/// Takes what a run tells, and keeps what its page shows.
///
/// Memory is bounded, whatever comes: of addresses, services and the like, [`KEPT`](Self::KEPT) are
/// sure to be told apart, and the rest is added up under "others", so that every table adds up to
/// the total.
#[derive(Debug)]
pub struct Digest {
    pub(crate) total: Exchange,
    pub(crate) midstream: u64,
    pub(crate) one_way: u64,
    pub(crate) talkers: Tally<IpAddr, Talker>,
    pub(crate) services: Tally<Service, Exchange>,
    pub(crate) pairs: Tally<Pair, Exchange>,
    pub(crate) paths: Tally<Option<Arc<str>>, Carried>,
    pub(crate) detours: Tally<Detour, Exchange>,
    flow_types: [Exchange; FLOW_TYPES.len()],
    pub(crate) failures: [u64; Failure::ALL.len()],
    pub(crate) attempts: Tally<Attempt, Failed>,
    pub(crate) timing: Tally<Service, Timing>,
    pub(crate) names: Tally<Arc<str>, Named>,
    pub(crate) notable: Notable,
    pub(crate) timeline: Timeline,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) unlisted_gaps: u64,
    /// Time of the first packet of a flow, and of the last.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

/// Who asks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    pub(crate) client: IpAddr,
    pub(crate) server: IpAddr,
}

/// A pair whose directions go different ways; `None` is the direct one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Detour {
    pub(crate) pair: Pair,
    pub(crate) to_server: Option<Arc<str>>,
    pub(crate) to_client: Option<Arc<str>>,
}

/// A handshake that failed: every one of the client with the same service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub(crate) failure: Failure,
    pub(crate) pair: Pair,
    pub(crate) service: Service,
}

/// The same of every client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) failure: Failure,
    pub(crate) server: IpAddr,
    pub(crate) service: Service,
}

/// How often, and how many clients it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    pub(crate) clients: u64,
    pub(crate) failed: Failed,
}

/// Every one, in the order of their table.
pub(crate) const FLOW_TYPES: [FlowType; 8] = [
    FlowType::IntraVNet,
    FlowType::InterVNet,
    FlowType::S2S,
    FlowType::P2S,
    FlowType::AzurePublic,
    FlowType::ExternalPublic,
    FlowType::UnknownPrivate,
    FlowType::Unknown,
];

impl Default for Digest {
    fn default() -> Self {
        Self {
            total: Exchange::default(),
            midstream: 0,
            one_way: 0,
            talkers: Tally::new(Self::KEPT),
            services: Tally::new(Self::KEPT),
            pairs: Tally::new(Self::KEPT),
            paths: Tally::new(Self::KEPT),
            detours: Tally::new(Self::KEPT),
            flow_types: [Exchange::default(); FLOW_TYPES.len()],
            failures: [0; Failure::ALL.len()],
            attempts: Tally::new(Self::KEPT),
            timing: Tally::new(Self::TIMED),
            names: Tally::new(Self::KEPT),
            notable: Notable::default(),
            timeline: Timeline::new(),
            gaps: Vec::new(),
            unlisted_gaps: 0,
            span: None,
        }
    }
}

impl Digest {
    /// Addresses, services, pairs and so on that are sure to be told apart; up to twice as many,
    /// every number is exact.
    pub const KEPT: usize = 4_096;

    /// Services whose handshake times are kept, as [`KEPT`](Self::KEPT).
    pub const TIMED: usize = 256;

    /// Gaps that are listed one by one.
    pub const GAPS: usize = 100;

    /// Flows that are listed one by one.
    pub const FLOWS: usize = Notable::LISTED;

    /// What a record tells was sent since the one before, which is five minutes old at most.
    const SINCE: Duration = Duration::from_secs(300);

    /// Takes one event: of INVALID segments the time.
    pub fn event(&mut self, event: &Event) {
        if event.flag == EventFlag::Invalid {
            self.timeline.at(event.time).invalid += event.suppressed.max(1);
        }
    }

    /// Takes a gap of a mirror.
    pub fn gap(&mut self, gap: &Gap) {
        if self.gaps.len() < Self::GAPS {
            self.gaps.push(*gap);
        } else {
            self.unlisted_gaps += 1;
        }
    }

    /// Takes the names that a DNS response gives to addresses.
    pub fn answer(&mut self, answer: &Answer) {
        let addresses = answer.addresses.iter().map(|(address, _)| *address).collect();
        let named = Named { answers: 1, addresses, ..Named::default() };
        self.names.add(Arc::from(&*answer.name), &named);
    }

    /// Takes what is told of a flow, and of its addresses.
    pub fn record(&mut self, record: &Record, description: &Description) {
        self.place_in_time(record);
        let Phase::End(_) = record.phase else { return };

        let failure = Failure::of(record);
        let exchange = Exchange::of(record, failure);
        let pair = Pair { client: record.client.ip(), server: record.server.ip() };
        let service = Service { protocol: record.protocol, port: record.server.port() };
        self.total.absorb(&exchange);
        self.midstream += u64::from(record.midstream);
        self.one_way += u64::from(record.missing.is_some());
        self.services.add(service, &exchange);
        self.pairs.add(pair, &exchange);
        if let Some(sum) = self.flow_types.get_mut(place_of(description.flow_type)) {
            sum.absorb(&exchange);
        }
        self.count_talkers(record, description);
        self.count_paths(pair, record, description, &exchange);
        self.count_handshake(pair, service, record, failure);
        if let Some(name) = &description.server.name {
            let flows = Named { flows: 1, bytes: exchange.bytes(), ..Named::default() };
            self.names.add(name.clone(), &flows);
        }
        self.notable.offer(Flow {
            record: record.clone(),
            description: description.clone(),
            failure,
        });
    }

    /// Flows by the kinds of networks they connect; those that there are.
    pub(crate) fn flow_types(&self) -> impl Iterator<Item = (FlowType, &Exchange)> {
        FLOW_TYPES.into_iter().zip(&self.flow_types).filter(|(_, sum)| sum.flows > 0)
    }

    /// Failures by kind and by the server that was asked, the most frequent first.
    pub(crate) fn failures_by_server(&self) -> Vec<(Asked, Refusals)> {
        let mut by_server = BTreeMap::<Asked, Refusals>::new();
        for (attempt, failed) in self.attempts.ranked() {
            let Attempt { failure, pair, service } = *attempt;
            let sum = by_server.entry(Asked { failure, server: pair.server, service }).or_default();
            sum.clients += 1;
            sum.failed.absorb(failed);
        }
        let mut by_server: Vec<_> = by_server.into_iter().collect();
        by_server.sort_by_key(|(_, sum)| Reverse(sum.failed.count));
        by_server
    }

    fn place_in_time(&mut self, record: &Record) {
        let (first, last) = self.span.unwrap_or((record.start, record.end));
        self.span = Some((first.min(record.start), last.max(record.end)));

        let bytes = Step {
            to_server: record.to_server.since.bytes,
            to_client: record.to_client.since.bytes,
            ..Step::default()
        };
        let earliest = record.end.nanos().saturating_sub(Self::SINCE.as_secs() * 1_000_000_000);
        let from = record.start.max(Timestamp::from_nanos(earliest));
        if bytes != Step::default() {
            self.timeline.spread(from, record.end, bytes);
        }
        if let Phase::End(_) = record.phase {
            let step = self.timeline.at(record.start);
            step.flows += 1;
            step.failed += u64::from(Failure::of(record).is_some());
        }
    }

    fn count_talkers(&mut self, record: &Record, description: &Description) {
        let [up, down] = [&record.to_server.total, &record.to_client.total];
        let talker = |end: &End, sent, received| Talker {
            flows: 1,
            packets: up.packets + down.packets,
            sent,
            received,
            name: called(end),
            place: place(end),
        };
        let client = talker(&description.client, up.bytes, down.bytes);
        let server = talker(&description.server, down.bytes, up.bytes);
        self.talkers.add(record.client.ip(), &client);
        self.talkers.add(record.server.ip(), &server);
    }

    fn count_paths(
        &mut self,
        pair: Pair,
        record: &Record,
        description: &Description,
        exchange: &Exchange,
    ) {
        let [up, down] = [&record.to_server.total, &record.to_client.total];
        let to_server = Carried { packets: up.packets, to_server: up.bytes, to_client: 0 };
        let to_client = Carried { packets: down.packets, to_server: 0, to_client: down.bytes };
        for (way, carried) in
            [(&description.to_server, to_server), (&description.to_client, to_client)]
        {
            if carried.packets > 0 {
                self.paths.add(way.via.clone(), &carried);
            }
        }
        if description.asymmetric_path {
            let detour = Detour {
                pair,
                to_server: description.to_server.via.clone(),
                to_client: description.to_client.via.clone(),
            };
            self.detours.add(detour, exchange);
        }
    }

    fn count_handshake(
        &mut self,
        pair: Pair,
        service: Service,
        record: &Record,
        failure: Option<Failure>,
    ) {
        if let Some(failure) = failure {
            if let Some(count) = self.failures.get_mut(failure as usize) {
                *count += 1;
            }
            let failed = Failed { count: 1, span: Some((record.start, record.start)) };
            self.attempts.add(Attempt { failure, pair, service }, &failed);
        }
        let Some(tcp) = record.tcp else { return };
        if tcp.syn_ack.is_none() && tcp.handshake.is_none() {
            return;
        }
        self.timing.at(service, |timing| {
            tcp.syn_ack.into_iter().for_each(|span| timing.syn_ack.add(span));
            tcp.handshake.into_iter().for_each(|span| timing.handshake.add(span));
        });
    }
}

fn place_of(flow_type: FlowType) -> usize {
    FLOW_TYPES.iter().position(|known| *known == flow_type).unwrap_or(FLOW_TYPES.len() - 1)
}

/// A name of the traffic, or what the platform uses the address for.
pub(crate) fn called(end: &End) -> Option<Arc<str>> {
    end.name.clone().or_else(|| end.label.map(Arc::from))
}

/// The subnet and its network, as far as they are known.
pub(crate) fn place(end: &End) -> Option<Arc<str>> {
    match (&end.vnet, &end.subnet) {
        (Some(vnet), Some(subnet)) => Some(Arc::from(format!("{vnet}/{subnet}"))),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => end.on_premises.then(|| Arc::from("on premises")),
    }
}

/// Whose packets are missing, in words.
pub(crate) const fn unseen(side: Side) -> &'static str {
    match side {
        Side::Client => "client unseen",
        Side::Server => "server unseen",
    }
}

#[cfg(test)]
mod tests {
    use vtap_flow::record::{ConnState, Ending};
    use vtap_networks::Way;

    use super::*;
    use crate::sample;

    fn via(to_server: Option<&str>, to_client: Option<&str>) -> Description {
        let way = |name: Option<&str>| Way { via: name.map(Arc::from) };
        Description {
            to_server: way(to_server),
            to_client: way(to_client),
            asymmetric_path: to_server != to_client,
            ..Description::default()
        }
    }

    #[test]
    fn every_table_adds_up_to_the_total() {
        let mut digest = Digest::default();
        for n in 0..20_000_u64 {
            let client = format!("10.{}.{}.{}:4000", n % 7, n / 250 % 250, n % 250);
            let server = format!("10.9.0.{}:{}", n % 9, 1 + n % 50_000);
            let mut record = sample::tcp(n, &client, &server);
            record.to_client.total.bytes = n;
            let gateway = format!("gw-{}", n % 5);
            digest.record(&record, &via(Some(&gateway), None));
        }
        let total = digest.total;
        assert_eq!(total.flows, 20_000);
        assert_eq!(total.to_server, 20_000 * 1_000);
        assert_eq!(total.to_client, (0..20_000).sum::<u64>());

        let sum = |listed: Vec<Exchange>, others: &Exchange| {
            let mut sum = *others;
            listed.iter().for_each(|one| sum.absorb(one));
            sum
        };
        let services = digest.services.ranked().into_iter().map(|(_, one)| *one).collect();
        assert_eq!(sum(services, digest.services.others()), total);
        assert!(digest.services.let_go() > 0);
        let pairs = digest.pairs.ranked().into_iter().map(|(_, one)| *one).collect();
        assert_eq!(sum(pairs, digest.pairs.others()), total);
        let types = digest.flow_types().map(|(_, one)| *one).collect();
        assert_eq!(sum(types, &Exchange::default()), total);

        let talkers = digest.talkers.ranked().into_iter().map(|(_, one)| one.sent);
        assert_eq!(talkers.sum::<u64>() + digest.talkers.others().sent, total.bytes());
        let paths = digest.paths.ranked().into_iter().map(|(_, one)| one.bytes());
        assert_eq!(paths.sum::<u64>() + digest.paths.others().bytes(), total.bytes());
    }

    #[test]
    fn bytes_of_a_long_flow_are_counted_once_and_placed_as_they_come() {
        let mut digest = Digest::default();
        let mut record = sample::tcp(1, "10.0.0.1:4000", "10.0.0.2:443");
        let description = Description::default();
        record.phase = Phase::Begin;
        record.to_server.since.bytes = 0;
        record.to_client.since.bytes = 0;
        digest.record(&record, &description);
        record.phase = Phase::Continue;
        record.end = record.start + Duration::from_secs(300);
        record.to_client.since.bytes = 20_000;
        digest.record(&record, &description);
        record.phase = Phase::End(Ending::Fin);
        record.end = record.start + Duration::from_secs(600);
        record.to_client.since.bytes = 10_000;
        digest.record(&record, &description);

        assert_eq!((digest.total.flows, digest.total.to_client), (1, 30_000));
        let steps = digest.timeline.steps();
        let half = record.start + Duration::from_secs(300);
        let early: u64 =
            steps.iter().filter(|(time, _)| *time < half).map(|(_, step)| step.to_client).sum();
        let all: u64 = steps.iter().map(|(_, step)| step.to_client).sum();
        assert_eq!(all, 30_000);
        assert!((19_000..=20_500).contains(&early), "{early}");
    }

    #[test]
    fn each_direction_counts_for_the_way_it_takes() {
        let mut digest = Digest::default();
        let record = sample::tcp(1, "10.0.0.1:4000", "10.0.0.2:443");
        digest.record(&record, &via(Some("firewall"), Some("vpn-gw")));
        let paths: Vec<_> =
            digest.paths.ranked().into_iter().map(|(via, one)| (via.as_deref(), *one)).collect();
        let expected = [
            (Some("vpn-gw"), Carried { packets: 20, to_server: 0, to_client: 30_000 }),
            (Some("firewall"), Carried { packets: 10, to_server: 1_000, to_client: 0 }),
        ];
        assert_eq!(paths, expected);
        assert_eq!(digest.detours.len(), 1);
    }

    #[test]
    fn failures_are_counted_by_kind_and_by_who_met_whom() {
        let mut digest = Digest::default();
        for packet in 1..=3 {
            let mut record = sample::tcp(packet, "10.0.0.1:4000", "10.0.0.2:443");
            record.conn_state = ConnState::S0;
            digest.record(&record, &Description::default());
        }
        let mut record = sample::tcp(9, "10.0.0.1:4000", "10.0.0.2:22");
        record.conn_state = ConnState::Rej;
        digest.record(&record, &Description::default());

        assert_eq!(digest.failures, [3, 1, 0, 0, 0]);
        assert_eq!((digest.total.tried, digest.total.failed), (4, 4));
        let ranked = digest.attempts.ranked();
        let (attempt, failed) = ranked[0];
        assert_eq!((attempt.service.port, failed.count), (443, 3));
        let (first, last) = failed.span.unwrap();
        assert_eq!(last.since(first), Duration::from_secs(2));
    }

    #[test]
    fn a_name_has_the_flows_to_it_and_the_answers_that_gave_it() {
        let mut digest = Digest::default();
        let answer = Answer {
            time: Timestamp::EPOCH,
            name: "db.example.net".into(),
            aliases: Vec::new(),
            addresses: (0..6).map(|n| (IpAddr::from([10, 0, 0, n]), 60)).collect(),
        };
        digest.answer(&answer);
        let record = sample::tcp(1, "10.0.0.1:4000", "10.0.0.2:443");
        digest.record(&record, &sample::named("db.example.net"));
        let ranked = digest.names.ranked();
        let (name, named) = ranked[0];
        assert_eq!(&**name, "db.example.net");
        assert_eq!((named.answers, named.flows, named.bytes), (1, 1, 31_000));
        assert_eq!((named.addresses.len(), named.and_more), (4, true));
    }
}
