//! With whom was TLS not agreed on, and why? Clients whose certificate is not believed, or who believe ours not, are answered by no status: whoever runs the
//! server would look for them in vain.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{CertificateError, Error, InvalidMessage};

/// A connection on which TLS was not agreed on, as one side refused what the other said. Who says nothing, or goes away in the midst of it, refuses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedHandshake {
    /// Who came.
    pub peer: SocketAddr,
    /// Why: no certificate was shown, or none that is believed; the client told why ours is not; no version in common; it is no TLS. The same reason is told in the
    /// same words, whoever came.
    pub reason: String,
}

/// Is told of each of them, on the thread that refused it. Anybody who reaches the server has it told as often as they can connect.
pub type HandshakeObserver = Arc<dyn Fn(&FailedHandshake) + Send + Sync>;

/// Why there is none with who speaks something else.
pub(crate) const NO_TLS: &str = "the client speaks no TLS";

/// Why TLS was refused, by one side or the other; none where the connection only broke.
pub(crate) fn reason(error: &io::Error) -> Option<String> {
    let refused = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match refused {
        Error::NoCertificatesPresented => "the client shows no certificate".to_owned(),
        Error::InvalidCertificate(why) => format!("the client's certificate is not believed: {}", disbelieved(why)),
        Error::AlertReceived(why) => format!("the client refuses: {why:?}"),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => NO_TLS.to_owned(),
        other => other.to_string(),
    })
}

/// Why a certificate is not believed, without moments and names.
fn disbelieved(why: &CertificateError) -> String {
    let said = match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::UnknownIssuer => "no authority that is believed here signed it",
        CertificateError::BadSignature => "its signature is wrong",
        CertificateError::BadEncoding => "it cannot be read",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not meant for clients"
        }
        // What the checker says that rustls has no word for comes by its name.
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "it is an authority's own, and not one that an authority signed for a client"
        }
        CertificateError::Other(other) => return other.to_string(),
        other => return other.to_string(),
    };
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::{OtherError, pki_types::UnixTime};

    use super::*;

    #[test]
    fn why_a_certificate_is_not_believed_is_told_to_a_person() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired = |time| CertificateError::ExpiredContext {
            time: at(time),
            not_after: at(1),
        };
        let other = |name: &str| CertificateError::Other(OtherError(Arc::new(io::Error::other(name.to_owned()))));
        for (why, said) in [
            (
                other("CaUsedAsEndEntity"),
                "it is an authority's own, and not one that an authority signed for a client",
            ),
            (other("InvalidSerialNumber"), "InvalidSerialNumber"),
            (expired(2), "it has expired"),
            (expired(3), "it has expired"),
            (
                CertificateError::UnknownIssuer,
                "no authority that is believed here signed it",
            ),
            (CertificateError::BadSignature, "its signature is wrong"),
        ] {
            let error = io::Error::other(Error::InvalidCertificate(why));
            let said = format!("the client's certificate is not believed: {said}");
            assert_eq!(reason(&error), Some(said));
        }
        assert_eq!(reason(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}
