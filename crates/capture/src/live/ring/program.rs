//! Classic BPF programs, put together instruction by instruction.
//!
//! The machine has an accumulator A, an index register X and 16 words of memory M; see
//! `Documentation/networking/filter.rst` of the kernel. Jumps only go forward. A load behind the
//! end of the packet ends the program with 0.

use libc::sock_filter;

/// Instructions, and the jumps among them.
#[derive(Debug, Default)]
pub(super) struct Program {
    instructions: Vec<sock_filter>,
    /// Where each label was placed.
    places: Vec<Option<usize>>,
    /// Jumps to complete: where they stand, where they go.
    jumps: Vec<(usize, Label)>,
}

/// A place to jump to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// Bytes of a load.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Byte,
    Half,
    Word,
}

/// What A is tested for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Equal(u32),
    /// Any of these bits.
    AnyOf(u32),
}

/// What the kernel knows of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fact {
    EtherType = libc::SKF_AD_PROTOCOL as isize,
    PacketType = libc::SKF_AD_PKTTYPE as isize,
    Interface = libc::SKF_AD_IFINDEX as isize,
    /// `ARPHRD_*` of the interface.
    Hardware = libc::SKF_AD_HATYPE as isize,
}

/// A step of arithmetic on A.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arithmetic {
    Add(u32),
    And(u32),
    Multiply(u32),
    ShiftLeft(u32),
    ShiftRight(u32),
    AddX,
    XorX,
}

/// A word of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory(pub(super) u8);

impl Program {
    pub(super) fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Puts a label before the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        let here = self.instructions.len();
        if let Some(place) = self.places.get_mut(label.0) {
            debug_assert!(place.is_none(), "a label has one place");
            *place = Some(here);
        }
    }

    /// A = the bytes at X + `offset`, in network byte order.
    pub(super) fn load(&mut self, size: Size, offset: u32) {
        let size = match size {
            Size::Byte => libc::BPF_B,
            Size::Half => libc::BPF_H,
            Size::Word => libc::BPF_W,
        };
        self.emit(libc::BPF_LD | libc::BPF_IND | size, offset);
    }

    /// A = what the kernel knows.
    pub(super) fn load_fact(&mut self, fact: Fact) {
        let offset = libc::SKF_AD_OFF.wrapping_add(fact as i32).cast_unsigned();
        self.emit(libc::BPF_LD | libc::BPF_ABS | libc::BPF_W, offset);
    }

    /// A = `value`.
    pub(super) fn set(&mut self, value: u32) {
        self.emit(libc::BPF_LD | libc::BPF_IMM, value);
    }

    /// X = `value`.
    pub(super) fn set_x(&mut self, value: u32) {
        self.emit(libc::BPF_LDX | libc::BPF_IMM, value);
    }

    /// X = A.
    pub(super) fn move_to_x(&mut self) {
        self.emit(libc::BPF_MISC | libc::BPF_TAX, 0);
    }

    /// A = X.
    pub(super) fn move_from_x(&mut self) {
        self.emit(libc::BPF_MISC | libc::BPF_TXA, 0);
    }

    /// M = A.
    pub(super) fn store(&mut self, memory: Memory) {
        self.emit(libc::BPF_ST, memory.0.into());
    }

    /// M = X.
    pub(super) fn store_x(&mut self, memory: Memory) {
        self.emit(libc::BPF_STX, memory.0.into());
    }

    /// A = M.
    pub(super) fn recall(&mut self, memory: Memory) {
        self.emit(libc::BPF_LD | libc::BPF_MEM, memory.0.into());
    }

    /// X = M.
    pub(super) fn recall_x(&mut self, memory: Memory) {
        self.emit(libc::BPF_LDX | libc::BPF_MEM, memory.0.into());
    }

    pub(super) fn compute(&mut self, step: Arithmetic) {
        let (code, k) = match step {
            Arithmetic::Add(k) => (libc::BPF_ADD, k),
            Arithmetic::And(k) => (libc::BPF_AND, k),
            Arithmetic::Multiply(k) => (libc::BPF_MUL, k),
            Arithmetic::ShiftLeft(k) => (libc::BPF_LSH, k),
            Arithmetic::ShiftRight(k) => (libc::BPF_RSH, k),
            Arithmetic::AddX => (libc::BPF_ADD | libc::BPF_X, 0),
            Arithmetic::XorX => (libc::BPF_XOR | libc::BPF_X, 0),
        };
        self.emit(libc::BPF_ALU | code, k);
    }

    /// Goes on at `label` if A passes the test.
    ///
    /// The jump of a test reaches 255 instructions, one without a test all of them: hence both.
    pub(super) fn jump_if(&mut self, test: Test, label: Label) {
        let (code, k) = match test {
            Test::Equal(k) => (libc::BPF_JEQ, k),
            Test::AnyOf(k) => (libc::BPF_JSET, k),
        };
        self.emit(libc::BPF_JMP | code, k);
        if let Some(test) = self.instructions.last_mut() {
            test.jf = 1;
        }
        self.jump(label);
    }

    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.emit(libc::BPF_JMP | libc::BPF_JA, 0);
    }

    /// Ends with a number: to a fanout group the member, to a socket the bytes to keep.
    pub(super) fn answer(&mut self, value: u32) {
        self.emit(libc::BPF_RET | libc::BPF_K, value);
    }

    /// Ends with A.
    pub(super) fn answer_a(&mut self) {
        self.emit(libc::BPF_RET | libc::BPF_A, 0);
    }

    /// Takes over an instruction as it is. Its jumps, if any, have to stay among its like.
    pub(super) fn push(&mut self, instruction: sock_filter) {
        self.instructions.push(instruction);
    }

    /// Completes the jumps.
    pub(super) fn finish(mut self) -> Vec<sock_filter> {
        for (from, label) in self.jumps {
            let to = self.places.get(label.0).copied().flatten();
            debug_assert!(to.is_some_and(|to| to > from), "{label:?} lies ahead");
            let distance = to.and_then(|to| to.checked_sub(from + 1));
            if let (Some(jump), Some(distance)) = (self.instructions.get_mut(from), distance) {
                // The kernel takes 4096 instructions at most.
                jump.k = u32::try_from(distance).unwrap_or(u32::MAX);
            }
        }
        self.instructions
    }

    fn emit(&mut self, code: u32, k: u32) {
        // Codes have 16 bits, and are built of those above.
        let code = u16::try_from(code).unwrap_or(u16::MAX);
        self.instructions.push(sock_filter { code, jt: 0, jf: 0, k });
    }
}

#[cfg(test)]
pub(super) mod machine {
    //! A machine that runs programs, for tests.

    use libc::sock_filter;

    /// What the kernel would know beside the bytes.
    #[derive(Clone, Copy, Debug, Default)]
    pub(in super::super) struct Facts {
        pub(in super::super) ether_type: u32,
        pub(in super::super) packet_type: u32,
        pub(in super::super) interface: u32,
        pub(in super::super) hardware: u32,
    }

    /// The program's answer.
    pub(in super::super) fn run(program: &[sock_filter], facts: Facts, packet: &[u8]) -> u32 {
        let (mut a, mut x, mut memory) = (0_u32, 0_u32, [0_u32; 16]);
        let mut at = 0;
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let k_index = k as usize;
            let operand = if code & 0x08 != 0 { x } else { k };
            match code {
                0x00 => a = k,
                0x01 => x = k,
                0x60 => a = memory[k_index],
                0x61 => x = memory[k_index],
                0x02 => memory[k_index] = a,
                0x03 => memory[k_index] = x,
                0x07 => x = a,
                0x87 => a = x,
                0x06 => return k,
                0x16 => return a,
                0x05 => at += k_index,
                0x15 => at += usize::from(if a == k { jt } else { jf }),
                0x25 => at += usize::from(if a > k { jt } else { jf }),
                0x45 => at += usize::from(if a & k != 0 { jt } else { jf }),
                0x04 | 0x0c => a = a.wrapping_add(operand),
                0x24 => a = a.wrapping_mul(operand),
                0x54 => a &= operand,
                0x64 => a <<= operand,
                0x74 => a >>= operand,
                0xac => a ^= operand,
                0x20 if k == ad(libc::SKF_AD_PROTOCOL) => a = facts.ether_type,
                0x20 if k == ad(libc::SKF_AD_PKTTYPE) => a = facts.packet_type,
                0x20 if k == ad(libc::SKF_AD_IFINDEX) => a = facts.interface,
                0x20 if k == ad(libc::SKF_AD_HATYPE) => a = facts.hardware,
                0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 | 0xb1 => {
                    let base = if code & 0x40 != 0 { x as usize } else { 0 };
                    let len = [4, 2, 1][usize::from(code >> 3 & 3)];
                    let Some(bytes) = packet.get(base + k_index..base + k_index + len) else {
                        return 0;
                    };
                    let value = bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
                    if code == 0xb1 { x = (value & 0xf) << 2 } else { a = value }
                }
                _ => panic!("instruction {code:#04x}"),
            }
        }
    }

    fn ad(fact: i32) -> u32 {
        (libc::SKF_AD_OFF + fact).cast_unsigned()
    }
}
