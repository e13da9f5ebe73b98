//! Uploads to Azurite, Microsoft's own server of the protocol, and through outages of it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::thread::sleep;
use std::time::Duration;

use vtap_store::{After, Config, Destination, Health, Uploader};

use common::{
    Azurite, Client, KEY, Proxy, bytes, config, credentials, destination, files, now, start, until,
    write,
};

/// A server with a container; `None` where there is no Azurite.
fn server() -> Option<(tempfile::TempDir, Azurite, Client)> {
    let data = tempfile::tempdir().unwrap();
    let azurite = Azurite::start(data.path(), 0)?;
    let client = Client::new(azurite.port);
    client.create_container();
    Some((data, azurite, client))
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn files_arrive_under_their_names_and_are_removed() {
    let Some((_data, azurite, client)) = server() else { return };
    let temp = tempfile::tempdir().unwrap();
    let mut expected = BTreeMap::new();
    for number in 0..100_u64 {
        let length = usize::try_from(number * 331).unwrap();
        expected.insert(format!("y=2025/m=12/{number:03}.json"), bytes(number, length));
    }
    let odd = [
        "a b",
        "a+b",
        "a%20b",
        "a?b=c&d",
        "a#b",
        "ü–日本",
        "a:b;c,d@e!$'()*~",
        "[{^`|<>\"}]",
        "a..b",
    ];
    for odd in odd {
        expected.insert(format!("odd {odd}/{odd}.pcap"), bytes(odd.len() as u64, 1000));
    }
    // The longest that is put whole, the shortest in blocks, and one of many blocks.
    for (name, length) in [("whole", 8 << 20), ("blocks", (8 << 20) + 1), ("many", 67_000_001)] {
        expected.insert(format!("{name}.pcap"), bytes(length as u64, length));
    }
    for (name, bytes) in &expected {
        write(temp.path(), name, bytes);
    }
    fs::write(temp.path().join("growing.json.partial"), "not yet").unwrap();

    let uploader = start(azurite.port, temp.path());
    assert_eq!(uploader.drain(LONG).files, 0, "{:?}", uploader.health());
    let counters = uploader.counters();
    assert!(uploader.health().is_none());
    let uploaded: usize = expected.values().map(Vec::len).sum();
    assert_eq!((counters.uploaded, counters.removed), (112, 112));
    assert_eq!((counters.bytes, counters.failed), (uploaded as u64, 0));
    assert_eq!((counters.pending_files, counters.oldest_pending), (0, None));
    let contents = client.contents();
    assert!(contents.keys().eq(expected.keys()), "{:?}", contents.keys());
    assert!(contents == expected);
    assert_eq!(files(temp.path()), 1);
}

#[test]
fn a_store_that_is_away_at_the_start_gets_everything_when_it_comes() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (temp, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for number in 0..10 {
        write(temp.path(), &number.to_string(), &bytes(number, 5000));
    }
    let uploader = start(port, temp.path());
    let told = loop {
        if let Some(told) = uploader.health() {
            break told;
        }
        sleep(Duration::from_millis(10));
    };
    let Health::Failing(error) = told else { panic!("{told:?}") };
    let text = error.to_string();
    assert!(text.contains("az://logs/site 1: Connection refused"), "{text}");
    assert!(text.contains("check routes, firewall and proxy"), "{text}");
    let counters = uploader.counters();
    assert_eq!((counters.pending_files, counters.pending_bytes), (10, 50_000));
    assert!(counters.oldest_pending.is_some() && counters.failed >= 2);

    let Some(azurite) = Azurite::start(data.path(), port) else { return };
    let client = Client::new(azurite.port);
    client.create_container();
    until(&uploader, |counters| counters.pending_files == 0);
    assert!(matches!(uploader.health(), Some(Health::Recovered)));
    assert!(uploader.health().is_none());
    assert_eq!(client.contents().len(), 10);
    assert_eq!(files(temp.path()), 0);
}

#[test]
fn connections_that_break_in_the_middle_lose_nothing() {
    let Some((_data, azurite, client)) = server() else { return };
    let temp = tempfile::tempdir().unwrap();
    let mut proxy = Proxy::new(azurite.port);
    let uploader = start(proxy.port, temp.path());
    let mut expected = BTreeMap::new();
    for round in 0..6_u64 {
        for number in 0..20 {
            let length = if number == 7 { 20_000_000 } else { 100_000 };
            let (name, bytes) = (format!("{round}/{number}"), bytes(round * 100 + number, length));
            write(temp.path(), &name, &bytes);
            expected.insert(name, bytes);
        }
        sleep(Duration::from_millis(50 + 97 * round));
        proxy.cut();
        sleep(Duration::from_millis(30));
        for (name, size) in client.list() {
            let name = name.strip_prefix("site 1/tap/").unwrap();
            assert_eq!(size, expected[name].len() as u64, "{name} is not whole");
        }
        proxy.mend();
    }
    assert_eq!(uploader.drain(LONG).files, 0, "{:?}", uploader.health());
    assert!(client.contents() == expected);
    assert_eq!(files(temp.path()), 0);
    let counters = uploader.counters();
    assert_eq!((counters.removed, counters.vanished), (120, 0));
}

#[test]
fn a_store_killed_under_a_large_upload_gets_it_whole_when_it_is_back() {
    let Some((data, azurite, _)) = server() else { return };
    let port = azurite.port;
    // It writes down by itself that the container is there, after a while.
    sleep(Duration::from_secs(6));
    let temp = tempfile::tempdir().unwrap();
    let capture = bytes(1, 150_000_000);
    write(temp.path(), "ring.pcapng", &capture);
    let uploader = start(port, temp.path());
    sleep(Duration::from_millis(300));
    azurite.kill();
    let counters = uploader.counters();
    assert_eq!((counters.pending_files, counters.uploaded), (1, 0), "killed too late");

    let azurite = Azurite::start(data.path(), port).unwrap();
    until(&uploader, |counters| counters.pending_files == 0);
    assert!(Client::new(azurite.port).contents()["ring.pcapng"] == capture);
    assert_eq!(files(temp.path()), 0);
}

#[test]
fn a_wrong_key_and_a_missing_container_are_told_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let Some(azurite) = Azurite::start(data.path(), 0) else { return };
    let other = KEY.replace("Eby8", "Abcd");
    for (key, said, remedy) in [
        (other.as_str(), "403 AuthorizationFailure", ""),
        (
            KEY,
            "404 ContainerNotFound: The specified container does not exist",
            "az storage container create",
        ),
    ] {
        let temp = tempfile::tempdir().unwrap();
        write(temp.path(), "a.json", b"{}");
        let url = "az://logs/site";
        let destination = Destination::open(url, &credentials(azurite.port, key)).unwrap();
        let uploader = Uploader::start(destination, config(temp.path()), now).unwrap();
        until(&uploader, |counters| counters.failed > 1);
        let Some(Health::Failing(error)) = uploader.health() else { panic!("not told") };
        let text = error.to_string();
        assert!(text.starts_with("cannot upload site/tap/a.json to az://logs/site: "), "{text}");
        assert!(text.contains(said) && text.contains(remedy), "{text}");
        assert!(!format!("{text}{error:?}{uploader:?}").contains(key), "{text}");
        assert_eq!(files(temp.path()), 1);
    }
}

#[test]
fn a_file_that_grows_is_refreshed_and_stays() {
    let Some((_data, azurite, client)) = server() else { return };
    let temp = tempfile::tempdir().unwrap();
    let name = "resourceId=x/y=2025/m=12/d=01/h=00/m=00/macAddress=0/PT1H.json";
    let config = Config { refresh: Duration::from_secs(2), ..config(temp.path()) };
    write(temp.path(), name, b"{1}");
    let uploader = Uploader::start(destination(azurite.port), config, now).unwrap();
    until(&uploader, |counters| counters.uploaded == 1);
    for rows in 2..10 {
        write(temp.path(), name, format!("{{{rows}}}").as_bytes());
        sleep(Duration::from_millis(100));
    }
    let counters = until(&uploader, |counters| counters.uploaded == 2);
    assert_eq!((counters.pending_files, counters.removed), (0, 0));
    assert_eq!(client.contents()[name], b"{9}");
    // A drain does not wait for the next refresh.
    write(temp.path(), name, b"{10}");
    assert_eq!(uploader.drain(Duration::from_millis(1500)).files, 0);
    assert_eq!(client.contents()[name], b"{10}");
    assert_eq!(files(temp.path()), 1);
}

#[test]
fn what_is_kept_goes_once_also_after_a_restart() {
    let Some((_data, azurite, client)) = server() else { return };
    let temp = tempfile::tempdir().unwrap();
    let config = Config { after: After::Keep, ..config(temp.path()) };
    for (run, expected) in [(1, 20), (2, 1)] {
        for number in 0..20 {
            let name = number.to_string();
            if run == 1 || number == 7 {
                write(temp.path(), &name, &bytes(number + run, 100));
            }
        }
        let uploader = Uploader::start(destination(azurite.port), config.clone(), now).unwrap();
        assert_eq!(uploader.drain(LONG).files, 0);
        assert_eq!(uploader.counters().uploaded, expected, "run {run}");
        assert_eq!((files(temp.path()), client.list().len()), (20, 20));
    }
    assert_eq!(client.contents()["7"], bytes(9, 100));
    // Whoever wrote them may remove them.
    let uploader = Uploader::start(destination(azurite.port), config, now).unwrap();
    fs::remove_file(temp.path().join("3")).unwrap();
    assert_eq!(uploader.drain(LONG).files, 0);
    assert_eq!((uploader.counters().uploaded, uploader.counters().vanished), (0, 0));
}
