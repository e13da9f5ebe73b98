use super::*;
use std::os::unix::fs::PermissionsExt;

use crate::error::Cause;

const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=";

fn open(url: &str, settings: &[(&str, &str)]) -> Result<Destination, Error> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Destination::open(url, &settings.iter().map(own).collect())
}

#[test]
#[cfg(feature = "azure")]
fn urls_name_container_and_prefix() {
    let account = [("AZURE_STORAGE_ACCOUNT_NAME", "acme"), ("AZURE_STORAGE_ACCOUNT_KEY", SECRET)];
    for (url, object) in [
        ("az://logs", "tap/a b.json"),
        ("az://logs/site/1", "site/1/tap/a b.json"),
        ("abfss://logs@acme.dfs.core.windows.net/site%201/", "site 1/tap/a b.json"),
        ("https://acme.blob.core.windows.net/logs/site", "site/tap/a b.json"),
    ] {
        let destination = open(url, &account).unwrap();
        assert_eq!(destination.object("/tap/", "a b.json").unwrap().as_ref(), object, "{url}");
    }
    let error = open("az://logs", &[]).unwrap_err().to_string();
    assert!(error.contains("set AZURE_STORAGE_ACCOUNT_NAME"), "{error}");
}

#[test]
fn a_url_that_is_none_is_refused_with_an_example() {
    for url in ["logs", "/var/log", "ftp://a/b", "https://example.com/logs", "file:///no/such"] {
        let error = open(url, &[]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{url}: ")), "{error}");
    }
    let error = open("ftp://a/b", &[]).unwrap_err().to_string();
    assert!(error.contains("https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX"), "{error}");
}

#[test]
fn no_message_has_a_secret() {
    for url in [
        format!("https://acme.blob.core.windows.net/logs?sv=2024&sig={SECRET}"),
        format!("az://user:{SECRET}@logs/site"),
        format!("az://logs/site#{SECRET}"),
    ] {
        let error = open(&url, &[]).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(SECRET) && text.contains("credentials file"), "{text}");
    }
    let settings = [("AZURE_STORAGE_ACCOUNT_NAME", "acme"), ("AZURE_STORAGE_SAS_TOKEN", SECRET)];
    // Not a SAS token: the builder says so, or the store will.
    match open("az://logs", &settings) {
        Ok(destination) => {
            let said = format!("GET https://a/b?sv=1&sig=abc%3D&x=1 with {SECRET} failed");
            let failure = destination.failure("a", Trouble(Cause::Denied, said)).to_string();
            assert!(failure.contains("sig=***&x=1 with *** failed"), "{failure}");
            assert!(!format!("{destination:?}").contains(SECRET));
        }
        Err(error) => assert!(!error.to_string().contains(SECRET), "{error}"),
    }
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let credentials: Credentials = settings.into_iter().map(own).collect();
    let shown = format!("{credentials:?}");
    assert!(shown.contains("AZURE_STORAGE_SAS_TOKEN") && !shown.contains(SECRET), "{shown}");
    assert_eq!(hush("?sig=a%2Bb&sv=1 sig=x", &[]), "?sig=***&sv=1 sig=***");
}

#[test]
fn a_file_of_credentials_is_read_unless_everybody_can_read_it() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("store.env");
    let text = format!("# of the account\n\nAZURE_STORAGE_ACCOUNT_NAME=acme\n A = \"{SECRET}\" \n");
    fs::write(&path, text).unwrap();
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let error = Credentials::default().with_file(&path).unwrap_err().to_string();
    assert!(error.ends_with("everybody can read it; chmod o-rwx it"), "{error}");
    mode(0o640);
    let read = Credentials::default().with_file(&path).unwrap().settings;
    let expected = [("A", SECRET), ("AZURE_STORAGE_ACCOUNT_NAME", "acme")];
    assert!(read.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(expected));
    fs::write(&path, format!("A=1\n{SECRET}\n").replace('=', "")).unwrap();
    let error = Credentials::default().with_file(&path).unwrap_err().to_string();
    assert!(error.ends_with("line 1: expected NAME=value"), "{error}");
}

#[test]
fn a_name_that_no_object_can_have_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let url = format!("file://{}", temp.path().display());
    let destination = open(&url, &[]).unwrap();
    assert!(destination.object("tap", "a/b.json").is_ok());
    for path in ["a//b", "../b", "a\nb"] {
        let Trouble(cause, _) = destination.object("tap", path).unwrap_err();
        assert_eq!(cause, Cause::Refused);
    }
}
