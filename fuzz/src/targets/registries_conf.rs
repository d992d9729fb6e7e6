//! A `registries.conf` that anyone wrote: what is refused leaves nothing behind, and what is taken leads to names that are valid.

use teu_spec::RegistryReference;
use teu_transport::remote::registries::Registries;

pub(crate) fn run(text: &str) {
    let mut registries = Registries::default();
    let added = registries.add("registries.conf", text);
    for name in [
        "alpine",
        "docker.io/library/alpine:3",
        "a.example/b/c:1",
        "localhost:5000/x",
    ] {
        let image: RegistryReference = name.parse().expect("a reference of ours");
        let short = registries.short_name(&image);
        let sources = registries.sources(&image);
        if added.is_err() {
            assert_eq!(short.expect("nothing was added").references.len(), 1);
            assert_eq!(sources.expect("nothing was added").len(), 1);
            continue;
        }
        for endpoint in sources.into_iter().flatten().chain(registries.destination(&image)) {
            let full = endpoint.reference.full();
            let parsed: RegistryReference = full.parse().expect("a valid name");
            assert_eq!(parsed.full(), full);
        }
    }
}
