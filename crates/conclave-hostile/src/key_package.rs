//! A key package taken apart, so that any part can be forged and signed again.

use conclave_core::identity::DeviceSecret;
use conclave_proto::codec;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLByteSlice, VLBytes};

/// A KeyPackage (RFC 9420 §10), field by field.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct RawKeyPackage {
    /// 1 = MLS 1.0.
    pub version: u16,
    /// 0x004E is ours.
    pub suite: u16,
    /// HPKE key that a welcome is sealed to.
    pub init_key: VLBytes,
    /// The leaf.
    pub leaf: RawLeaf,
    /// By the leaf's signature key.
    pub leaf_signature: VLBytes,
    /// Extensions, encoded.
    pub extensions: VLBytes,
    /// By the leaf's signature key, over everything before.
    pub signature: VLBytes,
}

/// A LeafNode of a key package (RFC 9420 §7.2), without its signature.
#[derive(Debug, TlsSize, TlsSerialize, TlsDeserializeBytes)]
pub struct RawLeaf {
    /// HPKE key of the leaf.
    pub encryption_key: VLBytes,
    /// Ed25519 key.
    pub signature_key: VLBytes,
    /// 1 = basic.
    pub credential_type: u16,
    /// What the basic credential holds.
    pub identity: VLBytes,
    /// Capabilities: protocol versions.
    pub versions: VLBytes,
    /// Capabilities: suites.
    pub suites: VLBytes,
    /// Capabilities: extension types.
    pub extension_types: VLBytes,
    /// Capabilities: proposal types.
    pub proposals: VLBytes,
    /// Capabilities: credential types.
    pub credentials: VLBytes,
    /// 1 = key package.
    pub source: u8,
    /// Lifetime, s since 1970-01-01 UTC.
    pub not_before: u64,
    /// Lifetime, s since 1970-01-01 UTC.
    pub not_after: u64,
    /// Extensions, encoded.
    pub extensions: VLBytes,
}

#[derive(TlsSize, TlsSerialize)]
struct SignContent<'a> {
    label: VLByteSlice<'a>,
    content: VLByteSlice<'a>,
}

/// SignWithLabel (RFC 9420 §5.1.2) with a device's leaf key.
pub fn sign(device: &DeviceSecret, label: &str, content: &[u8]) -> Vec<u8> {
    let label = format!("MLS 1.0 {label}");
    device.sign_input(&codec::encode(&SignContent {
        label: VLByteSlice(label.as_bytes()),
        content: VLByteSlice(content),
    }))
}

/// Takes a key package apart, changes it, and signs leaf and package again with `device`.
pub fn forge(
    bytes: &[u8],
    device: &DeviceSecret,
    change: impl FnOnce(&mut RawKeyPackage),
) -> Vec<u8> {
    let mut raw: RawKeyPackage = codec::parse_exact(bytes).unwrap();
    change(&mut raw);
    raw.leaf_signature = sign(device, "LeafNodeTBS", &codec::encode(&raw.leaf)).into();
    raw.signature = vec![].into();
    let unsigned = codec::encode(&raw);
    raw.signature = sign(device, "KeyPackageTBS", &unsigned[..unsigned.len() - 1]).into();
    codec::encode(&raw)
}
