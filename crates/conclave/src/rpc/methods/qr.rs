//! Methods about QR codes: what a page draws, and what it was shown.

use conclave_client::{Client, ClientError};
use image::ImageFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::profile::{Encoded, Picture};
use super::{Caller, Method, Reach, RpcError, Scope, Short};
use crate::commands::safety::by_codes;
use crate::qr::{self, Modules, Unread};
use crate::rows::SafetyRow;

/// Pixels along a picture's side; whoever has a larger one makes it small first.
const SIDE_PIXELS_MAX: u32 = 4_096;

/// Draw words, or bytes, as a QR code.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrawParams {
    /// What it holds.
    #[serde(default)]
    text: Short,
    /// The same as bytes, in hex; in the place of `text`.
    #[serde(default)]
    hex: Short,
}

/// A QR code.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct QrCode {
    /// Modules along a side; four light ones belong around it.
    size: usize,
    /// From above, a character a module: `1` is dark.
    rows: Vec<String>,
}

impl Method for DrawParams {
    const NAME: &'static str = "qr.draw";
    const SCOPE: Scope = Scope::Read;
    type Result = QrCode;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Nothing)
    }

    async fn call(self, _: &Client, _: &Caller) -> Result<QrCode, RpcError> {
        let bytes = match (self.text.0.as_str(), self.hex.0.as_str()) {
            ("", "") => return Err(bad("say what it holds, in `text` or `hex`")),
            (text, "") => text.as_bytes().to_vec(),
            ("", digits) => hex::decode(digits).map_err(|_| bad("`hex` is no hex digits"))?,
            _ => return Err(bad("say either `text` or `hex`")),
        };
        let code = Modules::of(&bytes).map_err(|_| bad("no QR code holds so much"))?;
        let row = |row: &[bool]| {
            let modules = row.iter().map(|dark| if *dark { '1' } else { '0' });
            modules.collect::<String>()
        };
        Ok(QrCode {
            size: code.size,
            rows: code.rows().map(row).collect(),
        })
    }
}

/// Read the QR code in a picture: a link, for example, as another device shows it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadParams {
    /// A PNG or JPEG file in base64, at most 4096 pixels a side.
    #[schemars(with = "Encoded")]
    picture: Picture,
}

/// What the first QR code in a picture holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct QrRead {
    /// As words; empty when it holds none.
    text: String,
    /// As bytes, in hex.
    hex: String,
}

impl Method for ReadParams {
    const NAME: &'static str = "qr.read";
    const SCOPE: Scope = Scope::Read;
    type Result = QrRead;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Nothing)
    }

    async fn call(self, _: &Client, _: &Caller) -> Result<QrRead, RpcError> {
        let first = codes(self.picture).await?.into_iter().next();
        let first = first.ok_or(ClientError::NotMatching)?;
        Ok(QrRead {
            hex: hex::encode(&first),
            text: String::from_utf8(first).unwrap_or_default(),
        })
    }
}

/// Mark somebody as verified by a picture of the QR code that they see.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyParams {
    /// `+E164` number, e-mail address, chat id or account id.
    who: Short,
    /// A PNG or JPEG file in base64, at most 4096 pixels a side.
    #[schemars(with = "Encoded")]
    picture: Picture,
}

impl Method for VerifyParams {
    const NAME: &'static str = "safety.verify_picture";
    const SCOPE: Scope = Scope::Admin;
    type Result = SafetyRow;

    fn reach(&self, _: &Client) -> Result<Reach, RpcError> {
        Ok(Reach::Profile)
    }

    async fn call(self, client: &Client, _: &Caller) -> Result<SafetyRow, RpcError> {
        let codes = codes(self.picture).await?;
        Ok(SafetyRow::from(&by_codes(client, &self.who.0, &codes)?))
    }
}

/// What the codes in a picture hold, at least one; looked for on a thread that nobody else waits for.
async fn codes(picture: Picture) -> Result<Vec<Vec<u8>>, RpcError> {
    let looking = tokio::task::spawn_blocking(move || {
        let format = image::guess_format(&picture.0).unwrap_or(ImageFormat::Png);
        qr::codes(&picture.0, format, SIDE_PIXELS_MAX)
    });
    let looked = looking
        .await
        .map_err(|_| ClientError::Broken("a picture could not be looked at".into()))?;
    looked.map_err(|unread| match unread {
        Unread::NoPicture(_) => bad("that is no PNG or JPEG picture, or a damaged one"),
        Unread::TooLarge => bad("the picture has more than 4096 pixels a side; cut it to the code"),
        Unread::NoCode => {
            bad("no QR code can be read in the picture; take it again, sharp and straight")
        }
    })
}

fn bad(why: &str) -> RpcError {
    ClientError::BadInput(why.to_owned()).into()
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};
    use std::io::Cursor;

    use super::*;

    fn picture(of: &[u8], format: ImageFormat) -> Picture {
        let code = Modules::of(of).unwrap();
        let modules: Vec<Vec<bool>> = code.rows().map(<[bool]>::to_vec).collect();
        let side = u32::try_from(code.size + 8).unwrap() * 6;
        let is_dark = |x: u32, y: u32| {
            let at = |pixel: u32| usize::try_from(pixel / 6).unwrap().checked_sub(4);
            let row = at(y).and_then(|y| modules.get(y));
            row.zip(at(x)).and_then(|(row, x)| row.get(x).copied())
        };
        let drawn = GrayImage::from_fn(side, side, |x, y| match is_dark(x, y) {
            Some(true) => Luma([0]),
            _ => Luma([255]),
        });
        let mut bytes = Cursor::new(Vec::new());
        drawn.write_to(&mut bytes, format).unwrap();
        Picture(bytes.into_inner())
    }

    /// What is drawn is read back out of a picture of it, words and any bytes, in both formats.
    #[tokio::test]
    async fn what_is_drawn_is_read() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            for payload in [&b"conclave-link:abc"[..], &[0xff; 65]] {
                let read = codes(picture(payload, format)).await.unwrap();
                assert_eq!(read, [payload]);
            }
        }
    }

    /// Cut, empty and lying pictures are refused in words.
    #[tokio::test]
    async fn hostile_pictures_are_refused() {
        let whole = picture(b"x", ImageFormat::Png).0;
        let jpeg = picture(b"x", ImageFormat::Jpeg).0;
        for bytes in [
            &whole[..40],
            &jpeg[..20],
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff",
        ] {
            let refused = codes(Picture(bytes.to_vec())).await.unwrap_err();
            assert_eq!(refused.data.code, "BAD_INPUT", "{refused:?}");
        }
        let wide = GrayImage::from_pixel(SIDE_PIXELS_MAX + 1, 1, Luma([0]));
        let mut bytes = Cursor::new(Vec::new());
        wide.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let refused = codes(Picture(bytes.into_inner())).await.unwrap_err();
        assert!(refused.message.contains("4096"), "{refused:?}");
    }
}
