//! Length, bytes, zeros: how sealed things hide their size.

/// Bytes of the length in front.
pub(crate) const LENGTH_BYTES: usize = 4;

/// `bytes` behind their length (u32, big-endian), filled with zeros to exactly `total` bytes; `None` when too long.
pub(crate) fn pad(bytes: &[u8], total: usize) -> Option<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok()?;
    if bytes.len().checked_add(LENGTH_BYTES)? > total {
        return None;
    }
    let mut padded = Vec::with_capacity(total);
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(bytes);
    padded.resize(total, 0);
    Some(padded)
}

/// What [`pad`] took; `None` when the length does not fit or a filling byte is not zero.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (length, rest) = padded.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (bytes, filling) = rest.split_at_checked(length)?;
    filling.iter().all(|byte| *byte == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Padding comes off again, and lengths or fillings that lie are refused.
    #[test]
    fn padding_is_exact() {
        let padded = pad(b"abc", 10).unwrap();
        assert_eq!(padded.len(), 10);
        assert_eq!(unpad(&padded), Some(b"abc".as_slice()));
        assert_eq!(unpad(&pad(b"", 4).unwrap()), Some(b"".as_slice()));
        assert_eq!(pad(b"abc", 6), None);
        assert_eq!(unpad(&[0, 0, 0, 2, 1]), None);
        assert_eq!(unpad(&[0, 0, 0, 1, 1, 0, 1]), None);
        assert_eq!(unpad(&[0, 0, 0]), None);
        assert_eq!(unpad(&[0xff; 64]), None);
    }
}
