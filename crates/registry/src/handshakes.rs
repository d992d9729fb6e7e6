//! With whom was TLS not agreed on, and why? Clients whose certificate is not believed, or who believe ours not, are answered by no status: whoever runs the
//! server would look for them in vain.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{Error, InvalidMessage};

/// A connection on which TLS was not agreed on, as one side refused what the other said. Who says nothing, or goes away in the midst of it, refuses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedHandshake {
    /// Who came.
    pub peer: SocketAddr,
    /// Why: no certificate was shown, or none that is believed; the client told why ours is not; no version in common; it is no TLS.
    pub reason: String,
}

/// Is told of each of them, on the thread that refused it. Anybody who reaches the server has it told as often as they can connect.
pub type HandshakeObserver = Arc<dyn Fn(&FailedHandshake) + Send + Sync>;

/// Why TLS was refused, by one side or the other; none where the connection only broke.
pub(crate) fn reason(error: &io::Error) -> Option<String> {
    let refused = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match refused {
        Error::NoCertificatesPresented => "the client shows no certificate".to_owned(),
        Error::InvalidCertificate(why) => format!("the client's certificate is not believed: {why}"),
        Error::AlertReceived(why) => format!("the client refuses: {why:?}"),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "the client speaks no TLS".to_owned(),
        other => other.to_string(),
    })
}
