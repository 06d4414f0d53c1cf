//! What is wrong with bytes that are no body.

/// Why bytes are no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a value.
    #[error("the body ends in the middle of a value, at byte {0}")]
    Truncated(usize),
    /// Bytes follow the body's map.
    #[error("{0} bytes follow the end of the body")]
    Trailing(usize),
    /// The body is something else than a map.
    #[error("a message must be a map of fields")]
    NotAMap,
    /// A text is not UTF-8.
    #[error("the text at byte {0} is not UTF-8")]
    NotUtf8(usize),
    /// A map's key is no text.
    #[error("the key at byte {0} is no text")]
    KeyIsNoText(usize),
    /// Keys do not ascend, or one stands twice.
    #[error("the keys at byte {0} do not ascend")]
    KeyOrder(usize),
    /// A type that bodies do not use.
    #[error("byte {at} begins a value of MessagePack type {marker:#04x}, which messages do not hold")]
    Unsupported {
        /// Where.
        at: usize,
        /// The type's first byte.
        marker: u8,
    },
    /// Lists and maps lie too deep in each other.
    #[error("the message is nested deeper than {} levels", crate::value::MAX_DEPTH)]
    TooDeep,
}
