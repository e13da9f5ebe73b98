//! An upload that failed: what the store said in one line, and what to do about it.
//!
//! Stores answer with XML, chains of causes and advice of their own. Of that stay the status, the
//! code and the message; the code decides what it means. Azure's codes:
//! <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes>.

use std::error::Error as StdError;
use std::fmt;

use crate::destination::Kind;

/// One upload that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The store, by its URL.
    pub store: String,
    /// The object in it.
    pub object: String,
    /// What it means.
    pub cause: Cause,
    /// What the store or the system said, in a line.
    pub said: String,
    pub(crate) kind: Kind,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The store's name is not known to DNS.
    Unresolved,
    /// No connection.
    Unreachable,
    /// The connection is not trusted.
    Untrusted,
    /// No answer in time.
    TimedOut,
    /// The machine has no identity that could ask for a token.
    NoIdentity,
    /// The key, signature or token is not accepted.
    Unauthentic,
    /// The clock of this machine is wrong.
    Clock,
    /// Known, but without the right to write.
    Denied,
    /// Kept out by the store's own firewall.
    Firewall,
    /// The container or bucket is not there.
    NoContainer,
    /// The store is busy or broken.
    Busy,
    /// The store does not take this object.
    Refused,
    /// The store shows other bytes than were sent.
    Mismatch,
    /// The file cannot be read.
    Unreadable,
    /// The file changed while it was read.
    Changed,
    /// The file is gone.
    Gone,
}

impl Cause {
    /// Whether all other objects would fail, too.
    pub const fn is_of_the_store(self) -> bool {
        !matches!(
            self,
            Self::Refused | Self::Mismatch | Self::Unreadable | Self::Changed | Self::Gone
        )
    }

    const fn remedy(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Unresolved, _) => {
                "check the name in the URL, and DNS on this machine (private endpoints have zones of their own)"
            }
            (Self::Unreachable, _) => "check routes, firewall and proxy between here and the store",
            (Self::Untrusted, _) => {
                "install ca-certificates, or the certificate of the proxy between"
            }
            (Self::TimedOut, _) => {
                "check the path to the store; slow links want a smaller parallel"
            }
            (Self::NoIdentity, Kind::Azure) => {
                "give the machine an identity: az vm identity assign -g GROUP -n VM; or give a key or SAS token"
            }
            (Self::NoIdentity, _) => {
                "give credentials by environment or file, or the machine a role"
            }
            (Self::Unauthentic, Kind::Azure) => {
                "check the account key or SAS token (and its expiry), and this machine's clock: timedatectl"
            }
            (Self::Unauthentic, _) => "check the key, and this machine's clock: timedatectl",
            (Self::Clock, _) => "set this machine's clock: timedatectl set-ntp true",
            (Self::Denied, Kind::Azure) => {
                "give the identity the role: az role assignment create --role \"Storage Blob Data Contributor\" --assignee PRINCIPAL --scope CONTAINER-ID; it takes up to 10 minutes"
            }
            (Self::Denied, Kind::S3) => {
                "allow s3:PutObject, s3:GetObject and s3:AbortMultipartUpload on the bucket"
            }
            (Self::Denied, Kind::Gcs) => "grant roles/storage.objectUser on the bucket",
            (Self::Denied, _) => "give this user the right to write there",
            (Self::Firewall, _) => {
                "allow this network in the account's firewall: az storage account network-rule add; or a private endpoint"
            }
            (Self::NoContainer, Kind::Azure) => {
                "check the URL, or make it: az storage container create --account-name ACCOUNT -n CONTAINER --auth-mode login"
            }
            (Self::NoContainer, _) => "check the URL, or make the bucket",
            (Self::Busy, _) => "nothing to do unless it lasts",
            (Self::Refused, _) => "the others go on; this one is tried again",
            (Self::Mismatch, _) => "it is uploaded again; does somebody else write to this prefix?",
            (Self::Unreadable, _) => "give the user of vtap the right to read it",
            (Self::Changed | Self::Gone, _) => "it is looked at again",
        }
    }
}

/// Object, store, answer and remedy.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, object, said, .. } = self;
        write!(f, "cannot upload {object} to {store}: {said}; {}", self.cause.remedy(self.kind))
    }
}

impl StdError for Failure {}

/// What a store's answer means, and the answer in a line.
pub(crate) fn read(error: &object_store::Error) -> (Cause, String) {
    let mut chain = String::new();
    let mut root = String::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        root = error.to_string();
        chain.push_str(&root);
        chain.push('\n');
        next = error.source();
    }
    let status = chain.split_once(" status code: ").and_then(|(_, rest)| number(rest));
    let element = |name: &str| {
        let (_, rest) = chain.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(text, _)| text.lines().next().unwrap_or_default().trim())
    };
    let code = element("Code").unwrap_or_default();
    let cause = by_code(code)
        .or_else(|| chain.contains("token request").then_some(Cause::NoIdentity))
        .or_else(|| status.map(by_status))
        .or_else(|| by_kind(error))
        .unwrap_or_else(|| by_words(&chain));
    let said = match status {
        Some(status) => {
            let answer = [code, element("Message").unwrap_or_default()];
            let answer: Vec<_> = answer.into_iter().filter(|part| !part.is_empty()).collect();
            format!("{status} {}", answer.join(": ")).trim_end().to_owned()
        }
        None => root.lines().next().unwrap_or_default().to_owned(),
    };
    let said = if cause == Cause::NoIdentity { format!("no token: {said}") } else { said };
    (cause, said)
}

fn number(text: &str) -> Option<u16> {
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn by_code(code: &str) -> Option<Cause> {
    Some(match code {
        "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => {
            Cause::Unauthentic
        }
        "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "ExpiredToken" | "InvalidToken" => {
            Cause::Unauthentic
        }
        "RequestTimeTooSkewed" => Cause::Clock,
        "AuthorizationPermissionMismatch" | "InsufficientAccountPermissions" | "AccessDenied" => {
            Cause::Denied
        }
        "AuthorizationResourceTypeMismatch" | "AuthorizationServiceMismatch" => Cause::Denied,
        "AuthorizationFailure" | "AuthorizationSourceIPMismatch" => Cause::Firewall,
        "ContainerNotFound" | "ResourceNotFound" | "NoSuchBucket" | "ContainerBeingDeleted" => {
            Cause::NoContainer
        }
        "ServerBusy" | "InternalError" | "OperationTimedOut" | "SlowDown" => Cause::Busy,
        _ => return None,
    })
}

const fn by_status(status: u16) -> Cause {
    match status {
        401 => Cause::Unauthentic,
        403 => Cause::Denied,
        404 => Cause::NoContainer,
        408 | 429 | 500.. => Cause::Busy,
        _ => Cause::Refused,
    }
}

/// By the kind of a failed request, where the store has that.
#[cfg(any(feature = "azure", feature = "aws", feature = "gcp"))]
fn by_kind(error: &object_store::Error) -> Option<Cause> {
    use object_store::client::{HttpError, HttpErrorKind};
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            let is_connect = matches!(error.kind(), HttpErrorKind::Connect);
            let is_late = matches!(error.kind(), HttpErrorKind::Timeout);
            return if is_late && !is_connect { Some(Cause::TimedOut) } else { None };
        }
        next = error.source();
    }
    None
}

#[cfg(not(any(feature = "azure", feature = "aws", feature = "gcp")))]
fn by_kind(_: &object_store::Error) -> Option<Cause> {
    None
}

/// What has no status never came to an answer of the store.
fn by_words(chain: &str) -> Cause {
    let has = |words: &str| chain.contains(words);
    if has("dns error") || has("failed to lookup address") {
        Cause::Unresolved
    } else if has("certificate") {
        Cause::Untrusted
    } else if has("timed out") {
        Cause::TimedOut
    } else if has("Permission denied") || has("Read-only file system") {
        Cause::Denied
    } else if has("invalid path") {
        Cause::Refused
    } else {
        Cause::Unreachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> (Cause, String) {
        read(&object_store::Error::Generic { store: "test", source: text.into() })
    }

    fn azure(status: &str, code: &str) -> (Cause, String) {
        answer(&format!(
            "Error performing PUT https://a.blob.core.windows.net/c/o in 3ms - Server returned \
             non-2xx status code: {status}: \u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code>\
             <Message>It is so.\nRequestId:1\nTime:2</Message></Error>"
        ))
    }

    #[test]
    fn an_answer_is_told_in_a_line_with_what_to_do() {
        for (status, code, cause, word) in [
            ("403 Forbidden", "AuthorizationPermissionMismatch", Cause::Denied, "Contributor"),
            ("403 Forbidden", "AuthenticationFailed", Cause::Unauthentic, "key"),
            ("403 Forbidden", "AuthorizationFailure", Cause::Firewall, "network-rule"),
            ("404 Not Found", "ContainerNotFound", Cause::NoContainer, "container create"),
            ("403 Forbidden", "RequestTimeTooSkewed", Cause::Clock, "timedatectl"),
            ("503 Service Unavailable", "ServerBusy", Cause::Busy, "unless it lasts"),
            ("409 Conflict", "BlobImmutableDueToPolicy", Cause::Refused, "others go on"),
        ] {
            let (read, said) = azure(status, code);
            assert_eq!(read, cause, "{code}");
            assert_eq!(said, format!("{}{}: It is so.", &status[..4], code));
            let store = "az://c".to_owned();
            let failure =
                Failure { store, object: "a/b.json".into(), cause, said, kind: Kind::Azure };
            let text = failure.to_string();
            assert!(text.starts_with("cannot upload a/b.json to az://c: "), "{text}");
            assert!(text.contains(word) && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn without_an_answer_the_words_of_the_system_decide() {
        for (text, cause) in [
            ("client error: dns error: failed to lookup address information", Cause::Unresolved),
            ("tcp connect error: Connection refused (os error 111)", Cause::Unreachable),
            ("invalid peer certificate: UnknownIssuer", Cause::Untrusted),
            ("operation timed out", Cause::TimedOut),
            ("Error performing token request: status code: 400 Bad Request", Cause::NoIdentity),
        ] {
            assert_eq!(answer(text).0, cause, "{text}");
        }
    }
}
