//! A sealed file that comes in any portions, cut into its pieces and opened.

use conclave_core::attachment::{AttachmentPointer, Opener};
use zeroize::{Zeroize as _, Zeroizing};

use crate::blob::BlobError;

/// What has come of the next piece.
pub(crate) struct Pieces {
    opener: Opener,
    piece: Zeroizing<Vec<u8>>,
}

impl Pieces {
    /// From the piece on that begins `from` sealed bytes into the file.
    pub(crate) fn new(pointer: &AttachmentPointer, from: u64) -> Self {
        let mut opener = Opener::new(pointer);
        opener.skip_to(from);
        Self {
            opener,
            piece: Zeroizing::default(),
        }
    }

    /// Takes in what came; `take` gets each whole piece as it came, its content, and how many sealed bytes are opened
    /// with it. C-150: a piece that is not the sender's, or not in its place, ends it.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8], &[u8], u64) -> Result<(), BlobError>,
    ) -> Result<(), BlobError> {
        while !bytes.is_empty() {
            let whole = self.opener.next_bytes();
            let room = whole.saturating_sub(self.piece.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == whole {
                let sealed = self.piece.to_vec();
                let content = self.opener.open(&mut self.piece);
                let content = content.map_err(|error| BlobError::File(error.to_string()))?;
                let content = Zeroizing::new(content.to_vec());
                take(&sealed, &content, self.opener.opened())?;
                self.piece.zeroize();
            }
        }
        Ok(())
    }
}
