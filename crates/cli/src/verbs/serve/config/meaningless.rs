//! Which keys of registry:2's configuration mean nothing here, and what to do instead?

/// Keys that are refused, for what they ask for cannot be passed over, and why.
pub(super) const REFUSED: [(&str, &str); 5] = [
    (
        "proxy.remoteurl",
        "is not built: nothing is pulled through from another registry; teu copy or skopeo sync brings images here",
    ),
    ("http.tls.letsencrypt.cachefile", NOT_FETCHED),
    ("http.tls.letsencrypt.email", NOT_FETCHED),
    ("http.tls.letsencrypt.hosts", NOT_FETCHED),
    (
        "auth.token.autoredirect",
        "is not built: name by auth.token.realm where tokens are",
    ),
];

const NOT_FETCHED: &str = "is not built: certificates are not fetched; name files that another program keeps new by http.tls.certificate and \
                           key, which are read again when they change";

/// Keys that are passed over, with all below them, and what to do instead.
pub(super) const MEANINGLESS: [(&str, &str); 32] = [
    (
        "log.fields",
        "lines of the log have fields of their own; what reads them can add some",
    ),
    (
        "log.hooks",
        "nothing is sent; what reads the log can send what is wanted of it",
    ),
    (
        "log.reportcaller",
        "lines say what was asked, and not where in the program",
    ),
    ("log", "the log is set by log.formatter and log.accesslog.disabled"),
    ("loglevel", "the log is set by log.formatter and log.accesslog.disabled"),
    (
        "storage.cache",
        "what is looked up is in the directory's own database, and needs no cache",
    ),
    (
        "storage.filesystem.maxthreads",
        "files are read and written by as many threads as it takes",
    ),
    ("storage.tag", "tags are in a database, and looked up without waiting"),
    ("storage.delete", "storage.delete.enabled is what counts"),
    ("storage.redirect", "nothing is redirected"),
    (
        "storage.maintenance",
        "readonly.enabled and uploadpurging.enabled, age and dryrun are what counts",
    ),
    ("storage.filesystem", "rootdirectory is what counts"),
    ("storage", "what is pushed is kept in the directory that --data names"),
    (
        "http.secret",
        "uploads are known by what is kept here, and need no secret",
    ),
    (
        "http.tls.ciphersuites",
        "TLS 1.2 and 1.3 are spoken, with the suites that rustls holds for safe",
    ),
    (
        "http.tls.letsencrypt",
        "certificates are not fetched; another program's files are read again when they change",
    ),
    ("http.tls", "certificate, key, clientcas and clientauth are what counts"),
    (
        "http.debug",
        "addr and prometheus are what counts; metrics and /debug/health are all that is told there",
    ),
    (
        "http.h2c",
        "HTTP/2 is spoken without TLS too, with clients that begin so",
    ),
    (
        "http",
        "there is nothing like it; teu serve --print-config shows what can be set",
    ),
    ("auth.htpasswd", "realm and path are what counts"),
    (
        "auth.token",
        "realm, service, issuer, rootcertbundle and jwks are what counts",
    ),
    (
        "health",
        "/readyz says whether what is kept can be reached, and /livez whether the server lives",
    ),
    (
        "validation.manifests.urls",
        "where layers lie elsewhere is neither asked nor checked, and they are taken",
    ),
    ("validation", "disabled and manifests.indexes.platforms are what counts"),
    (
        "notifications",
        "no events are sent; what reads the log sees each push and pull",
    ),
    (
        "redis",
        "there is nothing that a second server could share; what is kept needs no cache",
    ),
    (
        "middleware",
        "nothing stands between the registry and what it keeps; put a proxy before it",
    ),
    (
        "reporting",
        "nothing is reported elsewhere; Prometheus reads http.debug.addr",
    ),
    (
        "compatibility",
        "schema 1 was retired; skopeo copy --format v2s2 brings such images here",
    ),
    ("policy", "who may push what is said by --access-policy"),
    ("proxy", "nothing is pulled through from another registry"),
];
