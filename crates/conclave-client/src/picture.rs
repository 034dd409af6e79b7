//! Profile pictures: made small before they are sent, checked before they are kept (C-179).

use std::io::Cursor;

use conclave_proto::limits::PICTURE_BYTES_MAX;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, ImageReader, Limits};

use crate::error::ClientError;

/// Pixels of a side.
const SIDE: u32 = 256;
/// Pixels of a side of a file that a picture is made from.
const SOURCE_SIDE_MAX: u32 = 12_000;
/// Memory for decoding it, in bytes.
const SOURCE_ALLOC_MAX: u64 = 256 * 1024 * 1024;
/// Sides and qualities that are tried, best first, until the JPEG is small enough: the last is for noise.
const TRIES: [(u32, u8); 4] = [(SIDE, 85), (SIDE, 60), (SIDE, 40), (96, 60)];

/// Whether received bytes are what a picture must be: nothing, or a JPEG of at most 256 pixels a side.
pub(crate) fn is_well(picture: &[u8]) -> bool {
    if picture.is_empty() {
        return true;
    }
    let reader = ImageReader::with_format(Cursor::new(picture), ImageFormat::Jpeg);
    let side = reader.into_dimensions();
    picture.len() <= PICTURE_BYTES_MAX
        && side.is_ok_and(|(width, height)| width <= SIDE && height <= SIDE)
}

/// A picture of at most 24 KiB and 256 pixels a side from a JPEG or PNG file. It is drawn anew: nothing else that
/// the file holds, such as the place where it was taken, comes along.
pub(crate) fn make(file: &[u8]) -> Result<Vec<u8>, ClientError> {
    let cannot = |error: String| {
        ClientError::BadInput(format!(
            "the picture cannot be read ({error}); give a JPEG or PNG file"
        ))
    };
    let mut reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|error| cannot(error.to_string()))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SOURCE_SIDE_MAX);
    limits.max_image_height = Some(SOURCE_SIDE_MAX);
    limits.max_alloc = Some(SOURCE_ALLOC_MAX);
    reader.limits(limits);
    let whole = reader.decode().map_err(|error| cannot(error.to_string()))?;
    for (side, quality) in TRIES {
        let small = whole.thumbnail(side, side).to_rgb8();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, quality)
            .encode_image(&small)
            .map_err(|error| cannot(error.to_string()))?;
        if jpeg.len() <= PICTURE_BYTES_MAX {
            return Ok(jpeg);
        }
    }
    Err(ClientError::TooLarge(
        "the picture does not get small enough; choose a plainer one".into(),
    ))
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    fn png(side: u32) -> Vec<u8> {
        let noise = |x: u32, y: u32| {
            let n = x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503) ^ (x * y);
            let [r, g, b, _] = n.to_le_bytes();
            image::Rgb([r, g, b])
        };
        let picture = DynamicImage::from(RgbImage::from_fn(side, side, noise));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// Even a picture of noise gets small; what comes out is what a receiver takes.
    #[test]
    fn c179_pictures_are_made_small() {
        for side in [1, 256, 700] {
            let jpeg = make(&png(side)).unwrap();
            assert!(is_well(&jpeg), "{side}");
        }
        assert!(make(b"no picture").is_err());
    }

    /// What is no small JPEG is not kept: another format, a large one, bytes that are none.
    #[test]
    fn c179_refuses_what_is_no_profile_picture() {
        assert!(is_well(b""));
        assert!(!is_well(b"no picture"));
        assert!(!is_well(&png(16)));
        let mut large = Vec::new();
        JpegEncoder::new(&mut large)
            .encode_image(&RgbImage::new(257, 8))
            .unwrap();
        assert!(!is_well(&large));
    }
}
