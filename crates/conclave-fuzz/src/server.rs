//! What only the server reads: its settings, HTTP heads, WebSocket bytes.

use conclave_proto::limits::WEBSOCKET_MESSAGE_BYTES_MAX;
use conclave_server::{config, readers};

use crate::proto::text;
use crate::seeds::{Seeds, texts};

/// A config file: what is accepted is a whole set of settings.
pub fn settings(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(loaded) = config::parse(text) {
        assert!(!loaded.settings().is_empty());
    }
}

/// The head of an HTTP request: answered in HTTP, and a WebSocket begins only where one is asked for.
pub fn http(bytes: &[u8]) {
    match readers::http(bytes) {
        Some(Ok(accepted)) => {
            assert!(accepted.starts_with("HTTP/1.1 101 "));
            assert!(bytes.starts_with(b"GET /v1/ws HTTP/1.1\r\n"));
        }
        Some(Err(refused)) => assert!(refused.starts_with("HTTP/1.1 ") && refused.ends_with('\n')),
        None => assert!(bytes.windows(9).any(|part| part == b"/v1/blobs")),
    }
}

/// A client's WebSocket bytes: what they carry is no more than they are.
pub fn websocket(bytes: &[u8]) {
    let carried = readers::websocket(bytes);
    assert!(carried.len() <= bytes.len());
    assert!(
        carried.len() <= WEBSOCKET_MESSAGE_BYTES_MAX || bytes.len() > WEBSOCKET_MESSAGE_BYTES_MAX
    );
}

/// Config files: empty, every default, and wrong ones.
pub fn server_configs() -> Seeds {
    let loaded = config::parse("").unwrap();
    let mut seeds = texts(&[
        "",
        "[server]\nlisten = \"127.0.0.1:5000\"\n",
        "[registration]\nmode = \"invite\"\nmax_accounts = 3\n",
        "[limits]\nper_network_posts = -1\n",
        "server = 1\n",
        "[no]\nsuch = true\n",
    ]);
    for setting in loaded.settings() {
        if let Some((section, key)) = setting.key.split_once('.') {
            seeds.push(format!("[{section}]\n{key} = {}\n", setting.value).into_bytes());
        }
    }
    seeds
}

/// Heads of HTTP requests, with and without an upgrade.
pub fn http_heads() -> Seeds {
    let upgrade = "Host: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut seeds = texts(&[
        "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /readyz HTTP/1.0\r\n\r\n",
        "POST /v1/ws HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET  /livez HTTP/1.1\r\n: \r\n\r\n",
        "GET /v1/blobs HTTP/1.1\r\nHost: h\r\n\r\n",
    ]);
    let blob = format!(
        "/v1/blobs/{} HTTP/1.1\r\nHost: h\r\nConclave-Pass: {}",
        "0a".repeat(32),
        "1b".repeat(32)
    );
    for head in [
        format!("PUT {blob}\r\nUpload-Length: 65536\r\nContent-Length: 0\r\n\r\n"),
        format!("PATCH {blob}\r\nUpload-Offset: 0\r\nContent-Length: 65536\r\n\r\n"),
        format!("HEAD {blob}\r\n\r\n"),
        format!("GET {blob}\r\nRange: bytes=1-2\r\n\r\n"),
        format!("GET {blob}\r\nRange: bytes=1-\r\nConnection: close\r\n\r\n"),
    ] {
        seeds.push(head.into_bytes());
    }
    seeds.push(format!("GET /v1/ws HTTP/1.1\r\n{upgrade}").into_bytes());
    seeds.push(format!("GET /v1/ws HTTP/1.1\r\nUpgrade: h2c\r\n{upgrade}").into_bytes());
    seeds
}

/// One WebSocket frame of a client: `first` is its flags and kind, the mask is zero.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(payload.len()).unwrap() {
        short @ 0..=125 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&long.to_be_bytes());
        }
    }
    [frame, vec![0; 4], payload.to_vec()].concat()
}

/// WebSocket bytes of a client: whole messages, parts, pings, a close, and what is not allowed.
pub fn websockets() -> Seeds {
    vec![
        [masked(0x82, b"one"), masked(0x82, &[7; 300])].concat(),
        [
            masked(0x02, b"in "),
            masked(0x89, b"ping"),
            masked(0x80, b"parts"),
        ]
        .concat(),
        masked(0x88, &[3, 232]),
        masked(0x81, b"text"),
        vec![0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0x82, 3, 1, 2, 3],
    ]
}
