//! Packets that cannot be compared, by reason.

/// Why a packet was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// A link type that is not read, or its header is cut off.
    LinkType,
    /// An IP or UDP header that contradicts itself.
    MalformedIp,
    /// The snaplen left too little to see ports and numbers.
    CutShort,
    /// Of the source only: the copy of a packet that another interface has shown just before, as
    /// `-i any` shows it on a NIC and on the function below it.
    InterfaceCopy,
    /// More packets than 32 bits count.
    OverLimit,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::LinkType, Self::MalformedIp, Self::CutShort, Self::InterfaceCopy, Self::OverLimit];

    /// As it stands in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkType => "link-type",
            Self::MalformedIp => "malformed-ip",
            Self::CutShort => "cut-short",
            Self::InterfaceCopy => "interface-copy",
            Self::OverLimit => "over-limit",
        }
    }
}
