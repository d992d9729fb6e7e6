//! `WWW-Authenticate` of a registry that nobody vouches for: what is understood means the same when it is written again.

use teu_transport::remote::challenge::{self, Challenge};

pub(crate) fn run(header: &[u8]) {
    let Ok(challenges) = challenge::parse(header) else {
        return;
    };
    assert!(challenges.len() <= challenge::MAX_CHALLENGES);
    for challenge in &challenges {
        assert!(challenge.parameters.len() <= challenge::MAX_PARAMETERS);
        for (name, value) in &challenge.parameters {
            assert_eq!(
                challenge.parameter(name),
                Some(value.as_str()),
                "a parameter stands twice"
            );
        }
    }
    let written: Vec<String> = challenges.iter().map(write).collect();
    let written = written.join(", ");
    // Quoting may make it longer than a header may be.
    if written.len() <= challenge::MAX_HEADER {
        assert_eq!(
            challenge::parse(written.as_bytes()).as_ref().ok(),
            Some(&challenges),
            "{written}"
        );
    }
}

fn write(challenge: &Challenge) -> String {
    let parameters = challenge.parameters.iter().map(|(name, value)| {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{name}=\"{quoted}\"")
    });
    let parameters: Vec<String> = parameters.collect();
    format!("{} {}", challenge.scheme, parameters.join(", "))
}
