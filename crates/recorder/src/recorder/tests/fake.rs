//! A disk in memory, which stalls, fills up and fails.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::*;

/// A disk that does as it is told.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
pub(super) struct State {
    pub(super) complete: BTreeMap<PathBuf, Vec<u8>>,
    pub(super) partial: Option<Vec<u8>>,
    pub(super) created: u64,
    /// Most files that were complete at a time.
    pub(super) most_complete: usize,
    /// Bytes that it takes in all files, if there is a limit.
    pub(super) capacity: Option<usize>,
    pub(super) free: Option<u64>,
    pub(super) stalled: bool,
    pub(super) broken: bool,
}

impl Fake {
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    pub(super) fn get<T>(&self, get: impl FnOnce(&State) -> T) -> T {
        get(&self.0.0.lock().unwrap())
    }

    /// Waits until it is so, as the writer has its own pace.
    #[track_caller]
    pub(super) fn wait(&self, mut until: impl FnMut(&State) -> bool) {
        let patience = Duration::from_secs(30);
        let waiting = |state: &mut State| !until(state);
        let (_state, waited) =
            self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), patience, waiting).unwrap();
        assert!(!waited.timed_out());
    }

    pub(super) fn start(&self, config: Config) -> Recorder {
        Recorder::start_in(self.clone(), Vec::new(), config, START).unwrap()
    }

    pub(super) fn only_file(&self) -> Vec<u8> {
        self.get(|state| {
            assert_eq!(state.complete.len(), 1);
            state.complete.values().next().unwrap().clone()
        })
    }
}

pub(super) struct FakeFile(Fake, PathBuf);

impl Store for Fake {
    type Output = FakeFile;

    fn create(&mut self, _begun: Timestamp) -> Result<FakeFile, Error> {
        let mut number = 0;
        self.set(|state| {
            state.created += 1;
            number = state.created;
            state.partial = Some(Vec::new());
        });
        Ok(FakeFile(self.clone(), PathBuf::from(format!("{number:05}"))))
    }

    fn free(&mut self) -> io::Result<Option<u64>> {
        Ok(self.get(|state| state.free))
    }

    fn remove(&mut self, path: &Path) -> Result<(), Error> {
        self.set(|state| drop(state.complete.remove(path).unwrap()));
        Ok(())
    }

    fn is_gone(&self, path: &Path) -> bool {
        self.get(|state| !state.complete.contains_key(path))
    }

    fn can_retry(&self) -> bool {
        true
    }
}

impl Output for FakeFile {
    fn path(&self) -> &Path {
        &self.1
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (state, changed) = &*self.0.0;
        let mut state = state.lock().unwrap();
        while state.stalled {
            state = changed.wait(state).unwrap();
        }
        assert!(!state.broken, "a bug in the writer");
        let used: usize = state.complete.values().chain(&state.partial).map(Vec::len).sum();
        let room = state.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(used));
        let len = bytes.len().min(room);
        if len == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.partial.as_mut().unwrap().extend(&bytes[..len]);
        changed.notify_all();
        Ok(len)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set(|state| state.partial.as_mut().unwrap().truncate(len as usize));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        self.0.set(|state| {
            let bytes = state.partial.take().unwrap();
            state.complete.insert(self.1, bytes);
            state.most_complete = state.most_complete.max(state.complete.len());
        });
        Ok(())
    }

    fn discard(self) -> Result<(), Error> {
        self.0.set(|state| state.partial = None);
        Ok(())
    }
}
