//! Which variables begin as those of settings do, and are none? Whoever mistypes one is to know that it says nothing.

use std::collections::BTreeSet;

use clap::{Arg, Command};

use super::{distribution::OTHERS, table::nearest};
use crate::{failure::Failure, say};

/// How all variables of settings begin.
pub(super) const BEGIN: &str = "TEU_SERVE_";

/// What is to be said of variables that `serve` and the verbs below it do not have. It ends nothing: who runs it may not be who sets them.
pub(super) fn warnings(serve: &Command, variables: &[(String, String)]) -> Vec<String> {
    let commands = [serve].into_iter().chain(serve.get_subcommands());
    let known = commands.flat_map(Command::get_arguments).filter_map(Arg::get_env);
    let known: BTreeSet<String> = known.map(|name| name.to_string_lossy().into_owned()).collect();
    let unknown = variables
        .iter()
        .filter(|(name, value)| !known.contains(name) && !is_of_a_service(name, value));
    let rest = |name: &str| name.strip_prefix(BEGIN).unwrap_or(name).to_owned();
    unknown
        .map(
            |(name, _)| match nearest(&rest(name), known.iter().map(|known| rest(known))) {
                Some(near) => format!("there is no variable {name}, and it says nothing; {BEGIN}{near} is the nearest"),
                None => format!(
                    "there is no variable {name}, and it says nothing; teu serve --help shows those that there are"
                ),
            },
        )
        .collect()
}

/// Warns of variables of registry:2, which only count beside its configuration.
///
/// # Errors
/// For those that say who may come in, and how: others would be let in.
pub(super) fn distribution(variables: &[(String, String)]) -> Result<(), Failure> {
    /// How those begin that nothing else is called by.
    const SECTIONS: [&str; 5] = ["AUTH", "HTTP", "LOG", "PROXY", "STORAGE"];
    let how = "it counts beside --distribution-config alone; TEU_SERVE_… and flags set what is set here";
    for (name, value) in variables {
        let rest = name.strip_prefix("REGISTRY_").unwrap_or(name);
        let section = rest.split('_').next().unwrap_or_default();
        let is_other = OTHERS.contains(&name.as_str()) || is_of_a_service(name, value);
        if !SECTIONS.contains(&section) || value.is_empty() || is_other {
            continue;
        }
        if section == "AUTH" || rest.starts_with("HTTP_TLS") {
            let message =
                format!("{name} says nothing here, where it may be meant to keep somebody out: {how}; unset it then");
            return Err(Failure::Usage(message));
        }
        say::warn(false, &format!("{name} says nothing here: {how}"));
    }
    Ok(())
}

/// Whether it is one of those by which Kubernetes tells each container of a service, here of one that is called `teu-serve` or begins so: where it is, and
/// for each of its ports a URL, and the URL's parts.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let of_a_port = |rest: &str| rest.starts_with(|first: char| first.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT") && value.contains("://")
        || name.split_once("_PORT_").is_some_and(|(_, rest)| of_a_port(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments;

    #[test]
    fn variables_that_are_none_are_named_with_the_nearest() {
        let command = arguments::command();
        let serve = command.find_subcommand("serve").expect("a verb");
        for (name, value, says) in [
            ("TEU_SERVE_ACCESS_POLICY", "x", None),
            ("TEU_SERVE_CONFIG", "x", None),
            ("TEU_SERVE_LAYOUTS", "x", None),
            (
                "TEU_SERVE_ACCES_POLICY",
                "x",
                Some(
                    "there is no variable TEU_SERVE_ACCES_POLICY, and it says nothing; TEU_SERVE_ACCESS_POLICY is the nearest",
                ),
            ),
            (
                "TEU_SERVE_PORT",
                "5000",
                Some(
                    "there is no variable TEU_SERVE_PORT, and it says nothing; teu serve --help shows those that there are",
                ),
            ),
            ("TEU_SERVE_PORT", "tcp://10.96.0.7:5000", None),
            ("TEU_SERVE_PORT_5000_TCP", "tcp://10.96.0.7:5000", None),
            ("TEU_SERVE_PORT_5000_TCP_PROTO", "tcp", None),
            ("TEU_SERVE_SERVICE_HOST", "10.96.0.7", None),
            ("TEU_SERVE_SERVICE_PORT", "5000", None),
            ("TEU_SERVE_SERVICE_PORT_REGISTRY", "5000", None),
            ("TEU_SERVE_MIRROR_SERVICE_HOST", "10.96.0.7", None),
        ] {
            let found = warnings(serve, &[(name.to_owned(), value.to_owned())]);
            assert_eq!(found, Vec::from_iter(says.map(str::to_owned)), "{name}={value}");
        }
    }

    #[test]
    fn what_registry_2_would_do_for_a_variable_is_not_passed_over() {
        for (name, value, is_refused) in [
            ("REGISTRY_AUTH", "htpasswd", true),
            ("REGISTRY_AUTH", "", false),
            ("REGISTRY_AUTH_FILE", "/home/a/auth.json", false),
            ("REGISTRY_HTTP_TLS_CERTIFICATE", "/c", true),
            ("REGISTRY_HTTP_ADDR", ":5000", false),
            ("REGISTRY_AUTH_SERVICE_HOST", "10.96.0.7", false),
            ("REGISTRY_PORT_5000_TCP", "tcp://10.96.0.7:5000", false),
            ("REGISTRY_PASSWORD", "x", false),
        ] {
            let outcome = distribution(&[(name.to_owned(), value.to_owned())]);
            assert_eq!(outcome.is_err(), is_refused, "{name}");
        }
    }
}
