//! Which packets a socket takes: the program that the kernel runs on each.
//!
//! In front of the expression stands what the ring itself asks for: no packets that this
//! machine sends (unless wanted), and only those of the interfaces that were named.

use libc::sock_filter;
use vtap_packet::LinkType;

use super::interfaces::{ETHERNET_HARDWARE, RAW_HARDWARE};
use super::program::{Fact, Program, Test};
use super::{Config, Options};
use crate::live::expression;
use crate::{Error, Filter};

/// Refuses every packet: attached until the ring is ready for what the true one lets pass.
pub(super) fn nothing() -> Vec<sock_filter> {
    let mut program = Program::default();
    program.answer(0);
    program.finish()
}

/// The program for these interfaces; for all where none is given.
///
/// # Errors
///
/// A syntax error in the expression. Where it only makes no sense on raw IP, as `ether host`, no
/// packets of raw IP interfaces pass; those of interfaces of other kinds pass no expression.
pub(super) fn program(
    config: &Config,
    options: &Options,
    interfaces: &[u32],
) -> Result<Vec<sock_filter>, Error> {
    // 0 would refuse the packet.
    let keep = config.snaplen.max(1);
    let mut program = Program::default();
    let (refuse, wanted) = (program.label(), program.label());
    if !options.outgoing {
        // PACKET_IGNORE_OUTGOING would do the same, but for fanout groups not before Linux 6.2.
        program.load_fact(Fact::PacketType);
        program.jump_if(Test::Equal(libc::PACKET_OUTGOING.into()), refuse);
    }
    if !interfaces.is_empty() {
        program.load_fact(Fact::Interface);
        for interface in interfaces {
            program.jump_if(Test::Equal(*interface), wanted);
        }
        program.jump(refuse);
    }
    program.place(wanted);
    if let Some(ethernet) = expression::for_link(config, LinkType::ETHERNET)? {
        let ethernet = Filter::compile(&ethernet, LinkType::ETHERNET)?;
        let raw = expression::for_link(config, LinkType::RAW).ok().flatten();
        let raw = raw.and_then(|raw| Filter::compile(&raw, LinkType::RAW).ok());
        let (on_ethernet, on_raw) = (program.label(), program.label());
        program.load_fact(Fact::Hardware);
        for hardware in ETHERNET_HARDWARE {
            program.jump_if(Test::Equal(hardware.into()), on_ethernet);
        }
        for hardware in RAW_HARDWARE {
            program.jump_if(Test::Equal(hardware.into()), on_raw);
        }
        program.jump(refuse);
        program.place(on_ethernet);
        take_over(&mut program, &ethernet, keep);
        program.place(on_raw);
        match raw {
            Some(raw) => take_over(&mut program, &raw, keep),
            None => program.jump(refuse),
        }
    }
    program.answer(keep);
    program.place(refuse);
    program.answer(0);
    Ok(program.finish())
}

/// A compiled expression, of which packets that pass keep `keep` bytes.
fn take_over(program: &mut Program, filter: &Filter, keep: u32) {
    for mut instruction in filter.instructions() {
        let returns = u32::from(instruction.code) == libc::BPF_RET | libc::BPF_K;
        if returns && instruction.k != 0 {
            instruction.k = keep;
        }
        program.push(instruction);
    }
}
