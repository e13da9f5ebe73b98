//! Waiting for sockets.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

/// Waits until one of these has something to say, or for `wait`; whether one has.
pub(super) fn ready<'fd>(
    fds: impl Iterator<Item = BorrowedFd<'fd>>,
    wait: Duration,
) -> io::Result<bool> {
    let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    // A span that is too long for the system is as good as none.
    let wait = Timespec::try_from(wait).ok();
    match rustix::event::poll(&mut fds, wait.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        // A signal: the caller wants to know.
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
