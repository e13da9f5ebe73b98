//! An input as a supply of small decisions.

/// Takes from the front; an input that is used up goes on with zeros.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.chunk::<1>()[0]
    }

    /// `N` bytes.
    pub fn chunk<const N: usize>(&mut self) -> [u8; N] {
        let taken = self.take(N);
        let mut chunk = [0; N];
        chunk[..taken.len()].copy_from_slice(taken);
        chunk
    }

    /// `len` bytes, or as many as are left.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Whether it is used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One of `choices`, each as likely.
pub fn pick<T: Copy>(choices: &[T], byte: u8) -> T {
    choices[usize::from(byte) % choices.len()]
}
