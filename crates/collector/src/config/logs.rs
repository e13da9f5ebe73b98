//! What is written of flows, and what goes to a store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vtap_export::Format;
use vtap_files::Rotation;
use vtap_flowlog::{Ids, Interval, analytics, vnet};

use super::Config;

/// `[flows]`: where rows of flows go.
#[derive(Clone, Debug, PartialEq)]
pub struct Flows {
    /// The directory for their files; none are written without one.
    pub directory: Option<PathBuf>,
    /// Their form: JSON lines or text.
    pub format: Format,
    /// When another file begins, and which stay.
    pub rotation: Rotation,
    /// What is told of flows and waits for all of their logs at most.
    pub queue: usize,
}

/// `[vnet_flow_log]`: where the flow log of a virtual network goes, and in whose name.
#[derive(Clone, Debug, PartialEq)]
pub struct VnetFlowLog {
    /// The directory for it; none is written without one.
    pub directory: Option<PathBuf>,
    /// In whose name it is written, as are traffic analytics.
    pub ids: Ids,
}

/// `[traffic_analytics]`: where sums of flows go.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficAnalytics {
    /// The directory for them; none are written without one.
    pub directory: Option<PathBuf>,
    /// Over how long flows are summed up.
    pub interval: Interval,
}

/// `[upload]`: where complete files go.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    /// The store; nothing goes without one.
    pub url: Option<String>,
    /// The file with credentials.
    pub credentials_file: Option<PathBuf>,
    /// What becomes of a file once the store has it.
    pub after: After,
    /// How long a file that grows under its name rests between two uploads.
    pub refresh: Duration,
    /// Requests at the same time.
    pub parallel: usize,
    /// How long a file stays for sure.
    pub remove_after: Duration,
    /// How often the directories are looked at.
    pub scan_every: Duration,
    /// How long files may still go at the end.
    pub drain: Duration,
}

/// What becomes of a file once the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is removed.
    Remove,
    /// It stays.
    Keep,
}

/// A directory whose complete files go to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// The key that names it.
    pub key: &'static str,
    /// The directory.
    pub directory: PathBuf,
    /// What stands before the path of a file below it, in the store.
    pub prefix: &'static str,
}

impl Config {
    /// Whether anything is written of flows as a whole.
    pub const fn tells_flows(&self) -> bool {
        self.flows.directory.is_some()
            || self.vnet_flow_log.directory.is_some()
            || self.traffic_analytics.directory.is_some()
    }

    /// Directories that are written to.
    pub fn outputs(&self) -> impl Iterator<Item = &PathBuf> {
        let Self { events, flows, vnet_flow_log, traffic_analytics, record, .. } = self;
        let all = [
            &events.directory,
            &flows.directory,
            &vnet_flow_log.directory,
            &traffic_analytics.directory,
            &record.directory,
        ];
        all.into_iter().flatten()
    }

    /// Directories whose complete files go to the store.
    pub fn spools(&self) -> Vec<Spool> {
        let Self { events, flows, vnet_flow_log, traffic_analytics, record, .. } = self;
        let below = |directory: &Option<PathBuf>, name: &str| {
            directory.as_ref().map(|directory| directory.join(name))
        };
        let vnet = below(&vnet_flow_log.directory, vnet::DIRECTORY);
        let sums = below(&traffic_analytics.directory, analytics::DIRECTORY);
        let all = [
            ("events.directory", events.directory.clone(), "events"),
            ("flows.directory", flows.directory.clone(), "flows"),
            // Its own folders begin with that of the cloud's container.
            ("vnet_flow_log.directory", vnet, ""),
            ("traffic_analytics.directory", sums, "traffic-analytics"),
            ("record.directory", record.directory.clone(), "captures"),
        ];
        let spool = |(key, directory, prefix)| Some(Spool { key, directory: directory?, prefix });
        all.into_iter().filter_map(spool).collect()
    }

    /// Whether files are removed once they are uploaded.
    pub(super) fn upload_removes(&self) -> bool {
        self.upload.url.is_some() && self.upload.after == After::Remove
    }

    /// What keeps files from being uploaded, each once and before it is removed.
    pub(super) fn upload_conflict(&self) -> Option<String> {
        self.upload.url.as_ref()?;
        self.nested().or_else(|| self.limited())
    }

    /// A directory that goes and lies in another, which would go twice.
    fn nested(&self) -> Option<String> {
        let spools = self.spools();
        let lies_in = |inner: &Spool, outer: &Spool| {
            inner.key != outer.key && plain(&inner.directory).starts_with(plain(&outer.directory))
        };
        let pairs = spools.iter().flat_map(|inner| spools.iter().map(move |outer| (inner, outer)));
        let (inner, outer) = pairs.into_iter().find(|(inner, outer)| lies_in(inner, outer))?;
        Some(format!(
            "{} of {} lies in {} of {}, and its files would go twice; give each a directory of its \
             own, as /var/log/vtap/events and /var/log/vtap/flows",
            inner.directory.display(),
            inner.key,
            outer.directory.display(),
            outer.key
        ))
    }

    /// Limits that remove files whether they went or not.
    fn limited(&self) -> Option<String> {
        let Self { events, flows, record, .. } = self;
        if !self.upload_removes() {
            return None;
        }
        let limits = [
            ("events.keep", events.directory.is_some() && events.rotation.keep.is_some()),
            ("flows.keep", flows.directory.is_some() && flows.rotation.keep.is_some()),
            ("record.file_count", record.directory.is_some() && record.file_count.is_some()),
        ];
        let set: Vec<_> =
            limits.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
        (!set.is_empty()).then(|| {
            let keys = set.join(" and ");
            format!(
                "{keys} would remove files before the store has them; set {keys} to 0 (uploads \
                 remove files, min_free guards the disk), or upload.after to \"keep\""
            )
        })
    }
}

/// A path without what says nothing, for comparing.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}
