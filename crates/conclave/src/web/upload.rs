//! `POST /upload`: a file comes from the browser, before it is sent with a message.
//!
//! It lies in the profile's folder, for this user alone, until it is sent; sealed it is when it is sent.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use conclave_client::{Client, safe_name};
use conclave_proto::env::Env;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body as _, Incoming};
use hyper::header;
use hyper::http::request::Parts;
use serde_json::json;
use tokio::time::Instant;

use super::sessions::secret;
use super::{Desk, Page};
use crate::http::{READ_TIMEOUT, Refusal, Reply, drain, only, refusal, reply};

/// The folder below that of the profile.
const FOLDER: &str = "uploads";
/// Bytes of a name, as the address says it.
const NAME_BYTES_MAX: usize = 3 * 1024;

/// Where uploads of the profile in `dir` lie.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

/// A file that was uploaded; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Upload {
    folder: PathBuf,
    /// Where it lies, under its safe name.
    pub(crate) path: PathBuf,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // What stays is removed by the next page of this profile.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Upload {
    /// An empty file called `name` in a folder of its own.
    pub(super) fn begin(env: &dyn Env, dir: &Path, name: &str) -> io::Result<Self> {
        let folder = folder(dir).join(secret(env).as_str());
        let upload = Self {
            path: folder.join(safe_name(name)),
            folder,
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&upload.folder)?;
        upload.file()?;
        Ok(upload)
    }

    fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        options.open(&self.path)
    }
}

/// Takes the file in, a part at a time.
pub(super) async fn take(
    page: &Page,
    client: &Client,
    desk: &Desk,
    (head, mut body): (&Parts, Incoming),
) -> Result<Reply, Refusal> {
    let taken = keep(page, client, desk, (head, &mut body)).await;
    match &taken {
        Err(refusal) if refusal.status != StatusCode::REQUEST_TIMEOUT => drain(body).await,
        _ => {}
    }
    taken
}

async fn keep(
    page: &Page,
    client: &Client,
    desk: &Desk,
    (head, body): (&Parts, &mut Incoming),
) -> Result<Reply, Refusal> {
    let name = name_of(head)?;
    let bytes_max = client.attachment_bytes_max().map_err(|_| no_disk())?;
    if body.size_hint().lower() > bytes_max {
        return Err(too_large());
    }
    if !desk.has_room() {
        return Err(refusal(
            StatusCode::CONFLICT,
            "TOO_MANY",
            "too many files wait to be sent",
        ));
    }
    let upload = Upload::begin(&*page.env, &page.dir, &name).map_err(|_| no_disk())?;
    let length = fill(&upload, body, bytes_max).await?;
    let upload = desk.put(upload, Instant::now());
    Ok(reply(
        StatusCode::OK,
        &json!({"upload": upload, "length": length}),
    ))
}

/// The body is a file, else 415: no form can send that.
pub(super) fn check_kind(head: &Parts) -> Result<(), Refusal> {
    let kind = only(&head.headers, header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "application/octet-stream") {
        return Ok(());
    }
    let message = "the content type is not application/octet-stream";
    Err(refusal(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "CONTENT_TYPE",
        message,
    ))
}

async fn fill(upload: &Upload, body: &mut Incoming, bytes_max: u64) -> Result<u64, Refusal> {
    let mut file = upload.file().map_err(|_| no_disk())?;
    let mut length = 0_u64;
    loop {
        let frame = tokio::time::timeout(READ_TIMEOUT, body.frame()).await;
        let frame = frame.map_err(|_| {
            let message = "the file did not come in time";
            refusal(StatusCode::REQUEST_TIMEOUT, "TIMED_OUT", message)
        })?;
        let Some(frame) = frame else {
            return Ok(length);
        };
        let frame = frame.map_err(|_| {
            let message = "the file was cut off";
            refusal(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
        })?;
        let Ok(part) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(part.len() as u64);
        if length > bytes_max {
            return Err(too_large());
        }
        file = write(file, part).await.map_err(|_| no_disk())?;
    }
}

/// Beside everything else: a disk may be slow.
async fn write(mut file: File, part: Bytes) -> io::Result<File> {
    let written = tokio::task::spawn_blocking(move || {
        file.write_all(&part)?;
        Ok(file)
    });
    written
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the writer is gone")))
}

/// `name` of the query. What the file is, its name says; `type` is taken and not believed.
fn name_of(head: &Parts) -> Result<String, Refusal> {
    let bad = refusal(
        StatusCode::BAD_REQUEST,
        "BAD_REQUEST",
        "the query takes `name=NAME` and `type=TYPE`",
    );
    let mut name = None;
    for pair in head.uri.query().unwrap_or_default().split('&') {
        match pair.split_once('=') {
            Some(("name", value)) if value.len() <= NAME_BYTES_MAX => name = decoded(value),
            Some(("type", _)) => {}
            _ => return Err(bad),
        }
    }
    name.ok_or(bad)
}

/// Text as addresses carry it: `%` and two hex digits for bytes that are none of theirs.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                *hex::decode(digits).ok()?.first()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

const fn too_large() -> Refusal {
    Refusal {
        hint: "raise `attachments.max` in the settings, as far as the server takes it",
        ..refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "TOO_LARGE",
            "the file is larger than this profile sends",
        )
    }
}

const fn no_disk() -> Refusal {
    refusal(
        StatusCode::INTERNAL_SERVER_ERROR,
        "STORE",
        "the file cannot be written to the profile's folder",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names come as addresses carry them; what is no text is none.
    #[test]
    fn names_are_decoded() {
        assert_eq!(decoded("a%20b+c%C3%A4.txt").unwrap(), "a b cä.txt");
        assert_eq!(decoded("..%2F..%2Fx").unwrap(), "../../x");
        for bad in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
