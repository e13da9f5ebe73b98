//! Files of a flow log, which are valid JSON at every moment.
//!
//! The cloud makes them of blocks: `{"records":[` first, `]}` last, and in between one for each
//! record, with a comma in front of it. A file cannot grow in front of its last block, so each
//! change makes a draft: a copy of all but the last block, the new records, the last block. The
//! draft takes the name of the file in one step, and whoever has the file open reads on in what he
//! has opened. File systems that share blocks (XFS, Btrfs) copy nothing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use vtap_files::Error;

const FIRST_BLOCK: &str = r#"{"records":["#;
const LAST_BLOCK: &str = "]}";

/// Puts records, joined with commas, behind those that the file has.
///
/// The file is as it was unless this succeeds. The draft is in the way of nobody: its name is
/// that of no other file.
///
/// # Errors
///
/// When the disk cannot take it; `InvalidData` when the file is none of ours.
pub(crate) fn append(path: &Path, draft: &Path, records: &str) -> Result<(), Error> {
    let directory = vtap_files::directory(path);
    fs::create_dir_all(directory).map_err(Error::at(directory))?;
    let mut new = File::create(draft).map_err(Error::at(draft))?;
    let separator = match File::open(path) {
        Ok(old) => begin_as(&mut new, old).map_err(Error::at(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => FIRST_BLOCK,
        Err(error) => return Err(Error { path: path.to_path_buf(), source: error }),
    };
    let grown = (|| {
        new.write_all(separator.as_bytes())?;
        new.write_all(records.as_bytes())?;
        new.write_all(LAST_BLOCK.as_bytes())?;
        // Before it has the name, or a power cut might leave the name with nothing in it.
        new.sync_data()
    })();
    grown.map_err(Error::at(draft))?;
    fs::rename(draft, path).map_err(Error::at(path))
}

/// Copies all but the last block; says what has to come before another record.
fn begin_as(new: &mut File, old: File) -> io::Result<&'static str> {
    let foreign = || {
        let why = "it does not end as a flow log does: move it away";
        io::Error::new(io::ErrorKind::InvalidData, why)
    };
    let len = old.metadata()?.len();
    let records = len.checked_sub(LAST_BLOCK.len() as u64).ok_or_else(foreign)?;
    let mut tail = [0; LAST_BLOCK.len() + 1];
    old.read_exact_at(&mut tail, records.checked_sub(1).ok_or_else(foreign)?)?;
    let [before, last @ ..] = tail;
    if last != LAST_BLOCK.as_bytes() {
        return Err(foreign());
    }
    io::copy(&mut old.take(records), new)?;
    Ok(if before == b'[' { "" } else { "," })
}

/// Removes the draft of a run that was killed.
///
/// # Errors
///
/// When it cannot be removed.
pub(crate) fn discard(draft: &Path) -> Result<(), Error> {
    match fs::remove_file(draft) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error { path: draft.to_path_buf(), source: error }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_in_front_of_its_last_block() {
        let temp = tempfile::tempdir().unwrap();
        let (path, draft) = (temp.path().join("a/b.json"), temp.path().join("draft"));
        append(&path, &draft, "{}").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"records":[{}]}"#);
        append(&path, &draft, "{},{}").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"records":[{},{},{}]}"#);

        fs::write(&path, r#"{"records":[]}"#).unwrap();
        append(&path, &draft, "{}").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"records":[{}]}"#);
        assert!(!draft.exists());
    }

    #[test]
    fn a_reader_goes_on_in_what_it_has_opened() {
        let temp = tempfile::tempdir().unwrap();
        let (path, draft) = (temp.path().join("b.json"), temp.path().join("draft"));
        append(&path, &draft, "1").unwrap();
        let mut reader = File::open(&path).unwrap();
        append(&path, &draft, "2").unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, r#"{"records":[1]}"#);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let (path, draft) = (temp.path().join("b.json"), temp.path().join("draft"));
        for text in ["", "]", "]}", "notes", r#"{"records":[1"#] {
            fs::write(&path, text).unwrap();
            let error = append(&path, &draft, "2").unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::InvalidData, "{text}");
            assert_eq!(error.path, path);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
