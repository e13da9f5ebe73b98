//! Taking envelopes off: packets of memory in, frames of the same memory out.

use std::hint::black_box;

use vtap_benches::{BATCH, Frames, MIX, PACKETS, criterion, measure};
use vtap_decap::{Config, Decap, Stripped};
use vtap_testkit::{frame, traffic};

fn main() {
    let mut criterion = criterion();
    let (_, small) = traffic::lasting(1000, PACKETS, &[0], 1);
    let (_, mix) = traffic::lasting(1000, PACKETS, &MIX, 1);
    let wrap = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
        frames.iter().map(|inner| frame::mirrored(27, inner)).collect()
    };
    let mirrored = wrap(&small);
    let nested = wrap(&mirrored);
    for (name, frames, depth) in [
        ("mirrored", mirrored, 1),
        ("mirrored-mix", wrap(&mix), 1),
        ("nested", nested, 2),
        ("plain", small, 0),
    ] {
        let frames = Frames::new(frames);
        let mut round = frames.round();
        let mut decap = Decap::new(Config::default());
        let name = format!("{name}/{}", frames.mean_len());
        measure(&mut criterion, "decap", &name, || {
            for _ in 0..BATCH {
                let found = match decap.strip(black_box(round.packet())) {
                    Stripped::Mirrored(frame) => frame.tunnel.map_or(0, |tunnel| tunnel.depth),
                    Stripped::Plain(_) => 0,
                    Stripped::Absorbed | Stripped::Skipped(_) => u8::MAX,
                };
                assert_eq!(found, depth);
            }
        });
    }
    criterion.final_summary();
}
