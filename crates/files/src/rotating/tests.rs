use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use super::*;

mod rows;

const HEAD: &str = "number,filler\n";
/// 2025-12-01T00:00:00Z
const START: Timestamp = Timestamp::new(1_764_547_200, 0);

/// A disk that fails as it is told.
#[derive(Debug)]
struct Faulty(Arc<Mutex<Faults>>);

#[derive(Debug)]
struct Faults {
    /// For each thing that is asked for, how much of it is done before it fails; `None`: all.
    next: VecDeque<Option<usize>>,
    /// Until further notice.
    full: bool,
    free: u64,
    not_removable: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self { next: VecDeque::new(), full: false, free: u64::MAX, not_removable: false }
    }
}

impl Faulty {
    fn fault(&self) -> Option<usize> {
        let mut faults = self.0.lock().unwrap();
        faults.next.pop_front().flatten().or_else(|| faults.full.then_some(3))
    }

    fn fails(&self) -> io::Result<()> {
        self.fault().map_or(Ok(()), |_| Err(io::ErrorKind::StorageFull.into()))
    }
}

impl Disk for Faulty {
    fn free(&mut self, _: &Path) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().free)
    }

    fn create(&mut self, path: &Path) -> io::Result<File> {
        self.fails()?;
        System.create(path)
    }

    fn append(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        match self.fault() {
            None => System.append(file, bytes),
            Some(done) => {
                System.append(file, &bytes[..done.min(bytes.len())])?;
                Err(io::ErrorKind::StorageFull.into())
            }
        }
    }

    fn truncate(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        self.fails()?;
        System.truncate(file, bytes)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        self.fails()?;
        System.sync(file)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.fails()?;
        System.rename(from, to)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.0.lock().unwrap().not_removable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.fails()?;
        System.remove(path)
    }
}

fn names(directory: &Path, packed: bool) -> Names {
    Names { directory: directory.into(), stem: "rows".into(), extension: "csv".into(), packed }
}

fn open(directory: &Path, rotation: Rotation) -> Rotating {
    Rotating::open(directory, ["rows", "csv"], HEAD, rotation).unwrap()
}

fn faulty(directory: &Path, rotation: Rotation) -> (Rotating, Arc<Mutex<Faults>>) {
    let faults = Arc::new(Mutex::new(Faults::default()));
    let names = names(directory, rotation.compression.is_some());
    let disk = Box::new(Faulty(Arc::clone(&faults)));
    (Rotating::with_disk(names, HEAD, rotation, disk).unwrap(), faults)
}

/// On any file system that tests run on.
fn any_space() -> Rotation {
    Rotation { min_free_bytes: 0, ..Rotation::default() }
}

fn after(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn files(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(directory: &TempDir, file: &str) -> String {
    fs::read_to_string(directory.path().join(file)).unwrap()
}

fn told(rotating: &mut Rotating) -> Vec<String> {
    std::iter::from_fn(|| rotating.health())
        .map(|health| match health {
            Health::Failing(error) => format!("failing: {error}: {}", error.source),
            Health::Recovered { lost } => format!("recovered: {lost} lost"),
            Health::NotRemoved(error) => format!("not removed: {error}"),
        })
        .collect()
}

/// A complete file.
struct Read {
    numbers: Vec<u64>,
}

/// All complete files, the oldest first. Each has to begin with the head and to end with a row.
fn read(directory: &Path) -> Vec<Read> {
    let names = names(directory, false);
    let read = |name| {
        let mut bytes = fs::read(names.path(&name)).unwrap();
        if name.packed {
            bytes = zstd::decode_all(&bytes[..]).unwrap();
        }
        let text = String::from_utf8(bytes).unwrap();
        let rows = text.strip_prefix(HEAD).unwrap_or_else(|| panic!("{name:?} has no head"));
        assert!(!rows.is_empty() && rows.ends_with('\n'), "{name:?} has no row, or half of one");
        let number = |row: &str| {
            let (number, filler) = row.split_once(',').unwrap_or((row, ""));
            let number = number.parse().unwrap();
            assert!(filler.len() <= 60 && filler.bytes().all(|byte| byte == b'x'), "{row}");
            number
        };
        Read { numbers: rows.lines().map(number).collect() }
    };
    names.complete().unwrap().into_iter().map(read).collect()
}

#[test]
fn an_idle_file_is_complete_at_the_full_hour_and_none_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let hourly = Rotation { every: Some(Duration::from_secs(3600)), ..any_space() };
    let mut rotating = open(directory.path(), hourly);
    rotating.tick(after(10));
    assert!(files(&directory).is_empty());

    rotating.write(b"1\n", after(1800));
    assert_eq!(files(&directory), ["rows-20251201T003000Z.csv.partial"]);
    rotating.tick(after(3599));
    assert_eq!(files(&directory).len(), 1);
    rotating.tick(after(3600));
    assert_eq!(files(&directory), ["rows-20251201T003000Z.csv"]);
    rotating.tick(after(2 * 3600));
    rotating.finish(after(2 * 3600)).unwrap();
    assert_eq!(files(&directory), ["rows-20251201T003000Z.csv"]);
    assert_eq!(text(&directory, "rows-20251201T003000Z.csv"), "number,filler\n1\n");
}

#[test]
fn a_row_behind_the_hour_begins_a_file_without_a_tick_and_those_before_stay_in_theirs() {
    for compression in [None, Some(3)] {
        let directory = tempfile::tempdir().unwrap();
        let every = Some(Duration::from_secs(3600));
        let mut rotating = open(directory.path(), Rotation { every, compression, ..any_space() });
        rotating.write(b"1\n", after(3599));
        rotating.write(b"2\n", after(3600));
        rotating.finish(after(3600)).unwrap();
        let numbers: Vec<_> = read(directory.path()).into_iter().map(|file| file.numbers).collect();
        assert_eq!(numbers, [[1], [2]]);
    }
}

#[test]
fn a_file_ends_with_the_row_that_brings_it_to_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let rotation = Rotation { bytes: Some(HEAD.len() as u64 + 5), ..any_space() };
    let mut rotating = open(directory.path(), rotation);
    rotating.write(b"1\n2\n3\n4,long,row\n5\n", START);
    rotating.write(b"6\n", START);
    rotating.finish(START).unwrap();
    let text = |file| text(&directory, file).replace(HEAD, "");
    assert_eq!(text("rows-20251201T000000Z.csv"), "1\n2\n3\n");
    assert_eq!(text("rows-20251201T000000Z-2.csv"), "4,long,row\n");
    assert_eq!(text("rows-20251201T000000Z-3.csv"), "5\n6\n");
    let counters = rotating.counters();
    assert_eq!((counters.accepted, counters.rows, counters.files), (6, 6, 3));
    assert_eq!(counters.bytes, 3 * HEAD.len() as u64 + 21);
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let put = |file: &str, rows| fs::write(directory.path().join(file), rows).unwrap();
    put("rows-20251201T000000Z.csv", "theirs");
    let other = Rotating::open(directory.path(), ["rows", "csv"], HEAD, any_space());
    let mut other = other.unwrap();
    other.write(b"1\n", START);
    let mut rotating = open(directory.path(), any_space());
    assert_eq!(rotating.leftovers().in_use.len(), 1);
    rotating.write(b"2\n", START);
    // Of a process that knows no partial files.
    put("rows-20251201T000000Z-3.csv", "theirs, too");
    rotating.finish(START).unwrap();
    other.finish(START).unwrap();
    assert_eq!(
        files(&directory),
        ["", "-2", "-3", "-4"].map(|number| format!("rows-20251201T000000Z{number}.csv")).sorted()
    );
    assert_eq!(text(&directory, "rows-20251201T000000Z.csv"), "theirs");
    assert_eq!(text(&directory, "rows-20251201T000000Z-2.csv"), "number,filler\n1\n");
    assert_eq!(text(&directory, "rows-20251201T000000Z-3.csv"), "theirs, too");
    assert_eq!(text(&directory, "rows-20251201T000000Z-4.csv"), "number,filler\n2\n");
}

trait Sorted {
    fn sorted(self) -> Self;
}

impl<const N: usize> Sorted for [String; N] {
    fn sorted(mut self) -> Self {
        self.sort();
        self
    }
}

#[test]
fn only_the_oldest_files_of_the_very_stem_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let others = [
        "other-20200101T000000Z.csv",
        "rows-20200101T000000Z.csv.gz",
        "rows-20200101T000000Z.json",
        "rows-20200101T000000Z-copy.csv",
        "rows-a-20200101T000000Z.csv",
        "rows.csv",
    ];
    for file in others {
        fs::write(directory.path().join(file), "").unwrap();
    }
    fs::write(directory.path().join("rows-20200101T000000Z.csv.zst"), "").unwrap();
    let in_use = File::create(directory.path().join("rows-20190101T000000Z.csv.partial")).unwrap();
    in_use.lock().unwrap();
    let keep = Rotation { keep: Some(2), bytes: Some(1), ..any_space() };
    let mut rotating = open(directory.path(), keep);
    for second in 0..4 {
        rotating.write(b"1\n", after(second));
    }
    rotating.finish(after(4)).unwrap();
    let mut expected: Vec<_> = others.map(str::to_owned).into();
    expected.extend(
        ["20190101T000000Z.csv.partial", "20251201T000002Z.csv", "20251201T000003Z.csv"]
            .map(|name| format!("rows-{name}")),
    );
    expected.sort();
    assert_eq!(files(&directory), expected);
    assert_eq!(rotating.counters().removed, 3);
}

#[test]
fn a_file_that_cannot_be_removed_is_told_once_and_rows_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let keep = Rotation { keep: Some(1), bytes: Some(1), ..any_space() };
    let (mut rotating, faults) = faulty(directory.path(), keep);
    faults.lock().unwrap().not_removable = true;
    for second in 0..4 {
        rotating.write(b"1\n", after(second));
    }
    let path = directory.path().join("rows-20251201T000000Z.csv");
    assert_eq!(told(&mut rotating), [format!("not removed: cannot write {}", path.display())]);
    faults.lock().unwrap().not_removable = false;
    rotating.write(b"1\n", after(4));
    assert_eq!(files(&directory), ["rows-20251201T000004Z.csv"]);
    assert_eq!(rotating.counters().rows, 5);
}

#[test]
fn rows_wait_for_a_full_disk_then_the_newest_are_lost_and_both_turns_are_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rotating, faults) =
        faulty(directory.path(), Rotation { buffer_bytes: 8, ..any_space() });
    rotating.write(b"1\n", START);
    faults.lock().unwrap().full = true;
    for row in [b"2\n", b"3\n", b"4\n", b"5\n", b"6\n", b"7\n"] {
        rotating.write(row, START);
    }
    // Cutting is refused as well: three bytes of something are behind the row.
    let partial = "rows-20251201T000000Z.csv.partial";
    assert_eq!(text(&directory, partial), "number,filler\n1\n2\n");
    for second in 0..10 {
        rotating.tick(after(second));
    }
    let counters = rotating.counters();
    assert_eq!((counters.rows, counters.waiting, counters.lost), (1, 4, 2));
    // After 1, 2 and 4 s more.
    assert_eq!((counters.errors, counters.retries), (4, 3));
    let path = directory.path().join(partial);
    assert_eq!(
        told(&mut rotating),
        [format!("failing: cannot write {}: {}", path.display(), io::ErrorKind::StorageFull)]
    );

    faults.lock().unwrap().full = false;
    rotating.tick(after(15));
    rotating.tick(after(16));
    assert_eq!(told(&mut rotating), ["recovered: 2 lost"]);
    rotating.finish(after(16)).unwrap();
    assert_eq!(text(&directory, "rows-20251201T000000Z.csv"), "number,filler\n1\n2\n3\n4\n5\n");
}

#[test]
fn what_finds_no_room_at_the_end_is_lost_and_what_is_written_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let (mut rotating, faults) = faulty(directory.path(), any_space());
    rotating.write(b"1\n", START);
    faults.lock().unwrap().free = (256 << 20) - 1;
    rotating.rotation.min_free_bytes = 256 << 20;
    rotating.write(b"2\n3\n", START);
    let path = directory.path().display();
    let why = format!("cannot write {path}: 255 MiB are free, and 256 MiB stay free: make room");
    assert_eq!(told(&mut rotating), [format!("failing: {why}")]);
    rotating.finish(START).unwrap_err();
    assert_eq!(text(&directory, "rows-20251201T000000Z.csv"), "number,filler\n1\n");
    let counters = rotating.counters();
    assert_eq!((counters.accepted, counters.rows, counters.lost), (3, 1, 2));
}

#[test]
fn an_hour_ends_on_a_full_disk_too() {
    let directory = tempfile::tempdir().unwrap();
    let hourly = Rotation { every: Some(Duration::from_secs(3600)), ..any_space() };
    let (mut rotating, faults) = faulty(directory.path(), hourly);
    rotating.write(b"1\n", START);
    faults.lock().unwrap().free = 0;
    rotating.rotation.min_free_bytes = 1;
    rotating.write(b"2\n", after(1));
    rotating.tick(after(3600));
    assert_eq!(files(&directory), ["rows-20251201T000000Z.csv"]);
    faults.lock().unwrap().free = u64::MAX;
    rotating.tick(after(3630));
    rotating.finish(after(3630)).unwrap();
    assert_eq!(text(&directory, "rows-20251201T010030Z.csv"), "number,filler\n2\n");
}

#[test]
fn a_file_that_somebody_takes_away_is_told_and_the_next_rows_have_another() {
    let directory = tempfile::tempdir().unwrap();
    let mut rotating = open(directory.path(), Rotation { bytes: Some(20), ..any_space() });
    rotating.write(b"1\n", START);
    fs::remove_file(directory.path().join("rows-20251201T000000Z.csv.partial")).unwrap();
    rotating.write(b"2,to the brim\n", after(1));
    assert!(told(&mut rotating)[0].starts_with("failing: cannot write"));
    rotating.write(b"3\n", after(1));
    rotating.tick(after(2));
    assert_eq!(told(&mut rotating), ["recovered: 0 lost"]);
    rotating.finish(after(2)).unwrap();
    assert_eq!(text(&directory, "rows-20251201T000002Z.csv"), "number,filler\n3\n");
}

#[test]
fn leftovers_are_cut_behind_their_last_row_and_completed_but_for_those_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let put = |file: &str, rows: &[u8]| fs::write(directory.path().join(file), rows).unwrap();
    let long = "1,".to_owned() + &"x".repeat(200_000);
    put("rows-20250101T000000Z.csv.partial", format!("{HEAD}{long}\n{long}").as_bytes());
    put("rows-20250102T000000Z.csv.partial", b"number,filler\n1\n");
    put("rows-20250102T000000Z.csv", b"theirs");
    put("rows-20250103T000000Z.csv.partial", HEAD.as_bytes());
    put("rows-20250104T000000Z.csv.partial", b"");
    put("rows-20250105T000000Z.csv.partial", b"number,filler\n1\n2");
    put("rows-20250106T000000Z.csv.zst.partial", b"(\xb5/\xfd");
    put("other-20250107T000000Z.csv.partial", b"1\n2");
    let in_use = File::open(directory.path().join("rows-20250105T000000Z.csv.partial")).unwrap();
    in_use.lock().unwrap();

    let rotating = open(directory.path(), any_space());
    let Leftovers { completed, removed, in_use: left, failed } = rotating.leftovers();
    let path = |file: &str| directory.path().join(file);
    assert_eq!(*completed, ["rows-20250101T000000Z.csv", "rows-20250102T000000Z-2.csv"].map(path));
    assert_eq!(removed.len(), 3);
    assert_eq!(*left, [path("rows-20250105T000000Z.csv.partial")]);
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(text(&directory, "rows-20250101T000000Z.csv"), format!("{HEAD}{long}\n"));
    assert_eq!(text(&directory, "rows-20250102T000000Z.csv"), "theirs");
    assert_eq!(text(&directory, "rows-20250105T000000Z.csv.partial"), "number,filler\n1\n2");
    assert_eq!(text(&directory, "other-20250107T000000Z.csv.partial"), "1\n2");
}

#[test]
fn what_has_no_meaning_or_no_directory_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path, rotation| Rotating::open(path, ["rows", "csv"], "", rotation);
    let missing = directory.path().join("missing");
    assert_eq!(open(&missing, any_space()).unwrap_err().path, missing);
    let none = Rotation { keep: Some(0), ..any_space() };
    assert_eq!(
        open(directory.path(), none).unwrap_err().source.kind(),
        io::ErrorKind::InvalidInput
    );
}
