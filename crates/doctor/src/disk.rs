//! Room for what is written.

use std::io::ErrorKind;
use std::path::Path;

use crate::finding::{Check, Finding, count, quoted, size};
use crate::host::Host;
use crate::system::Space;

pub(crate) const DISK_SPACE: Check = Check {
    id: "disk-space",
    why: "What cannot be written is lost. A mirror of 1 Gbit/s fills 7.5 GB a minute.",
};

/// Two seconds at 4 Gbit/s: nothing.
const LEAST_BYTES: u64 = 1 << 30;
/// A minute or two at 1 Gbit/s.
const ENOUGH_BYTES: u64 = 10 << 30;
const LEAST_INODES: u64 = 1000;

pub(crate) fn check(host: &Host<'_>, dir: &Path) -> Finding {
    let name = quoted(&dir.to_string_lossy());
    let finding = match host.system.space(dir) {
        Ok(space) => judge(&name, &space),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DISK_SPACE.fail("not there").mend([format!("mkdir -p {name}")])
        }
        Err(error) => DISK_SPACE
            .finding(crate::Status::Unknown, format!("not looked at: {error}"))
            .mend(["sudo vtap doctor".to_owned()]),
    };
    finding.about(dir.to_string_lossy())
}

fn judge(name: &str, space: &Space) -> Finding {
    if space.read_only {
        return DISK_SPACE
            .fail("the file system is mounted read-only")
            .mend([format!("mount -o remount,rw \"$(findmnt -no TARGET -T {name})\"")]);
    }
    if !space.writable {
        return DISK_SPACE
            .fail("this user may not write there")
            .mend([format!("chown \"${{SUDO_USER:-root}}\" {name}")]);
    }
    let percent = space.free_bytes.saturating_mul(100).checked_div(space.bytes).unwrap_or_default();
    let mut found =
        format!("{} of {} free ({percent} %)", size(space.free_bytes), size(space.bytes));
    // Some file systems make inodes as they go.
    let few_inodes = space.inodes > 0 && space.free_inodes < LEAST_INODES;
    if space.inodes > 0 {
        found = format!("{found}, {} inodes", count(space.free_inodes));
    }
    let finding = match space.free_bytes {
        ENOUGH_BYTES.. if !few_inodes => return DISK_SPACE.ok(found),
        LEAST_BYTES.. if !few_inodes => DISK_SPACE.warn(found),
        _ => DISK_SPACE.fail(found),
    };
    finding.mend([format!("du -xsh {name}/* | sort -h | tail   # what takes the space")])
}
