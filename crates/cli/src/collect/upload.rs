//! Complete files to a store, while the collector runs and for a while after.

use std::sync::Arc;
use std::time::Duration;

use vtap_collector::config::{self, Config, Upload};
use vtap_collector::privileges::Reach;
use vtap_collector::{Uploads, uploads};
use vtap_export::report::{count, size};
use vtap_packet::Timestamp;
use vtap_store::{After, Credentials, Destination, Health, Spool, Uploader};

use super::now;
use super::outside::Signals;

/// How often it is looked whether it shall end at once.
const LOOK: Duration = Duration::from_secs(1);

/// A store that nothing has been sent to yet.
pub(super) struct Store(Destination);

/// Uploads that go on.
pub(super) struct Uploading {
    uploader: Arc<Uploader>,
    drain: Duration,
}

/// Opens the store, where there is one: credentials may be out of reach later.
pub(super) fn open(config: &Config) -> anyhow::Result<Option<Store>> {
    let Upload { url: Some(url), credentials_file, .. } = &config.upload else { return Ok(None) };
    let credentials = match credentials_file {
        Some(file) => Credentials::from_env().with_file(file)?,
        None => Credentials::from_env(),
    };
    Ok(Some(Store(Destination::open(url, &credentials)?)))
}

impl Store {
    /// Keeps within reach what uploads take.
    pub(super) fn keep(&self, reach: &mut Reach) {
        match self.0.directory() {
            Some(directory) => reach.write.push(directory.to_owned()),
            None => reach.resolve_names(),
        }
    }

    /// Begins with what is in the directories, which have to be there.
    pub(super) fn start(self, config: &Config) -> anyhow::Result<Uploading> {
        let upload = &config.upload;
        let spools = config.spools().into_iter();
        let spools = spools.map(|config::Spool { directory, prefix, .. }| Spool {
            directory,
            prefix: prefix.to_owned(),
        });
        let settings = vtap_store::Config {
            spools: spools.collect(),
            after: match upload.after {
                config::After::Remove => After::Remove,
                config::After::Keep => After::Keep,
            },
            refresh: upload.refresh,
            parallel: upload.parallel,
            remove_after: upload.remove_after,
            scan_every: upload.scan_every,
        };
        if settings.spools.is_empty() {
            tracing::warn!("nothing is uploaded, as nothing is written to a directory");
        }
        let uploader = Arc::new(Uploader::start(self.0, settings, now)?);
        Ok(Uploading { uploader, drain: upload.drain })
    }
}

impl Uploading {
    /// For whoever tells of them.
    pub(super) fn counters(&self) -> Uploads {
        let uploader = Arc::clone(&self.uploader);
        Uploads::new(move || counted(&uploader))
    }

    /// Logs what has gone wrong, and right again.
    pub(super) fn tell(&self) {
        while let Some(health) = self.uploader.health() {
            match health {
                Health::Failing(error) => tracing::error!("{error}; files wait on the disk"),
                Health::Recovered => tracing::warn!("the store takes files again"),
                Health::Refused(error) => tracing::warn!("{error}; it is tried again"),
                Health::Vanished(path) => {
                    tracing::error!("{}: removed before the store had it", path.display());
                }
                Health::Disk(error) => tracing::error!("{error}; it is tried again"),
            }
        }
    }

    /// Waits until all has gone, or the time for it is over, or somebody asks again to end. Says what
    /// became of files.
    pub(super) fn drain(&self, signals: &Signals) -> uploads::Counters {
        signals.forget_stop();
        let by: Timestamp = now() + self.drain;
        let pending = self.uploader.drain(LOOK.min(self.drain));
        if pending.files > 0 && !self.drain.is_zero() {
            eprintln!(
                "vtap: uploading {} files, for {} s at most; another signal ends it at once",
                count(pending.files),
                self.drain.as_secs()
            );
        }
        let mut left = pending;
        while left.files > 0 && now() < by && !signals.stop() {
            left = self.uploader.drain(LOOK.min(by.since(now())));
            self.tell();
        }
        self.tell();
        if left.files > 0 {
            let (files, bytes) = (count(left.files), size(left.bytes));
            eprintln!(
                "vtap: {files} files, {bytes}, are not uploaded; they go after the next start"
            );
        }
        counted(&self.uploader)
    }
}

fn counted(uploader: &Uploader) -> uploads::Counters {
    let counters = uploader.counters();
    uploads::Counters {
        uploaded: counters.uploaded,
        bytes: counters.bytes,
        failed: counters.failed,
        removed: counters.removed,
        vanished: counters.vanished,
        pending_files: counters.pending_files,
        pending_bytes: counters.pending_bytes,
        oldest_pending: counters.oldest_pending,
        unnameable: counters.unnameable,
    }
}
