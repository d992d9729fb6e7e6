//! A `policy.json` that anyone wrote: what allows nothing by name allows no image.

use teu_spec::Reference;
use teu_transport::policy::Policy;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(policy) = Policy::parse(bytes) else { return };
    let text = String::from_utf8_lossy(bytes);
    let allows = text.contains("insecureAcceptAnything") || text.contains('\\');
    for name in [
        "docker://docker.io/library/alpine:3.19",
        "docker://registry.test:5000/team/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "oci:/nowhere/images:app",
        "oci-archive:/nowhere/images.tar:app",
        "docker-archive:/nowhere/images.tar:app:1",
        "dir:/nowhere/image",
    ] {
        let reference = Reference::parse(name).expect("a reference of ours");
        assert!(allows || policy.check(&reference).is_err(), "{name}");
    }
}
