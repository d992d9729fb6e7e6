//! What is done when a request broke? The registry is asked how far it got, and what it lacks of the last bytes is sent again.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::StatusCode;
use teu_store::{Error, ErrorKind, Result};

use super::{
    super::{answer::Answer, broken::Failure, retry},
    Upload, WINDOW,
};

impl Upload {
    /// The request under way ended before its time: finds out why, and begins the next where the registry got to.
    pub(super) async fn recover(&mut self) -> Result<()> {
        let why = self.crash().await;
        self.resume(why).await
    }

    pub(super) async fn resume(&mut self, why: std::result::Result<(Answer, bool), Failure>) -> Result<()> {
        let mut why = self.reason(why).await?;
        loop {
            let settings = Arc::clone(self.repository.settings());
            if self.failures >= settings.retry.times {
                self.give_up();
                return Err(why);
            }
            let wait = retry::wait(&settings.retry, self.failures, None);
            self.failures += 1;
            self.repository.registry().inner.http.announce(why.to_string(), wait);
            tokio::time::sleep(wait).await;
            let Some(offset) = self.offset().await? else {
                self.give_up();
                return Err(why);
            };
            let kept: u64 = self.window.iter().map(|bytes| bytes.len() as u64).sum();
            if offset > self.given {
                self.cancel().await;
                let message = format!(
                    "the registry says that it has {offset} bytes, and only {} were sent; the upload broke off",
                    self.given
                );
                return Err(Error::new(ErrorKind::Lost, message).with_cause(why));
            }
            if offset < self.given - kept {
                self.cancel().await;
                // Many uploads keep less of each.
                let advice = match kept < WINDOW as u64 {
                    true => ", with less `--jobs` so that more of each blob is kept",
                    false => "",
                };
                let message = format!(
                    "the registry has {offset} bytes of {}, of which only the last {kept} were kept to be sent again; run the copy again (what is there \
                     already is not sent again){advice}; the upload broke off",
                    self.given
                );
                return Err(Error::new(ErrorKind::Lost, message).with_cause(why));
            }
            self.take_off(offset).await?;
            let mut pass = offset - (self.given - kept);
            let again: Vec<Bytes> = self
                .window
                .iter()
                .filter_map(|bytes| {
                    let passed = pass.min(bytes.len() as u64);
                    pass -= passed;
                    let rest = bytes.slice(usize::try_from(passed).unwrap_or(bytes.len())..);
                    (!rest.is_empty()).then_some(rest)
                })
                .collect();
            let mut landed = true;
            for bytes in again {
                if self.load(bytes).await.is_err() {
                    landed = false;
                    break;
                }
            }
            if landed {
                return Ok(());
            }
            let crash = self.crash().await;
            why = self.reason(crash).await?;
        }
    }

    /// Why a request did not do what it should, if trying again may help; else that is the error.
    pub(super) async fn reason(&mut self, outcome: std::result::Result<(Answer, bool), Failure>) -> Result<Error> {
        match outcome {
            Ok((answer, _)) => {
                let status = answer.status();
                let registry = self.repository.registry();
                if status == StatusCode::UNAUTHORIZED && answer.is_own {
                    registry.learn(&answer, &self.repository.need(), self.authorization.as_ref())?;
                    return Ok(registry.complaint(answer).await);
                }
                let passing = retry::is_passing(status.as_u16()) || status == StatusCode::RANGE_NOT_SATISFIABLE;
                let error = registry.complaint(answer).await;
                if passing {
                    return Ok(error);
                }
                self.give_up();
                Err(error)
            }
            Err(Failure::Refused(error)) => {
                self.give_up();
                Err(error)
            }
            Err(Failure::Connect(error) | Failure::Tls(error) | Failure::Broken(error)) => Ok(error),
        }
    }
}
