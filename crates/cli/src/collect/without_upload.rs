//! Where uploads are not built in: whoever asks for them is told so.

use vtap_collector::config::Config;
use vtap_collector::privileges::Reach;
use vtap_collector::{Uploads, uploads};

use super::outside::Signals;

/// There is none.
pub(super) enum Store {}

/// There is none.
pub(super) enum Uploading {}

pub(super) fn open(config: &Config) -> anyhow::Result<Option<Store>> {
    match &config.upload.url {
        None => Ok(None),
        Some(url) => anyhow::bail!(
            "upload.url = \"{url}\": this vtap is built without uploads; build it with \
             --features upload, or leave the URL empty"
        ),
    }
}

impl Store {
    pub(super) fn keep(&self, _reach: &mut Reach) {
        match *self {}
    }

    pub(super) fn start(self, _config: &Config) -> anyhow::Result<Uploading> {
        match self {}
    }
}

impl Uploading {
    pub(super) fn counters(&self) -> Uploads {
        match *self {}
    }

    pub(super) fn tell(&self) {
        match *self {}
    }

    pub(super) fn drain(&self, _signals: &Signals) -> uploads::Counters {
        match *self {}
    }
}
