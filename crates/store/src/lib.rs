//! Complete files to an object store: Azure Blob Storage first, S3 and Google Cloud Storage too.
//!
//! Writers of this workspace give a file its name once it is complete ([`vtap_files`]). So the
//! directory they write to is the spool: files wait there while the store is away, through restarts,
//! and a file is removed only after the store has acknowledged its bytes and shown an object of that
//! size. A crash between the two uploads the same bytes under the same name again. An object is
//! never partial: small ones are put whole, large ones appear when their last block is committed.
//!
//! ```text
//! directory -> scan -> queue -> transfer -> store
//!                        ^          |
//!                        +-- done --+-> remove, or remember in the journal
//! ```
//!
//! | in reading order | holds |
//! |---|---|
//! | [`config`] | [`Config`]: which directories, what becomes of files, how much at once |
//! | [`destination`] | [`Destination`]: a store, opened by URL and [`Credentials`] |
//! | [`uploader`] | [`Uploader`]: one thread that does it all; counters, health, drain |
//! | `queue` | which file is next, and when: order, time-outs, the gate while the store is away |
//! | `scan` | complete files below a directory |
//! | `transfer` | one file to the store, in bounded memory, and the check that it is there |
//! | `journal` | what went, where files stay |
//! | [`counters`], [`health`] | what became of files, and what somebody should hear of |
//! | [`error`], `failure` | what failed, in which object of which store, and what to do |
//!
//! Never here: a look into a file, a file that is not complete, a secret in a message.

#![forbid(unsafe_code)]

pub mod config;
pub mod counters;
pub mod destination;
pub mod error;
mod failure;
pub mod health;
mod journal;
mod queue;
mod scan;
mod transfer;
pub mod uploader;

pub use config::{After, Config, Spool};
pub use counters::Counters;
pub use destination::{Credentials, Destination};
pub use error::Error;
pub use health::Health;
pub use uploader::{Left, Uploader};

/// Says what time it is, by the wall clock.
pub type Now = fn() -> vtap_packet::Timestamp;
