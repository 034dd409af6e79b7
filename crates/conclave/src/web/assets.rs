//! The page's own files, as `cargo xtask ui` built them: part of the program, compressed already.
//!
//! A debug build takes them from the folder `CONCLAVE_UI_DIST` when that is set: for work on the page without a
//! compiler.

use std::path::PathBuf;

use aws_lc_rs::digest;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::{Reply, empty, only};

/// A file of the page as it is in the program.
struct Built {
    /// From the page's folder: `/index.html`.
    path: &'static str,
    plain: &'static [u8],
    /// Compressed with gzip.
    packed: Option<&'static [u8]>,
}

/// All files of the page.
const BUILT: &[Built] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Names under this carry a hash of what they hold: they never change.
const HASHED: &str = "/assets/";

/// Where the page's files are.
#[derive(Debug)]
pub(super) struct Assets {
    /// Instead of those in the program.
    folder: Option<PathBuf>,
}

/// A file of the page.
struct Asset {
    plain: Bytes,
    packed: Option<Bytes>,
}

impl Assets {
    /// Those of this program, or of the folder that whoever works on the page names.
    pub(super) fn find() -> Self {
        let folder = std::env::var_os("CONCLAVE_UI_DIST").filter(|_| cfg!(debug_assertions));
        Self {
            folder: folder.map(PathBuf::from),
        }
    }

    /// The file at `path`, when there is one.
    pub(super) fn get(&self, path: &str, headers: &HeaderMap) -> Option<Reply> {
        let path = if path == "/" { "/index.html" } else { path };
        let asset = match &self.folder {
            Some(folder) => Asset {
                plain: std::fs::read(folder.join(relative(path)?)).ok()?.into(),
                packed: None,
            },
            None => built(path)?,
        };
        Some(answer(path, asset, headers))
    }
}

fn built(path: &str) -> Option<Asset> {
    let built = BUILT.iter().find(|built| built.path == path)?;
    Some(Asset {
        plain: Bytes::from_static(built.plain),
        packed: built.packed.map(Bytes::from_static),
    })
}

/// A path of plain names, without its slash: nothing leads out of the folder.
fn relative(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/')?;
    let is_plain = |name: &str| {
        let is_known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !name.is_empty() && !name.starts_with('.') && name.chars().all(is_known)
    };
    path.split('/').all(is_plain).then_some(path)
}

fn answer(path: &str, asset: Asset, headers: &HeaderMap) -> Reply {
    let (bytes, is_packed) = match asset.packed {
        Some(packed) if takes_gzip(headers) => (packed, true),
        _ => (asset.plain, false),
    };
    let tag = etag(&bytes);
    let is_known = only(headers, header::IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let mut reply = if is_known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        Response::new(Either::Left(Full::from(bytes)))
    };
    let headers = reply.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(path)));
    let keep = if path.starts_with(HASHED) {
        "private, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if is_packed && !is_known {
        let gzip = HeaderValue::from_static("gzip");
        headers.insert(header::CONTENT_ENCODING, gzip);
    }
    reply
}

/// Known by what is sent.
fn etag(bytes: &[u8]) -> HeaderValue {
    let hash = digest::digest(&digest::SHA256, bytes);
    let hash = hex::encode(hash.as_ref().get(..16).unwrap_or_default());
    HeaderValue::try_from(format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(header::ACCEPT_ENCODING).iter();
    codings
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim() == "gzip")
}

/// What a file is, by its ending.
fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing leads out of the page's folder.
    #[test]
    fn paths_stay_in_the_folder() {
        for path in ["/index.html", "/assets/index-Bx_1.js", "/a/b/c.d"] {
            assert_eq!(relative(path), Some(&path[1..]));
        }
        for path in [
            "",
            "/",
            "//etc/passwd",
            "/../x",
            "/a/../x",
            "/.env",
            "/a//b",
            "/a/",
            "/%2e%2e/x",
            "/a\\b",
            "/a\0",
        ] {
            assert_eq!(relative(path), None, "{path}");
        }
    }

    /// The program has a page; a browser that has it already is told so; other content has another name.
    #[test]
    fn the_page_is_known_by_what_it_holds() {
        let assets = Assets { folder: None };
        let mut headers = HeaderMap::new();
        let reply = assets.get("/", &headers).unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        assert_eq!(reply.headers()["content-type"], "text/html; charset=utf-8");
        let tag = reply.headers()["etag"].clone();
        headers.insert(header::IF_NONE_MATCH, tag.clone());
        let again = assets.get("/", &headers).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_ne!(etag(b"another"), tag);
        assert!(assets.get("/nothing", &headers).is_none());
    }
}
