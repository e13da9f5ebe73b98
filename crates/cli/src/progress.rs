//! The bar on long inputs, and the pace of a replay.

use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vtap_capture::Progress;
use vtap_packet::Timestamp;
use vtap_pipeline::Pace;

use crate::args::Speed;

/// A run shorter than this shows no bar.
const SILENT: Duration = Duration::from_millis(500);

pub(crate) struct Clock {
    speed: Speed,
    began: Instant,
    /// Time of the first packet.
    first: Option<Timestamp>,
    bar: Option<ProgressBar>,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the pace of a replay and the rate in the bar")]
    pub(crate) fn start(speed: Speed) -> Self {
        Self { speed, began: Instant::now(), first: None, bar: None }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for the time of a packet, which is due `times` as fast as it was captured.
    #[inline(never)]
    fn wait(&mut self, time: Timestamp, times: f64) {
        let first = *self.first.get_or_insert(time);
        let due = time.since(first).div_f64(times);
        if let Some(wait) = due.checked_sub(self.began.elapsed()) {
            thread::sleep(wait);
        }
    }

    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Pace for Clock {
    #[inline(always)]
    fn packet(&mut self, time: Timestamp) {
        if let Speed::Times(times) = self.speed {
            self.wait(time, times);
        }
    }

    fn progress(&mut self, packets: u64, progress: Progress) {
        if self.bar.is_none() {
            if self.began.elapsed() < SILENT {
                return;
            }
            // Hides itself where standard error is no terminal.
            let bar = ProgressBar::with_draw_target(progress.total, ProgressDrawTarget::stderr());
            let template = if progress.total.is_some() {
                "{bar:30} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {msg}  {eta} left"
            } else {
                "{spinner} {bytes}  {binary_bytes_per_sec}  {msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(progress.bytes);
            let rate = packets as f64 / self.began.elapsed().as_secs_f64();
            bar.set_message(format!("{packets} packets  {:.2} Mpps", rate / 1e6));
        }
    }
}
