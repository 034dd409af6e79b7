//! `GET /livez` and `GET /readyz` on the same port, for scripts; everything else is 404.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 4096;

/// Answers one request and ends the connection. The caller sets the time limit.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(is_ready: bool, stream: &mut S) {
    let response = match read_head(stream).await {
        Some(head) => respond(&head, is_ready),
        None => response("400 Bad Request", "bad request"),
    };
    // a client that is gone needs no answer
    let _ = stream.write_all(response.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads up to the empty line; `None` when the head is too long or never ends.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    let mut part = [0; 512];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut part).await.ok()?;
        head.extend_from_slice(part.get(..read)?);
        if read == 0 || head.len() > HEAD_BYTES_MAX {
            return None;
        }
    }
    Some(head)
}

fn respond(head: &[u8], is_ready: bool) -> String {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    match line {
        b"GET /livez HTTP/1.1" | b"GET /livez HTTP/1.0" => response("200 OK", "alive"),
        b"GET /readyz HTTP/1.1" | b"GET /readyz HTTP/1.0" if is_ready => {
            response("200 OK", "ready")
        }
        b"GET /readyz HTTP/1.1" | b"GET /readyz HTTP/1.0" => {
            response("503 Service Unavailable", "not ready")
        }
        _ => response("404 Not Found", "not found"),
    }
}

fn response(status: &str, text: &str) -> String {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &[u8], is_ready: bool) -> String {
        let (mut near, mut far) = tokio::io::duplex(16 * 1024);
        near.write_all(request).await.unwrap();
        near.shutdown().await.unwrap();
        answer(is_ready, &mut far).await;
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Two paths exist; readiness follows the server's state.
    #[tokio::test]
    async fn two_paths_and_nothing_else() {
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
        assert_eq!(ask(&get("/livez"), false).await, "HTTP/1.1 200 OK");
        assert_eq!(ask(&get("/readyz"), true).await, "HTTP/1.1 200 OK");
        let not_ready = ask(&get("/readyz"), false).await;
        assert_eq!(not_ready, "HTTP/1.1 503 Service Unavailable");
        for path in ["/", "/livez/", "/metrics", "/../livez"] {
            assert_eq!(ask(&get(path), true).await, "HTTP/1.1 404 Not Found");
        }
        let post = b"POST /livez HTTP/1.1\r\n\r\n";
        assert_eq!(ask(post, true).await, "HTTP/1.1 404 Not Found");
    }

    /// A head that never ends is cut off.
    #[tokio::test]
    async fn long_heads_are_refused() {
        let long = vec![b'a'; HEAD_BYTES_MAX + 1024];
        assert_eq!(ask(&long, true).await, "HTTP/1.1 400 Bad Request");
    }
}
