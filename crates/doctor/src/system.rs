//! What no file tells: programs, sockets, file systems.

use std::env;
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{Access, StatVfsMountFlags};
use rustix::net::{AddressFamily, SocketType};

/// A program that takes longer is given up.
const TOOL_LIMIT: Duration = Duration::from_secs(3);

/// What is asked of a machine, apart from its files.
pub trait System: fmt::Debug {
    /// What a program prints on standard output.
    ///
    /// # Errors
    ///
    /// Where it is not installed, is refused something, fails or does not end.
    fn run(&self, program: &str, args: &[&str]) -> Result<String, ToolError>;

    /// Opens a packet socket, packet(7), and closes it again.
    ///
    /// # Errors
    ///
    /// What socket(2) says.
    fn packet_socket(&self) -> io::Result<()>;

    /// The file system that a folder is on.
    ///
    /// # Errors
    ///
    /// What statvfs(3) says.
    fn space(&self, folder: &Path) -> io::Result<Space>;
}

/// Why a program gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolError {
    /// It is not installed.
    Absent,
    /// It is refused what it needs.
    Denied,
    /// It failed: what it said, in one line.
    Failed(String),
}

/// A file system, as this process may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of all of it.
    pub bytes: u64,
    /// Bytes that one without privileges may still write.
    pub free_bytes: u64,
    /// Files that it can hold; 0 where it has no such limit.
    pub inodes: u64,
    /// Files that may still be made.
    pub free_inodes: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Whether this process may make files in the folder.
    pub writable: bool,
}

/// The machine that this runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl System for Machine {
    fn run(&self, program: &str, args: &[&str]) -> Result<String, ToolError> {
        let path = find(program).ok_or(ToolError::Absent)?;
        let mut command = Command::new(path);
        command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ToolError::Denied,
            _ => ToolError::Failed(error.to_string()),
        })?;
        let output = gather(child.stdout.take());
        let complaint = gather(child.stderr.take());
        // It has ended, or says no more, when it closes its outputs.
        let answer = output.recv_timeout(TOOL_LIMIT);
        let Ok((output, complaint)) =
            answer.and_then(|output| Ok((output, complaint.recv_timeout(TOOL_LIMIT)?)))
        else {
            end(&mut child);
            return Err(ToolError::Failed(format!("no answer within {TOOL_LIMIT:?}")));
        };
        let status = child.wait().map_err(|error| ToolError::Failed(error.to_string()))?;
        if status.success() {
            return Ok(output);
        }
        if complaint.contains("ermission denied") || complaint.contains("not permitted") {
            return Err(ToolError::Denied);
        }
        let last = complaint.lines().map(str::trim).rfind(|line| !line.is_empty());
        Err(ToolError::Failed(last.map_or_else(|| status.to_string(), ToOwned::to_owned)))
    }

    fn packet_socket(&self) -> io::Result<()> {
        // Without a protocol it is given no packets.
        rustix::net::socket(AddressFamily::PACKET, SocketType::RAW, None)?;
        Ok(())
    }

    fn space(&self, folder: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(Space {
            bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            free_inodes: stat.f_favail,
            read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
            writable: rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).is_ok(),
        })
    }
}

/// Where a program is. Users often have no `sbin` on their path.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Reads a pipe to its end, aside.
fn gather(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is what there is.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn end(child: &mut Child) {
    // One that has ended by now cannot be killed.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_apart_by_how_they_fail() {
        assert_eq!(Machine.run("echo", &["a", "b"]), Ok("a b\n".to_owned()));
        assert_eq!(Machine.run("no-such-program", &[]), Err(ToolError::Absent));
        let denied = Machine.run("sh", &["-c", "echo Operation not permitted >&2; exit 1"]);
        assert_eq!(denied, Err(ToolError::Denied));
        let failed = Machine.run("sh", &["-c", "echo one >&2; echo two >&2; exit 3"]);
        assert_eq!(failed, Err(ToolError::Failed("two".to_owned())));
        let silent = Machine.run("false", &[]);
        assert_eq!(silent, Err(ToolError::Failed("exit status: 1".to_owned())));
    }

    #[test]
    fn a_program_that_does_not_end_is_given_up() {
        let stuck = Machine.run("sleep", &["60"]);
        assert_eq!(stuck, Err(ToolError::Failed("no answer within 3s".to_owned())));
    }

    #[test]
    fn more_output_than_a_pipe_holds_is_read() {
        let text = Machine.run("seq", &["100000"]).unwrap();
        assert_eq!(text.lines().count(), 100_000);
    }
}
