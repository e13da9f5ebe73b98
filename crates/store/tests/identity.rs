//! Without any credentials: the managed identity of the machine, as a collector in Azure has it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail loudly"
)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use vtap_store::{Credentials, Destination, Health, Uploader};

use common::{config, files, now, until, write};

/// The head of each request, and an answer for it.
fn answer(client: TcpStream, has_identity: bool, requests: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let field = |name: &str| {
            let find = |line: &str| line.to_lowercase().strip_prefix(name).map(str::to_owned);
            head.lines().find_map(find)
        };
        let length = field("content-length: ").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, fields, body) = match head.split(' ').next().unwrap() {
            "GET" if has_identity => {
                let token = r#"{"access_token":"of-the-machine","expires_in":"3600","resource":"x",
                    "expires_on":"1","not_before":"1","token_type":"Bearer"}"#;
                ("200 OK", "content-type: application/json\r\n", token)
            }
            "GET" => (
                "400 Bad Request",
                "",
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
            ),
            "PUT" => (
                "201 Created",
                "etag: \"1\"\r\nlast-modified: Mon, 01 Dec 2025 00:00:00 GMT\r\n",
                "",
            ),
            _ => (
                "200 OK",
                "etag: \"1\"\r\nlast-modified: Mon, 01 Dec 2025 00:00:00 GMT\r\ncontent-length: 2\r\n",
                "",
            ),
        };
        let is_head = head.starts_with("HEAD");
        requests.lock().unwrap().push(head);
        let length =
            if is_head { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        write!(&client, "HTTP/1.1 {status}\r\n{fields}{length}\r\n{body}").ok()?;
    }
}

/// A service of identities and a store in one, on a port.
fn serve(has_identity: bool) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&requests);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let seen = Arc::clone(&seen);
            thread::spawn(move || answer(client, has_identity, &seen));
        }
    });
    (port, requests)
}

fn start(port: u16, directory: &std::path::Path) -> Uploader {
    let settings = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "acme".to_owned()),
        ("AZURE_STORAGE_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("AZURE_MSI_ENDPOINT", format!("http://127.0.0.1:{port}/metadata/identity/oauth2/token")),
        ("AZURE_ALLOW_HTTP", "true".to_owned()),
    ];
    let credentials: Credentials =
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let destination = Destination::open("az://logs/site", &credentials).unwrap();
    Uploader::start(destination, config(directory), now).unwrap()
}

#[test]
fn without_a_key_the_identity_of_the_machine_is_used() {
    let (port, requests) = serve(true);
    let temp = tempfile::tempdir().unwrap();
    for name in ["a.json", "b.json"] {
        write(temp.path(), name, b"{}");
    }
    let uploader = start(port, temp.path());
    until(&uploader, |counters| counters.uploaded == 2);
    assert_eq!(files(temp.path()), 0);
    let requests = requests.lock().unwrap();
    let of = |method: &str| {
        requests.iter().filter(|head| head.starts_with(method)).cloned().collect::<Vec<_>>()
    };
    let asked = of("GET");
    assert!(asked[0].contains("resource=https%3A%2F%2Fstorage.azure.com"), "{}", asked[0]);
    assert!(asked[0].to_lowercase().contains("metadata: true"), "{}", asked[0]);
    assert_eq!(of("PUT").len(), 2);
    for head in [of("PUT"), of("HEAD")].concat() {
        assert!(head.to_lowercase().contains("authorization: bearer of-the-machine"), "{head}");
    }
}

#[test]
fn a_machine_without_an_identity_is_told_how_to_get_one() {
    let (port, _) = serve(false);
    let temp = tempfile::tempdir().unwrap();
    write(temp.path(), "a.json", b"{}");
    let uploader = start(port, temp.path());
    until(&uploader, |counters| counters.failed > 1);
    let Some(Health::Failing(error)) = uploader.health() else { panic!("not told") };
    let text = error.to_string();
    assert!(text.contains("no token: 400") && text.contains("az vm identity assign"), "{text}");
    assert_eq!(files(temp.path()), 1);
}
