//! What came back? The head of an answer, and its body with a limit.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::{Response, StatusCode, header::CONTENT_ENCODING};
use teu_store::{Error, ErrorKind, Reader, Result};
use url::Url;

use super::{broken::broken, origin, secrets::Secrets};

/// The head of an answer, its body still on its way.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    /// Whether it came from the origin that was asked, which alone may want to know who we are.
    pub(super) is_own: bool,
    /// What must not be shown of what it says.
    pub(super) secrets: Arc<Secrets>,
    pub(super) idle: Duration,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header as text; what is not visible ASCII is as good as absent.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The stated length of the body, also of an answer to HEAD.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Refuses a body that was encoded on the way (threat 71).
    pub(super) fn check_encoding(&self) -> Result<()> {
        match self.response.headers().get(CONTENT_ENCODING) {
            Some(encoding) if encoding != "identity" => {
                let message = format!("the registry encoded its answer as {encoding:?}, which nobody asked for");
                Err(self.secrets.hide_in(Error::new(ErrorKind::Invalid, message)))
            }
            _ => Ok(()),
        }
    }

    /// The body, as it comes.
    pub(super) fn into_reader(self) -> Reader {
        let idle = self.idle;
        let host = origin::authority(&self.url);
        let stream = self.response.bytes_stream();
        Box::pin(futures_util::stream::unfold(Some(stream), move |stream| {
            let host = host.clone();
            async move {
                let mut stream = stream?;
                match tokio::time::timeout(idle, stream.next()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(stream))),
                    Ok(Some(Err(error))) => Some((Err(broken(&host, error)), None)),
                    Err(_) => {
                        let message = format!("{host} sent nothing for {} s", idle.as_secs_f32());
                        Some((Err(Error::new(ErrorKind::Io, message)), None))
                    }
                }
            }
        }))
    }

    /// The whole body, which is `what`, if it has no more than `limit` bytes (threats 68 and 79).
    pub(super) async fn body(self, limit: u64, what: &str) -> Result<Bytes> {
        self.check_encoding()?;
        let length = self.content_length();
        whole(self.into_reader(), length, limit, what).await
    }
}

/// All that a reader gives of a body, which is `what`, if it has no more than `limit` bytes; `length` is what was said of it.
pub(super) async fn whole(mut reader: Reader, length: Option<u64>, limit: u64, what: &str) -> Result<Bytes> {
    let too_large = || {
        let message = format!("the registry's {what} has more bytes than the limit of {limit}");
        Error::new(ErrorKind::TooLarge, message)
    };
    if length.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(bytes) = reader.next().await {
        let bytes = bytes?;
        if (body.len() + bytes.len()) as u64 > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body.freeze())
}
