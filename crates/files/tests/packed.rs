//! What zstd(1) reads of packed rows. Beside the tests of the module it would be a risk to them: a
//! child holds the locks of its parent's files until it is another program.

use std::fs;
use std::process::Command;

use vtap_files::{Rotating, Rotation};
use vtap_packet::Timestamp;
use vtap_testkit::tools;

/// 2025-12-01T00:00:00Z.
const START: Timestamp = Timestamp::new(1_764_547_200, 0);

#[test]
fn a_packed_file_is_read_by_zstd_up_to_the_last_flush_while_it_grows() {
    if !tools::installed(&["zstd"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let packed = Rotation { compression: Some(3), min_free_bytes: 0, ..Rotation::default() };
    let head = "number,filler\n";
    let mut rotating = Rotating::open(directory.path(), ["rows", "csv"], head, packed).unwrap();
    let mut expected = head.to_owned();
    for number in 0..5 {
        let rows = format!("{number},{}\n", "x".repeat(100)).repeat(1 + number * 5_000);
        rotating.write(rows.as_bytes(), START);
        rotating.flush(START);
        expected += &rows;
        let partial = directory.path().join("rows-20251201T000000Z.csv.zst.partial");
        let read = Command::new("zstd").arg("-dc").arg(partial).output().unwrap();
        assert!(read.status.success(), "{read:?}");
        assert!(read.stdout == expected.as_bytes());
    }
    rotating.write(b"not flushed\n", START);
    assert_eq!(rotating.counters().waiting, 1);
    rotating.finish(START).unwrap();
    let file = fs::read(directory.path().join("rows-20251201T000000Z.csv.zst")).unwrap();
    assert!(zstd::decode_all(&file[..]).unwrap() == (expected + "not flushed\n").as_bytes());
}
