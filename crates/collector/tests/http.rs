//! The server as its clients meet it, over sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use vtap_collector::Accounting;
use vtap_collector::http::{Server, Status};

#[derive(Clone, Default)]
struct Fake {
    asked: Arc<AtomicUsize>,
    ill: Arc<AtomicBool>,
}

impl Status for Fake {
    fn accounting(&self) -> Accounting {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Accounting::default()
    }

    fn health(&self) -> Result<(), String> {
        if self.ill.load(Ordering::Relaxed) { Err("belt 0 has ended".into()) } else { Ok(()) }
    }
}

fn serve() -> (Server, Fake) {
    let fake = Fake::default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (Server::start(listener, fake.clone()).unwrap(), fake)
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// All that comes back. A server that closes with bytes unread resets the connection, after the answer.
fn answer(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(bytes).unwrap()
}

fn ask(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    // The server may have refused it before the end.
    let _ = stream.write_all(request);
    answer(stream)
}

fn get(server: &Server, path: &str) -> String {
    ask(server, format!("GET {path} HTTP/1.1\r\nHost: collector\r\n\r\n").as_bytes())
}

#[test]
fn metrics_are_told_in_the_text_format() {
    let (server, _) = serve();
    let answer = get(&server, "/metrics");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("content-type: text/plain; version=0.0.4\r\n"), "{answer}");
    assert!(answer.contains("\nvtap_source_dropped_total 0\n"), "{answer}");
}

#[test]
fn a_belt_is_asked_once_a_second_at_most() {
    let (server, fake) = serve();
    for _ in 0..20 {
        get(&server, "/metrics");
    }
    let asked = fake.asked.load(Ordering::Relaxed);
    assert!((1..20).contains(&asked), "{asked}");
}

#[test]
fn health_is_ok_or_says_why_not() {
    let (server, fake) = serve();
    let answer = get(&server, "/healthz");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"));
    fake.ill.store(true, Ordering::Relaxed);
    let answer = get(&server, "/healthz");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nbelt 0 has ended\n"), "{answer}");
}

#[test]
fn head_is_answered_without_a_body() {
    let (server, _) = serve();
    let answer = ask(&server, b"HEAD /healthz HTTP/1.1\r\nHost: collector\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: 3\r\n"), "{answer}");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let (server, _) = serve();
    assert!(get(&server, "/").starts_with("HTTP/1.1 404 "));
    assert!(get(&server, "/metrics/../etc/passwd").starts_with("HTTP/1.1 404 "));
    let post = ask(&server, b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD\r\n"), "{post}");
}

#[test]
fn what_is_no_request_is_refused() {
    let (server, _) = serve();
    let garbage = ask(&server, b"\x16\x03\x01 no TLS here\r\n\r\n");
    assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    let mut huge = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
    huge.resize(1 << 20, b'x');
    let huge = ask(&server, &huge);
    // The reset that follows may overtake the answer.
    assert!(huge.is_empty() || huge.starts_with("HTTP/1.1 431 "), "{huge}");
    let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(500));
    assert!(ask(&server, many.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_probe_that_only_connects_harms_nothing() {
    let (server, fake) = serve();
    for _ in 0..100 {
        drop(connect(&server));
        connect(&server).shutdown(Shutdown::Both).unwrap();
    }
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
    assert_eq!(fake.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_slow_client_is_sent_away() {
    let (server, _) = serve();
    let mut slow = connect(&server);
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "), "others do not wait");
    // Comes back when the server closes.
    let answer = answer(slow);
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[test]
fn two_hundred_clients_at_once_are_answered() {
    let (server, fake) = serve();
    let open: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    let clients = open.into_iter().map(|mut stream| {
        thread::spawn(move || {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            answer(stream)
        })
    });
    for client in clients.collect::<Vec<_>>() {
        let answer = client.join().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(fake.asked.load(Ordering::Relaxed) < 200);
}

#[test]
fn clients_that_dawdle_do_not_keep_a_probe_out() {
    let (server, _) = serve();
    let dawdling: Vec<_> = (0..400).map(|_| connect(&server)).collect();
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
    drop(dawdling);
}

#[test]
fn nobody_listens_after_the_end() {
    let (server, _) = serve();
    let address = server.address();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}
