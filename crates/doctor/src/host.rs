//! What can be known of a machine: files below a root, and what programs answer.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::system::{System, ToolError};

/// A machine.
#[derive(Debug)]
pub struct Host<'a> {
    root: PathBuf,
    /// What no file tells.
    pub system: &'a dyn System,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The file, or the command.
    pub what: Box<str>,
    /// Why.
    pub reason: Reason,
    /// The command that makes it readable, if one is known.
    remedy: Option<Box<str>>,
}

/// Why something could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such file.
    Absent,
    /// There is no such program.
    NotInstalled,
    /// It needs rights that this process has not.
    Denied,
    /// It is there, and says something else.
    Other(Box<str>),
}

impl<'a> Host<'a> {
    /// A machine whose files are below `root`: `/`, or a tree made for a test.
    pub fn new(root: impl Into<PathBuf>, system: &'a dyn System) -> Self {
        Self { root: root.into(), system }
    }

    /// The path of a file of the machine, given without a leading slash.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A file as text, without space around it.
    pub(crate) fn read(&self, path: &str) -> Result<String, Unreadable> {
        match fs::read(self.path(path)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
            Err(error) => Err(Unreadable::of_file(path, &error)),
        }
    }

    /// A file that holds one number.
    pub(crate) fn number(&self, path: &str) -> Result<u64, Unreadable> {
        let text = self.read(path)?;
        text.parse().map_err(|_| {
            Unreadable::new(&format!("/{path}"), Reason::Other(format!("{text:?}").into()))
        })
    }

    /// Names in a folder, in order. None where it cannot be read.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// What a program prints on standard output.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Result<String, Unreadable> {
        self.system.run(program, args).map_err(|error| {
            let what = [&[program], args].concat().join(" ");
            match error {
                ToolError::Absent => Unreadable {
                    what: program.into(),
                    reason: Reason::NotInstalled,
                    remedy: Some(self.install(program).into()),
                },
                ToolError::Denied => Unreadable::new(&what, Reason::Denied),
                ToolError::Failed(why) => Unreadable::new(&what, Reason::Other(why.into())),
            }
        })
    }

    /// How this distribution installs what holds a program.
    pub(crate) fn install(&self, program: &str) -> String {
        let release = self.read("etc/os-release").unwrap_or_default();
        let family = release
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(key, _)| ["ID", "ID_LIKE"].contains(key))
            .flat_map(|(_, ids)| ids.trim_matches('"').split(' '));
        let is_red_hat = |id| ["rhel", "fedora", "centos", "azurelinux", "mariner"].contains(&id);
        let (mut command, mut iproute) = ("apt-get install -y", "iproute2");
        for id in family {
            if is_red_hat(id) {
                (command, iproute) = ("dnf install -y", "iproute");
            } else if id == "suse" {
                command = "zypper install -y";
            }
        }
        let package = match program {
            "ip" => iproute,
            "nft" => "nftables",
            "iptables-save" | "iptables-legacy-save" => "iptables",
            "chronyc" => "chrony",
            other => other,
        };
        format!("{command} {package}")
    }
}

impl Unreadable {
    pub(crate) fn new(what: &str, reason: Reason) -> Self {
        Self { what: what.into(), reason, remedy: None }
    }

    fn of_file(path: &str, error: &io::Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::NotFound => Reason::Absent,
            ErrorKind::PermissionDenied => Reason::Denied,
            _ => Reason::Other(error.to_string().into()),
        };
        Self::new(&Path::new("/").join(path).display().to_string(), reason)
    }

    /// The command that makes it readable, if one is known.
    pub(crate) fn remedy(&self) -> Option<String> {
        match self.reason {
            Reason::Denied => Some("sudo vtap doctor".to_owned()),
            _ => self.remedy.as_deref().map(ToOwned::to_owned),
        }
    }

    /// Whether the kernel, or the driver, answered that it has no such thing.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(&self.reason, Reason::Other(why) if why.contains("not supported"))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Absent => write!(f, "{} is not there", self.what),
            Reason::NotInstalled => write!(f, "{} is not installed", self.what),
            Reason::Denied => write!(f, "{} needs root", self.what),
            Reason::Other(why) => write!(f, "{}: {why}", self.what),
        }
    }
}
