//! What a registry that nobody vouches for answers beside content: complaints, tokens, lists, and how long to wait.

pub(crate) fn run(body: &[u8]) {
    for status in [400, 401, 404, 429, 599] {
        teu_transport::remote::fuzz::answer(status, body);
    }
}
