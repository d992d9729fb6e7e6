//! Does it live, and can it work? `/livez` and `/readyz`, for whoever starts servers and leads clients to them; `/` too, where those look that
//! know no other path. Nobody is asked who they are here,
//! and nothing is said of what there is.

use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use teu_store::Error;

use crate::{
    body,
    problem::{Code, Problem},
    registry::{Answer, Registry},
};

impl Registry {
    /// Answers where it is asked how it is; none where something else is asked.
    pub(crate) async fn health(&self, parts: &Parts) -> Option<Answer> {
        let asks_the_store = match parts.uri.path() {
            "/" | "/livez" => false,
            "/readyz" => true,
            _ => return None,
        };
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Some(Err(Problem::not_allowed("GET, HEAD", "that is only asked for")));
        }
        if asks_the_store && let Some(error) = self.cannot_work().await {
            let message = "what is kept cannot be reached; the server's log says more";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unknown, message);
            return Some(Err(problem.because(error.to_string())));
        }
        let mut response = Response::new(body::full("ok\n".into()));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(Ok(response))
    }

    /// Why what is kept cannot be reached; none where it can.
    pub(crate) async fn cannot_work(&self) -> Option<Error> {
        self.repositories.reach().await.err()
    }
}
