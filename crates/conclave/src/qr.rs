//! QR codes: drawn as modules, read out of pictures. Pictures come from outside: nothing is decoded beyond bounds.

use std::io::Cursor;

use image::{ImageError, ImageFormat, ImageReader, Limits};
use qrcode::types::QrError;
use qrcode::{Color, QrCode};
use rqrr::PreparedImage;

/// QR codes looked at in one picture.
const CODES_MAX: usize = 16;

/// The modules of a code: a square without its quiet zone.
#[derive(Debug)]
pub(crate) struct Modules {
    /// Modules along a side.
    pub(crate) size: usize,
    dark: Vec<bool>,
}

impl Modules {
    /// The code that holds `payload`; an error when it is too long for one.
    pub(crate) fn of(payload: &[u8]) -> Result<Self, QrError> {
        let code = QrCode::new(payload)?;
        let dark = code.to_colors().into_iter();
        Ok(Self {
            size: code.width(),
            dark: dark.map(|color| color == Color::Dark).collect(),
        })
    }

    /// Each row from above, true where it is dark.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[bool]> {
        self.dark.chunks(self.size)
    }
}

/// Why no code was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The bytes are no picture of the format; why.
    NoPicture(String),
    /// It has too many pixels.
    TooLarge,
    /// There is none in it.
    NoCode,
}

/// What the QR codes in a picture hold, at least one. A picture of more than `side_max` pixels a side is not decoded.
pub(crate) fn codes(
    bytes: &[u8],
    format: ImageFormat,
    side_max: u32,
) -> Result<Vec<Vec<u8>>, Unread> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(side_max);
    limits.max_image_height = Some(side_max);
    // One picture of the largest side, four bytes a pixel.
    limits.max_alloc = Some(4 * u64::from(side_max) * u64::from(side_max));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => Unread::TooLarge,
        _ => Unread::NoPicture(error.to_string()),
    })?;
    let picture = picture.to_luma8();
    let (width, height) = picture.dimensions();
    let side = |pixels: u32| usize::try_from(pixels).unwrap_or_default();
    let mut pixels = picture.as_raw().iter().copied();
    let filled = |_, _| pixels.next().unwrap_or(255);
    let mut prepared = PreparedImage::prepare_from_greyscale(side(width), side(height), filled);
    let grids = prepared.detect_grids();
    let found: Vec<Vec<u8>> = grids
        .iter()
        .take(CODES_MAX)
        .filter_map(|grid| {
            let mut payload = Vec::new();
            grid.decode_to(&mut payload).ok().map(|_| payload)
        })
        .collect();
    if found.is_empty() {
        return Err(Unread::NoCode);
    }
    Ok(found)
}
