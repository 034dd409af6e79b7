//! The safety number's QR code as a picture file: written for the other person, read from them.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use image::{GrayImage, ImageFormat, Luma};

use crate::commands::key::write_new;
use crate::exit::{self, Failure};
use crate::qr::{self, Modules, Unread};

/// Pixels along a module's side.
const MODULE_PIXELS: u32 = 8;
/// Light modules around the code, as readers want them.
const QUIET_MODULES: u32 = 4;
/// Pixels along a picture's side: a photograph of a screen, and no more.
const SIDE_PIXELS_MAX: u32 = 8_192;
/// Bytes of a picture file.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Writes `payload` as a PNG file that was not there.
pub(super) fn write(file: &Path, payload: &[u8]) -> Result<(), Failure> {
    write_new(file, file, &png(payload)?)
}

fn png(payload: &[u8]) -> Result<Vec<u8>, Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        let message = format!("no picture can be made of it: {error}");
        Failure::new(exit::UNEXPECTED, "QR", message)
    };
    let code = Modules::of(payload).map_err(|error| cannot(&error))?;
    let width = u32::try_from(code.size).unwrap_or(u32::MAX);
    let modules: Vec<bool> = code.rows().flatten().copied().collect();
    let is_dark = |x: u32, y: u32| {
        let (x, y) = (x.checked_sub(QUIET_MODULES)?, y.checked_sub(QUIET_MODULES)?);
        let place = usize::try_from(y * width + x).ok()?;
        (x < width).then(|| modules.get(place).copied()).flatten()
    };
    let side = (width + 2 * QUIET_MODULES) * MODULE_PIXELS;
    let picture = GrayImage::from_fn(side, side, |x, y| {
        match is_dark(x / MODULE_PIXELS, y / MODULE_PIXELS) {
            Some(true) => Luma([0]),
            _ => Luma([255]),
        }
    });
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| cannot(&error))?;
    Ok(bytes.into_inner())
}

/// What the QR codes in a PNG file hold, at least one. Nothing is decoded beyond the bounds above.
pub(super) fn read(file: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let cannot =
        |error: io::Error| Failure::usage(format!("{} cannot be read: {error}", file.display()));
    let about = fs::metadata(file).map_err(cannot)?;
    if !about.is_file() {
        return Err(Failure::usage(format!("{} is no file", file.display())));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(too_large(file));
    }
    let bytes = fs::read(file).map_err(cannot)?;
    codes(file, &bytes)
}

fn too_large(file: &Path) -> Failure {
    let message = format!(
        "{} is too large: at most {SIDE_PIXELS_MAX} pixels a side and 32 MiB",
        file.display()
    );
    Failure::usage(message).with_hint("cut the picture to the QR code")
}

fn codes(file: &Path, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    qr::codes(bytes, ImageFormat::Png, SIDE_PIXELS_MAX).map_err(|unread| match unread {
        Unread::TooLarge => too_large(file),
        Unread::NoPicture(why) => {
            Failure::usage(format!("{} is no PNG picture: {why}", file.display()))
        }
        Unread::NoCode => Failure::usage(format!("no QR code can be read in {}", file.display()))
            .with_hint("take the picture again, sharp and straight"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: [u8; 65] = [0xA7; 65];

    fn read_bytes(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("picture.png");
        fs::write(&file, bytes).unwrap();
        read(&file)
    }

    fn encoded(picture: &GrayImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// What was written is read back byte for byte, any bytes, and a file that is there is not overwritten.
    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for (name, payload) in [("a", PAYLOAD), ("b", [0; 65]), ("c", [0xff; 65])] {
            let file = folder.path().join(name);
            write(&file, &payload).unwrap();
            assert_eq!(read(&file).unwrap(), [payload.to_vec()]);
            assert_eq!(write(&file, &payload).unwrap_err().code, "FILE_EXISTS");
        }
    }

    /// A code that is small in a large, noisy picture is found; one in a picture without any is not.
    #[test]
    fn codes_are_found_in_larger_pictures() {
        let code = image::load_from_memory(&png(&PAYLOAD).unwrap()).unwrap();
        let noise = |x: u32, y: u32| Luma([200 + u8::try_from((x * 31 + y * 17) % 40).unwrap()]);
        let mut picture = GrayImage::from_fn(1_500, 900, noise);
        image::imageops::overlay(&mut picture, &code.to_luma8(), 700, 300);
        assert_eq!(read_bytes(&encoded(&picture)).unwrap(), [PAYLOAD.to_vec()]);
        let empty = read_bytes(&encoded(&GrayImage::from_fn(300, 300, noise))).unwrap_err();
        assert!(empty.message.contains("no QR code"), "{}", empty.message);
        let tiny = read_bytes(&encoded(&GrayImage::from_pixel(1, 1, Luma([0])))).unwrap_err();
        assert!(tiny.message.contains("no QR code"), "{}", tiny.message);
    }

    /// Files that are no picture, cut ones and pictures that would be huge end with what is wrong, at once.
    #[test]
    fn hostile_pictures_are_refused() {
        let good = png(&PAYLOAD).unwrap();
        for bytes in [&b""[..], b"hello", &good[..40], b"\x89PNG\r\n\x1a\n"] {
            let failure = read_bytes(bytes).unwrap_err();
            assert_eq!(failure.exit, exit::USAGE);
            assert!(failure.message.contains("no PNG"), "{}", failure.message);
        }
        // a header that promises 2^31 - 1 pixels a side, with its checksum
        let mut huge = good.clone();
        huge[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        huge[20..24].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        let sum = crc32(&huge[12..29]);
        huge[29..33].copy_from_slice(&sum.to_be_bytes());
        let failure = read_bytes(&huge).unwrap_err();
        assert!(failure.message.contains("too large"), "{}", failure.message);
        let wide = encoded(&GrayImage::from_pixel(SIDE_PIXELS_MAX + 1, 1, Luma([0])));
        let failure = read_bytes(&wide).unwrap_err();
        assert!(failure.message.contains("too large"), "{}", failure.message);
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().message.contains("no file"));
        let missing = read(&folder.path().join("none.png")).unwrap_err();
        assert!(missing.message.contains("cannot be read"));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut sum = u32::MAX;
        for byte in bytes {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1));
            }
        }
        !sum
    }
}
