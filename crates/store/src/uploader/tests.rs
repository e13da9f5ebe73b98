use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;

use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use vtap_files::Partial;
use vtap_packet::Timestamp;

use super::*;
use crate::Spool;

/// A store in memory that fails as it is told.
#[derive(Debug, Default)]
struct Faulty {
    inner: InMemory,
    /// Puts to come that are acknowledged and forgotten.
    forgotten: AtomicU32,
    /// Puts to come that are cut short.
    cut: AtomicU32,
    /// Puts to come that fail.
    failing: AtomicU32,
}

fn takes(faults: &AtomicU32) -> bool {
    faults.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &ObjectPath,
        payload: PutPayload,
        options: PutOptions,
    ) -> StoreResult<PutResult> {
        if takes(&self.failing) {
            let source = "status code: 503 Service Unavailable: <Code>ServerBusy</Code>".into();
            return Err(object_store::Error::Generic { store: "test", source });
        }
        if takes(&self.forgotten) {
            return InMemory::new().put_opts(location, payload, options).await;
        }
        if takes(&self.cut) {
            return self.inner.put_opts(location, "cut".into(), options).await;
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &ObjectPath, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<ObjectPath>>,
    ) -> BoxStream<'static, StoreResult<ObjectPath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &ObjectPath,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "files have the time of the machine")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::new(since.as_secs(), since.subsec_nanos().into())
}

fn start(store: &Arc<Faulty>, directories: &[&Path]) -> Result<Uploader, Error> {
    let spool =
        |directory: &&Path| Spool { directory: directory.to_path_buf(), prefix: String::new() };
    let spools = directories.iter().map(spool).collect();
    let scan_every = Duration::from_millis(20);
    let remove_after = Duration::ZERO;
    let config = Config { spools, scan_every, remove_after, ..Config::default() };
    let store: Arc<dyn ObjectStore> = Arc::<Faulty>::clone(store);
    Uploader::start(Destination::test(store), config, now)
}

fn write(path: &Path, bytes: &[u8]) {
    let mut file = Partial::create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.finish().unwrap();
}

fn told(uploader: &Uploader) -> Health {
    for _ in 0..1000 {
        if let Some(health) = uploader.health() {
            return health;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("nothing told: {:?}", uploader.counters())
}

#[test]
fn a_file_stays_until_the_store_shows_it_as_it_was_sent() {
    for fault in ["is not there", "has 3", "503 ServerBusy"] {
        let store = Arc::new(Faulty::default());
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.json");
        let faults = match fault {
            "is not there" => &store.forgotten,
            "has 3" => &store.cut,
            _ => &store.failing,
        };
        faults.store(2, Ordering::SeqCst);
        write(&path, b"[1, 2, 3]");
        let uploader = start(&store, &[temp.path()]).unwrap();
        let text = match told(&uploader) {
            Health::Refused(error) | Health::Failing(error) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(text.starts_with("cannot upload logs/a.json to test://store/logs: "), "{text}");
        assert!(text.contains(fault), "{text}");
        assert!(path.exists());
        assert_eq!(uploader.drain(Duration::from_secs(30)), Left::default());
        assert!(!path.exists());
        let Counters { uploaded, failed, removed, .. } = uploader.counters();
        assert_eq!((uploaded, failed, removed), (1, 2, 1));
    }
}

#[test]
fn a_file_taken_away_before_it_went_is_counted_and_told() {
    let store = Arc::new(Faulty::default());
    store.failing.store(u32::MAX, Ordering::SeqCst);
    let temp = tempfile::tempdir().unwrap();
    for name in ["1", "2"] {
        write(&temp.path().join(name), b"x");
    }
    let uploader = start(&store, &[temp.path()]).unwrap();
    assert!(matches!(told(&uploader), Health::Failing(_)));
    assert_eq!(uploader.drain(Duration::from_millis(100)), Left { files: 2, bytes: 2 });
    fs::remove_file(temp.path().join("1")).unwrap();
    let Health::Vanished(path) = told(&uploader) else { panic!("not told") };
    assert_eq!(path, temp.path().join("1"));
    let Counters { vanished, pending_files, .. } = uploader.counters();
    assert_eq!((vanished, pending_files), (1, 1));
}

#[test]
fn a_directory_that_cannot_be_read_is_told_and_holds_up_no_other() {
    let store = Arc::new(Faulty::default());
    let (temp, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spool = temp.path().join("spool");
    assert!(start(&store, &[&spool]).unwrap_err().to_string().contains("cannot read"));
    fs::create_dir(&spool).unwrap();
    let uploader = start(&store, &[&spool, other.path()]).unwrap();
    fs::remove_dir(&spool).unwrap();
    let Health::Disk(error) = told(&uploader) else { panic!("not told") };
    assert!(error.to_string().starts_with(&format!("cannot read {}: ", spool.display())));
    write(&other.path().join("b"), b"x");
    sleep(Duration::from_millis(100));
    assert!(uploader.health().is_none(), "told once");
    assert_eq!(uploader.drain(Duration::from_secs(30)), Left::default());
    assert!(!other.path().join("b").exists());
    fs::create_dir(&spool).unwrap();
    write(&spool.join("a"), b"x");
    assert_eq!(uploader.drain(Duration::from_secs(30)), Left::default());
    assert_eq!(uploader.counters().removed, 2);
}

#[test]
fn a_name_stays_taken_for_longer_than_the_second_it_is_made_of() {
    let store = Arc::new(Faulty::default());
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("events-20251201T000000Z.json");
    let spools = vec![Spool { directory: temp.path().to_owned(), prefix: String::new() }];
    let (scan_every, remove_after) = (Duration::from_millis(20), Duration::from_secs(2));
    let config = Config { spools, scan_every, remove_after, ..Config::default() };
    let begin = now();
    write(&path, b"x");
    let uploader = Uploader::start(Destination::test(store), config, now).unwrap();
    assert_eq!(uploader.drain(Duration::from_secs(30)), Left::default());
    while path.exists() {
        sleep(Duration::from_millis(10));
    }
    // Times of files are of the last tick of the kernel.
    assert!(now().since(begin) > Duration::from_millis(1980));
    assert_eq!(uploader.counters().uploaded, 1);
}

#[test]
fn a_directory_in_another_is_refused() {
    let store = Arc::new(Faulty::default());
    let temp = tempfile::tempdir().unwrap();
    let inner = temp.path().join("inner");
    fs::create_dir(&inner).unwrap();
    for places in [[temp.path(), &inner], [&inner, temp.path()], [&inner, &inner]] {
        let error = start(&store, &places).unwrap_err();
        assert!(matches!(error, Error::Nested { .. }), "{error}");
    }
}

#[test]
fn it_ends_at_once_when_it_is_dropped_while_the_store_is_away() {
    let store = Arc::new(Faulty::default());
    store.failing.store(u32::MAX, Ordering::SeqCst);
    let temp = tempfile::tempdir().unwrap();
    write(&temp.path().join("a"), b"x");
    let uploader = start(&store, &[temp.path()]).unwrap();
    assert!(matches!(told(&uploader), Health::Failing(_)));
    let begin = now();
    drop(uploader);
    assert!(now().since(begin) < Duration::from_secs(1));
    assert!(temp.path().join("a").exists());
}
