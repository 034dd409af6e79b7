//! Bytes that are almost right: cut, flipped, or followed by more.

/// Every strict beginning of `bytes`, the empty one first.
pub fn truncated(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    (0..bytes.len()).map(|end| &bytes[..end])
}

/// Copies of `bytes` with one bit flipped: another bit at every `step`-th byte, with the place.
pub fn flipped(bytes: &[u8], step: usize) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len()).step_by(step).map(move |place| {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1 << (place / step % 8);
        (place, changed)
    })
}

/// `bytes` and then `more`.
pub fn with_tail(bytes: &[u8], more: &[u8]) -> Vec<u8> {
    [bytes, more].concat()
}
