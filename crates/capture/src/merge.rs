//! Several files as one stream, by time.
//!
//! The packet with the earliest time among the next ones of all files comes first; at equal times
//! the file named earlier. Each file keeps its own order, also where its times go back.
//!
//! A regular file is looked into for the time of its first packet, closed, and opened again when
//! its turn comes: of a thousand captures that follow one another, one is open at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vtap_packet::{Packet, Timestamp};

use crate::damage::Log;
use crate::file::{File, Found};
use crate::{Damage, Error, Interface, Progress, Source};

/// Files that are being merged.
#[derive(Debug)]
pub(crate) struct Merge {
    members: Vec<Member>,
    /// Time of the next packet of each member that has one.
    next: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Whose packet is lent, and which it is.
    lent: Option<(usize, Found)>,
    /// Those that packets were lent of, in the order they were met.
    interfaces: Vec<Interface>,
    /// Of these, the ones whose files have ended: a file that begins later goes on with the same
    /// number, as the pieces of a rotated capture were all taken at one place.
    ended: Vec<u32>,
    number: u64,
    log: Log,
    /// Files that failed after they were added.
    failed: Vec<Error>,
}

#[derive(Debug)]
struct Member {
    path: PathBuf,
    state: State,
    /// The file's interface ids in this merge.
    interfaces: Vec<Option<u32>>,
    progress: Progress,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each file, and those open are in use")]
enum State {
    /// Closed, its first packet not yet lent.
    Waiting,
    /// The packet found is the next one.
    Open(File, Found),
    Done,
}

impl Merge {
    pub(crate) fn new() -> Self {
        Self {
            members: Vec::new(),
            next: BinaryHeap::new(),
            lent: None,
            interfaces: Vec::new(),
            ended: Vec::new(),
            number: 0,
            log: Log::new(Arc::from(Path::new(""))),
            failed: Vec::new(),
        }
    }

    /// The files, in the order of their addition.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.members.iter().map(|member| member.path.as_path())
    }

    /// Adds a file that nothing was read of. All are added before the first packet is asked for.
    ///
    /// # Errors
    ///
    /// Its first packet cannot be read.
    pub(crate) fn add(&mut self, path: PathBuf, mut file: File) -> Result<(), Error> {
        let found = file.advance()?;
        let progress = Progress { bytes: 0, total: file.progress().total };
        let mut member = Member { path, state: State::Waiting, interfaces: Vec::new(), progress };
        match found {
            Some(found) => {
                self.next.push(Reverse((found.time, self.members.len())));
                if !file.reopens() {
                    member.state = State::Open(file, found);
                }
            }
            None => member.end(&mut file, &mut self.log),
        }
        self.members.push(member);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn failed(&self) -> &[Error] {
        &self.failed
    }

    /// Makes the member whose packet was lent find its next one.
    fn advance(&mut self, at: usize) {
        let Some(member) = self.members.get_mut(at) else { return };
        let State::Open(file, found) = &mut member.state else { return };
        match file.advance() {
            Ok(Some(next)) => {
                *found = next;
                self.next.push(Reverse((next.time, at)));
                if !file.damage().is_empty() {
                    self.log.absorb(file.log_mut());
                }
                return;
            }
            Ok(None) => {}
            Err(error) => self.failed.push(error),
        }
        member.close(&mut self.log);
        self.ended.extend(member.interfaces.iter().flatten());
    }

    /// Opens a member again whose turn it is, and finds its first packet. Where that fails, the
    /// file is lost to the merge and the others go on.
    #[cold]
    fn reopen(&mut self, at: usize) -> Option<Found> {
        let member = self.members.get_mut(at)?;
        let opened = File::open(&member.path).and_then(|mut file| Ok((file.advance()?, file)));
        match opened {
            Ok((Some(found), mut file)) => {
                self.log.absorb(file.log_mut());
                member.state = State::Open(file, found);
                return Some(found);
            }
            Ok((None, mut file)) => member.end(&mut file, &mut self.log),
            Err(error) => {
                member.state = State::Done;
                self.failed.push(error);
            }
        }
        None
    }
}

impl Source for Merge {
    #[inline(never)]
    fn next(&mut self) -> Result<Option<Packet<'_>>, Error> {
        if let Some((at, _)) = self.lent.take() {
            self.advance(at);
        }
        while let Some(Reverse((_, at))) = self.next.pop() {
            let found = match self.members.get(at).map(|member| &member.state) {
                Some(State::Open(_, found)) => Some(*found),
                _ => self.reopen(at),
            };
            if let Some(found) = found {
                self.lent = Some((at, found));
                break;
            }
        }
        let Some((at, found)) = self.lent else { return Ok(None) };
        let Some(member) = self.members.get_mut(at) else { return Ok(None) };
        let interface = member.interface(found.interface, &mut self.interfaces, &mut self.ended);
        let State::Open(file, _) = &member.state else { return Ok(None) };
        self.number += 1;
        Ok(Some(Packet { interface, ..file.lend(&found, self.number) }))
    }

    fn progress(&self) -> Progress {
        let none = Progress { bytes: 0, total: Some(0) };
        self.members.iter().fold(none, |sum, member| {
            let Progress { bytes, total } = member.progress();
            let total = sum.total.zip(total).map(|(sum, total)| sum + total);
            Progress { bytes: sum.bytes + bytes, total }
        })
    }

    fn damage(&self) -> &[Damage] {
        self.log.listed()
    }

    fn unlisted_damage(&self) -> u64 {
        self.log.unlisted()
    }

    fn interface(&self, id: u32) -> Option<&Interface> {
        self.interfaces.get(id as usize)
    }
}

impl Member {
    /// The number in the merge of one of its interfaces.
    #[inline]
    fn interface(&mut self, own: u32, all: &mut Vec<Interface>, ended: &mut Vec<u32>) -> u32 {
        match self.interfaces.get(own as usize) {
            Some(Some(id)) => *id,
            _ => self.introduce(own, all, ended),
        }
    }

    #[cold]
    fn introduce(&mut self, own: u32, all: &mut Vec<Interface>, ended: &mut Vec<u32>) -> u32 {
        let interface = match &self.state {
            State::Open(file, _) => file.interface(own),
            State::Waiting | State::Done => None,
        };
        let alike = |id: &u32| all.get(*id as usize) == interface;
        let id = match ended.iter().position(alike) {
            Some(at) => ended.swap_remove(at),
            None => {
                let id = u32::try_from(all.len()).unwrap_or(u32::MAX);
                all.extend(interface.cloned());
                // Here and not where a file ends, among packets.
                ended.reserve(all.len());
                id
            }
        };
        let own = own as usize;
        self.interfaces.resize(self.interfaces.len().max(own + 1), None);
        if let Some(place) = self.interfaces.get_mut(own) {
            *place = Some(id);
        }
        id
    }

    fn progress(&self) -> Progress {
        match &self.state {
            State::Open(file, _) => file.progress(),
            State::Waiting | State::Done => self.progress,
        }
    }

    fn close(&mut self, log: &mut Log) {
        if let State::Open(mut file, _) = std::mem::replace(&mut self.state, State::Done) {
            self.end(&mut file, log);
        }
    }

    fn end(&mut self, file: &mut File, log: &mut Log) {
        self.state = State::Done;
        self.progress = file.progress();
        log.absorb(file.log_mut());
    }
}
