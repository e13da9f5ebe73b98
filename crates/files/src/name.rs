//! Names of rotated files: `{stem}-{YYYYMMDD}T{HHMMSS}Z[-N].{extension}[.zst]`.

use std::fs;
use std::path::{Path, PathBuf};

use vtap_packet::Timestamp;

use crate::Error;

/// The names of one stem in one directory.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) directory: PathBuf,
    pub(crate) stem: String,
    pub(crate) extension: String,
    /// Whether new files are packed; both kinds are read.
    pub(crate) packed: bool,
}

/// What tells the files of a stem apart. They sort in the order of their begin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    /// `20251201T000000Z`, UTC.
    begin: String,
    /// Counts the files that began in this second, from 1.
    number: u64,
}

/// A name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) label: Label,
    pub(crate) packed: bool,
}

impl Names {
    /// The name of a new file.
    pub(crate) const fn name(&self, label: Label) -> Name {
        Name { label, packed: self.packed }
    }

    /// Where a file is once it is complete.
    pub(crate) fn path(&self, name: &Name) -> PathBuf {
        let Self { stem, extension, .. } = self;
        let Label { begin, number } = &name.label;
        let number = if *number > 1 { format!("-{number}") } else { String::new() };
        let packed = if name.packed { PACKED } else { "" };
        self.directory.join(format!("{stem}-{begin}{number}.{extension}{packed}"))
    }

    /// Where it is until then.
    pub(crate) fn partial(&self, name: &Name) -> PathBuf {
        partial(&self.path(name))
    }

    /// The complete files of this stem, the oldest first.
    pub(crate) fn complete(&self) -> Result<Vec<Name>, Error> {
        self.list(|file| self.read(file))
    }

    /// The files that were not completed, the oldest first.
    pub(crate) fn partials(&self) -> Result<Vec<Name>, Error> {
        self.list(|file| self.read(file.strip_suffix(PARTIAL)?))
    }

    fn list(&self, read: impl Fn(&str) -> Option<Name>) -> Result<Vec<Name>, Error> {
        let at = || Error::at(&self.directory);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(at())? {
            let entry = entry.map_err(at())?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            names.extend(entry.file_name().to_str().filter(|_| is_file).and_then(&read));
        }
        names.sort();
        Ok(names)
    }

    /// Takes a name apart; `None` unless it is exactly one that [`path`](Self::path) makes.
    fn read(&self, file: &str) -> Option<Name> {
        let rest = file.strip_prefix(&self.stem)?.strip_prefix('-')?;
        let (label, extension) = rest.split_once('.')?;
        let packed = match extension.strip_prefix(&self.extension)? {
            "" => false,
            PACKED => true,
            _ => return None,
        };
        let (begin, number) = match label.split_once('-') {
            None => (label, 1),
            Some((begin, digits)) => {
                let number: u64 = digits.parse().ok().filter(|number| *number > 1)?;
                (begin, (number.to_string() == digits).then_some(number)?)
            }
        };
        let is_begin = begin.len() == BEGIN.len()
            && begin.bytes().zip(BEGIN.bytes()).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                _ => byte == shape,
            });
        is_begin.then(|| Name { label: Label { begin: begin.to_owned(), number }, packed })
    }
}

impl Label {
    /// The first file that begins at `time`.
    pub(crate) fn at(time: Timestamp) -> Self {
        let (year, month, day) = time.date();
        let second = time.secs() % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let begin = format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
        Self { begin, number: 1 }
    }

    /// The one after it in the same second.
    pub(crate) fn next(self) -> Self {
        Self { number: self.number.saturating_add(1), ..self }
    }
}

/// What a file that is not complete has behind its name.
const PARTIAL: &str = ".partial";
/// What a packed file has behind its extension.
const PACKED: &str = ".zst";
/// The shape of a begin, digits as 0.
const BEGIN: &str = "00000000T000000Z";

/// The name of a file that will be `path` when it is complete.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    PathBuf::from(partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(packed: bool) -> Names {
        Names {
            directory: "out".into(),
            stem: "flow-trace".into(),
            extension: "json".into(),
            packed,
        }
    }

    #[test]
    fn a_name_has_the_time_of_the_begin_without_colons() {
        let label = Label::at(Timestamp::new(1_764_547_200 + 3_723, 999_999_999));
        let (plain, packed) = (names(false), names(true));
        let path = |names: &Names, label: &Label| names.path(&names.name(label.clone()));
        assert_eq!(path(&plain, &label), Path::new("out/flow-trace-20251201T010203Z.json"));
        let second = label.next();
        assert_eq!(path(&packed, &second), Path::new("out/flow-trace-20251201T010203Z-2.json.zst"));
        assert_eq!(
            packed.partial(&packed.name(second.next())),
            Path::new("out/flow-trace-20251201T010203Z-3.json.zst.partial")
        );
    }

    #[test]
    fn a_name_reads_back_and_nothing_else_is_a_name() {
        for packed in [false, true] {
            let names = names(packed);
            let mut label = Label::at(Timestamp::new(1_764_547_200, 0));
            for _ in 0..12 {
                let name = names.name(label.clone());
                let path = names.path(&name);
                let file = path.file_name().unwrap().to_str().unwrap();
                assert_eq!(names.read(file), Some(name));
                label = label.next();
            }
        }
        for file in [
            "flow-trace.json",
            "flow-trace-.json",
            "flow-trace-20251201T000000Z",
            "flow-trace-20251201T000000Z.txt",
            "flow-trace-20251201T000000Z.json.gz",
            "flow-trace-20251201T000000Z.json.partial",
            "flow-trace-20251201T000000Z-1.json",
            "flow-trace-20251201T000000Z-02.json",
            "flow-trace-20251201T000000Z-+2.json",
            "flow-trace-20251201T000000Z-2-3.json",
            "flow-trace-20251201T00000Z.json",
            "flow-trace-20251201t000000Z.json",
            "flow-trace-2025120éT00000Z.json",
            "a-flow-trace-20251201T000000Z.json",
            "flow-20251201T000000Z.json",
        ] {
            assert_eq!(names(false).read(file), None, "{file}");
        }
    }

    #[test]
    fn names_sort_by_begin_and_number() {
        let first = Label::at(Timestamp::new(1, 0));
        let mut tenth = first.clone();
        for _ in 1..10 {
            tenth = tenth.next();
        }
        let second = first.clone().next();
        let later = Label::at(Timestamp::new(2, 0));
        let mut labels = vec![later.clone(), tenth.clone(), second.clone(), first.clone()];
        labels.sort();
        assert_eq!(labels, [first, second, tenth, later]);
    }
}
