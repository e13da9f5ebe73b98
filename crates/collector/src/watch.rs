//! What can be asked of a collector that runs, from any thread.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use vtap_packet::Timestamp;

use crate::Now;
use crate::accounting::Accounting;
use crate::collector::Shared;
use crate::host::{self, Nic, Process, Softnet};
use crate::uploads::Uploads;
use crate::worker::Slot;

/// How long an answer of the workers is waited for; they look around every 100 ms.
const ANSWER: Duration = Duration::from_millis(400);

/// How long a worker may leave a question unanswered before it counts as stuck. A busy one still
/// answers between two batches.
const STUCK: Duration = Duration::from_secs(10);

/// Looks on; a clone looks on as well. It outlives the collector, whose last counters it then tells.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    slots: Vec<Arc<Slot>>,
    shared: Arc<Shared>,
    interfaces: Vec<String>,
    uploads: Option<Uploads>,
    /// Counters of the machine at the start.
    nics: Vec<(String, Nic)>,
    softnet: Softnet,
    since: Timestamp,
    now: Now,
    /// For each worker the question that its health is judged by, and when that was asked.
    questions: Mutex<Vec<(u64, Timestamp)>>,
}

/// Raises a flag when a thread ends, even by a panic.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    pub(crate) fn new(
        slots: Vec<Arc<Slot>>,
        shared: Arc<Shared>,
        interfaces: Vec<String>,
        uploads: Option<Uploads>,
        now: Now,
    ) -> Self {
        let root = Path::new("/");
        let nics = host::nics(root, &interfaces);
        let softnet = Softnet::read(root).unwrap_or_default();
        let questions = Mutex::new(vec![(0, now()); slots.len()]);
        let since = now();
        Self(Arc::new(Watched {
            slots,
            shared,
            interfaces,
            uploads,
            nics,
            softnet,
            since,
            now,
            questions,
        }))
    }

    /// The counters now, for which it waits 0.4 s at most. A worker that is too busy to answer is
    /// told of as it was last.
    pub fn accounting(&self) -> Accounting {
        let asked: Vec<_> = self.0.slots.iter().map(|slot| (slot, slot.ask())).collect();
        let now = self.0.now;
        let start = now();
        let answered = || {
            let mut asked = asked.iter();
            asked
                .all(|(slot, asked)| slot.ended.load(Ordering::Relaxed) || slot.answers() >= *asked)
        };
        // A clock that was set back would leave it waiting.
        while !answered() && now() >= start && now().since(start) < ANSWER {
            thread::sleep(Duration::from_millis(2));
        }
        self.told()
    }

    /// What the workers have told last.
    pub(crate) fn told(&self) -> Accounting {
        let root = Path::new("/");
        let Watched { slots, shared, interfaces, softnet, since, now, .. } = &*self.0;
        let mut nics = host::nics(root, interfaces);
        for (name, nic) in &mut nics {
            let before = self.0.nics.iter().find(|(known, _)| known == name);
            *nic = nic.since(before.map_or_else(Nic::default, |(_, nic)| *nic));
        }
        let mut all = Accounting {
            since: *since,
            at: now(),
            nics,
            softnet: Softnet::read(root).unwrap_or_default().since(*softnet),
            rows: shared.rows(),
            told: shared.flows(),
            uploads: self.0.uploads.as_ref().map(Uploads::counters).unwrap_or_default(),
            process: Process::read(root).unwrap_or_default(),
            ..Accounting::default()
        };
        for slot in slots {
            let told = slot.told();
            all.source += told.source;
            all.report += told.report;
            all.flows += told.flows;
            all.recorder += told.recorder;
        }
        all
    }

    /// Whether it does its work: no thread has ended, none is stuck, nobody has stopped it. Never
    /// waits.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn health(&self) -> Result<(), String> {
        let Watched { slots, shared, now, questions, .. } = &*self.0;
        if shared.stop.load(Ordering::Relaxed) {
            return Err("stopping".into());
        }
        let now = now();
        let mut questions = questions.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, (slot, question)) in slots.iter().zip(&mut *questions).enumerate() {
            if slot.ended.load(Ordering::Relaxed) {
                return Err(format!("belt {number} has ended"));
            }
            let (asked, at) = *question;
            let silence = now.since(at);
            if slot.answers() >= asked {
                *question = (slot.ask(), now);
            } else if silence > STUCK {
                return Err(format!("belt {number} has not answered for {} s", silence.as_secs()));
            }
        }
        // Last: those who write end as well when every belt has.
        if shared.writer_ended.load(Ordering::Relaxed) {
            return Err("the writer of rows has ended".into());
        }
        if shared.flows_ended.load(Ordering::Relaxed) {
            return Err("the writer of logs of flows has ended".into());
        }
        Ok(())
    }
}
