//! The content of a loaded file, opened a piece at a time.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use conclave_core::attachment::{AttachmentPointer, CONTENT_PIECE_BYTES, Opener};
use conclave_proto::id::MessageId;
use conclave_proto::limits::BLOB_PIECE_BYTES;
use zeroize::Zeroizing;

use super::{file_name, find};
use crate::client::Client;
use crate::error::ClientError;
use crate::view::AttachmentState;

/// A loaded file that is read from some place on. Holds what opens it, as long as it lives.
#[derive(Debug)]
pub struct AttachmentReader(Content);

impl Client {
    /// Reads a loaded file from `from` bytes into its content on. `NotFound` when it is not here.
    pub fn read_attachment(
        &self,
        id: MessageId,
        number: Option<u32>,
        from: u64,
    ) -> Result<AttachmentReader, ClientError> {
        let (file, info) = self.engine().look(|tx, own| find(tx, own, id, number))?;
        if file.state != AttachmentState::Loaded {
            return Err(not_here());
        }
        let sealed = self.engine().files.join(file_name(&info.pointer));
        let pointer = AttachmentPointer::parse(&info.pointer)
            .map_err(|error| ClientError::BadInput(error.to_string()))?;
        Ok(AttachmentReader(Content::open(&sealed, &pointer, from)?))
    }
}

impl AttachmentReader {
    /// The next bytes of the content, at most 64 KiB; none at its end. Blocks for the disk.
    pub fn next_piece(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, ClientError> {
        Ok(self.0.next()?)
    }
}

/// Nobody asked for it, or it is on its way.
pub(super) fn not_here() -> ClientError {
    ClientError::NotFound("the file is not here yet; load it first".into())
}

/// Why the content does not come.
#[derive(Debug)]
pub(super) enum ReadError {
    /// What lies in the profile's folder is not the file.
    Damaged,
    /// The disk fails.
    Disk(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Damaged,
            _ => Self::Disk(error),
        }
    }
}

impl From<ReadError> for ClientError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged => Self::Store("the loaded file is damaged; load it again".into()),
            ReadError::Disk(error) => Self::Store(format!("a loaded file cannot be read: {error}")),
        }
    }
}

/// A sealed file and what opens it.
#[derive(Debug)]
pub(super) struct Content {
    sealed: File,
    opener: Opener,
    /// Content of the next piece that was not asked for.
    skipped: usize,
}

impl Content {
    /// The content of the file at `sealed`, from `from` bytes on.
    pub(super) fn open(
        sealed: &Path,
        pointer: &AttachmentPointer,
        from: u64,
    ) -> Result<Self, ReadError> {
        let mut sealed = File::open(sealed)?;
        let mut opener = Opener::new(pointer);
        let whole = CONTENT_PIECE_BYTES as u64;
        let begin = from / whole * BLOB_PIECE_BYTES as u64;
        opener.skip_to(begin);
        sealed.seek(SeekFrom::Start(begin))?;
        Ok(Self {
            sealed,
            opener,
            skipped: usize::try_from(from % whole).unwrap_or_default(),
        })
    }

    /// The next piece; none behind the last. Padding alone makes an empty one.
    pub(super) fn next(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, ReadError> {
        if self.opener.next_bytes() == 0 {
            return Ok(None);
        }
        let mut piece = Zeroizing::new(Vec::with_capacity(self.opener.next_bytes()));
        let read = (&mut self.sealed).take(self.opener.next_bytes() as u64);
        BufReader::new(read).read_to_end(&mut piece)?;
        let opened = self.opener.open(&mut piece);
        let opened = opened.map_err(|_| ReadError::Damaged)?.len();
        piece.truncate(opened);
        piece.drain(..std::mem::take(&mut self.skipped).min(opened));
        Ok(Some(piece))
    }
}
