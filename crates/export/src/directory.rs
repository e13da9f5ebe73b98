//! An output directory: one file a kind, each complete or not there.

use std::fs;
use std::path::PathBuf;

use vtap_files::{Partial, Rotating, Rotation};
use vtap_packet::Timestamp;

use crate::{Error, Format, Log, Output, Rotated};

/// A directory for the files of one run.
///
/// | file | holds |
/// |---|---|
/// | `events.txt` | events as text |
/// | `events.json` | events as JSON lines |
/// | `flow-trace.json` | events in the firewall's shape |
/// | `flows.txt` | flows as text |
/// | `flows.jsonl` | flows as JSON lines |
///
/// The names are [`Format::file_name`]'s.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens `path`, creating it and its parents where they are missing. Files in it stay, until
    /// a new one of the same name is complete.
    ///
    /// # Errors
    ///
    /// When it cannot be created, or is there and no directory.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(Error::at(&path))?;
        Ok(Self { path })
    }

    /// An output to the format's file of a log; [`Format::None`] has none.
    ///
    /// # Errors
    ///
    /// When the file cannot be created.
    pub fn output(&self, format: Format, log: Log) -> Result<Output, Error> {
        match format.file_name(log) {
            Some(name) => Ok(Output::file(format, log, Partial::create(self.path.join(name))?)),
            None => Ok(Output::none()),
        }
    }

    /// An output to files that are begun by size and time, called after the format's
    /// file: `events-20251201T000000Z.json`. What a killed run left of them is completed.
    /// [`Format::None`] has none.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read, or `rotation` has no meaning.
    pub fn rotated(
        &self,
        format: Format,
        log: Log,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<Rotated, Error> {
        let Some(name) = format.file_name(log).and_then(|name| name.split_once('.')) else {
            return Ok(Rotated::none());
        };
        let rotating = Rotating::open(&self.path, name.into(), &format.head(log), rotation)?;
        Ok(Rotated::new(format, rotating, now))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vtap_flow::Sink;

    use super::*;
    use crate::sample;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_finished_and_replaces_the_old_one() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("new/out");
        let directory = Directory::create(&path).unwrap();
        fs::write(path.join("events.txt"), "old").unwrap();

        let mut output = directory.output(Format::Text, Log::Events).unwrap();
        output.event(&sample::syn()).unwrap();
        output.flush().unwrap();
        assert_eq!(names(&path), ["events.txt", "events.txt.partial"]);
        assert_eq!(fs::read_to_string(path.join("events.txt")).unwrap(), "old");

        output.finish().unwrap();
        assert_eq!(names(&path), ["events.txt"]);
        assert_eq!(fs::read_to_string(path.join("events.txt")).unwrap().lines().count(), 2);
    }

    #[test]
    fn an_output_that_is_dropped_leaves_no_file_under_the_final_name() {
        let temp = tempfile::tempdir().unwrap();
        let directory = Directory::create(temp.path()).unwrap();
        let mut output = directory.output(Format::Json, Log::Events).unwrap();
        output.event(&sample::syn()).unwrap();
        drop(output);
        assert_eq!(names(temp.path()), ["events.json.partial"]);
    }

    #[test]
    fn every_format_has_its_file_and_none_has_none() {
        let temp = tempfile::tempdir().unwrap();
        let directory = Directory::create(temp.path()).unwrap();
        for format in Format::ALL {
            for log in [Log::Events, Log::Flows] {
                directory.output(format, log).unwrap().finish().unwrap();
            }
        }
        let files = ["events.json", "events.txt", "flow-trace.json", "flows.jsonl", "flows.txt"];
        assert_eq!(names(temp.path()), files);
    }

    #[test]
    fn errors_name_what_is_in_the_way() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(Directory::create(&file).unwrap_err().path, Some(file));

        let directory = Directory::create(temp.path()).unwrap();
        let partial = temp.path().join("events.txt.partial");
        fs::create_dir(&partial).unwrap();
        assert_eq!(directory.output(Format::Text, Log::Events).unwrap_err().path, Some(partial));

        let taken = temp.path().join("events.json");
        fs::create_dir(&taken).unwrap();
        let output = directory.output(Format::Json, Log::Events).unwrap();
        assert_eq!(output.finish().unwrap_err().path, Some(taken));
    }
}
