//! Where blobs lie: in the data folder, or behind an S3-compatible store that the operator names.

use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, RetryConfig};
use std::time::Duration;

use crate::config::BlobsSection;

/// How long the store may take for one request, and to be connected to.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries of one request; whoever waits comes again anyway.
const RETRIES: usize = 2;

/// A `blobs.store` that means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("blobs.store: {0}")]
pub struct PlaceError(String);

/// An S3-compatible store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    bucket: String,
    /// `https://HOST[:PORT]`; empty: Amazon's own for the region.
    endpoint: String,
    region: String,
}

impl Place {
    /// Reads `s3://BUCKET?endpoint=URL&region=NAME`; `None` when blobs lie in the data folder.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, PlaceError> {
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = |what: &str| {
            PlaceError(format!(
                "{what}; say s3://BUCKET?endpoint=https://HOST&region=NAME, or nothing for the data folder"
            ))
        };
        let rest = text
            .strip_prefix("s3://")
            .ok_or_else(|| wrong("it is no S3 address"))?;
        let (bucket, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || !bucket.chars().all(is_name) {
            return Err(wrong("the bucket's name is none"));
        }
        let mut place = Self {
            bucket: bucket.to_owned(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("endpoint", url))
                    if url.starts_with("https://") || url.starts_with("http://") =>
                {
                    url.trim_end_matches('/').clone_into(&mut place.endpoint);
                }
                Some(("endpoint", _)) => return Err(wrong("the endpoint is no URL")),
                Some(("region", name)) if !name.is_empty() => name.clone_into(&mut place.region),
                // also keys: other users of a machine can read command lines
                _ => return Err(wrong("it says something that has no meaning here")),
            }
        }
        Ok(Some(place))
    }

    /// The store, with the keys of the settings or, without them, those of the environment (`AWS_…`).
    pub(crate) fn open(&self, section: &BlobsSection) -> Result<AmazonS3, PlaceError> {
        let options = ClientOptions::new()
            .with_timeout(TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_allow_http(self.endpoint.starts_with("http://"));
        let mut builder = AmazonS3Builder::from_env()
            .with_client_options(options)
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: RETRIES,
                retry_timeout: TIMEOUT,
            })
            .with_bucket_name(&self.bucket)
            .with_region(&self.region);
        if !self.endpoint.is_empty() {
            builder = builder.with_endpoint(&self.endpoint);
        }
        if !section.s3_key_id.is_empty() {
            builder = builder
                .with_access_key_id(&section.s3_key_id)
                .with_secret_access_key(section.s3_key.expose());
        }
        builder.build().map_err(|_| {
            PlaceError("the S3 store cannot be used; set blobs.s3_key_id and blobs.s3_key".into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bucket, endpoint and region are taken; everything else is refused, keys above all.
    #[test]
    fn only_a_place_is_taken() {
        let place = |text| Place::parse(text).unwrap().unwrap();
        assert_eq!(Place::parse(""), Ok(None));
        assert_eq!(place("s3://files").region, "us-east-1");
        let whole = place("s3://my-files?endpoint=http://127.0.0.1:9000/&region=eu-1");
        assert_eq!(whole.bucket, "my-files");
        assert_eq!(whole.endpoint, "http://127.0.0.1:9000");
        assert_eq!(whole.region, "eu-1");
        for wrong in [
            "files",
            "/srv/files",
            "s3://",
            "s3://?region=x",
            "s3://key:secret@files",
            "s3://files/below",
            "s3://files?endpoint=host",
            "s3://files?region=",
            "s3://files?secret=x",
            "https://files",
        ] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
