//! What a thread is called: [`Name`].

/// A thread's name, as `prctl(PR_SET_NAME)` sets it: at most 15 bytes, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; Self::SIZE]);

impl Name {
    /// Bytes with the terminating zero (`TASK_COMM_LEN`).
    pub const SIZE: usize = 16;

    /// The first 15 bytes of `text`, up to a zero.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut name = [0; Self::SIZE];
        let bytes = text.iter().take(Self::SIZE - 1).take_while(|&&byte| byte != 0);
        name.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self(name)
    }

    /// The name without its padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::SIZE);
        &self.0[..end]
    }

    /// The name with its padding.
    #[must_use]
    pub fn padded(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_bytes().escape_ascii().fmt(f)
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
