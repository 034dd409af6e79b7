//! Vectors of sealed files.

use conclave_core::attachment::{AttachmentError, Sealer};
use conclave_hostile::people::FixedEnv;
use conclave_proto::label;
use serde_json::{Value, json};

use crate::settle;

/// The numbers 0, 1, 2 … as u32, cut to `length` bytes.
fn counted(length: usize) -> Vec<u8> {
    let bytes = (0..length.div_ceil(4)).flat_map(|n| u32::try_from(n).unwrap().to_be_bytes());
    bytes.take(length).collect()
}

/// What the stream of `seed` seals `content` to: the pointer and the bytes.
pub(crate) fn sealed(seed: u64, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| -> Result<(), AttachmentError> {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let mut sealer = Sealer::new(&FixedEnv::new(seed));
    sealer.write(content, &mut sink).unwrap();
    let pointer = sealer.finish(&mut sink).unwrap();
    (pointer.to_bytes().to_vec(), bytes)
}

/// Small files whole; large ones by the hash of what they are sealed to.
#[test]
fn attachment() {
    let small = [0, 3, 300].map(|length| {
        let content = counted(length);
        let (pointer, bytes) = sealed(1, &content);
        json!({
            "content": hex::encode(content),
            "pointer": hex::encode(pointer),
            "sealed": hex::encode(bytes),
        })
    });
    let large = [65_520, 65_521, 300_000].map(|length| {
        let (pointer, bytes) = sealed(2, &counted(length));
        json!({
            "length": length,
            "pointer": hex::encode(pointer),
            "sealed_length": bytes.len(),
            "sealed_sha256": hex::encode(label::sha256(&bytes).as_bytes()),
        })
    });
    let made: Value = json!({ "small": small, "large": large });
    settle("attachment", &made);
}
