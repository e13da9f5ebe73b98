//! Azurite, a connection to it that breaks, and what is there.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::thread::{self, sleep};
use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential, MicrosoftAzure};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::{Builder, Runtime};
use vtap_packet::Timestamp;
use vtap_store::{Config, Counters, Credentials, Destination, Spool, Uploader};
use vtap_testkit::tools;

/// What Azurite calls itself, and its key, which is public.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
pub(crate) const CONTAINER: &str = "logs";

/// A server, killed when it is dropped, also if this process is.
pub(crate) struct Azurite {
    shell: Child,
    stdin: Option<ChildStdin>,
    pub(crate) port: u16,
}

impl Azurite {
    /// Starts one with its data below `directory`; `None`, said, where it is not installed.
    pub(crate) fn start(directory: &Path, port: u16) -> Option<Self> {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
        let main = cache.join("vtap/azurite/node_modules/azurite/dist/src/blob/main.js");
        if !main.is_file() {
            tools::skipped("Azurite is not installed: run ci/azurite.sh");
            return None;
        }
        if !tools::installed(&["node"]) {
            return None;
        }
        // The shell ends when this process does, however that comes, and takes the server along.
        let script = r#""$@" & read -r _; kill -9 $!; wait"#;
        let mut shell = Command::new("sh")
            .args(["-c", script, "sh", "node"])
            .arg(main)
            .args(["--disableTelemetry", "--skipApiVersionCheck", "--blobPort"])
            .arg(port.to_string())
            .arg("--location")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let listens = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("successfully listens on http://127.0.0.1:")?;
            port.trim().parse().ok()
        });
        // Or it would wait for somebody to read what it says.
        thread::spawn(move || lines.for_each(drop));
        let stdin = shell.stdin.take();
        Some(Self { shell, stdin, port: listens.expect("Azurite did not start") })
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.end();
    }
}

/// Settings for what listens on `port`.
pub(crate) fn credentials(port: u16, key: &str) -> Credentials {
    let settings = [
        ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", key),
        ("AZURE_STORAGE_ENDPOINT", &format!("http://127.0.0.1:{port}/{ACCOUNT}")),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect()
}

pub(crate) fn destination(port: u16) -> Destination {
    Destination::open(&format!("az://{CONTAINER}/site 1"), &credentials(port, KEY)).unwrap()
}

pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "files have the time of the machine")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::new(since.as_secs(), since.subsec_nanos().into())
}

pub(crate) fn config(directory: &Path) -> Config {
    let spool = Spool { directory: directory.to_owned(), prefix: "tap".into() };
    let scan_every = Duration::from_millis(200);
    let remove_after = Duration::ZERO;
    Config { spools: vec![spool], scan_every, remove_after, ..Config::default() }
}

pub(crate) fn start(port: u16, directory: &Path) -> Uploader {
    Uploader::start(destination(port), config(directory), now).unwrap()
}

/// Looks at the container as any other client would.
pub(crate) struct Client {
    store: MicrosoftAzure,
    runtime: Runtime,
    port: u16,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        static PROVIDER: Once = Once::new();
        // It chooses the provider of TLS for the process.
        PROVIDER.call_once(|| drop(destination(port)));
        let store = MicrosoftAzureBuilder::new()
            .with_account(ACCOUNT)
            .with_access_key(KEY)
            .with_endpoint(format!("http://127.0.0.1:{port}/{ACCOUNT}"))
            .with_allow_http(true)
            .with_container_name(CONTAINER)
            .build()
            .unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { store, runtime, port }
    }

    pub(crate) fn create_container(&self) {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = "PUT".parse().unwrap();
        let url = format!("http://127.0.0.1:{}/{ACCOUNT}/{CONTAINER}?restype=container", self.port);
        *request.uri_mut() = url.parse().unwrap();
        request.headers_mut().insert("content-length", "0".parse().unwrap());
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
        AzureAuthorizer::new(&credential, ACCOUNT).try_authorize(&mut request).unwrap();
        let put = reqwest::Client::new().put(&url).headers(request.headers().clone()).send();
        let answer = self.runtime.block_on(put);
        assert_eq!(answer.unwrap().status(), 201);
    }

    /// Names and sizes of all objects.
    pub(crate) fn list(&self) -> BTreeMap<String, u64> {
        let objects = self.runtime.block_on(self.store.list(None).try_collect::<Vec<_>>());
        objects.unwrap().into_iter().map(|meta| (meta.location.to_string(), meta.size)).collect()
    }

    pub(crate) fn get(&self, object: &str) -> Vec<u8> {
        let path = object_store::path::Path::parse(object).unwrap();
        self.runtime.block_on(async {
            self.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec()
        })
    }

    /// All objects of the test's spool, whole.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let below = |name: &str| name.strip_prefix("site 1/tap/").unwrap().to_owned();
        self.list().keys().map(|name| (below(name), self.get(name))).collect()
    }
}

/// Passes bytes on to a port until the connections are cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    to: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<TcpListener>,
}

impl Proxy {
    pub(crate) fn new(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut proxy = Self { port, to, open: Arc::default(), accepting: None };
        proxy.listen(listener);
        proxy
    }

    fn listen(&mut self, listener: TcpListener) {
        self.accepting = Some(listener.try_clone().unwrap());
        let (open, to) = (Arc::clone(&self.open), self.to);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let mut open = open.lock().unwrap();
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                open.extend([client, server]);
            }
        });
    }

    /// Ends all connections in the middle, and takes no more.
    pub(crate) fn cut(&mut self) {
        if let Some(listener) = self.accepting.take() {
            // Ends the accept of the other thread, too.
            rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
        }
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Takes connections again.
    pub(crate) fn mend(&mut self) {
        for _ in 0..1000 {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", self.port)) {
                return self.listen(listener);
            }
            sleep(Duration::from_millis(10));
        }
        panic!("port {} is taken", self.port);
    }
}

/// Waits until it is so; a minute at most.
pub(crate) fn until(uploader: &Uploader, is_so: impl Fn(Counters) -> bool) -> Counters {
    for _ in 0..6000 {
        let counters = uploader.counters();
        if is_so(counters) {
            return counters;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("still {:?}, {:?}", uploader.counters(), uploader.health());
}

/// Bytes that are the same for each `seed`, and compress badly.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Writes a file as all writers of ours do.
pub(crate) fn write(directory: &Path, name: &str, bytes: &[u8]) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = vtap_files::Partial::create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.finish().unwrap();
}

/// Files in a directory, at all levels, but for those that begin with a dot.
pub(crate) fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries
        .filter(|entry| !entry.file_name().to_str().unwrap().starts_with('.'))
        .map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 })
        .sum()
}
