//! What of a packet is recorded, by what the intake of a pipeline made of it.

use vtap_packet::{Packet, Timestamp};
use vtap_pipeline::{Fate, Taken};

use crate::Recorder;

/// A session at the end of an intake.
#[derive(Debug)]
pub struct Recording {
    /// The session.
    pub recorder: Recorder,
    /// Whether packets are recorded as they were received; else the customer's frames are.
    pub outer: bool,
}

impl Recording {
    /// Offers a packet to the session. What a filter refuses, and what is not mirrored where such
    /// packets are not wanted, is no packet of it. As they were received, fragments of envelopes
    /// are, and packets that could not be decapsulated.
    pub fn take(&mut self, received: &Packet<'_>, taken: &Taken<'_>, now: Timestamp) {
        match taken {
            Taken::Frame(frame) if self.outer => {
                self.recorder.offer_as(received, Some(frame), now);
            }
            Taken::Frame(frame) => self.recorder.offer(frame, now),
            Taken::Aside(seen) => match seen.fate {
                Fate::Absorbed if self.outer => self.recorder.offer_as(received, None, now),
                Fate::Skipped(_) if self.outer => self.recorder.offer(received, now),
                _ => self.recorder.tick(now),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use vtap_capture::write::Format;
    use vtap_decap::Decap;
    use vtap_packet::tcp::Flags;
    use vtap_pipeline::Pipeline;
    use vtap_testkit::{TcpFrame, frame, packet};

    use super::*;
    use crate::{Config, Destination, Filters, Limits, Pressure, recorder};

    /// How many of these packets are recorded, the inner filter letting pass what `filter` does.
    fn recorded(outer: bool, filter: fn(&Packet<'_>) -> bool, packets: &[Vec<u8>]) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            name: String::new(),
            format: Format::Pcap,
            filters: Filters::default(),
            limits: Limits::default(),
            buffer: recorder::BUFFER,
            min_free: 0,
            pressure: Pressure::Drop,
        };
        let destination = Destination::Folder(folder.path().to_owned());
        let recorder = Recorder::start(destination, config, Timestamp::EPOCH).unwrap();
        let mut recording = Recording { recorder, outer };
        let decap = Decap::new(vtap_decap::Config::default());
        let mut intake = Pipeline::new(decap, None).intake;
        intake.inner_filter = Some(Box::new(filter));
        for (number, data) in (1..).zip(packets) {
            let received = packet(number, Timestamp::EPOCH, data);
            recording.take(&received, &intake.take(received), Timestamp::EPOCH);
        }
        let status = recording.recorder.stop(crate::StopReason::SourceEnded);
        assert_eq!(status.counters.offered, status.counters.recorded);
        status.counters.recorded
    }

    #[test]
    fn a_packet_whose_frame_a_filter_refuses_is_not_recorded_in_its_envelope_either() {
        let syn = TcpFrame::new("10.0.0.1:1024", "10.0.0.2:80", Flags::SYN, 1, 0).build();
        let packets = [frame::mirrored(27, &syn)];
        for outer in [false, true] {
            assert_eq!(recorded(outer, |_| true, &packets), 1);
            assert_eq!(recorded(outer, |_| false, &packets), 0, "outer: {outer}");
        }
    }

    #[test]
    fn fragments_of_an_envelope_are_recorded_as_they_were_received() {
        let syn = TcpFrame::new("10.0.0.1:1024", "10.0.0.2:80", Flags::SYN, 1, 0).data(500).build();
        let packets = frame::fragments(&frame::mirrored(27, &syn), 7, 256);
        assert!(packets.len() > 1);
        assert_eq!(recorded(false, |_| true, &packets), 1);
        assert_eq!(recorded(true, |_| true, &packets), packets.len() as u64);
    }
}
