//! A store, opened by URL and credentials.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreScheme};
use url::Url;

use crate::Error;
use crate::error::Failure;
use crate::transfer::Trouble;

/// Settings of a store by name, most of them secret: `AZURE_STORAGE_ACCOUNT_KEY` and the like, as
/// the `object_store` crate names them.
#[derive(Clone, Default)]
pub struct Credentials {
    settings: BTreeMap<String, String>,
}

impl Credentials {
    /// Those of this process's environment: `AZURE_*`, `AWS_*`, `GOOGLE_*`, and what the platform
    /// sets for managed identities.
    pub fn from_env() -> Self {
        let ours = |name: &str| {
            ["AZURE_", "AWS_", "GOOGLE_"].iter().any(|start| name.starts_with(start))
                || ["IDENTITY_ENDPOINT", "MSI_ENDPOINT"].contains(&name)
        };
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        env::vars_os().filter_map(text).filter(|(name, _)| ours(name)).collect()
    }

    /// Lays the settings of a file over these: lines of `NAME=value`, as systemd's `EnvironmentFile`
    /// has them, with `#` before remarks. Quotes around a value are taken off.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, everybody can read it, or a line has another form. No error
    /// shows a line.
    pub fn with_file(mut self, path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::Credentials { path: path.to_owned(), why };
        let data = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        if data.mode() & 0o004 != 0 {
            return Err(wrong("everybody can read it; chmod o-rwx it".into()));
        }
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| wrong(format!("line {}: expected NAME=value", number + 1)))?;
            let value = value.trim();
            let quoted = ['"', '\''].iter().find_map(|quote| {
                value.strip_prefix(*quote).and_then(|value| value.strip_suffix(*quote))
            });
            self.settings.insert(name.trim().to_owned(), quoted.unwrap_or(value).to_owned());
        }
        Ok(self)
    }

    /// What is not to be seen in any message.
    fn secrets(&self) -> impl Iterator<Item = String> + '_ {
        let is_secret = |name: &str| {
            let name = name.to_ascii_lowercase();
            ["key", "secret", "token", "sas", "password"].iter().any(|word| name.contains(word))
        };
        self.settings
            .iter()
            .filter(move |(name, value)| is_secret(name) && value.len() >= 6)
            .map(|(_, value)| value.clone())
    }
}

impl FromIterator<(String, String)> for Credentials {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(settings: T) -> Self {
        Self { settings: settings.into_iter().collect() }
    }
}

/// Names only.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.keys()).finish()
    }
}

/// A store, and where in it.
#[derive(Clone)]
pub struct Destination {
    pub(crate) store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    url: String,
    kind: Kind,
    /// The directory, where the store is one.
    pub(crate) local: Option<PathBuf>,
    secrets: Vec<String>,
}

/// Who keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg_attr(not(feature = "azure"), allow(dead_code, reason = "not built in"))]
    Azure,
    #[cfg_attr(not(feature = "aws"), allow(dead_code, reason = "not built in"))]
    S3,
    #[cfg_attr(not(feature = "gcp"), allow(dead_code, reason = "not built in"))]
    Gcs,
    Local,
}

impl Destination {
    /// Opens a store; nothing is sent yet.
    ///
    /// | URL | store |
    /// |---|---|
    /// | `https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX` | Azure, as the portal shows it |
    /// | `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX` | Azure |
    /// | `az://CONTAINER/PREFIX` | Azure, with `AZURE_STORAGE_ACCOUNT_NAME` |
    /// | `s3://BUCKET/PREFIX` | S3, with `AWS_REGION`; others than Amazon with `AWS_ENDPOINT` |
    /// | `gs://BUCKET/PREFIX` | Google Cloud Storage |
    /// | `file:///DIRECTORY` | a directory, as of a mounted share |
    ///
    /// Without any credentials the machine's own identity is used. Reads certificates below `/etc`
    /// now, and the files of name resolution there with each connection.
    ///
    /// # Errors
    ///
    /// When the URL has another form or a secret in it, its kind of store is not built in, or the
    /// credentials do not go together.
    pub fn open(url: &str, credentials: &Credentials) -> Result<Self, Error> {
        let wrong = |why: String| Error::Url { url: without_secrets(url).to_owned(), why };
        let parsed = Url::parse(url).map_err(|error| wrong(format!("{error}; {EXAMPLE}")))?;
        if parsed.query().is_some() || parsed.password().is_some() || parsed.fragment().is_some() {
            let why = "behind ? or : there may be a secret, which is seen by everybody who sees the \
                       URL; put a SAS token into the credentials file, as AZURE_STORAGE_SAS_TOKEN=...";
            return Err(wrong(why.into()));
        }
        let (scheme, prefix) = ObjectStoreScheme::parse(&parsed)
            .map_err(|_| wrong(format!("no store is known by this; {EXAMPLE}")))?;
        let secrets: Vec<_> = credentials.secrets().collect();
        let hide = |reason: String| wrong(hush(&reason, &secrets));
        let (store, kind) = connect(&scheme, url, credentials).map_err(hide)?;
        let local = (kind == Kind::Local)
            .then(|| parsed.to_file_path().map_err(|()| wrong("expected file:///DIRECTORY".into())))
            .transpose()?;
        if let Some(directory) = local.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(wrong(format!("{} is no directory; make it", directory.display())));
        }
        Ok(Self { store, prefix, url: url.to_owned(), kind, local, secrets })
    }

    /// The URL; it has no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The directory that it is, where the URL names one.
    pub fn directory(&self) -> Option<&Path> {
        self.local.as_deref()
    }

    /// The object of a file: behind the prefix of the URL and that of its spool.
    pub(crate) fn object(&self, spool: &str, path: &str) -> Result<ObjectPath, Trouble> {
        let parts = [self.prefix.as_ref(), spool.trim_matches('/'), path];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        // Taken as it is: escapes are a matter of the protocol, not of the name.
        let refused = |error: object_store::path::Error| {
            Trouble(crate::error::Cause::Refused, error.to_string())
        };
        ObjectPath::parse(parts.join("/")).map_err(refused)
    }

    /// What is told of an upload that failed.
    pub(crate) fn failure(&self, object: &str, Trouble(cause, said): Trouble) -> Box<Failure> {
        let said = hush(&said, &self.secrets);
        let (store, object) = (self.url.clone(), object.to_owned());
        Box::new(Failure { store, object, cause, said, kind: self.kind })
    }

    #[cfg(test)]
    pub(crate) fn test(store: Arc<dyn ObjectStore>) -> Self {
        let (prefix, url) = (ObjectPath::from("logs"), "test://store/logs".to_owned());
        Self { store, prefix, url, kind: Kind::Azure, local: None, secrets: Vec::new() }
    }
}

/// Without credentials.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(&self.url).finish()
    }
}

const EXAMPLE: &str = "expected such as https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX";

/// A URL up to where secrets may begin.
fn without_secrets(url: &str) -> &str {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    // A password stands between the second colon and the @.
    match url.split_once("://").map(|(scheme, rest)| (scheme, rest.split_once('@'))) {
        Some((scheme, Some((user, _)))) if user.contains(':') => scheme,
        _ => url,
    }
}

/// What a builder says, without the name of the crate's variants.
#[cfg(any(feature = "azure", feature = "aws", feature = "gcp"))]
fn reason(error: &object_store::Error) -> String {
    let text = match error {
        object_store::Error::Generic { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    let remedy = if text.contains("Account must be specified") {
        "; set AZURE_STORAGE_ACCOUNT_NAME, or name it in the URL: \
         https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX"
    } else {
        ""
    };
    format!("{text}{remedy}")
}

/// Text without secrets: what was given as one, and any signature of a SAS token.
fn hush(text: &str, secrets: &[String]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret.as_str(), HIDDEN);
    }
    let mut hushed = String::new();
    while let Some((before, rest)) = text.split_once("sig=") {
        hushed.push_str(before);
        hushed.push_str("sig=");
        hushed.push_str(HIDDEN);
        let end = rest.find(|c: char| c == '&' || c == '"' || c.is_whitespace());
        text = rest.get(end.unwrap_or(rest.len())..).unwrap_or_default().to_owned();
    }
    hushed + &text
}

const HIDDEN: &str = "***";

type Connected = (Arc<dyn ObjectStore>, Kind);

fn connect(
    scheme: &ObjectStoreScheme,
    url: &str,
    credentials: &Credentials,
) -> Result<Connected, String> {
    match scheme {
        ObjectStoreScheme::Local => {
            Ok((Arc::new(object_store::local::LocalFileSystem::new()), Kind::Local))
        }
        #[cfg(any(feature = "azure", feature = "aws", feature = "gcp"))]
        scheme => cloud::connect(scheme, url, credentials),
        #[cfg(not(any(feature = "azure", feature = "aws", feature = "gcp")))]
        _ => {
            let _ = credentials;
            Err(not_built_in(url))
        }
    }
}

fn not_built_in(url: &str) -> String {
    let scheme = url.split(':').next().unwrap_or_default();
    format!("this vtap is built without stores of {scheme}:")
}

/// What goes over HTTPS.
#[cfg(any(feature = "azure", feature = "aws", feature = "gcp"))]
mod cloud {
    use std::sync::Arc;
    use std::time::Duration;

    use object_store::{BackoffConfig, ClientOptions, ObjectStoreScheme, RetryConfig};

    use super::{Connected, Credentials, Kind, not_built_in, reason};

    /// Time for one request. A block has to go in it: 8 MiB in 2 minutes are 560 kbit/s.
    const REQUEST: Duration = Duration::from_secs(120);
    const CONNECT: Duration = Duration::from_secs(10);

    /// Rides out what is over in seconds, so that a large file does not begin again for it. What
    /// lasts is the uploader's own schedule.
    fn retry() -> RetryConfig {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(250),
            max_backoff: Duration::from_secs(4),
            base: 2.0,
        };
        RetryConfig { backoff, max_retries: 3, retry_timeout: Duration::from_secs(15) }
    }

    /// Lays settings over a builder. Names that mean nothing to it are those of other stores.
    macro_rules! built {
        ($builder:ty, $url:expr, $credentials:expr) => {{
            // The first provider of the process stays, if another part of it has chosen.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = ClientOptions::new()
                .with_timeout(REQUEST)
                .with_connect_timeout(CONNECT)
                .with_user_agent(USER_AGENT);
            let builder =
                <$builder>::new().with_client_options(client).with_retry(retry()).with_url($url);
            let builder = $credentials.settings.iter().fold(builder, |builder, (name, value)| {
                match name.to_ascii_lowercase().parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                }
            });
            Arc::new(builder.build().map_err(|error| reason(&error))?)
        }};
    }

    const USER_AGENT: object_store::HeaderValue =
        object_store::HeaderValue::from_static(concat!("vtap/", env!("CARGO_PKG_VERSION")));

    pub(super) fn connect(
        scheme: &ObjectStoreScheme,
        url: &str,
        credentials: &Credentials,
    ) -> Result<Connected, String> {
        match scheme {
            #[cfg(feature = "azure")]
            ObjectStoreScheme::MicrosoftAzure => Ok((
                built!(object_store::azure::MicrosoftAzureBuilder, url, credentials),
                Kind::Azure,
            )),
            #[cfg(feature = "aws")]
            ObjectStoreScheme::AmazonS3 => {
                Ok((built!(object_store::aws::AmazonS3Builder, url, credentials), Kind::S3))
            }
            #[cfg(feature = "gcp")]
            ObjectStoreScheme::GoogleCloudStorage => Ok((
                built!(object_store::gcp::GoogleCloudStorageBuilder, url, credentials),
                Kind::Gcs,
            )),
            _ => Err(not_built_in(url)),
        }
    }
}

#[cfg(test)]
mod tests;
