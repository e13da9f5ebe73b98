//! A collector: live sources on one end, files of events and flows on the other, for months.
//!
//! Each source has a thread of its own that runs the whole belt (capture, decapsulation, tracking)
//! and never waits for anything but packets. What it has to say goes through bounded queues to the
//! threads that write, one for events and one for flows; where a queue is full, rows are dropped and
//! counted, and the ring is read on.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`config`] | [`Config`]: what a collector can be told |
//! | [`collector`] | [`Collector`]: the threads, from start to the last row |
//! | `worker` | the loop of one source |
//! | `ends`, `queue`, `writers` | the belt's ends of the queues; bounded queues; the threads behind them |
//! | [`rows`], [`places`] | [`Rows`]: where rows of events go; the streams and files that they are written to |
//! | [`flows`], [`flow_logs`] | [`Flows`](flows::Flows): where what is told of flows goes; [`FlowLogs`]: the logs made of it |
//! | [`uploads`] | what is told of uploads, which others do |
//! | [`accounting`] | [`Accounting`]: what every layer saw and dropped, and the laws between them |
//! | [`watch`] | [`Watch`]: what can be asked of a collector that runs, from any thread |
//! | [`layers`] | the places that packets and rows pass, and what mends a drop at each |
//! | [`table`] | [`Table`]: the counters for people; a line for the log |
//! | [`metrics`] | the counters for Prometheus |
//! | [`http`] | [`http::Server`]: `/metrics` and `/healthz` |
//! | [`host`] | counters of the machine: network cards, the kernel's backlog, this process |
//! | [`privileges`] | what the process may do once everything is open |
//! | [`service`] | word to the service manager: ready, alive, stopping |
//!
//! Nothing here reads a clock, the time-outs of [`http`] aside: what needs the time is given [`Now`].

#![forbid(unsafe_code)]

pub mod accounting;
pub mod collector;
pub mod config;
mod ends;
pub mod flow_logs;
pub mod flows;
pub mod host;
pub mod http;
pub mod layers;
pub mod metrics;
pub mod places;
pub mod privileges;
mod queue;
pub mod rows;
pub mod service;
pub mod table;
pub mod uploads;
pub mod watch;
mod worker;
mod writers;

pub use accounting::Accounting;
pub use collector::{Collector, Ended, Setup, Tuning};
pub use config::Config;
pub use flow_logs::FlowLogs;
pub use rows::Rows;
pub use table::Table;
pub use uploads::Uploads;
pub use watch::Watch;

/// Reads the wall clock.
pub type Now = fn() -> vtap_packet::Timestamp;
