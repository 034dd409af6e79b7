//! What sealed files keep to themselves, and what a server cannot do to them.

use super::*;
use crate::fixture::FixedEnv;

/// Content that differs everywhere.
fn content(length: usize) -> Vec<u8> {
    let bytes = (0..length.div_ceil(4)).flat_map(|n| u32::try_from(n).unwrap().to_be_bytes());
    bytes.take(length).collect()
}

/// Seals content that comes in parts of `part` bytes.
fn seal(content: &[u8], part: usize) -> (AttachmentPointer, Vec<u8>) {
    let mut sealed = Vec::new();
    let mut sink = |piece: &[u8]| -> Result<(), AttachmentError> {
        sealed.extend_from_slice(piece);
        Ok(())
    };
    let mut sealer = Sealer::new(&FixedEnv::new(1));
    for part in content.chunks(part) {
        sealer.write(part, &mut sink).unwrap();
    }
    let pointer = sealer.finish(&mut sink).unwrap();
    (pointer, sealed)
}

fn open(pointer: &AttachmentPointer, sealed: &[u8]) -> Result<Vec<u8>, AttachmentError> {
    let mut opener = Opener::new(pointer);
    let (mut content, mut rest) = (Vec::new(), sealed);
    while opener.next_bytes() > 0 {
        let (piece, later) = rest
            .split_at_checked(opener.next_bytes())
            .ok_or(AttachmentError::Open)?;
        content.extend_from_slice(opener.open(&mut piece.to_vec())?);
        rest = later;
    }
    if !rest.is_empty() {
        return Err(AttachmentError::Open);
    }
    Ok(content)
}

/// Every length around the borders comes out as it went in, however it came, with a Padmé length.
#[test]
fn seals_and_opens_at_every_border() {
    let piece = CONTENT_PIECE_BYTES;
    for length in [
        0,
        1,
        15,
        piece - 1,
        piece,
        piece + 1,
        2 * piece - 1,
        2 * piece,
        2 * piece + 1,
        5 * piece + 7,
        1_000_000,
    ] {
        let content = content(length);
        for part in [7_777, piece, 3 * piece] {
            let (pointer, sealed) = seal(&content, part);
            assert_eq!(sealed.len() as u64, pointer.sealed_bytes(), "{length}");
            assert_eq!(padme(sealed.len() as u64), sealed.len() as u64);
            assert!(sealed.len() * 100 <= (length + 16 + length / 4_000) * 113 + 100);
            assert!(open(&pointer, &sealed).unwrap() == content, "{length}");
        }
    }
}

/// Pieces that are swapped, dropped, repeated, cut, added to or changed do not open, nor do those of
/// another file.
#[test]
fn c150_pieces_open_in_their_place_only() {
    let content = content(5 * CONTENT_PIECE_BYTES + 1);
    let (pointer, sealed) = seal(&content, 65_536);
    let pieces: Vec<&[u8]> = sealed.chunks(BLOB_PIECE_BYTES).collect();
    assert!(pieces.len() >= 6);
    let refused = |pieces: Vec<&[u8]>| {
        assert_eq!(open(&pointer, &pieces.concat()), Err(AttachmentError::Open));
    };
    let mut swapped = pieces.clone();
    swapped.swap(1, 2);
    refused(swapped);
    let mut dropped = pieces.clone();
    dropped.remove(1);
    refused(dropped);
    let mut repeated = pieces.clone();
    repeated[2] = repeated[1];
    refused(repeated);
    refused(pieces[..pieces.len() - 1].to_vec());
    let mut longer = pieces.clone();
    longer.push(pieces[0]);
    refused(longer);
    for place in [0, 65_535, 65_536, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        assert_eq!(open(&pointer, &changed), Err(AttachmentError::Open));
    }
    let (mut other, _) = seal(&content, 65_536);
    other.key = BlobKey::random(&FixedEnv::new(2));
    assert_eq!(open(&other, &sealed), Err(AttachmentError::Open));
}

/// A pointer that names another length, shorter or longer, does not open what is there: neither a piece
/// as the last one that is none, nor content as padding.
#[test]
fn c150_a_lying_length_does_not_open() {
    let length = 5 * CONTENT_PIECE_BYTES;
    let (pointer, sealed) = seal(&content(length), 65_536);
    let true_length = pointer.length;
    for lie in [
        0,
        1,
        65_520,
        true_length - 1,
        true_length / 2,
        10 * true_length,
    ] {
        let mut lying = AttachmentPointer::parse(&pointer.to_bytes()).unwrap();
        lying.length = lie;
        let shown = usize::try_from(lying.sealed_bytes()).unwrap();
        let part = sealed.get(..shown).unwrap_or(&sealed);
        assert_eq!(open(&lying, part), Err(AttachmentError::Open), "{lie}");
    }
}

/// After a break any piece opens without those before it.
#[test]
fn goes_on_at_any_piece() {
    let content = content(300_000);
    let (pointer, sealed) = seal(&content, 65_536);
    let mut opener = Opener::new(&pointer);
    opener.skip_to(3 * 65_536 + 5);
    assert_eq!(opener.opened(), 3 * 65_536);
    let from = usize::try_from(opener.opened()).unwrap();
    let mut piece = sealed[from..from + opener.next_bytes()].to_vec();
    let begins = 3 * CONTENT_PIECE_BYTES;
    let opened = opener.open(&mut piece).unwrap();
    assert!(opened == &content[begins..begins + CONTENT_PIECE_BYTES]);
}

/// C-003: a pointer is read whole and of its version, or not at all; its bytes are pinned.
#[test]
fn c003_pointers_are_strict() {
    let (pointer, sealed) = seal(b"abc", 3);
    let bytes = pointer.to_bytes();
    assert_eq!(bytes.len(), 73);
    assert_eq!(hex::encode(&sealed), PINNED);
    assert!(AttachmentPointer::parse(&bytes).is_ok());
    assert!(AttachmentPointer::parse(&bytes[..72]).is_err());
    assert!(AttachmentPointer::parse(&[&bytes[..], &[0]].concat()).is_err());
    let mut newer = bytes.to_vec();
    newer[0] = 2;
    assert!(AttachmentPointer::parse(&newer).is_err());
    let mut endless = bytes.to_vec();
    endless[65] = 0xff;
    assert!(AttachmentPointer::parse(&endless).is_err());
}

/// `abc` under the first key of the first fixed environment.
const PINNED: &str = "2b9b31a2b671eac26535630e1a9e39bc45c989b4";
