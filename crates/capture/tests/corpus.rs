//! The public corpus: as many packets as its manifest counts, read alike in every way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{Pieces, drain};
use vtap_capture::File;

/// Files of which the manifest's reader counts otherwise: ours, and why.
const OURS: [(&str, usize, &str); 1] = [(
    "seladb_PcapPlusPlus--crash-pcapng-epb-unbounded-length.pcap",
    0,
    "its one packet claims 65,536 bytes in a block that has room for none",
)];

#[test]
fn counts_are_those_of_the_manifest() {
    let Some(corpus) = common::corpus() else { return };
    let manifest = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut rows = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let column = |name| header.iter().position(|column| *column == name).unwrap();
    let (file, count) = (column("file"), column("packets_own_reader"));

    let mut wrong = BTreeMap::new();
    for row in rows {
        let own = OURS.iter().find(|(name, ..)| *name == row[file]).map(|(_, count, _)| *count);
        let expected = own.unwrap_or_else(|| row[count].parse().unwrap());
        let found = drain(&mut File::open(&corpus.join(row[file])).unwrap());
        if found.packets.len() != expected {
            wrong.insert(row[file].to_owned(), (expected, found.packets.len(), found.damage));
        }
    }
    assert!(wrong.is_empty(), "expected, found: {wrong:#?}");
}

#[test]
fn a_stream_reads_like_a_mapping() {
    let Some(corpus) = common::corpus() else { return };
    for entry in fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let Ok(mut mapped) = File::open(&path) else { continue };
        let left = std::io::Cursor::new(fs::read(&path).unwrap());
        let stream = Pieces { left, step: 4099 };
        let mut stream = File::from_reader(Path::new("stream"), stream).unwrap();
        let (mapped, stream) = (drain(&mut mapped), drain(&mut stream));
        assert!(mapped == stream, "{}", path.display());
        for (offset, skipped, kind) in mapped.damage {
            println!("{}: {offset} {skipped} {kind}", path.display());
        }
    }
}
