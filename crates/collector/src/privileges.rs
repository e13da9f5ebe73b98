//! What the process may do once everything is open.
//!
//! Nothing that reads packets of strangers needs more than the sockets it has, a directory to write
//! to, and the counters of the machine. So once the sources are open the rest is given up, for good:
//! the user, the capabilities (capabilities(7)), new privileges by execve(2) (`PR_SET_NO_NEW_PRIVS`),
//! and what of the file system is not needed (landlock(7)).
//!
//! Capabilities and Landlock are of threads. So this comes before any other thread: those that are
//! started later inherit it.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus,
};
use nix::unistd::{Gid, Uid, User, setgroups, setresgid, setresuid};
use rustix::fs::Access as FileAccess;

use crate::config::{Loaded, Privileges};

/// The newest rights of Landlock that are asked for. Kernels with fewer enforce those that they
/// have. Later ones are about other things than files, or would cut off the socket of systemd.
const RIGHTS: ABI = ABI::V5;

/// Where counters of the machine are. All of `/proc`: what lies below the directory of a process is
/// made anew by the kernel from time to time, and a rule on it would be lost.
const COUNTERS: [&str; 3] = ["/proc", "/sys/class/net", "/sys/devices"];

/// What getaddrinfo(3) reads beside resolv.conf: nsswitch.conf(5), hosts(5), host.conf(5), gai.conf(5).
const NAMES: [&str; 4] = ["/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf"];

/// Where name servers are; as a rule a link into the directory of whoever writes it.
const NAME_SERVERS: &str = "/etc/resolv.conf";

/// What of the file system stays within reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Directories below which files are written, renamed and removed.
    pub write: Vec<PathBuf>,
    /// Files that are read, and directories below which files are.
    pub read: Vec<PathBuf>,
}

impl Reach {
    /// What the look-up of names needs as well. The file with the name servers is replaced when
    /// they change, and a rule is about what is there now: so its directory is within reach.
    pub fn resolve_names(&mut self) {
        self.read.extend(NAMES.iter().map(PathBuf::from));
        let servers = fs::canonicalize(NAME_SERVERS).unwrap_or_else(|_| NAME_SERVERS.into());
        self.read.push(vtap_files::directory(&servers).to_owned());
    }

    /// What a configuration needs: its outputs, the directory of its file, which a reload reads
    /// again, and counters of the machine.
    pub fn of(loaded: &Loaded) -> Self {
        let mut read: Vec<_> = COUNTERS.iter().map(PathBuf::from).collect();
        if let Some(file) = loaded.file() {
            // Both its place and what it links to.
            let places = [Some(file.to_path_buf()), fs::canonicalize(file).ok()];
            read.extend(
                places.iter().flatten().map(|place| vtap_files::directory(place).to_owned()),
            );
        }
        read.dedup();
        let mut write: Vec<_> = loaded.config.outputs().cloned().collect();
        write.sort();
        write.dedup();
        Self { write, read }
    }
}

/// Why privileges could not be given up. The process may have lost some of them: it should end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other threads would keep them.
    #[error("{0} threads run already, which would keep their privileges; this is a bug in vtap")]
    Threads(usize),
    /// `privileges.user` names nobody.
    #[error("no such user: {0}; see getent passwd, or leave privileges.user empty")]
    NoSuchUser(String),
    /// Only root can become somebody else.
    #[error(
        "cannot become user {0}: not started as root; start as root, or leave privileges.user empty"
    )]
    NotRoot(String),
    /// The user to become is one that has every right.
    #[error("user {0} is root; name another in privileges.user, or leave it empty")]
    Root(String),
    /// A directory for output.
    #[error(
        "{}: cannot write files there as user id {user}: {cause}; chown it to the user, or name another directory",
        path.display()
    )]
    Unwritable {
        /// The directory.
        path: PathBuf,
        /// Who cannot write.
        user: u32,
        /// The system's answer.
        cause: io::Error,
    },
    /// A directory for output that is not there, and cannot be made.
    #[error("{}: cannot make this directory: {cause}; make it, or name another", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        cause: io::Error,
    },
    /// The system refused a step.
    #[error("cannot {step}: {cause}")]
    Step {
        /// Which step.
        step: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
}

/// What holds for the process from now on. [`Display`](fmt::Display) says it in a line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confined {
    /// The user's number.
    pub user: u32,
    /// Whether the bounding set is empty, too. Emptying it takes `CAP_SETPCAP`; where nothing new is
    /// gained by execve(2), it does not matter.
    pub bounding_cleared: bool,
    /// What the kernel enforces of [`Reach`].
    pub landlock: Landlock,
    /// Where files can be written.
    pub write: Vec<PathBuf>,
}

/// What the kernel enforces of [`Reach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// All that was asked for, by this version of its interface.
    Whole(i32),
    /// Older rights alone, by this version: up to 1 files could not be moved, up to 2 truncating was
    /// not covered, up to 4 neither was talking to devices.
    Part(i32),
    /// Nothing: the kernel has no Landlock, or it is not switched on (`lsm=` on its command line).
    Missing,
    /// Nothing: not asked for.
    Off,
}

/// Gives up what is not needed any more: becomes the user, drops all capabilities, and keeps to `reach`.
///
/// To be called when everything is open that takes privileges, before any thread is started. Directories
/// for output that are missing are made first, and belong to the user. Files are best begun afterwards,
/// so that they do too.
///
/// # Errors
///
/// A user who cannot be become, a directory that is not theirs, a thread that runs already. A kernel
/// without Landlock is none.
pub fn give_up(privileges: &Privileges, reach: &Reach) -> Result<Confined, Error> {
    let threads = fs::read_dir("/proc/self/task").map_err(step("count threads"))?.count();
    if threads != 1 {
        return Err(Error::Threads(threads));
    }
    let to = privileges.user.as_deref().map(becoming).transpose()?.flatten();
    for path in &reach.write {
        let missing = |cause| Error::Missing { path: path.clone(), cause };
        make(path, to.as_ref()).map_err(missing)?;
    }
    let bounding_cleared = clear_bounding()?;
    if let Some(user) = &to {
        setgroups(&[]).map_err(|errno| refused("leave groups", errno))?;
        become_user(user)?;
    }
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(capabilities)?;
    }
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| step("refuse new privileges")(errno.into()))?;
    let user = Uid::effective().as_raw();
    for path in &reach.write {
        let access = rustix::fs::access(path, FileAccess::WRITE_OK | FileAccess::EXEC_OK);
        let cause = |errno: rustix::io::Errno| errno.into();
        let unwritable = |cause| Error::Unwritable { path: path.clone(), user, cause };
        access.map_err(cause).map_err(unwritable)?;
    }
    let landlock = if privileges.landlock { enforce(reach)? } else { Landlock::Off };
    Ok(Confined { user, bounding_cleared, landlock, write: reach.write.clone() })
}

/// Makes a directory that is missing, for the user.
fn make(path: &Path, user: Option<&User>) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    match user {
        Some(user) => chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
        None => Ok(()),
    }
}

/// The user to become; `None` who is that already.
fn becoming(name: &str) -> Result<Option<User>, Error> {
    let user = User::from_name(name).map_err(|errno| refused("look for a user", errno))?;
    let user = user.ok_or_else(|| Error::NoSuchUser(name.to_owned()))?;
    if user.uid == Uid::effective() && user.uid == Uid::current() {
        return if user.uid.is_root() { Err(Error::Root(name.to_owned())) } else { Ok(None) };
    }
    if user.uid.is_root() {
        return Err(Error::Root(name.to_owned()));
    }
    if !Uid::effective().is_root() {
        return Err(Error::NotRoot(name.to_owned()));
    }
    Ok(Some(user))
}

/// For good: of the three of each that a process has, none is left to go back to.
fn become_user(user: &User) -> Result<(), Error> {
    let User { uid, gid, .. } = *user;
    setresgid(gid, gid, gid).map_err(|errno| refused("become another group", errno))?;
    setresuid(uid, uid, uid).map_err(|errno| refused("become another user", errno))?;
    let back = setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0));
    if back.is_ok() || Gid::effective() != gid {
        return Err(refused("stay another user", nix::errno::Errno::EPERM));
    }
    Ok(())
}

/// Whether it could be cleared, and was.
fn clear_bounding() -> Result<bool, Error> {
    let may = caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP);
    if !may.map_err(capabilities)? {
        return Ok(caps::read(None, CapSet::Bounding).map_err(capabilities)?.is_empty());
    }
    caps::clear(None, CapSet::Bounding).map_err(capabilities)?;
    Ok(true)
}

/// Has the kernel keep this thread, and those to come, within reach.
fn enforce(reach: &Reach) -> Result<Landlock, Error> {
    let landlock = |error: &dyn fmt::Display| {
        step("restrict access to files")(io::Error::other(error.to_string()))
    };
    let all = AccessFs::from_all(RIGHTS);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let ruleset = Ruleset::default().handle_access(all).map_err(|error| landlock(&error))?;
    let mut ruleset = ruleset.create().map_err(|error| landlock(&error))?;
    let of = |path: &PathBuf| if path.is_dir() { read } else { AccessFs::ReadFile.into() };
    let readable = reach.read.iter().filter(|path| path.exists()).map(|path| (path, of(path)));
    let writable = reach.write.iter().map(|path| (path, write));
    for (path, rights) in readable.chain(writable) {
        let rights: BitFlags<AccessFs> = rights;
        let open = PathFd::new(path).map_err(|error| landlock(&error))?;
        let rule = PathBeneath::new(open, rights);
        ruleset = ruleset.add_rule(rule).map_err(|error| landlock(&error))?;
    }
    let status = ruleset.restrict_self().map_err(|error| landlock(&error))?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            kernel_abi.unwrap_or(effective_abi as i32)
        }
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => 0,
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Whole(abi),
        RulesetStatus::PartiallyEnforced => Landlock::Part(abi),
        RulesetStatus::NotEnforced => Landlock::Missing,
    })
}

fn step(step: &'static str) -> impl Fn(io::Error) -> Error {
    move |cause| Error::Step { step, cause }
}

fn refused(what: &'static str, errno: nix::errno::Errno) -> Error {
    step(what)(errno.into())
}

fn capabilities(error: caps::errors::CapsError) -> Error {
    step("drop capabilities")(io::Error::other(error))
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user id {}, no capabilities, no new privileges, ", self.user)?;
        match self.landlock {
            Landlock::Whole(abi) => write!(f, "Landlock (ABI {abi}): ")?,
            Landlock::Part(abi) => {
                write!(f, "Landlock as far as this kernel has it (ABI {abi}): ")?
            }
            Landlock::Missing => return f.write_str("no Landlock: this kernel does not offer it"),
            Landlock::Off => return f.write_str("no Landlock: switched off"),
        }
        if self.write.is_empty() {
            return f.write_str("no file can be written");
        }
        let paths: Vec<_> = self.write.iter().map(|path| path.display().to_string()).collect();
        write!(f, "files can be written below {} alone", paths.join(" and "))
    }
}

impl Landlock {
    /// Whether it was asked for and the kernel does not enforce all of it.
    pub const fn falls_short(self) -> bool {
        matches!(self, Self::Part(_) | Self::Missing)
    }
}
