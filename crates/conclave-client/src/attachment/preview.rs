//! Previews of pictures: drawn small by the sender, so that receivers see something before they load anything.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use conclave_proto::limits::PREVIEW_BYTES_MAX;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};

/// Bytes of a file that a preview is made from.
const SOURCE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Pixels of a side of it.
const SOURCE_SIDE_MAX: u32 = 16_000;
/// Memory for decoding it, in bytes: a camera's 40 million pixels.
const SOURCE_ALLOC_MAX: u64 = 128 * 1024 * 1024;
/// Pixels of a side of a preview.
const SIDE_MAX: u32 = 320;
/// Sides and qualities that are tried, best first, until the JPEG is small enough.
const TRIES: [(u32, u8); 5] = [
    (SIDE_MAX, 70),
    (SIDE_MAX, 45),
    (240, 45),
    (160, 40),
    (96, 30),
];

/// What a picture is shown as.
#[derive(Debug, Default)]
pub(super) struct Preview {
    /// A JPEG of at most 12 KiB; may be empty.
    pub(super) jpeg: Vec<u8>,
    /// Pixels of the whole picture.
    pub(super) width: u32,
    /// Pixels of the whole picture.
    pub(super) height: u32,
}

/// C-195: a preview drawn anew, so that nothing else that the file holds comes along; `None` for what is no JPEG or
/// PNG, or too large to look into. The file is sent either way.
pub(super) fn make(file: &Path) -> Option<Preview> {
    if std::fs::metadata(file).ok()?.len() > SOURCE_BYTES_MAX {
        return None;
    }
    let reader = BufReader::new(File::open(file).ok()?);
    let mut reader = ImageReader::new(reader).with_guessed_format().ok()?;
    let format = reader.format()?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png) {
        return None;
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SOURCE_SIDE_MAX);
    limits.max_image_height = Some(SOURCE_SIDE_MAX);
    limits.max_alloc = Some(SOURCE_ALLOC_MAX);
    reader.limits(limits);
    let whole = reader.decode().ok()?;
    Some(Preview {
        jpeg: small(&whole).unwrap_or_default(),
        width: whole.width(),
        height: whole.height(),
    })
}

fn small(whole: &DynamicImage) -> Option<Vec<u8>> {
    TRIES.iter().find_map(|(side, quality)| {
        let small = whole.thumbnail(*side, *side).to_rgb8();
        let mut jpeg = Vec::new();
        let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, *quality);
        encoder.encode_image(&small).ok()?;
        (jpeg.len() <= PREVIEW_BYTES_MAX).then_some(jpeg)
    })
}

/// C-195: whether a received preview is what it must be to be shown: nothing, or a JPEG of at most 320 pixels a side.
pub(crate) fn is_well(preview: &[u8]) -> bool {
    if preview.is_empty() {
        return true;
    }
    let reader = ImageReader::with_format(Cursor::new(preview), ImageFormat::Jpeg);
    let sides = reader.into_dimensions();
    preview.len() <= PREVIEW_BYTES_MAX
        && sides.is_ok_and(|(width, height)| width <= SIDE_MAX && height <= SIDE_MAX)
}
