use super::*;
use std::path::Path;

const BEGIN: Timestamp = Timestamp::new(1_764_547_200, 0);

fn at(seconds: u64) -> Timestamp {
    BEGIN + Duration::from_secs(seconds)
}

fn key(name: &str) -> Key {
    Key { spool: 0, path: Path::new(name).into() }
}

fn stamp(seconds: u64, bytes: u64) -> Stamp {
    Stamp { bytes, modified: at(seconds), inode: seconds }
}

fn see(queue: &mut Queue, files: &[(Key, Stamp)], now: Timestamp) -> Vec<Key> {
    queue.seen(&Found { files: files.to_vec(), ..Found::default() }, now)
}

/// One that has seen these files, each of a byte, the first the oldest.
fn queue(names: &[&str]) -> (Queue, Vec<(Key, Stamp)>) {
    let mut queue = Queue::new(Duration::from_secs(300));
    let files: Vec<_> =
        names.iter().zip(0..).map(|(name, age)| (key(name), stamp(age, 1))).collect();
    assert!(see(&mut queue, &files, at(10)).is_empty());
    (queue, files)
}

#[test]
fn the_oldest_goes_first_and_as_many_at_once_as_may() {
    let (mut queue, files) = queue(&["z", "a", "m"]);
    assert_eq!(queue.next(at(10), 2), Some(key("z")));
    assert_eq!(queue.next(at(10), 2), Some(key("a")));
    assert_eq!(queue.next(at(10), 2), None);
    assert!(!queue.sent(&key("z"), files[0].1, at(11)));
    assert_eq!(queue.next(at(11), 2), Some(key("m")));
    let Counters { pending_files, pending_bytes, oldest_pending, uploaded, bytes, .. } =
        queue.counters();
    assert_eq!((pending_files, pending_bytes, oldest_pending), (2, 2, Some(at(1))));
    assert_eq!((uploaded, bytes), (1, 1));
}

#[test]
fn a_store_that_is_away_is_tried_by_one_file_at_a_time_down_to_once_in_five_minutes() {
    let (mut queue, _) = queue(&["a", "b", "c"]);
    let mut now = at(10);
    // Two are under way when it goes away.
    let first = [queue.next(now, 2).unwrap(), queue.next(now, 2).unwrap()];
    assert_eq!(first.map(|key| queue.failed(&key, true, now)), [News::Nothing, News::Nothing]);
    let (mut pauses, mut probes, mut news) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..11 {
        let begin = now;
        let probe = loop {
            match queue.next(now, 2) {
                Some(probe) => break probe,
                None => now = queue.due().unwrap().max(now),
            }
        };
        assert_eq!(queue.next(now, 2), None);
        pauses.push(now.since(begin).as_secs());
        news.push(queue.failed(&probe, true, now));
        probes.push(probe.path.to_str().unwrap().to_owned());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    assert_eq!(news.iter().filter(|news| **news == News::Store).count(), 1);
    assert!(!news.contains(&News::File));
    for name in ["a", "b", "c"] {
        assert!(probes.iter().any(|probe| probe == name), "{name} stood behind others: {probes:?}");
    }
    // Back: all go at once, and it is told.
    now = queue.due().unwrap();
    let probe = queue.next(now, 2).unwrap();
    assert!(queue.sent(&probe, stamp(0, 1), now));
    assert!(queue.next(now, 2).is_some() && queue.next(now, 2).is_some());
    assert_eq!(queue.counters().failed, 13);
}

#[test]
fn a_file_that_always_fails_holds_up_no_other() {
    let names: Vec<_> = (0..50).map(|number| format!("{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for is_of_the_store in [false, true] {
        let (mut queue, files) = queue(&names);
        let (mut now, mut told) = (at(10), Vec::new());
        while queue.counters().pending_files > 1 {
            let Some(next) = queue.next(now, 4) else {
                now = queue.due().unwrap();
                continue;
            };
            if next == key("00") {
                told.push(queue.failed(&next, is_of_the_store, now));
            } else {
                let (_, stamp) = files.iter().find(|(key, _)| *key == next).unwrap();
                assert!(!queue.sent(&next, *stamp, now));
            }
        }
        assert!(now.since(at(10)) <= Duration::from_secs(2), "{is_of_the_store}: {now}");
        // What is left of it alone is told, too.
        for _ in 0..3 {
            now = queue.due().unwrap_or(now).max(now);
            if let Some(next) = queue.next(now, 4) {
                told.push(queue.failed(&next, is_of_the_store, now));
            }
        }
        told.retain(|news| *news != News::Nothing);
        // A store that has nothing else to take looks as if it took nothing.
        let expected = [News::File, News::Store];
        assert_eq!(told, expected[..1 + usize::from(is_of_the_store)]);
    }
}

#[test]
fn a_file_that_grows_goes_at_once_then_once_in_a_while_and_at_last() {
    let growing = "h=15/PT1H.json";
    let (mut queue, _) = queue(&[growing]);
    let mut sent = Vec::new();
    // It changes each minute for an hour.
    for minute in 0..120_u64 {
        let now = at(10 + 60 * minute);
        let seen = stamp(60 * minute.min(59), 100 + minute.min(59));
        assert!(see(&mut queue, &[(key(growing), seen)], now).is_empty());
        if queue.next(now, 4).is_some() {
            queue.sent(&key(growing), seen, now);
            sent.push((minute, seen.bytes));
        }
        let is_over = minute >= 59 + 65;
        assert_eq!(queue.removable(now).len(), usize::from(is_over), "{minute}");
    }
    let minutes: Vec<_> = sent.iter().map(|(minute, _)| *minute).collect();
    assert_eq!(minutes, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60]);
    assert_eq!(sent.last(), Some(&(60, 159)));
    assert_eq!(queue.removable(at(60 * (59 + 65))), [(key(growing), stamp(60 * 59, 159))]);
    assert_eq!(queue.counters().pending_files, 0);
}

#[test]
fn what_changes_while_it_goes_goes_again() {
    let (mut queue, mut files) = queue(&["a"]);
    let first = queue.next(at(10), 1).unwrap();
    let before = files[0].1;
    files[0].1 = stamp(11, 5);
    assert!(see(&mut queue, &files, at(11)).is_empty());
    queue.sent(&first, before, at(12));
    assert!(see(&mut queue, &files, at(13)).is_empty());
    assert_eq!(queue.counters().pending_bytes, 5);
    assert_eq!(queue.next(at(13), 1), Some(key("a")));
}

#[test]
fn a_file_taken_away_before_it_went_is_told_and_one_that_went_is_not() {
    let (mut queue, files) = queue(&["a", "b", "c"]);
    let first = queue.next(at(10), 1).unwrap();
    queue.sent(&first, files[0].1, at(10));
    assert_eq!(queue.next(at(10), 1), Some(key("b")));
    // b is under way: it may go yet.
    assert_eq!(see(&mut queue, &[], at(11)), [key("c")]);
    queue.sent(&key("b"), files[1].1, at(12));
    assert!(see(&mut queue, &[], at(13)).is_empty());
    let Counters { vanished, pending_files, pending_bytes, uploaded, .. } = queue.counters();
    assert_eq!((vanished, pending_files, pending_bytes, uploaded), (1, 0, 0, 2));
}

#[test]
fn what_is_in_a_directory_that_cannot_be_read_has_not_vanished() {
    let (mut queue, _) = queue(&["a"]);
    let unread = Found { unread: [0].into(), ..Found::default() };
    assert!(queue.seen(&unread, at(11)).is_empty());
    assert_eq!(queue.counters().pending_files, 1);
}

#[test]
fn a_clock_that_is_put_back_holds_nothing_up() {
    let (mut queue, _) = queue(&["a"]);
    let mut now = at(10);
    for _ in 0..8 {
        let next = queue.next(now, 1).unwrap();
        queue.failed(&next, true, now);
        now = queue.due().unwrap();
    }
    assert_eq!(queue.next(at(11), 1), Some(key("a")));
}

#[test]
fn what_an_earlier_run_has_sent_goes_only_if_it_changed() {
    let mut queue = Queue::new(Duration::from_secs(300));
    queue.remember(key("a"), stamp(1, 1));
    queue.remember(key("b"), stamp(2, 1));
    queue.remember(key("gone"), stamp(3, 1));
    let seen = [(key("a"), stamp(1, 1)), (key("b"), stamp(5, 2)), (key("c"), stamp(6, 1))];
    assert!(see(&mut queue, &seen, at(10)).is_empty());
    assert_eq!([queue.next(at(10), 4), queue.next(at(10), 4)], [Some(key("b")), Some(key("c"))]);
    assert_eq!(queue.next(at(10), 4), None);
    let kept: Vec<_> = queue.kept(0).map(|(key, _)| key.clone()).collect();
    assert_eq!(kept, [key("a"), key("b")]);
}

#[test]
fn a_drain_waits_for_no_rest() {
    let (mut queue, files) = queue(&["a", "b"]);
    let first = [queue.next(at(10), 2).unwrap(), queue.next(at(10), 2).unwrap()];
    for key in first {
        queue.failed(&key, true, at(10));
    }
    assert_eq!(queue.next(at(10), 2), None);
    queue.hurry(at(10));
    let probe = queue.next(at(10), 2).unwrap();
    queue.sent(&probe, files[0].1, at(10));
    assert!(queue.next(at(10), 2).is_some());
}
