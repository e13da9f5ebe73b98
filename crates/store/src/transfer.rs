//! One file to the store, in bounded memory, and the check that it is there.
//!
//! A file of up to one block is put whole. A larger one goes in blocks that are read from the disk
//! when a request is free, and appears when the last is committed. What a broken upload has left
//! there is no object: Azure forgets uncommitted blocks after a week; on S3 and Google Cloud
//! Storage they are given up at once, or by a rule of the bucket if the process is killed.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path as ObjectPath;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, PutResult};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::failure::{self, Cause};
use crate::scan::Stamp;

/// Bytes of a block, and the largest file that is put whole. S3 takes none under 5 MiB.
pub(crate) const BLOCK: u64 = 8 << 20;

/// Blocks of one object that every store takes: S3 and Google Cloud Storage no more, Azure 50,000.
const BLOCKS: u64 = 10_000;

/// Time for giving up what was uploaded of a file that failed.
const ABORT: Duration = Duration::from_secs(5);

/// Why a file did not go: what it means, and what was said.
#[derive(Debug)]
pub(crate) struct Trouble(pub(crate) Cause, pub(crate) String);

impl From<object_store::Error> for Trouble {
    fn from(error: object_store::Error) -> Self {
        let (cause, said) = failure::read(&error);
        Self(cause, said)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let gone = error.kind() == io::ErrorKind::NotFound;
        Self(if gone { Cause::Gone } else { Cause::Unreadable }, error.to_string())
    }
}

/// Uploads a file; says which bytes the store has now.
///
/// A request has a permit of `requests` while it holds a block.
pub(crate) async fn send(
    store: &dyn ObjectStore,
    object: &ObjectPath,
    path: &Path,
    requests: &Arc<Semaphore>,
) -> Result<Stamp, Trouble> {
    let not_a_link = i32::from_ne_bytes(rustix::fs::OFlags::NOFOLLOW.bits().to_ne_bytes());
    let mut file = File::options().read(true).custom_flags(not_a_link).open(path)?;
    // From here on it is this file, whatever takes its name.
    let stamp = Stamp::of(&file.metadata()?);
    let put = if stamp.bytes <= BLOCK {
        let _request = requests.acquire().await;
        let bytes = read(&mut file, stamp.bytes)?;
        store.put(object, bytes).await?
    } else {
        let upload = store.put_multipart(object).await?;
        blocks(upload, &mut file, stamp.bytes, requests).await?
    };
    // One that is written to in place is none of ours; it goes again as it will be.
    if Stamp::of(&file.metadata()?) != stamp {
        return Err(Trouble(Cause::Changed, "it was written to while it was read".into()));
    }
    verify(store, object, stamp.bytes, put).await?;
    Ok(stamp)
}

async fn blocks(
    mut upload: Box<dyn MultipartUpload>,
    file: &mut File,
    bytes: u64,
    requests: &Arc<Semaphore>,
) -> Result<PutResult, Trouble> {
    let sent = all_blocks(&mut *upload, file, bytes, requests).await;
    let done = match sent {
        Ok(()) => upload.complete().await.map_err(Trouble::from),
        Err(trouble) => Err(trouble),
    };
    if done.is_err() {
        // If that fails, too, the store's own rule does it.
        let _ = timeout(ABORT, upload.abort()).await;
    }
    done
}

async fn all_blocks(
    upload: &mut dyn MultipartUpload,
    file: &mut File,
    bytes: u64,
    requests: &Arc<Semaphore>,
) -> Result<(), Trouble> {
    let block = BLOCK.max(bytes.div_ceil(BLOCKS).next_multiple_of(1 << 20));
    let mut under_way = JoinSet::new();
    let mut left = bytes;
    while left > 0 {
        let request = Arc::clone(requests).acquire_owned().await;
        let next = left.min(block);
        let part = upload.put_part(read(file, next)?);
        left -= next;
        under_way.spawn(async move {
            let done = part.await;
            drop(request);
            done
        });
        while let Some(done) = under_way.try_join_next() {
            done.map_err(lost)??;
        }
    }
    while let Some(done) = under_way.join_next().await {
        done.map_err(lost)??;
    }
    Ok(())
}

/// A task that ended without an answer.
fn lost(error: tokio::task::JoinError) -> Trouble {
    Trouble(Cause::Changed, error.to_string())
}

fn read(file: &mut File, bytes: u64) -> Result<PutPayload, Trouble> {
    let mut block = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    let read = file.take(bytes).read_to_end(&mut block)?;
    if read as u64 != bytes {
        return Err(Trouble(Cause::Changed, "it became shorter while it was read".into()));
    }
    Ok(block.into())
}

/// Asks the store for the object: its size, and its tag where both answers have one.
async fn verify(
    store: &dyn ObjectStore,
    object: &ObjectPath,
    bytes: u64,
    put: PutResult,
) -> Result<(), Trouble> {
    let shown = match store.head(object).await {
        Err(object_store::Error::NotFound { .. }) => {
            return Err(Trouble(Cause::Mismatch, "it was taken, and is not there".into()));
        }
        shown => shown?,
    };
    if shown.size != bytes {
        let said = format!("it was taken with {bytes} bytes, and has {}", shown.size);
        return Err(Trouble(Cause::Mismatch, said));
    }
    match (put.e_tag, shown.e_tag) {
        (Some(put), Some(shown)) if put != shown => {
            Err(Trouble(Cause::Mismatch, format!("it was taken as {put}, and is {shown}")))
        }
        _ => Ok(()),
    }
}
