//! `vtap report`: the page of real captures.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{captures, corpus, each, options, tap, uint, vtap};
use serde_json::Value;
use tempfile::TempDir;
use vtap_testkit::data;

/// Its page, which has to be written without complaint but for damage of the capture.
fn page(folder: &TempDir, args: &[&str], capture: &Path) -> String {
    let name = capture.file_name().unwrap().to_str().unwrap();
    let out = folder.path().join(format!("{name}.html"));
    let mut all = vec!["report", capture.to_str().unwrap(), "-o", out.to_str().unwrap()];
    all.extend(args);
    let ran = vtap(&all);
    assert!(ran.status <= 1, "{name}: {}", ran.stderr);
    fs::read_to_string(out).unwrap()
}

/// The texts of a table's rows, the sum included.
fn rows(page: &str, table: &str) -> Vec<Vec<String>> {
    let Some((_, rest)) = page.split_once(&format!("<table id=\"{table}\"")) else {
        return Vec::new();
    };
    let table = rest.split("</table>").next().unwrap();
    let rows = table.split("<tr>").skip(2);
    rows.map(|row| row.split("<td").skip(1).map(text).collect()).collect()
}

/// What is left of a cell without its tags.
fn text(cell: &str) -> String {
    let (_, shown) = cell.split_once('>').unwrap();
    let parts = shown.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect::<String>().trim().to_owned()
}

fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap()
}

#[test]
fn the_page_tells_the_numbers_of_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    each(&tap(), |capture| {
        let path = capture.to_str().unwrap();
        let replay = vtap(&["replay", path, "--format", "none", "--summary", "json"]);
        let summary: Value = serde_json::from_str(&replay.stderr).unwrap();
        let page = page(&folder, &[], capture);

        let read = rows(&page, "read");
        assert_eq!(number(&read.last().unwrap()[1]), uint(&summary["packets"]), "{path}");
        let parts: u64 = read.iter().rev().skip(1).map(|row| number(&row[1])).sum();
        assert_eq!(parts, uint(&summary["packets"]), "{path}");
        let tracked = rows(&page, "tracked");
        let parts: u64 = tracked.iter().rev().skip(1).map(|row| number(&row[1])).sum();
        assert_eq!(parts, uint(&summary["decapsulated"]), "{path}");

        let invalid = summary["invalid"].as_object().unwrap();
        let reasons = rows(&page, "reasons");
        let told = reasons.iter().rev().skip(1).map(|row| (row[0].clone(), number(&row[1])));
        let told: serde_json::Map<_, _> = told.map(|(name, n)| (name, n.into())).collect();
        assert_eq!(&told, invalid, "{path}");

        // Packets of flows are the same by whatever they are added up.
        let of_paths = rows(&page, "path-table").last().map_or(0, |row| number(&row[5]));
        let sum = |table: &str, column: usize| -> u64 {
            rows(&page, table).iter().map(|row| number(&row[column])).sum()
        };
        assert_eq!(sum("service-table", 5), of_paths, "{path}");
        assert_eq!(sum("pairs", 6), of_paths, "{path}");
        let segments = uint(&summary["tcp_segments"]) + uint(&summary["other"]);
        assert!(of_paths <= segments && segments - of_paths <= uint(&summary["other"]), "{path}");
    });
}

#[test]
fn a_refused_connection_is_a_failed_handshake() {
    let folder = tempfile::tempdir().unwrap();
    let page = page(&folder, &[], &data::testdata("tap/refused.pcap"));
    let failures = rows(&page, "refusals");
    assert_eq!(failures[0][..4], ["refused", "10.0.2.6:8081", "1", "1"]);
    assert!(page.contains("1 of 1 handshake failed"), "what stands out");
    assert!(rows(&page, "flows")[0][4].starts_with("refused"));
}

#[test]
fn gateways_have_the_names_of_the_networks_file() {
    let folder = tempfile::tempdir().unwrap();
    let networks = folder.path().join("networks.toml");
    let capture = data::testdata("tap/http.pcap");
    fs::write(
        &networks,
        "[[vnet]]\nname = \"lab\"\naddress_space = [\"10.0.0.0/16\"]\n\n\
         [[vnet.subnet]]\nname = \"web\"\nrange = \"10.0.2.0/24\"\n\n\
         [[gateway]]\nname = \"lab-firewall\"\nkind = \"firewall\"\nmacs = [\"02-00-0A-00-02-06\"]\n\n\
         [[name]]\naddress = \"10.0.2.6\"\nname = \"web <1>\"\n",
    )
    .unwrap();
    let page = page(&folder, &["--networks", networks.to_str().unwrap()], &capture);
    let talkers = rows(&page, "talker-table");
    let server = talkers.iter().find(|row| row[0].starts_with("10.0.2.6")).unwrap();
    assert_eq!(server[..2], ["10.0.2.6 web &lt;1&gt;", "lab/web"]);
    assert_eq!(rows(&page, "flow-types")[0][0], "IntraVNet one virtual network");
    assert_eq!(rows(&page, "path-table")[0][..3], ["lab-firewall", "771 bytes", "100.0 %"]);
    assert_eq!(rows(&page, "flows")[0][12], "lab-firewall");
}

#[test]
fn no_page_asks_for_anything_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let ours: Vec<_> = captures(&data::testdata("tap"));
    let theirs = corpus().unwrap_or_default().into_iter().map(|sample| sample.path);
    let all: Vec<_> = ours.into_iter().chain(theirs).collect();
    each(&all, |capture| {
        let name = capture.file_name().unwrap().to_str().unwrap();
        let mut args = vec!["--plain"];
        args.extend(options(name));
        let page = page(&folder, &args, capture);
        for asks in [" src=", "url(", "@import", "http://", "https://", "href=\"http", "<link"] {
            assert!(!page.contains(asks), "{name}: {asks}");
        }
        // Style attributes would need a weaker policy.
        assert!(!page.contains(" style="), "{name}");
        assert_eq!(page.matches("<script").count(), 1, "{name}");
    });
}

#[test]
fn damage_is_on_the_page_and_in_the_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(data::testdata("tap/http.pcap")).unwrap();
    let damaged = folder.path().join("damaged.pcap");
    // A record that claims more than any packet has, and nothing behind it.
    fs::write(&damaged, [&whole[..], &[0xff; 64]].concat()).unwrap();
    let out = folder.path().join("page.html");
    let ran = vtap(&["report", damaged.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(fs::read_to_string(out).unwrap().contains("The input is damaged."));
}

#[test]
fn a_capture_is_never_overwritten_by_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("http.pcap");
    fs::copy(data::testdata("tap/http.pcap"), &capture).unwrap();
    let before = fs::read(&capture).unwrap();
    let ran = vtap(&["report", capture.to_str().unwrap(), "-o", capture.to_str().unwrap()]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("is an input as well"), "{}", ran.stderr);
    assert_eq!(fs::read(&capture).unwrap(), before);
}
