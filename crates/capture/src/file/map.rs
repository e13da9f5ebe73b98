//! A regular file as bytes in memory: the one unsafe island of this crate.

use std::fs;
use std::io;

use bytes::Bytes;
use memmap2::{Advice, Mmap};

/// Maps the whole file; the descriptor may be closed afterwards.
///
/// A mapping is only as good as the file under it. A file that is *cut* while it is read (a
/// `tcpdump -C` that rotates renames, and does no harm) takes its pages away, and touching them
/// ends the process with SIGBUS. Read what is still being written through a pipe instead:
/// `tail -c +1 -f FILE | vtap replay -`.
///
/// # Errors
///
/// File systems that do not map, and the empty file.
#[allow(unsafe_code, reason = "a file mapping is memory that others can write to")]
pub(crate) fn map(file: &fs::File) -> io::Result<Bytes> {
    // SAFETY: the mapping is private and read-only, nothing here writes to it, and no invariant
    // of a type rests on its content: all that is read from it are integers and byte slices of
    // checked length. What remains is another process that changes the file meanwhile, which the
    // doc above names: changed bytes are read as changed bytes, a shorter file ends in SIGBUS.
    let mapping = unsafe { Mmap::map(file) }?;
    // A hint about read-ahead; a kernel without it reads all the same.
    let _ = mapping.advise(Advice::Sequential);
    Ok(Bytes::from_owner(mapping))
}
